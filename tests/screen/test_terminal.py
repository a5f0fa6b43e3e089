"""`replay play` and `replay paper` on a real (pseudo) terminal: keys, seeking, and a terminal that is always left sane.

May not live here: what each box says (test_panel, test_live_app).
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .terminal import Terminal

STRATEGY = """\
import sys
from replay import Strategy


class Cross(Strategy):
    fails_at: int = -1
    says_at: int = -1
    marks_at: int = -1

    def on_start(self):
        bars = self.bars("ABC", "1m")
        self.quick, self.calm = bars.sma(2), bars.sma(3)
        self.seen = 0

    def on_bar(self, bar):
        self.seen += 1
        if self.seen == self.says_at:
            print("a word of the strategy")
            print("and one to stderr", file=sys.stderr)
        if self.seen == self.marks_at:
            open("mark", "w").close()
        if self.seen == self.fails_at:
            raise ValueError("on purpose")
        if self.calm.ready:
            self.target("ABC", 1 if self.quick > self.calm else -1)
"""
RUN = """\
[[strategy]]
class = "cross.py:Cross"
name = "cross"
[[feed]]
uri = "bars.csv"
records = "bar"
symbol = "ABC"
bar = "1m"
time = { column = "time", unit = "iso", zone = "UTC", stamp = "end" }
columns = { open = "open", high = "high", low = "low", close = "close", volume = "volume" }
[[instrument]]
symbol = "ABC"
tick = "0.01"
lot = "1"
quote = "USD"
[account]
currency = "USD"
cash = { USD = "100000" }
"""
BARS = 3_000
"""A little more than two days of minutes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ["time,open,high,low,close,volume"]
    for minute in range(BARS):
        price = 400 + (minute * 37) % 101
        when = f"2022-01-{1 + minute // 1_440:02d} {minute // 60 % 24:02d}:{minute % 60:02d}:00"
        rows.append(f"{when},{price},{price + 2},{price - 2},{price + 1},10")
    (tmp_path / "bars.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "cross.py").write_text(STRATEGY)
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path


@pytest.fixture
def terminal(folder: Path) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(*arguments: str, **more: Any) -> Terminal:
        made.append(Terminal(folder, *arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def digest_of(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["digest"])


@pytest.fixture
def expected(folder: Path) -> str:
    command = [sys.executable, "-m", "replay", "backtest", "--out", "expected"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return digest_of(folder / "expected")


def records_on(text: str) -> int:
    found = re.search(r"([\d,]+) records", text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def seek(run: Terminal, text: str) -> None:
    run.press("s")
    run.until("Seek to a time")
    run.press(f"{text}\r")
    run.until(lambda text: "Seek to a time" not in text or "is no time" in text)


def at(records: int) -> Callable[[str], bool]:
    return lambda text: "‖ paused" in text and f" {records:,} records" in text


def test_keys_pause_step_seek_forward_and_back_and_the_digest_is_that_of_the_backtest(
    terminal: Callable[..., Terminal], folder: Path, expected: str
) -> None:
    run = terminal("play", "--paused", "--speed", "max", "--out", "out")
    run.until(at(0))
    for key, records in ((".", 1), (".", 2), ("d", 1_440)):
        run.press(key)
        run.until(at(records))
    for time_text, records in (("12:00", 720), ("+2h", 839), ("2022-01-03", 2_880), ("-1d", 1_439)):
        seek(run, time_text)
        run.until(at(records))
    run.press("n")
    after_fill = run.until(lambda text: "‖ paused" in text and records_on(text) > 1_439)
    assert "buy" in after_fill or "sell" in after_fill
    run.press(" ")
    run.until("■ ended")
    run.press("q")
    assert run.code() == 0
    run.assert_sane()
    assert "Total return" in run.output.decode()
    assert digest_of(folder / "out") == expected


def test_the_end_is_shown_until_the_user_leaves_or_goes_back(terminal: Callable[..., Terminal]) -> None:
    run = terminal("play", "--speed", "max")
    run.until("■ ended")
    run.press(" ")
    seek(run, "2022-01-01T01:00")
    run.until(at(60))
    run.press(" ")
    run.until("■ ended")
    run.press("q")
    assert run.code() == 0
    run.assert_sane()


def test_what_cannot_be_typed_is_said_and_nothing_happens(terminal: Callable[..., Terminal]) -> None:
    run = terminal("play", "--paused")
    run.until(at(0))
    seek(run, "soon")
    run.until("'soon' is no time")
    run.press("\x1b")
    run.until(lambda text: "'soon'" not in text)
    run.press("q")
    assert run.code() == 130
    run.assert_sane()
    assert "no data" in run.output.decode(), "nothing has begun, and the statistics say so"


@pytest.mark.parametrize("screen", ["full", "panel"])
@pytest.mark.parametrize("way", ["key", "signal"])
def test_ctrl_c_in_the_middle_ends_in_order(
    way: str, screen: str, terminal: Callable[..., Terminal], folder: Path
) -> None:
    run = terminal("play", "--speed", "100", "--out", "out", "--screen", screen)
    run.until(lambda text: "running" in text and records_on(text) > 0)
    if way == "key":
        run.press("\x03")
    else:
        run.signal(signal.SIGTERM)
    assert run.code() == 130
    run.assert_sane()
    assert "INTERRUPTED" in run.output.decode()
    assert "Traceback" not in run.output.decode()
    assert json.loads((folder / "out" / "result.json").read_text())["interrupted"] is True


@pytest.mark.parametrize("screen", ["full", "panel"])
def test_a_strategy_that_raises_leaves_its_traceback_on_a_sane_terminal(
    screen: str, terminal: Callable[..., Terminal]
) -> None:
    run = terminal("play", "--speed", "max", "--set", "strategy.0.params={fails_at=700}", "--screen", screen)
    assert run.code() == 3
    run.assert_sane()
    said = run.output.decode().rpartition("\x1b[?25h")[2]
    assert "ValueError: on purpose" in said
    assert 'raise ValueError("on purpose")' in said
    assert "textual" not in said


def test_a_run_file_that_is_wrong_leaves_its_message_on_a_sane_terminal(
    terminal: Callable[..., Terminal], folder: Path
) -> None:
    (folder / "bars.csv").unlink()
    run = terminal("play")
    assert run.code() in (2, 4)
    run.assert_sane()
    assert "bars.csv" in run.output.decode()
    assert "Traceback" not in run.output.decode()


def test_what_a_strategy_prints_is_shown_and_stands_there_afterwards(terminal: Callable[..., Terminal]) -> None:
    run = terminal("play", "--speed", "max", "--set", "strategy.0.params={says_at=700}")
    run.until(lambda text: "■ ended" in text and "a word of the strategy" in text and "and one to stderr" in text)
    run.press("q")
    assert run.code() == 0
    said = run.output.decode().rpartition("\x1b[?1049l")[2]
    assert "a word of the strategy" in said
    assert "and one to stderr" in said


def test_a_terminal_that_takes_nothing_does_not_hold_up_the_run(
    terminal: Callable[..., Terminal], folder: Path, expected: str
) -> None:
    run = terminal("play", "--speed", "1000", "--out", "out", "--set", "strategy.0.params={marks_at=200}")
    run.until("running")
    limit = time.monotonic() + 60
    while not (folder / "mark").exists():
        assert time.monotonic() < limit, "nobody reads the terminal, and the run does not go on"
        time.sleep(0.1)
    run.press("++")  # 2000x is none: max
    run.until("■ ended")
    run.press("q")
    assert run.code() == 0
    run.assert_sane()
    assert digest_of(folder / "out") == expected


def test_a_session_shows_its_log_and_ends_in_order(terminal: Callable[..., Terminal], folder: Path) -> None:
    live = RUN.replace('uri = "bars.csv"', 'uri = "follow:bars.csv"\nreceive_time = "keep"')
    (folder / "run.toml").write_text(live + "[metrics]\nport = 0\n")
    run = terminal("paper", "--session", "s")
    run.until(lambda text: "session started" in text and "live" in text and "3,000 records" in text)
    run.press(" ")
    run.until("trading paused")
    run.press(" ")
    run.until(lambda text: "trading paused" not in text)
    run.press("q")
    assert run.code() == 130
    run.assert_sane()
    said = run.output.decode().rpartition("\x1b[?1049l")[2]
    assert "session started" in said
    assert "session ended" in said
    checked = subprocess.run(
        [sys.executable, "-m", "replay", "verify", "s"], cwd=folder, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_where_textual_is_missing_there_is_a_panel(terminal: Callable[..., Terminal], folder: Path) -> None:
    (folder / "textual").mkdir()
    (folder / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'textual' else found(name, *more)\n"
    )
    run = terminal("play", "--speed", "100", environment={"PYTHONPATH": f"{folder}:{_python_path()}"})
    run.until(lambda text: "running" in text and ". step" in text)
    run.press(" ")
    run.until("‖ paused")
    run.press("s12:00\n")
    run.until(at(720))
    run.press("q")
    assert run.code() == 130
    run.assert_sane()
    asked = terminal("play", "--screen", "full", environment={"PYTHONPATH": f"{folder}:{_python_path()}"})
    assert asked.code() == 2
    assert "tickreplay[ui]" in asked.output.decode()


def _python_path() -> str:
    import os

    return os.environ.get("PYTHONPATH", "")


def test_a_dumb_terminal_gets_lines(terminal: Callable[..., Terminal]) -> None:
    run = terminal("play", "--speed", "max", environment={"TERM": "dumb"})
    assert run.code() == 0
    assert "\x1b[" not in run.output.decode()


def test_without_a_terminal_there_are_lines_and_no_screen_can_be_asked_for(folder: Path) -> None:
    def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "replay", "play", *arguments]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    for kind in ("full", "panel"):
        refused = replay("--screen", kind)
        assert refused.returncode == 2
        assert "--screen lines" in refused.stderr
    done = replay("--speed", "max")
    assert done.returncode == 0
    assert "\x1b[" not in done.stderr + done.stdout
