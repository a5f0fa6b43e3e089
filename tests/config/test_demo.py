"""The demo: one market run three ways, three equal digests, and the digest is the one that it always was.

No part of a run is tested by itself here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

GOLDEN_DIGEST = "de2a7c5874b4406e8a03e2e06714600c8e4a2bd2dfd91e0fc01e0677dd2d3ea3"
"""The market comes from integer arithmetic and the engine decides in integers: this holds on every CPU."""


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "replay", "demo"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo(folder)


def test_the_demo_shows_three_equal_digests(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, shown = done
    assert shown.returncode == 0, shown.stderr
    assert "The three digests are equal." in shown.stdout
    digests = [
        line.split()[1] for line in shown.stdout.splitlines() if line.startswith(("backtest ", "replay ", "paper "))
    ]
    assert len(digests) == 3
    assert len(set(digests)) == 1
    result = json.loads((folder / "runs" / "demo" / "backtest" / "result.json").read_text())
    assert result["digest"] == digests[0]
    assert result["counts"]["records"] >= 1_000_000
    assert result["statistics"]["fills"] > 100


def test_the_demos_digest_is_golden(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert GOLDEN_DIGEST in done[1].stdout


def test_the_demo_can_be_run_again_and_its_run_file_too(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, first = done
    again = demo(folder)
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if line.startswith("digest")] == [
        line for line in first.stdout.splitlines() if line.startswith("digest")
    ]
    mine = subprocess.run(
        [sys.executable, "-m", "replay", "backtest", "runs/demo/run.toml", "--out", "mine"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert GOLDEN_DIGEST in mine.stdout


@pytest.mark.timing
def test_the_demo_takes_under_15_seconds(tmp_path: Path) -> None:
    begun = time.perf_counter()
    assert demo(tmp_path).returncode == 0
    assert time.perf_counter() - begun < 15
