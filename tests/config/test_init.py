"""`replay init` makes a folder that runs, and `replay doctor` says what is installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from replay.cli.app import run
from replay.cli.doctor import Finding, _requirements, examine
from replay.cli.init import BARS, class_name, market
from replay.errors import EXIT_DIFFERS, EXIT_DONE, EXIT_USAGE

MARKET_SHA256 = "194fa5d136e29e479012929187d3122ce241301d8cc99cc28510a8406ba310fd"


def test_what_init_makes_runs_at_once_and_its_test_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "mean-reverter"]) == EXIT_DONE
    monkeypatch.chdir(tmp_path / "mean-reverter")
    assert "class MeanReverter(Strategy):" in Path("strategy.py").read_text()
    capsys.readouterr()
    assert run(["backtest"]) == EXIT_DONE
    shown = capsys.readouterr().out
    assert "Orders / fills" in shown
    assert "Equity 100,000.00" in shown
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "."]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_what_init_makes_is_formatted_and_free_of_lint(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "m")]) == EXIT_DONE
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    for arguments in (["format", "--check"], ["check", "--ignore=INP001,D101,D102,D103,I001"]):
        settings = ["--config", str(Path(__file__).resolve().parents[2] / "pyproject.toml")]
        command = [str(ruff), *arguments, *settings, "--no-cache", str(tmp_path / "m")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout


def test_the_generated_data_are_the_same_everywhere() -> None:
    text = market()
    assert len(text.splitlines()) == BARS + 1
    assert hashlib.sha256(text.encode()).hexdigest() == MARKET_SHA256


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["init", str(tmp_path)]) == EXIT_USAGE
    assert "is not empty" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("my-strategy", "MyStrategy"),
        ("2024 ideas", "Strategy2024Ideas"),
        ("été", "T"),
        ("x_y", "XY"),
        ("--", "Strategy"),
    ],
)
def test_a_class_is_named_after_its_folder(folder: str, expected: str) -> None:
    assert class_name(folder) == expected


def test_the_doctor_finds_this_environment_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["doctor"]) == EXIT_DONE
    shown = capsys.readouterr().out
    assert "engine" in shown
    assert "compiled, build" in shown
    assert "No problem found." in shown
    assert "`replay init my-strategy` makes one" in shown


def test_the_doctor_names_a_broken_run_file_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text("[run]\nsede = 7\n")
    assert run(["doctor"]) == EXIT_DIFFERS
    shown = capsys.readouterr().out
    assert "1 problem" in shown
    assert "sede" in shown


def test_the_doctor_looks_at_every_extra_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from replay.cli import doctor

    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "plotly" else "1.0")
    found = {finding.what: finding for finding in examine()}
    assert found["extra report"] == Finding(
        "note", "extra report", "without plotly: no reports and charts", "pip install 'tickreplay[report]'"
    )
    assert {"matplotlib", "plotly"} <= set(_requirements("report"))
    assert "numpy" in _requirements(None)
