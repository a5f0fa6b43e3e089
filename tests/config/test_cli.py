"""The command line from outside: help, exit codes, messages with file and line, and what it may import.

Runs are tested where runs are put together; here no engine is needed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from replay.cli import main
from replay.cli.app import run

from .run_file import RUN_FILE, changed


def replay(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "replay", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    done = replay("--help", folder=tmp_path)
    assert done.returncode == 0
    for command in ("backtest", "play", "paper", "verify", "data", "demo"):
        assert f" {command} " in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["backtest"], ["--out", "--json", "--set", "--feed", "run.toml"]),
        (["play"], ["--speed", "--from", "--until", "--set", "--feed", "run.toml"]),
        (["paper"], ["--session", "--set", "--feed", "run.toml"]),
        (["verify"], ["FIRST", "SECOND"]),
        (["data"], ["convert", "info", "head"]),
        (["demo"], []),
    ],
)
def test_each_command_names_its_options(command: list[str], options: list[str], tmp_path: Path) -> None:
    done = replay(*command, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for option in options:
        assert option in done.stdout


def test_version_is_printed(tmp_path: Path) -> None:
    done = replay("--version", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.strip()


HEAVY = ("numpy", "aiohttp", "aiokafka", "structlog", "prometheus_client", "nanoarrow", "replay._engine", "msgspec")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from replay.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.timing
def test_help_takes_at_most_a_third_of_a_second(tmp_path: Path) -> None:
    best_s = 10.0
    for _ in range(5):
        begun = time.perf_counter()
        replay("--help", folder=tmp_path)
        best_s = min(best_s, time.perf_counter() - begun)
    assert best_s <= 0.35


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["bactest"], "backtest"),
        (["backtest", "--nonsense"], "--nonsense"),
        (["backtest", "a.toml", "b.toml"], "b.toml"),
        (["play", "--speed"], "--speed"),
        (["verify"], "FIRST"),
    ],
)
def test_a_wrong_command_line_is_a_short_message_and_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = replay(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert words.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 5
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["backtest", "play", "paper"])
def test_a_missing_run_file_is_named(command: str, tmp_path: Path) -> None:
    done = replay(command, folder=tmp_path)
    assert done.returncode == 2
    assert "there is no run file 'run.toml'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["backtest", "play", "paper"])
def test_a_wrong_key_is_named_with_file_and_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(changed("seed = 7", "sed = 7"))
    done = replay(command, "mine.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "mine.toml:2: unknown key 'sed' in [run]" in done.stderr
    assert "did you mean 'seed'?" in done.stderr
    assert len(done.stderr.splitlines()) <= 5


def test_run_toml_is_the_default_and_a_folder_stands_for_the_one_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.toml").write_text(changed("seed = 7", 'seed = "x"'))
    assert "run.toml:2: run.seed must be an integer" in replay("backtest", folder=tmp_path / "mine").stderr
    assert "mine/run.toml:2: run.seed" in replay("backtest", "mine", folder=tmp_path).stderr


def test_a_bad_set_expression_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN_FILE)
    done = replay("backtest", "--set", "run.seed=7", "--set", "run.sed=8", folder=tmp_path)
    assert done.returncode == 2
    assert "--set run.sed=8: unknown key 'sed' in [run]" in done.stderr


def test_a_time_that_cannot_be_read_names_its_option(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN_FILE)
    done = replay("play", "--from", "yesterday", folder=tmp_path)
    assert done.returncode == 2
    assert "--from: 'yesterday' is not a time" in done.stderr


def test_an_interruption_while_modules_are_loaded_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("replay.cli.app.run", interrupted)
    with pytest.raises(SystemExit) as caught:
        main(["backtest"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == "replay: interrupted\n"


def test_a_verdict_that_nobody_read_is_no_success(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "my")]) == 0
    tape = tmp_path / "my" / "data" / "demo-1m.csv"
    command = [sys.executable, "-m", "replay", "data", "head", str(tape), "--symbol", "D", "--rows", "4000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
