"""The workloads W1 and W2: their data, made from seeds, and the answers that every contender must reach.

May not live here: a contender, or a measurement.

W1  1,051,200 minute bars (730 days); open[i + 1] == close[i], so that "at this close" and "at the next open" are one
    price. Prices have 5 decimals, so that the two averages are never equal. Rule: at a bar's close want +1 if
    sma20 > sma50, else -1, from bar 49 on; if that is not the position, one market order to the new side. Fee 0.05 % of
    the value.
W2  5,000,000 quotes 2 s apart on a 0.01 grid, sizes 5 to 50. Rule: two EMAs of the mid (spans 500 and 2,500), which
    both begin at the first mid; the position flips with a market order when their difference leaves a band of +-0.20.
    Fee 0.01 %.

The files are `.npy` under $PEERS_DATA (default: benches/.data), with the same names and contents as other tools that
measure these workloads use.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.records import RECORD, Kind

DATA = Path(os.environ.get("PEERS_DATA") or Path(__file__).parent / ".data")

Columns = dict[str, NDArray[Any]]
START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000

FAST, SLOW, BAR_FEE = 20, 50, 0.0005
BAR_PRICE_DECIMALS = 5

QUOTE_STEP_NS = 2_000_000_000
SPAN_FAST, SPAN_SLOW, BAND, QUOTE_FEE = 500, 2_500, 0.20, 0.0001
ALPHA_FAST, ALPHA_SLOW = 2 / (SPAN_FAST + 1), 2 / (SPAN_SLOW + 1)
QUOTE_PRICE_DECIMALS = 2


def make_bars() -> Columns:
    """Make W1's minute bars."""
    count, sigma = 1_051_200, 0.0005
    rng = np.random.default_rng(11)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0, sigma, count))), 5)
    open_ = np.empty(count)
    open_[0] = 100.0
    open_[1:] = close[:-1]
    wick = np.abs(rng.normal(0, sigma / 2, (2, count)))
    high = np.round(np.maximum(open_, close) * (1 + wick[0]), 5)
    low = np.round(np.minimum(open_, close) * (1 - wick[1]), 5)
    volume = rng.integers(100, 10_000, count).astype(np.float64)
    ts = START_NS + (np.arange(count, dtype=np.int64) + 1) * MINUTE_NS
    return {"ts": ts, "open": open_, "high": high, "low": low, "close": close, "volume": volume}


def make_quotes() -> Columns:
    """Make W2's quotes."""
    count = 5_000_000
    rng = np.random.default_rng(22)
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.00015, count)))
    bid_ticks = np.floor(mid * 100).astype(np.int64)
    spread = rng.integers(1, 4, count)
    return {
        "ts": START_NS + np.arange(count, dtype=np.int64) * QUOTE_STEP_NS,
        "bid": np.round(bid_ticks * 0.01, 2),
        "ask": np.round((bid_ticks + spread) * 0.01, 2),
        "bid_size": rng.integers(5, 51, count).astype(np.float64),
        "ask_size": rng.integers(5, 51, count).astype(np.float64),
    }


MAKERS: dict[str, Callable[[], Columns]] = {"w1_minute": make_bars, "w2_quotes": make_quotes}


def load(name: str) -> Columns:
    """Give the columns of a workload; written on first use."""
    folder = DATA / name
    if not folder.is_dir():
        part = DATA / f"{name}.part-{os.getpid()}"
        part.mkdir(parents=True)
        for column, values in MAKERS[name]().items():
            np.save(part / f"{column}.npy", values)
        try:
            part.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(part)
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def raw(prices: NDArray[Any], decimals: int) -> NDArray[np.int64]:
    """Give decimal floats as integers on a scale, exactly: each float is the nearest one to its integer."""
    integers: NDArray[np.int64] = np.rint(prices * 10**decimals).astype(np.int64)
    if not np.array_equal(integers / 10**decimals, prices):
        raise ValueError(f"some prices have more than {decimals} decimals")
    return integers


def bar_records(columns: Columns) -> NDArray[Any]:
    """Give W1 as records."""
    records = np.zeros(len(columns["ts"]), RECORD)
    records["kind"] = Kind.BAR
    records["ts_event"] = records["ts_recv"] = columns["ts"]
    for field, column in zip("abcd", ("open", "high", "low", "close"), strict=True):
        records[field] = raw(columns[column], BAR_PRICE_DECIMALS)
    records["e"] = raw(columns["volume"], 0)
    return records


def quote_records(columns: Columns) -> NDArray[Any]:
    """Give W2 as records."""
    records = np.zeros(len(columns["ts"]), RECORD)
    records["kind"] = Kind.QUOTE
    records["ts_event"] = records["ts_recv"] = columns["ts"]
    records["a"], records["b"] = raw(columns["bid"], QUOTE_PRICE_DECIMALS), raw(columns["ask"], QUOTE_PRICE_DECIMALS)
    records["c"], records["d"] = raw(columns["bid_size"], 0), raw(columns["ask_size"], 0)
    return records


def reference_bars(columns: Columns) -> tuple[int, float]:
    """Give W1's fills and P&L at the last close, vectorised."""
    close = columns["close"]

    def average(length: int) -> NDArray[np.float64]:
        sums = np.cumsum(np.insert(close - close[0], 0, 0.0))
        means = np.full(len(close), np.nan)
        means[length - 1 :] = (sums[length:] - sums[:-length]) / length + close[0]
        return means

    difference = average(FAST) - average(SLOW)
    want = np.where(difference > 0, 1, -1)
    want[np.isnan(difference)] = 0
    want[-1] = want[-2]  # no bar follows on which a signal of the last one could fill
    change = np.diff(want, prepend=0)
    at = np.flatnonzero(change)
    cash = -(change[at] * close[at]).sum() - BAR_FEE * (np.abs(change[at]) * close[at]).sum()
    return len(at), float(cash + want[-1] * close[-1])
