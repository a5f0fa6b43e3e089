"""Start-up: importing replay beside importing numpy and msgspec, and the time to `replay --help`.

May not live here: what happens after the import.

    .venv/bin/python benches/bench_startup.py [--rounds 21]

Each run is a process of its own, the contenders in turn; a bare interpreter's time is taken off the imports'. Times are
CPU seconds of the process, user and system together.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import harness

BASELINE = "import numpy, msgspec"


def child(command: list[str]) -> tuple[float, float]:
    """Give the CPU and wall seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()

    script = Path(sys.executable).parent / "replay"
    help_command = [str(script), "--help"] if script.exists() else [sys.executable, "-m", "replay", "--help"]
    commands = {
        "bare interpreter": [sys.executable, "-c", "pass"],
        BASELINE: [sys.executable, "-c", BASELINE],
        "import replay": [sys.executable, "-c", "import replay"],
        "from replay import Strategy": [sys.executable, "-c", "from replay import Strategy"],
        "from replay import Strategy, backtest": [sys.executable, "-c", "from replay import Strategy, backtest"],
        "replay --help": help_command,
    }
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    wall: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        child(command)  # what is compiled and cached on first use is not measured
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            its_cpu, its_wall = child(command)
            cpu[name].append(its_cpu)
            wall[name].append(its_wall)

    rows = []
    for name, seconds in cpu.items():
        row = {**harness.seconds(name, seconds), "wall_s": round(statistics.median(wall[name]), 4)}
        rows.append({**row, "at_most": 0.35} if name == "replay --help" else row)
    bare = statistics.median(cpu["bare interpreter"])
    theirs = [seconds - bare for seconds in cpu[BASELINE]]
    for name in ("import replay", "from replay import Strategy", "from replay import Strategy, backtest"):
        ours = [seconds - bare for seconds in cpu[name]]
        rows.append(harness.ratio(f"({name}) / ({BASELINE})", ours, theirs, at_most=1.5))
    return 0 if harness.report("startup", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
