"""Drawdown: how far, and for how long, equity stood below its highest value so far.

May not live here: resampling; every equity point counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class DrawdownTracker:
    """Keeps the drawdown of equity points that come in pieces; the result is the same however they are cut."""

    def __init__(self, start_ts: int | None = None, start_equity: float | None = None) -> None:
        """Start from the equity before the first point, if it is known."""
        self._peak = -np.inf if start_equity is None else start_equity
        self._peak_ts = start_ts
        self._last_ts = start_ts
        self._is_below = False
        self._worst: float | None = None if start_equity is None else 0.0
        self._longest_ns = 0

    def add(self, ts: NDArray[np.int64], equity: NDArray[np.float64]) -> None:
        """Take further points, times not falling."""
        if not len(ts):
            return
        if self._peak_ts is None:
            self._peak_ts = int(ts[0])
        peaks = np.maximum(np.maximum.accumulate(equity), self._peak)
        with np.errstate(divide="ignore", invalid="ignore"):
            falls = np.where(peaks > 0, equity / peaks - 1.0, 0.0)
        self._worst = min(0.0 if self._worst is None else self._worst, float(np.min(falls)))
        self._take_spells(ts, np.flatnonzero(equity >= peaks))
        self._peak = float(peaks[-1])
        self._last_ts = int(ts[-1])

    def _take_spells(self, ts: NDArray[np.int64], highs: NDArray[np.intp]) -> None:
        """Measure the time between neighbouring highs that have lower points between them."""
        assert self._peak_ts is not None
        if len(highs):
            if self._is_below or highs[0] > 0:
                self._longest_ns = max(self._longest_ns, int(ts[highs[0]]) - self._peak_ts)
            broken = np.flatnonzero(np.diff(highs) > 1)
            if len(broken):
                spells = ts[highs[broken + 1]] - ts[highs[broken]]
                self._longest_ns = max(self._longest_ns, int(np.max(spells)))
            self._peak_ts = int(ts[highs[-1]])
            self._is_below = bool(highs[-1] < len(ts) - 1)
        else:
            self._is_below = True

    @property
    def maximum(self) -> float | None:
        """The deepest fall below the highest equity so far: equity / peak - 1, a fraction <= 0; None without points."""
        return self._worst

    @property
    def longest_ns(self) -> int | None:
        """The longest time from a peak until it was reached again, or until the end; None without points."""
        if self._last_ts is None or self._peak_ts is None:
            return None
        still = self._last_ts - self._peak_ts if self._is_below else 0
        return max(self._longest_ns, still)


def maximum_drawdown(equity: ArrayLike) -> float | None:
    """Give min over t of equity[t] / max(equity[..t]) - 1, a fraction <= 0; None without points.

    After C. Bacon, Practical Portfolio Performance Measurement and Attribution. It is 0 below no positive peak.
    """
    values = np.asarray(equity, dtype=np.float64)
    tracker = DrawdownTracker()
    tracker.add(np.arange(len(values), dtype=np.int64), values)
    return tracker.maximum


def longest_drawdown_ns(ts: ArrayLike, equity: ArrayLike) -> int | None:
    """Give the longest time in ns that equity stood below a peak, up to its recovery or the end; None for no points."""
    tracker = DrawdownTracker()
    tracker.add(np.asarray(ts, dtype=np.int64), np.asarray(equity, dtype=np.float64))
    return tracker.longest_ns


def drawdowns(equity: ArrayLike) -> NDArray[np.float64]:
    """Give equity / highest so far - 1 at each point (0 where the highest is not positive), for plots."""
    values = np.asarray(equity, dtype=np.float64)
    peaks = np.maximum.accumulate(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(peaks > 0, values / peaks - 1.0, 0.0)
