"""Recovery: how long a paper session of 10,000,000 ticks takes to start again, from its journal and from a snapshot.

May not live here: the strategy and its data (bench_w2, workload).

    .venv/bin/python benches/bench_recovery.py [--rounds 3] [--records 10000000] [--frame 1000]

Beside it in the same run: reading the journal alone, and the engine alone over the same records. The session is W2's:
two EMAs in plain Python on each quote, market orders, its frames as long as Kafka's. Times are of the wall clock:
recovery is what an operator waits for. It is what the session itself says, with all it does before the first record.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import msgspec
import numpy as np
import workload
from bench_w2 import EmaFlip
from numpy.typing import NDArray

import replay
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.pipeline.journal import JournalReader
from replay.pipeline.snapshot_file import snapshot_paths
from replay.result.result import Result

TICKS = 10_000_000


class Frames(StoredFeed):
    """Quotes over and over until there are enough, later each time, in frames of one length."""

    def __init__(self, quotes: NDArray[Any], count: int, frame: int) -> None:
        instrument = TapeInstrument(
            symbol="BENCH", price_decimals=workload.QUOTE_PRICE_DECIMALS, size_decimals=0, kinds=["quote"]
        )
        super().__init__("bench:", TapeHeader(one_time=True, instruments=[instrument]))
        self._quotes, self._count, self._frame = quotes, count, frame
        self._round_ns = int(quotes["ts_event"][-1] - quotes["ts_event"][0]) + 1_000_000_000

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the frames after a cursor."""
        row = 0 if cursor is None else int(msgspec.json.decode(cursor))
        while row < self._count:
            turn, start = divmod(row, len(self._quotes))
            limit = min(start + self._frame, len(self._quotes), start + self._count - row)
            batch = self._quotes[start:limit].copy()
            batch["ts_event"] += turn * self._round_ns
            batch["ts_recv"] += turn * self._round_ns
            row += limit - start
            yield Batch(batch, msgspec.json.encode(row))


def start(folder: Path, feed: Frames, first_mid: float, *, snapshot_records: int) -> Result:
    """Run the session, or start it again at its end."""
    return replay.paper(
        EmaFlip,
        feed,
        session=folder,
        params={"first_mid": first_mid},
        instruments={"symbol": "BENCH", "tick": "0.01", "lot": "1", "quote": "USD"},
        cash={"USD": 1_000_000},
        account={"leverage": "2"},
        metrics={"port": 0},
        log={"level": "error"},
        session_options={"snapshot_every": "0s", "snapshot_records": snapshot_records, "commit_every": "100ms"},
    )


def wall_seconds(work: Any) -> float:
    """Give the wall seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=TICKS)
    parser.add_argument("--frame", type=int, default=1_000)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)

    quotes = workload.quote_records(workload.load("w2_quotes"))
    first_mid = float((quotes["a"][0] + quotes["b"][0]) / 2 / 10**workload.QUOTE_PRICE_DECIMALS)
    feed = Frames(quotes, arguments.records, arguments.frame)
    folder = Path(tempfile.mkdtemp(prefix="bench-recovery-", dir=harness.DATA))
    try:
        return measure(folder, feed, first_mid, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, feed: Frames, first_mid: float, arguments: argparse.Namespace) -> int:
    """Make the session, then start it again in turn without snapshots, with an old one, and with one at its end."""
    session, kept = folder / "session", folder / "kept"
    made = start(session, feed, first_mid, snapshot_records=arguments.records // 10 * 9)
    assert made.counts["records"] == arguments.records
    (session / "snapshots").rename(kept)
    newest, older = snapshot_paths(kept)
    settings = harness.setup("quote", workload.QUOTE_PRICE_DECIMALS, "0")
    tape = np.concatenate([batch.records for batch in feed.batches()])
    cases: dict[str, list[Path]] = {"journal": [], "tenth": [older], "end": [newest, older]}
    times: dict[str, list[float]] = {name: [] for name in (*cases, "read", "engine")}
    for _ in range(arguments.rounds):
        for name, snapshots in cases.items():
            shutil.rmtree(session / "snapshots", ignore_errors=True)
            (session / "snapshots").mkdir()
            for path in snapshots:
                shutil.copy(path, session / "snapshots")
            again = start(session, feed, first_mid, snapshot_records=0)
            assert again.digest == made.digest
            times[name].append(again.timings["recover"])
        reader = JournalReader(session / "journal")
        times["read"].append(wall_seconds(lambda reader=reader: deque(reader.frames(), maxlen=0)))
        times["engine"].append(wall_seconds(lambda: harness.run_engine(EmaFlip(first_mid=first_mid), settings, tape)))

    share = arguments.records / TICKS
    rows: list[harness.Result] = [
        {**harness.seconds("recover, from the journal's start", times["journal"], "s"), "at_most": 10 * share},
        {**harness.seconds("recover, a tenth of the ticks after the snapshot", times["tenth"], "s"), "at_most": 1.0},
        {**harness.seconds("recover, snapshot at the end", times["end"], "s"), "at_most": 1.0},
        harness.seconds("reading the journal alone", times["read"], "s"),
        harness.seconds("the engine alone, same records", times["engine"], "s"),
        harness.ratio("recover / engine alone", times["journal"], times["engine"]),
        harness.ratio("recover / reading the journal alone", times["journal"], times["read"]),
        {"what": "length of a snapshot", "figure": round(newest.stat().st_size / 1024, 1), "unit": "KiB"},
        {"what": "events of the session", "figure": made.document["events"], "unit": "events"},
    ]
    return 0 if harness.report("recovery", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
