"""Exposure: how long money was in the market, and how much equity stood behind it.

May not live here: leverage limits and risk checks, which are the engine's; how often the account was turned over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.stats.series import Series, floats, ratio
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


class ExposureTracker:
    """Weighs equity points by the time until the next one; the result is the same however the points are cut."""

    def __init__(self) -> None:
        self._last_ts: int | None = None
        self._last_equity = 0.0
        self._last_exposure = 0.0
        self._total_ns = 0
        self._held_ns = 0
        self._equity_time = 0.0
        self._exposure_time = 0.0
        self._leverage_time = 0.0
        self._maximum_leverage = 0.0
        self._is_solvent = True

    def add(self, ts: NDArray[np.int64], equity: NDArray[np.float64], exposure: NDArray[np.float64]) -> None:
        """Take further points, times not falling; `exposure` is the gross value of the positions."""
        if not len(ts):
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            new_leverage = exposure / equity
        self._is_solvent = self._is_solvent and bool(np.all(equity > 0))
        if self._is_solvent:
            self._maximum_leverage = max(self._maximum_leverage, float(np.max(new_leverage)))
        if self._last_ts is not None:
            ts = np.concatenate(([self._last_ts], ts))
            equity = np.concatenate(([self._last_equity], equity))
            exposure = np.concatenate(([self._last_exposure], exposure))
        gaps = np.diff(ts)
        self._total_ns += int(ts[-1]) - int(ts[0])
        self._held_ns += int(np.sum(gaps[exposure[:-1] != 0]))
        self._equity_time = _added(self._equity_time, gaps * equity[:-1])
        self._exposure_time = _added(self._exposure_time, gaps * exposure[:-1])
        if self._is_solvent:
            self._leverage_time = _added(self._leverage_time, gaps * (exposure[:-1] / equity[:-1]))
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

    @property
    def average_exposure(self) -> float | None:
        """Gross value of the positions averaged over time; None where no time has passed."""
        return self._exposure_time / self._total_ns if self._total_ns else None

    @property
    def average_leverage(self) -> float | None:
        """Exposure / equity averaged over time; None where no time has passed or equity was not always above 0."""
        return self._leverage_time / self._total_ns if self._total_ns and self._is_solvent else None

    @property
    def maximum_leverage(self) -> float | None:
        """The largest exposure / equity; None without points or where equity was not always above 0."""
        return self._maximum_leverage if self._last_ts is not None and self._is_solvent else None


def _added(total: float, steps: NDArray[np.float64]) -> float:
    # One after the other, as np.sum does not: its pairs, and so the last bit, depend on how the points are cut.
    return float(np.cumsum(np.concatenate(([total], steps)))[-1])


def _tracked(ts: Series, equity: Series, exposure: Series) -> ExposureTracker:
    tracker = ExposureTracker()
    tracker.add(np.asarray(ts, dtype=np.int64), floats(equity), floats(exposure))
    return tracker


def _known(value: float | None, reason: str = "no time has passed") -> float:
    if value is None:
        raise Undefined(reason)
    return value


@statistic("percent", "equity_ts", "exposure")
def time_in_market(ts: Series, exposure: Series) -> float:
    """Give the share of time in which the gross value of the positions was not 0.

    `ts` are ns, not falling.

    Source: its definition.
    """
    return _known(_tracked(ts, np.ones(len(floats(exposure))), exposure).share)


@statistic("money", "equity_ts", "equity")
def average_equity(ts: Series, equity: Series) -> float:
    """Give the mean of equity over time.

    Source: its definition.
    """
    return _known(_tracked(ts, equity, np.zeros(len(floats(equity)))).average_equity, "no equity points")


@statistic("money", "equity_ts", "equity", "exposure")
def average_exposure(ts: Series, equity: Series, exposure: Series) -> float:
    """Give the mean over time of the gross value of the positions.

    Source: its definition.
    """
    return _known(_tracked(ts, equity, exposure).average_exposure)


@statistic("times", "equity_ts", "equity", "exposure")
def average_leverage(ts: Series, equity: Series, exposure: Series) -> float:
    """Give the mean over time of gross value of the positions / equity.

    Source: its definition.
    """
    return _known(_tracked(ts, equity, exposure).average_leverage, "no time has passed, or equity was not above 0")


@statistic("times", "equity_ts", "equity", "exposure")
def maximum_leverage(ts: Series, equity: Series, exposure: Series) -> float:
    """Give the largest gross value of the positions / equity at any equity point.

    Source: its definition.
    """
    return _known(_tracked(ts, equity, exposure).maximum_leverage, "no equity points, or equity was not above 0")


@statistic("percent", "total_return", "time_share")
def return_on_exposure(total_return: float, time_in_market: float) -> float:
    """Give total return / time in market: what it would have come to, linearly, always invested.

    Source: its definition.
    """
    return ratio(total_return, time_in_market, "never in the market")
