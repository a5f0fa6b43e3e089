"""The synthetic market of the demo: which instruments it has, and a tape of it from a seed.

May not live here: how prices move (engine_rs/ingest makes the records, in integer arithmetic only).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import records, units
from replay.errors import EngineMissing, ReplayError
from replay.feeds.tape import TapeHeader, TapeInstrument, TapeWriter, load

SEED = 7
RECORDS = 1_200_000
"""Five days of it."""

_START_NS = units.parse_time("2024-01-01")
_INTERVAL_NS = 360_000_000
_LATENCY_MIN_NS = 200_000
_LATENCY_MAX_NS = 5_000_000
_CHUNK_RECORDS = 1 << 16

_INSTRUMENTS = [
    # A tick is 0.01, a lot 0.001; a day moves the price by two or three percent.
    {"index": 0, "tick": 1, "lot": 1, "price": 100_000, "step_ticks": 32, "spread_ticks": 5, "size_lots": 400_000},
    {"index": 1, "tick": 1, "lot": 1, "price": 25_000, "step_ticks": 9, "spread_ticks": 3, "size_lots": 1_500_000},
]
_HEADER = TapeHeader(
    one_time=False,
    instruments=[
        TapeInstrument(symbol="SIM-A", price_decimals=2, size_decimals=3, venue="sim"),
        TapeInstrument(symbol="SIM-B", price_decimals=2, size_decimals=3, venue="sim"),
    ],
)

ProgressCall = Callable[[int, int | None, int | None], None]


def synthetic_tape(
    path: str | Path, *, seed: int = SEED, records: int = RECORDS, progress: ProgressCall | None = None
) -> TapeHeader:
    """Write a tape of the synthetic market: quotes and trades of SIM-A and SIM-B; return its header.

    The same seed and number give the same bytes on every machine. A record is received 0.2 to 5 ms after its event.
    """
    done = 0
    with TapeWriter(path, _HEADER) as writer:
        for chunk in _chunks(seed, records):
            writer.append(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, records, int(chunk["ts_recv"][-1]))
    return writer.header


def is_synthetic_tape(path: str | Path, *, seed: int = SEED, records: int = RECORDS) -> bool:
    """Say whether a tape is what `synthetic_tape` writes with these arguments, record for record."""
    try:
        tape = load(path)
    except ReplayError:
        return False
    named = [(entry.symbol, entry.price_decimals, entry.size_decimals) for entry in tape.header.instruments]
    if len(tape) != records or named != [("SIM-A", 2, 3), ("SIM-B", 2, 3)]:
        return False
    first = 0
    for chunk in _chunks(seed, records):
        if not np.array_equal(tape.records[first : first + len(chunk)], chunk):
            return False
        tape.release(first, first + len(chunk))
        first += len(chunk)
    return True


def _chunks(seed: int, count: int) -> Iterator[NDArray[Any]]:
    try:
        engine = import_module("replay._engine")
    except ImportError as error:
        raise EngineMissing(str(error)) from error
    spec = {
        "seed": seed,
        "start_ns": _START_NS,
        "interval_ns": _INTERVAL_NS,
        "latency_min_ns": _LATENCY_MIN_NS,
        "latency_max_ns": _LATENCY_MAX_NS,
        "instruments": _INSTRUMENTS,
    }
    market = engine.Synthetic(msgspec.json.encode(spec))
    while count > 0:
        chunk = records.from_bytes(market.next(min(count, _CHUNK_RECORDS)))
        count -= len(chunk)
        yield chunk
