"""Memory while a tape streams: the peak resident set of a backtest above that of the import.

May not live here: what is measured on short tapes (W1, W2).

    .venv/bin/python benches/bench_memory.py

Makes tapes of 2 and 20 million quotes once (1.4 GB under benches/.data or $PEERS_DATA), and runs `replay.backtest` on
each in a process of its own (stream.py), through the public API, with orders and a run folder. The shorter tape stands
beside the longer one: memory must not grow with a tape's length.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np

from replay.feeds.tape import TapeHeader, TapeInstrument, TapeWriter, sidecar_path
from replay.records import RECORD, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1_000_000
STEP_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000


def quotes(chunk: int) -> NDArray[Any]:
    """Give the `chunk`-th million of quotes, 100 ms apart: a price that swings, integers only."""
    index = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.int64)
    rng = np.random.default_rng(chunk)
    records = np.zeros(CHUNK, RECORD)
    records["kind"] = Kind.QUOTE
    records["ts_event"] = records["ts_recv"] = START_NS + index * STEP_NS
    swing = np.abs(index % 20_000 - 10_000) // 20
    records["a"] = 10_000 + swing + rng.integers(0, 3, CHUNK)
    records["b"] = records["a"] + rng.integers(1, 4, CHUNK)
    records["c"], records["d"] = rng.integers(5, 51, CHUNK), rng.integers(5, 51, CHUNK)
    return records


def tape(millions: int) -> Path:
    """Give the tape of so many million quotes; written on first use."""
    path = harness.DATA / f"quotes-{millions}m.npy"
    if not sidecar_path(path).exists():
        harness.DATA.mkdir(parents=True, exist_ok=True)
        instruments = [TapeInstrument(symbol="BENCH", price_decimals=2, size_decimals=0)]
        with TapeWriter(path, TapeHeader(one_time=True, instruments=instruments)) as writer:
            for chunk in range(millions):
                writer.append(quotes(chunk))
    return path


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    outcomes = {}
    for millions in (2, 20):
        command = [sys.executable, str(harness.HERE / "stream.py"), str(tape(millions))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        outcomes[millions] = json.loads(done.stdout.splitlines()[-1])
    rows: list[harness.Result] = []
    for millions, outcome in outcomes.items():
        row = {"what": f"peak above the import, {millions} M quotes", "figure": outcome.pop("peak_mb"), "unit": "MB"}
        rows.append({**row, **outcome, "at_most": 150})
    growth = rows[1]["figure"] / rows[0]["figure"]
    rows.append({"what": "20 M quotes / 2 M quotes", "figure": round(growth, 3), "unit": "x"})
    return 0 if harness.report("memory", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
