"""A newcomer's walk: every command with wrong input gives its exit code and a message of fact and remedy, no traceback.

Each case is a command line in a folder that `replay init` made, with one thing in it spoilt. What a rule decides is
tested where the rule lives; here it is only what the user is told.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from replay.cli.app import run

DATA = "data/demo-1m.csv"
HEADER = "time,open,high,low,close,volume\n"


class Case(NamedTuple):
    """A command line in a spoilt folder; `says` are pieces of what stderr must hold, facts and remedies."""

    command: str
    code: int
    says: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda folder: None


def edit(name: str, before: str, after: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text, (name, before)
        (folder / name).write_text(text.replace(before, after, 1))

    return spoil


def run_file(before: str, after: str) -> Callable[[Path], object]:
    return edit("run.toml", before, after)


def strategy(before: str, after: str) -> Callable[[Path], object]:
    return edit("strategy.py", before, after)


def holds(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


USAGE = [
    Case("backtst", 2, ("Unknown command", 'Did you mean "backtest"?', "see replay --help")),
    Case("backtest --ouput x", 2, ("--ouput", "Did you mean --out?", "see replay backtest --help")),
    Case("backtest run.toml more", 2, ("'more' is one argument too many", "see replay backtest --help")),
    Case("backtest --stats full", 2, ('"full"', '"main", "all"')),
    Case("data conver", 2, ('"conver"', 'Did you mean "convert"?', "see replay data --help")),
    Case("data head", 2, ("FILE", "see replay data head --help")),
    Case("verify", 2, ("FIRST requires an argument", "see replay verify --help")),
    Case("ctl nope paus", 2, ('"paus"', 'Did you mean "pause"?')),
    Case("backtest --report x.pdf", 2, ("--report: a report is", "'x.pdf' ends in .pdf", "name it x.html")),
    Case("backtest --report mine", 2, ("'mine' ends in nothing", "name it mine.html", "goes before --report")),
]

RUN_FILES = [
    Case("backtest runn.toml", 2, ("no run file 'runn.toml'", "did you mean 'run.toml'?")),
    Case("backtest", 2, ("no run file 'run.toml'", "replay init"), lambda folder: (folder / "run.toml").unlink()),
    Case("backtest data", 2, ("no run file 'data/run.toml'", "replay init")),
    Case("backtest no/run.toml", 2, ("no run file", "there is no folder 'no'")),
    Case(f"backtest {DATA}", 2, (f"{DATA}:1: this is not TOML", "it reads: time,open", "ends in .toml")),
    Case("backtest x.npy", 2, ("is not UTF-8", "ends in .toml"), holds("x.npy", b"\x93NUMPY\xff")),
    Case("backtest", 2, ("lacks the key 'strategy'", "add [[strategy]]"), holds("run.toml", "")),
    Case("backtest", 2, ("run.toml:4", "equity_every = 1h", "mend that line"), run_file('"1h"', "1h")),
    Case(
        "backtest",
        2,
        ("'equity_evry' in [run]", "did you mean 'equity_every'?"),
        run_file("equity_every", "equity_evry"),
    ),
    Case("backtest", 2, ("unknown key 'venu'", "did you mean 'venue'?"), run_file("[[venue]]", "[[venu]]")),
    Case("backtest", 2, ("name must be text", 'not ""', "leave the key out"), run_file('name = "my"', 'name = ""')),
    Case("backtest", 2, ("feed must be a list", "two brackets"), run_file("[[feed]]", "[feed]")),
    Case("backtest", 2, ("run must be a table", "one bracket"), run_file("[run]", "[[run]]")),
    Case("backtest", 2, ("run.toml:4", "'1hour' is not a duration", "as in '30s'"), run_file('"1h"', '"1hour"')),
    Case("backtest", 2, (">= 1, not 0", "leave the key out"), run_file("per_year = 365", "per_year = 0")),
    Case("backtest", 2, ('not text ("many")', "= 7"), run_file("per_year = 365", 'per_year = "many"')),
    Case("backtest", 2, ("cannot be 'bars'", "did you mean 'bar'?"), run_file('"bar"', '"bars"')),
    Case("backtest", 2, ("cannot be 'msec'", "choices: iso, ms"), run_file('unit = "iso"', 'unit = "msec"')),
    Case("backtest", 2, ("tick must be exact", 'quote it, as in "0.01"'), run_file('tick = "0.01"', "tick = 0.01")),
    Case(
        "backtest",
        2,
        ("venue 'exchang'", "did you mean 'exchange'?"),
        run_file('venue = "exchange"', 'venue = "exchang"'),
    ),
    Case(
        "backtest",
        2,
        ("'DEMO' has no [[instrument]]", "did you mean 'DEM'?"),
        run_file('[[instrument]]\nsymbol = "DEMO"', '[[instrument]]\nsymbol = "DEM"'),
    ),
    Case("backtest", 2, ("lacks the key 'tick'", 'add tick = "0.01"'), run_file("tick =", "# tick =")),
    Case("backtest --set strategy.0.params.window", 2, ("is not PATH=VALUE", "write it as --set")),
    Case("backtest --set strategy.0.params.windw=3", 2, ("no parameter 'windw'", "did you mean 'window'?")),
    Case("backtest --set strategy.0.params.window=x", 2, ("is int, and 'x' is not", "without quotes, as 20")),
    Case("backtest --set strategy.5.name=x", 2, ("no entry 5", "0 to 0")),
    Case("backtest --feed nope.csv", 2, ("nope.csv: there is no such file", "choices: run.toml")),
    Case("backtest --feed data", 2, ("this is a folder, not a file", "demo-1m.csv")),
    Case("backtest --feed kafak://x/y", 2, ("no feed 'kafak'", "did you mean 'kafka'?")),
]

STRATEGIES = [
    Case(
        "backtest",
        2,
        ("strategy.py:15: expected ':'", "not Python"),
        strategy("bar: Bar) -> None:", "bar: Bar) -> None"),
    ),
    Case("backtest", 2, ("strategy.py: ", "null bytes", "not Python"), holds("strategy.py", b"\x00\x01")),
    Case("backtest", 2, ("has no class 'Mine'", "choices: My"), run_file("strategy.py:My", "strategy.py:Mine")),
    Case("backtest", 2, ("no strategy file", "did you mean 'strategy.py'?"), run_file("strategy.py:My", "strat.py:My")),
    Case("backtest", 2, ("names no class", "file.py:Class"), run_file("strategy.py:My", "strategy.py")),
    Case("backtest", 2, ("is no strategy", "derive it"), strategy("My(Strategy)", "My")),
    Case("backtest", 2, ("on_bars is no handler", "did you mean 'on_bar'?"), strategy("def on_bar", "def on_bars")),
    Case("backtest", 2, ("is asynchronous", "without `async`"), strategy("    def on_bar", "    async def on_bar")),
    Case(
        "backtest",
        2,
        (
            "strategy.py:6",
            "My.__init__ cannot be called",
            "missing a required argument: 'depth'",
            "annotated attributes",
        ),
        strategy("    def on_start", "    def __init__(self, depth, **params):\n        pass\n\n    def on_start"),
    ),
    Case(
        "backtest",
        2,
        ("strategy.py:6", "unexpected keyword argument 'symbol'", "__init__(self, **params)"),
        strategy("    def on_start", "    def __init__(self):\n        pass\n\n    def on_start"),
    ),
    Case(
        "backtest",
        2,
        ("strategy.py:6", "no parameter 'windw'", "did you mean 'window'?"),
        strategy(
            "    def on_start",
            "    def __init__(self, **params):\n        super().__init__(windw=3)\n\n    def on_start",
        ),
    ),
    Case("backtest", 2, ("strategy.py:6", "name 'Bat' is not defined"), strategy("int = 60", "'Bat' = 60")),
    Case(
        "backtest",
        130,
        ("interrupted in on_bar", "strategy.py:16", "partial"),
        strategy(
            "    def on_bar(self, bar: Bar) -> None:", "    def on_bar(self, bar):\n        raise KeyboardInterrupt"
        ),
    ),
    Case("backtest", 2, ("'window' of My is int, and 'x' is not", "like 20"), strategy("int = 60", "int = 'x'")),
    Case(
        "backtest",
        2,
        ("run.toml:10", "is int, and '5' is not", "without quotes"),
        run_file("window = 60", 'window = "5"'),
    ),
]

FEEDS = [
    Case("backtest", 4, ("the file is empty", "needs a header and rows"), holds(DATA, "")),
    Case("backtest", 4, ("gave no record at all", "replay data info"), holds(DATA, HEADER)),
    Case(
        "backtest",
        2,
        ("no column 'time'", "set delimiter = ';'"),
        holds(DATA, HEADER.replace(",", ";") + "1;1;1;1;1;1\n"),
    ),
    Case("backtest", 2, ("no column 'clos'", "did you mean 'close'?"), run_file('close = "close"', 'close = "clos"')),
    Case(
        "backtest", 4, ("all were set aside: bad_time", "dead-letters.ndjson"), run_file('unit = "iso"', 'unit = "ms"')
    ),
    Case("backtest --feed x.npy", 4, ("is not a .npy file", "replay data convert"), holds("x.npy", "time,open")),
    Case("backtest --feed x.npy", 4, ("is empty", "replay data convert"), holds("x.npy", "")),
    Case(
        "backtest --feed x.npy",
        4,
        ("holds float64", "replay data convert"),
        lambda f: np.save(f / "x.npy", np.zeros(3)),
    ),
    Case(
        "backtest",
        4,
        ("100.0612345 has more than the 2 decimals", "excess_decimals"),
        holds(DATA, HEADER + "2024-01-01T00:01:00Z,100,100.0612345,100,100,1\n"),
    ),
]

PLACES = [
    Case("backtest --out run.toml", 2, ("run.toml is a file, not a folder", "empty or new folder")),
    Case("backtest --out /proc/x", 5, ("/proc/x: cannot make the run folder", "name a place")),
    Case("backtest --out run.toml/x", 5, ("Not a directory", "run.toml is a file, not a folder: name another place")),
    Case("backtest --report no/x.html", 2, ("there is no folder 'no'", "make it first")),
    Case("init run.toml", 2, ("is a file, not a folder", "name a new folder")),
    Case("init data", 2, ("exists and is not empty", "name a new folder")),
    Case("demo --out run.toml", 5, ("run.toml is a file, not a folder: name another place",)),
    Case("report a --out x.pdf", 2, ("'x.pdf' ends in .pdf", "name it x.html")),
    Case("report a --out no/x.html", 2, ("there is no folder 'no'", "make it first")),
    Case("report a --csv run.toml", 2, ("cannot write the tables", "name another place")),
    Case("compare a a --html no/x.html", 2, ("there is no folder 'no'", "make it first")),
    Case(f"data convert {DATA} no/x.npy --symbol D", 5, ("x.npy: cannot be written", "no folder 'no': make it")),
    Case(f"data convert {DATA} x.xlsx --symbol D", 2, ("no format to write", ".parquet")),
    Case(f"data convert {DATA} {DATA} --symbol D", 2, ("both a source and the destination", "another file")),
    Case("record run.toml run.toml", 5, ("cannot be written", "name another place")),
    Case("record data --finish", 2, ("holds no recording", "replay record SOURCE DIR")),
]

RUNS = [
    Case("verify nope", 2, ("there is no 'nope'", "run folder")),
    Case("verify a nope", 2, ("has no event log", "--out folder of a run")),
    Case(
        "verify a a",
        4,
        ("events.bin: holds", "result.json says", "run its config.toml again"),
        cut("a/events.bin", 333),
    ),
    Case("verify a a", 4, ("events.bin: holds 0 events", "copy the run folder again"), cut("a/events.bin", 0)),
    Case("report nope", 2, ("there is no folder 'nope'", "--out folder of a run")),
    Case("report data", 2, ("has no result.json", "--out folder of a run")),
    Case("report a", 4, ("not the result of a run", "run it again"), cut("a/result.json", 10)),
    Case("report a", 4, ("no result_version", "--out folder"), holds("a/result.json", "{}")),
    Case(
        "report a",
        4,
        ("result_version is 99", "config.toml again"),
        edit("a/result.json", '"result_version": 1', '"result_version": 99'),
    ),
    Case("compare a nope", 2, ("there is no folder 'nope'", "--out folder")),
    Case("play --speed=-1", 2, ("speed -1 is outside of 0.1 to 1000", "or max")),
    Case("play --speed fast", 2, ("'fast' is neither a number nor 'max'", "0.1 to 1000")),
    Case("play --from yesterday", 2, ("--from: 'yesterday' is not a time", "2024-01-31T14:30:00Z")),
    Case("play --speed max --from 2034-01-01", 4, ("all 4,320 lie outside", "replay data info")),
    Case("paper --at 5", 2, ("--at goes with --fork", "name the session")),
    Case("ctl nope pause", 2, ("no session folder", "replay sessions list")),
    Case("ctl a pause --timeout 5", 2, ("'5' is not a duration", "as in '30s'")),
    Case("sessions list nope", 2, ("there is no folder nope", "name their folder")),
    Case("sessions prune --older-than 30", 2, ("'30' is not a duration", "30d")),
]

DATA_FILES = [
    Case("data info kafka://localhost:1/x", 2, ("kafka://localhost:1/x: this is a URI", "convert --run RUN.toml")),
    Case("data info", 2, ("nothing to describe", "replay data info FILE..")),
    Case("data info data/demo.csv", 2, ("there is no such file", "did you mean 'demo-1m.csv'?")),
    Case("data info data", 2, ("this is a folder, not a file", "demo-1m.csv")),
    Case("data check strategy.py", 2, ("no known suffix", ".csv")),
    Case("data check x.csv", 4, ("the file is empty", "needs a header"), holds("x.csv", "")),
    Case(f"data check {DATA}", 2, ("does not say whose rows", "give the symbol")),
    Case(f"data check {DATA} --format cvs", 2, ("no format 'cvs'", "did you mean 'csv'?")),
    Case(f"data check {DATA} --symbol D --delimiter ;;", 2, ("';;' is not one character", "write it as ';'")),
    Case(f"data check {DATA} --symbol D --clock-offset 5", 2, ("clock_offset '5' is not a duration", "250ms")),
    Case(f"data check {DATA} --symbol D --bar 1min", 2, ("bar '1min' is not a duration", "1m")),
    Case(f"data check {DATA} --ignore gapp", 2, ("no check 'gapp'", "did you mean 'gaps'?")),
    Case(f"data sample {DATA} x.npy --rows 5", 2, ("rows '5' is no range", "100:200")),
    Case("publish nope.npy kafka://localhost:1/x", 2, ("nope.npy: there is no such file", "choices: run.toml")),
    Case(f"publish {DATA} kafka://localhost:1/x", 2, ("does not say what instruments", "give --run RUN.toml")),
    Case("publish run.toml foo", 2, ("no publisher for 'foo'", "kafka://..")),
]

ALL = [*USAGE, *RUN_FILES, *STRATEGIES, *FEEDS, *PLACES, *RUNS, *DATA_FILES]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `replay init`, with a finished run in a/."""
    folder = tmp_path_factory.mktemp("walk") / "my"
    assert run(["init", str(folder)]) == 0
    assert run(["backtest", str(folder), "--out", str(folder / "a")]) == 0
    return folder


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.command} [{case.says[0]}]")
def test_wrong_input_is_told_with_fact_and_remedy(
    case: Case, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my"
    shutil.copytree(template, folder)
    case.spoil(folder)
    monkeypatch.chdir(folder)
    code = run(case.command.split())
    told = capfd.readouterr().err
    assert code == case.code, told
    assert "Traceback" not in told
    assert told.startswith("replay: ")
    assert len(told.splitlines()) <= 5, told
    for piece in case.says:
        assert piece in told


def test_without_a_broker_stdout_stays_empty(
    template: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(template)
    assert run(["publish", "run.toml", "kafka://127.0.0.1:1/ticks"]) == 4
    told = capfd.readouterr()
    assert told.out == ""
    assert "no broker answers at 127.0.0.1:1" in told.err
    assert "check the address" in told.err
