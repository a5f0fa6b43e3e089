"""The commands with the engine behind them: results, exit codes, the user's own traceback, keys, interruption.

What the engine decides is tested elsewhere; here it is only asked to run.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .run_file import RUN_FILE

STRATEGY = """\
from replay import Strategy


class SmaCross(Strategy):
    symbol: str = "BTCUSDT"
    fast: int = 20
    slow: int = 50
    fails_at: int = -1

    def on_start(self):
        bars = self.bars(self.symbol, "1m")
        self.quick, self.calm = bars.sma(2), bars.sma(3)
        self.seen = 0

    def on_bar(self, bar):
        self.seen += 1
        if self.seen == self.fails_at:
            raise ValueError("on purpose")
        if self.calm.ready:
            self.target(self.symbol, 1 if self.quick > self.calm else -1)
"""

BARS = 400


def bars(count: int = BARS) -> str:
    rows = ["timestamp,open,high,low,close,volume"]
    for minute in range(count):
        price = 40_000 + (minute * 37) % 101
        rows.append(
            f"2022-01-01 {minute // 60 % 24:02d}:{minute % 60:02d}:00,{price},{price + 20},{price - 20},{price + 5},10"
        )
    return "\n".join(rows) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "sma_cross.py").write_text(STRATEGY)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bars.csv").write_text(bars())
    text = RUN_FILE.replace("btcusdt-1m.csv.gz", "bars.csv").replace('warmup = "2h"\n', "")
    text = text.replace('receive = { column = "local_time", unit = "ns" }\n', "").replace(
        "[metrics]\nport = 9109\n", ""
    )
    (tmp_path / "run.toml").write_text(text)
    return tmp_path


def replay(*arguments: str, folder: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "replay", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_backtest_prints_its_statistics_and_keeps_its_folder(folder: Path) -> None:
    done = replay("backtest", "--out", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Total return" in done.stdout
    result = json.loads((folder / "out" / "result.json").read_text())
    assert result["digest"] in done.stdout
    assert (folder / "out" / "config.toml").exists()
    assert (folder / "out" / "events.bin").stat().st_size == result["events"] * 128


def test_without_out_each_run_has_a_folder_of_its_own(folder: Path) -> None:
    for _ in range(2):
        assert replay("backtest", folder=folder).returncode == 0
    assert len(list((folder / "runs" / "run").iterdir())) == 2


def test_json_is_the_last_line_of_stdout_and_all_else_is_on_stderr(folder: Path) -> None:
    done = replay("backtest", "--json", "--out", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == json.loads((folder / "out" / "result.json").read_text())
    assert "Total return" in done.stderr


def test_all_modes_and_a_run_folders_own_config_give_one_digest(folder: Path) -> None:
    assert replay("backtest", "--out", "a", folder=folder).returncode == 0
    assert replay("play", "--speed", "max", "--out", "b", folder=folder).returncode == 0
    assert replay("paper", "--session", "s", "--set", "metrics.port=0", folder=folder).returncode == 0
    assert replay("backtest", "a/config.toml", "--out", "c", folder=folder).returncode == 0
    for other in ("b", "s", "c"):
        done = replay("verify", "a", other, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("equal, ")


def test_verify_says_where_two_runs_differ_with_code_1(folder: Path) -> None:
    replay("backtest", "--out", "a", folder=folder)
    replay("backtest", "--out", "b", "--set", "venue.0.fees.taker='0.001'", folder=folder)
    done = replay("verify", "a", "b", folder=folder)
    assert done.returncode == 1
    assert done.stdout.startswith("different from event ")


@pytest.mark.parametrize(
    "command", [["backtest", "--out", "out"], ["play", "--speed", "max", "--out", "out"], ["paper"]]
)
def test_a_strategy_that_raises_shows_its_own_traceback_and_the_tick(command: list[str], folder: Path) -> None:
    done = replay(*command, "--set", "strategy.0.params.fails_at=7", "--set", "metrics.port=0", folder=folder)
    assert done.returncode == 3
    assert f'File "{folder}/strategies/sma_cross.py", line 18, in on_bar' in done.stderr
    assert "ValueError: on purpose" in done.stderr
    assert "strategy 'sma' raised in on_bar at record 6" in done.stderr
    assert "2022-01-01T00:06:00" in done.stderr.partition("tick: ")[2]
    assert "site-packages" not in done.stderr
    assert "replay/modes.py" not in done.stderr
    if "out" in command:
        assert json.loads((folder / "out" / "result.json").read_text())["interrupted"] is True


def test_a_missing_strategy_file_is_named_with_the_line_that_names_it(folder: Path) -> None:
    (folder / "strategies" / "sma_cross.py").rename(folder / "strategies" / "sma_crosss.py")
    done = replay("backtest", folder=folder)
    assert done.returncode == 2
    assert "run.toml:7: there is no strategy file" in done.stderr
    assert "did you mean 'sma_crosss.py'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_feed_is_named(folder: Path) -> None:
    (folder / "data" / "bars.csv").unlink()
    done = replay("backtest", folder=folder)
    assert done.returncode in (2, 4)
    assert "bars.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_column_is_named_with_the_columns_there_are(folder: Path) -> None:
    path = folder / "data" / "bars.csv"
    path.write_text(path.read_text().replace("volume", "amount", 1))
    done = replay("backtest", folder=folder)
    assert done.returncode == 2
    assert "volume" in done.stderr
    assert "amount" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["", "\n", "timestamp;open;high;low;close;volume\n2022-01-01;1;1;1;1;1\n"])
def test_a_feed_that_is_empty_or_of_another_form_is_no_traceback(content: str, folder: Path) -> None:
    (folder / "data" / "bars.csv").write_text(content)
    done = replay("backtest", folder=folder)
    assert done.returncode in (2, 4)
    assert "bars.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gap_halts_with_code_4_and_names_the_row(folder: Path) -> None:
    path = folder / "data" / "bars.csv"
    path.write_text(path.read_text() + "2023-01-01 00:00:00,1,1,1,1,1\n")
    done = replay("backtest", "--out", "out", folder=folder)
    assert done.returncode == 4
    assert "gap" in done.stderr
    assert json.loads((folder / "out" / "result.json").read_text())["interrupted"] is True
    accepted = replay("backtest", "--set", "run.gap=accept", folder=folder)
    assert accepted.returncode == 0, accepted.stderr


def test_a_bad_speed_is_refused(folder: Path) -> None:
    done = replay("play", "--speed", "fast", folder=folder)
    assert done.returncode == 2
    assert "'fast' is neither a number nor 'max'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_replay_keeps_a_partial_result_with_code_130(number: signal.Signals, folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "replay", "play", "--speed", "1000", "--out", "out"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: (folder / "out" / "config.toml").exists())
        time.sleep(0.5)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "INTERRUPTED" in output
    assert "Traceback" not in errors
    assert json.loads((folder / "out" / "result.json").read_text())["interrupted"] is True


WITHOUT_ENGINE = """
import sys
sys.modules["replay._engine"] = None
from replay.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", [["backtest"], ["play"], ["paper"], ["demo"], ["verify", "run.toml"]])
def test_without_the_engine_each_command_says_what_to_do(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ENGINE, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the compiled engine is missing" in done.stderr
    assert "install Rust" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = replay("paper", "--set", f"metrics.port={port}", folder=folder)
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr


def test_progress_at_a_terminal_shows_rate_and_remaining_time(folder: Path) -> None:
    code = (
        "import time\n"
        "from replay.cli.screen import Progress\n"
        "with Progress('run') as progress:\n"
        "    for done in range(30):\n"
        "        progress(done, 100, 0)\n"
        "        time.sleep(0.05)\n"
    )
    (folder / "progress.py").write_text(code)
    terminal = Terminal(folder, "progress.py", module=False)
    terminal.expect("of 100 records")
    terminal.expect("/s, ")
    terminal.expect(" left")
    assert terminal.code() == 0


class Terminal:
    """A program on a pseudo terminal."""

    def __init__(self, folder: Path, *arguments: str, module: bool = True) -> None:
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execv(sys.executable, [sys.executable, *(["-m", "replay"] if module else []), *arguments])
        self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def expect(self, text: str, timeout: float = 20) -> None:
        """Wait until the text shows; what came before it is forgotten."""
        limit = time.monotonic() + timeout
        while text not in self.seen:
            assert time.monotonic() < limit, f"{text!r} did not show: {self.seen[-500:]!r}"
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.descriptor, 65536).decode("utf-8", "replace")
                except OSError:
                    assert text in self.seen, f"ended before {text!r}: {self.seen[-500:]!r}"
        self.seen = self.seen.partition(text)[2]

    def code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def test_keys_drive_a_replay_at_a_terminal(folder: Path) -> None:
    terminal = Terminal(folder, "play", "--speed", "100", "--out", "out", "--screen", "panel")
    terminal.expect("running")
    terminal.expect("space pause")
    for keys, shown in ((" ", "paused"), ("+", "200x"), ("-", "100x"), ("n", "paused")):
        terminal.press(keys)
        terminal.expect(shown)
    terminal.press("q")
    terminal.expect("INTERRUPTED")
    terminal.expect("folder out")
    assert terminal.code() == 130


