"""Start-up: importing replay beside importing numpy and msgspec; the time to `replay --help`, and of a first backtest.

The backtest is of a month of minute bars as a newcomer has them (CSV, 45,000 rows, generated as `replay init` does):
from the cold command to the printed statistics, the run's folder included.

May not live here: what happens after the import.

    .venv/bin/python benches/bench_startup.py [--rounds 21]

Each run is a process of its own, the contenders in turn; a bare interpreter's time is taken off the imports'. Times are
CPU seconds of the process, user and system together.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

BASELINE = "import numpy, msgspec"
HELP_SECONDS_MAX, BACKTEST_SECONDS_MAX = 0.35, 1.0
BACKTEST_BARS = 45_000


def child(command: list[str]) -> tuple[float, float]:
    """Give the CPU and wall seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def first_backtest(folder: Path, program: list[str]) -> list[str]:
    """Make the folder of `replay init` with a month of minutes; give the command that runs it."""
    from replay.cli import init

    init.BARS = BACKTEST_BARS
    with contextlib.redirect_stdout(None):
        init.init(folder / "first")
    return [*program, "backtest", str(folder / "first"), "--out"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()

    script = Path(sys.executable).parent / "replay"
    program = [str(script)] if script.exists() else [sys.executable, "-m", "replay"]
    help_command = [*program, "--help"]
    commands = {
        "bare interpreter": [sys.executable, "-c", "pass"],
        BASELINE: [sys.executable, "-c", BASELINE],
        "import replay": [sys.executable, "-c", "import replay"],
        "from replay import Strategy": [sys.executable, "-c", "from replay import Strategy"],
        "from replay import Strategy, backtest": [sys.executable, "-c", "from replay import Strategy, backtest"],
        "replay --help": help_command,
    }
    folder = Path(tempfile.mkdtemp(prefix="replay-startup-"))
    atexit.register(shutil.rmtree, folder)
    commands["replay backtest"] = first_backtest(folder, program)
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    wall: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(-1, arguments.rounds):
        for name, command in commands.items():
            out = [str(folder / f"run{round_number}")] if name == "replay backtest" else []
            its_cpu, its_wall = child([*command, *out])
            if round_number < 0:
                continue  # what is compiled and cached on first use is not measured
            cpu[name].append(its_cpu)
            wall[name].append(its_wall)

    rows = []
    for name, seconds in cpu.items():
        row = {**harness.seconds(name, seconds), "wall_s": round(statistics.median(wall[name]), 4)}
        limits = {"replay --help": HELP_SECONDS_MAX, "replay backtest": BACKTEST_SECONDS_MAX}
        rows.append({**row, "at_most": limits[name]} if name in limits else row)
    bare = statistics.median(cpu["bare interpreter"])
    theirs = [seconds - bare for seconds in cpu[BASELINE]]
    for name in ("import replay", "from replay import Strategy", "from replay import Strategy, backtest"):
        ours = [seconds - bare for seconds in cpu[name]]
        rows.append(harness.ratio(f"({name}) / ({BASELINE})", ours, theirs, at_most=1.5))
    return 0 if harness.report("startup", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
