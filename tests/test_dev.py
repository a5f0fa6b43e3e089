"""`./dev`: it says what it can do, and costs next to nothing when nothing has changed.

May not live here: what `./dev test` itself runs.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OVERHEAD_S_MAX = 0.15


def seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began


def test_help_names_every_command_of_its_own() -> None:
    shown = subprocess.run([ROOT / "dev", "help"], check=True, capture_output=True, text=True).stdout
    for command in ("setup", "demo", "test", "lint", "bench", "watch", "docs", "python"):
        assert f"./dev {command}" in shown


def test_an_unknown_benchmark_is_refused_with_the_way_to_list_them() -> None:
    if not (ROOT / ".venv" / ".replay" / "user").exists():
        pytest.skip("this environment was not made by ./dev")
    done = subprocess.run([ROOT / "dev", "bench", "no_such"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "./dev bench" in done.stderr


@pytest.mark.timing
def test_a_second_call_of_dev_adds_at_most_150_ms() -> None:
    if not (ROOT / ".venv" / ".replay" / "user").exists():
        pytest.skip("this environment was not made by ./dev")
    through_dev = [seconds("./dev", "python", "-c", "pass") for _ in range(7)]
    directly = [seconds(".venv/bin/python", "-c", "pass") for _ in range(7)]
    assert statistics.median(through_dev) - statistics.median(directly) <= OVERHEAD_S_MAX
