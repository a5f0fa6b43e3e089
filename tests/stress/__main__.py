"""`./dev stress NAME`: the command line of the proofs.

May not live here: cycles and their lines (runner).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from . import alone
from .proof import NAMES, find
from .runner import Line, Series, latest_seed, run


def default_out() -> Path:
    """Name the folder of results where none is given: outside of every checkout."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "replay" / "stress"


def main() -> int:
    """Run a proof; 0: it held, 1: it broke, 2: it was not started, 130: it was interrupted and can be resumed."""
    parser = argparse.ArgumentParser(prog="./dev stress", description="Run the large numbers of a proof.")
    parser.add_argument("name", nargs="?", help="which proof; without one they are listed")
    parser.add_argument("--seed", type=int, help="begin from this seed; by default a random one")
    parser.add_argument("--cycles", type=int, help="so many cycles; by default the proof's own large number")
    parser.add_argument("--resume", action="store_true", help="go on after the last result line of this proof")
    parser.add_argument("--out", type=Path, default=default_out(), help="folder of results.jsonl (%(default)s)")
    given = parser.parse_args()
    if given.name is None:
        for name in NAMES:
            proof = find(name)
            print(f"{name:14s} {proof.cycles or 'all':>8} cycles: {proof.holds}")
        return 0
    if given.name not in NAMES:
        parser.error(f"there is no proof {given.name!r}; there are {', '.join(NAMES)}")
    try:
        lock = alone.take("stress")
    except alone.NotAlone as error:
        print(f"dev: {error}", file=sys.stderr)
        return 2
    try:
        return _run(given)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
    finally:
        os.close(lock)


def _run(given: argparse.Namespace) -> int:
    seed = given.seed
    if seed is None and given.resume:
        seed = latest_seed(given.name, given.out)
    series = Series(given.name, random.randrange(1 << 31) if seed is None else seed, given.out)
    before = series.lines() if given.resume else []
    outcomes = Counter(line["outcome"] for line in before)
    totals: Counter[str] = Counter()
    for line in before:
        _add(totals, line)
    first = before[-1]["cycle"] + 1 if before else 0
    print(f"{given.name}, seed {series.seed}, from cycle {first}; lines go to {series.results}", flush=True)
    told_s = time.monotonic()
    for line in run(find(given.name), series, given.cycles, first=first):
        outcomes[line["outcome"]] += 1
        _add(totals, line)
        if line["outcome"] != "holds":
            kept = f"; its folder is {line['kept']}" if "kept" in line else ""
            print(f"cycle {line['cycle']} {line['outcome']}: {line['reason']}{kept}", flush=True)
        if time.monotonic() - told_s > 10:
            told_s = time.monotonic()
            print(f"cycle {line['cycle']}: {_text(outcomes, totals)}", flush=True)
    print(f"{given.name}, seed {series.seed}: {_text(outcomes, totals)}")
    if outcomes["broken"]:
        return 1
    return 0 if outcomes["holds"] else 2


def _add(totals: Counter[str], line: Line) -> None:
    for name, value in line.get("figures", {}).items():
        if isinstance(value, int):
            totals[name] += value


def _text(outcomes: Counter[str], totals: Counter[str]) -> str:
    parts = [f"{count} {outcome}" for outcome, count in sorted(outcomes.items())]
    return ", ".join(parts + [f"{name} {value}" for name, value in sorted(totals.items())])


if __name__ == "__main__":
    sys.exit(main())
