"""Exposure: how long money was in the market, how much equity stood behind it, how often it was turned over.

May not live here: leverage limits and risk checks, which are the engine's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ExposureTracker:
    """Weighs equity points by the time until the next one; the result is the same however the points are cut."""

    def __init__(self) -> None:
        self._last_ts: int | None = None
        self._last_equity = 0.0
        self._last_exposure = 0.0
        self._total_ns = 0
        self._held_ns = 0
        self._equity_time = 0.0

    def add(self, ts: NDArray[np.int64], equity: NDArray[np.float64], exposure: NDArray[np.float64]) -> None:
        """Take further points, times not falling; `exposure` is the gross value of the positions."""
        if not len(ts):
            return
        if self._last_ts is not None:
            ts = np.concatenate(([self._last_ts], ts))
            equity = np.concatenate(([self._last_equity], equity))
            exposure = np.concatenate(([self._last_exposure], exposure))
        gaps = np.diff(ts)
        self._total_ns += int(ts[-1]) - int(ts[0])
        self._held_ns += int(np.sum(gaps[exposure[:-1] != 0]))
        # One after the other: a sum in pairs would depend on how the points are cut.
        self._equity_time = float(np.add.accumulate(np.concatenate(([self._equity_time], gaps * equity[:-1])))[-1])
        self._last_ts = int(ts[-1])
        self._last_equity = float(equity[-1])
        self._last_exposure = float(exposure[-1])

    @property
    def share(self) -> float | None:
        """Time with a position / all time, 0 to 1; None where no time has passed."""
        return self._held_ns / self._total_ns if self._total_ns else None

    @property
    def average_equity(self) -> float | None:
        """Equity averaged over time; of a single moment, its last value; None without points."""
        if self._last_ts is None:
            return None
        return self._equity_time / self._total_ns if self._total_ns else self._last_equity


def time_in_market(ts: ArrayLike, exposure: ArrayLike) -> float | None:
    """Give the share of time in which the gross value of the positions was not 0, from 0 to 1; None without time."""
    tracker = ExposureTracker()
    values = np.asarray(exposure, dtype=np.float64)
    tracker.add(np.asarray(ts, dtype=np.int64), np.zeros(len(values)), values)
    return tracker.share


def turnover(traded_value: float, average_equity: float | None) -> float | None:
    """Give traded value / average equity: how many times the account was traded over the run (both ways count).

    None where the average equity is not positive.
    """
    return traded_value / average_equity if average_equity is not None and average_equity > 0 else None