def test_a_replay_run_by_keys_has_the_digest_of_the_backtest(folder: Path) -> None:
    replay("backtest", "--out", "a", folder=folder)
    terminal = Terminal(folder, "play", "--speed", "1000", "--out", "b", "--screen", "panel")
    terminal.expect("running")
    for keys in (" ", ".", ".", "n", ".", " ", "+"):
        terminal.press(keys)
        time.sleep(0.15)
    terminal.expect("folder b")
    assert terminal.code() == 0
    assert replay("verify", "a", "b", folder=folder).returncode == 0


def test_data_commands_convert_describe_and_show(folder: Path) -> None:
    done = replay(
        "data", "convert", "data/bars.csv", "bars.npy", "--symbol", "BTCUSDT", "--decimals", "2,8", folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert f"{BARS} records" in done.stdout
    described = replay("data", "info", "bars.npy", folder=folder)
    assert f"BTCUSDT   {BARS} bar" in described.stdout
    shown = replay("data", "head", "bars.npy", "-n", "2", folder=folder)
    assert len(shown.stdout.splitlines()) == 2
    for number, feed in enumerate((["--feed", "bars.npy"], [])):
        assert replay("backtest", "--out", f"out{number}", *feed, folder=folder).returncode == 0
    assert replay("verify", "out0", "out1", folder=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert"], "there is nothing to convert"),
        (["convert", "data/bars.csv"], "there is nothing to convert"),
        (["convert", "data/none.csv", "x.npy"], "there is no such file"),
        (["convert", "data/bars.csv", "x.npy"], "give the symbol"),
        (["convert", "data/bars.csv", "x.xls", "--symbol", "X"], "says no format to write"),
        (["convert", "data/bars.csv", "x.npy", "--records", "bars"], "--records"),
        (["info"], "there is nothing to describe"),
        (["info", "data/none.npy"], "there is no such file"),
        (["head"], "FILE"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_wrong_data_command_is_a_short_message_and_code_2(arguments: list[str], words: str, folder: Path) -> None:
    done = replay("data", *arguments, folder=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 5
    assert not (folder / "x.npy").exists()


def wait_until(condition: object, timeout: float = 20) -> None:
    limit = time.monotonic() + timeout
    assert callable(condition)
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.02)
