"""The core alone, without Python: quotes through the engine with resting orders, and after many past orders.

May not live here: the cases (core/src/main.rs).

    .venv/bin/python benches/bench_core.py [--rounds 9] [--records 2000000]

Builds and runs benches/core. Beside the engine in the same run: a bare loop that reads the same records.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import harness

RESTING = "quotes 1 ms apart, 2 resting orders"
FIRST, LAST = "a call a record after 0 orders", "a call a record after 100000 orders"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--records", type=int, default=2_000_000)
    arguments = parser.parse_args()

    binary = harness.build("bench-core")
    command = [str(binary), "--rounds", str(arguments.rounds), "--records", str(arguments.records)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    cases = {case["case"]: case for case in map(json.loads, done.stdout.splitlines())}
    rows: list[harness.Result] = []
    for name, case in cases.items():
        row = {
            "what": f"core, {name}",
            "figure": round(1e3 / case["median_ns"], 2),
            "best": round(1e3 / case["best_ns"], 2),
            "unit": "M/CPU s",
            "median_ns": case["median_ns"],
            "rounds": arguments.rounds,
        }
        rows.append({**row, "at_least": 40} if "resting" in name and "prints" not in name else row)
    flat = cases[LAST]["median_ns"] / cases[FIRST]["median_ns"]
    best = cases[LAST]["best_ns"] / cases[FIRST]["best_ns"]
    row = {"what": "core, a record after 100,000 past orders / after none", "figure": round(flat, 3), "unit": "x"}
    rows.append({**row, "best": round(best, 3), "at_most": 1.1})
    share = cases["bare loop over the records"]["median_ns"] / cases[RESTING]["median_ns"]
    rows.append({"what": "core, bare loop over the records / engine", "figure": round(share, 3), "unit": "x"})
    return 0 if harness.report("core", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
