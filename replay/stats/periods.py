"""Periods: how a run's equity points become one return a period.

May not live here: what is computed from the returns.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replay.stats.returns import Returns, returns_of

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
YEAR_NS = 365 * DAY_NS

_CALENDAR_DAYS_MIN = 360
_SESSION_DAYS_MIN = 200
_MAX_PERIODS = 20_000_000


@dataclass(frozen=True)
class Period:
    """The grid on which equity is read: `name` as the user sees it; `unit` of numpy's calendar, or a fixed `length_ns`.

    `skips_empty`: a period without an equity point (a weekend) makes no return; otherwise it makes one of 0.
    """

    name: str
    unit: str | None
    length_ns: int
    skips_empty: bool

    def index(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the period that each time lies in, counted from the Unix epoch (UTC)."""
        if self.unit is None:
            return np.asarray(ts // self.length_ns, dtype=np.int64)
        times = ts.view("datetime64[ns]") if ts.flags.c_contiguous else ts.astype("datetime64[ns]")
        if self.unit == "Q":
            return np.asarray(times.astype("datetime64[M]").astype(np.int64) // 3, dtype=np.int64)
        if self.unit == "W":
            return np.asarray((ts // DAY_NS + 3) // 7, dtype=np.int64)
        return np.asarray(times.astype(f"datetime64[{self.unit}]").astype(np.int64), dtype=np.int64)


def period_of(periods_per_year: float) -> Period:
    """Choose the period that `periods_per_year` stands for.

    360 to 366: UTC days, each of them; 200 to below 360: UTC days that have an equity point (sessions: 252); 52 or 53:
    weeks from Monday; 12: months; 4: quarters; 1: years. Anything else: 365 days / periods_per_year, each of them.
    """
    if not periods_per_year > 0:
        raise ValueError(f"periods_per_year is {periods_per_year}: it must be above 0")
    if _SESSION_DAYS_MIN <= periods_per_year <= 366:
        is_sessions = periods_per_year < _CALENDAR_DAYS_MIN
        return Period("1 session day" if is_sessions else "1 day", "D", DAY_NS, is_sessions)
    if periods_per_year in (52, 53):
        return Period("1 week", "W", 7 * DAY_NS, False)
    calendar = {12: ("1 month", "M"), 4: ("1 quarter", "Q"), 1: ("1 year", "Y")}
    if periods_per_year in calendar:
        name, unit = calendar[int(periods_per_year)]
        return Period(name, unit, int(YEAR_NS / periods_per_year), False)
    length = max(int(YEAR_NS / periods_per_year), 1)
    return Period(_duration_name(length), None, length, False)


class PeriodCloses:
    """Gathers the last equity of every period from points that come in pieces; memory: 16 bytes a period."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self._indices = array("q")
        self._values = array("d")

    def add(self, ts: NDArray[np.int64], equity: NDArray[np.float64]) -> None:
        """Take further points, times not falling."""
        if not len(ts):
            return
        index = self.period.index(np.ascontiguousarray(ts))
        last = np.flatnonzero(np.append(index[1:] != index[:-1], True))
        indices, values = index[last], equity[last].astype(np.float64)
        if self._indices and self._indices[-1] == indices[0]:
            self._values[-1] = float(values[0])
            indices, values = indices[1:], values[1:]
        self._indices.frombytes(indices.tobytes())
        self._values.frombytes(values.tobytes())

    def indexed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the numbers of the periods that had a point, and the last value of each."""
        return np.array(self._indices, dtype=np.int64), np.array(self._values, dtype=np.float64)

    def numbers(self) -> NDArray[np.int64]:
        """Give the number of each period of `closes`."""
        index, _ = self.indexed()
        if not len(index) or self.period.skips_empty or index[-1] - index[0] >= _MAX_PERIODS:
            return index
        return np.arange(index[0], index[-1] + 1)

    def closes(self) -> NDArray[np.float64]:
        """Give the last equity of each period, from the first to the last one; empty ones as the period says."""
        index, values = self.indexed()
        numbers = self.numbers()
        return values if len(numbers) == len(index) else values[np.searchsorted(index, numbers, side="right") - 1]

    def returns(self, start_equity: float) -> Returns:
        """Give one return per period; the first is from `start_equity` to the first period's close."""
        return returns_of(self.closes(), start_equity)


def period_returns(ts: ArrayLike, equity: ArrayLike, start_equity: float, periods_per_year: float) -> Returns:
    """Give the returns per period of a whole series of equity points (times in ns, UTC, not falling).

    The equity of a period is that of its last point; the last period may be cut short by the end of the run.
    """
    closes = PeriodCloses(period_of(periods_per_year))
    closes.add(np.asarray(ts, dtype=np.int64), np.asarray(equity, dtype=np.float64))
    return closes.returns(start_equity)


def _duration_name(length_ns: int) -> str:
    units = ((DAY_NS, "d"), (3_600 * SECOND_NS, "h"), (60 * SECOND_NS, "min"), (SECOND_NS, "s"))
    for unit, name in units:
        if length_ns % unit == 0:
            return f"{length_ns // unit} {name}"
    return f"{length_ns / SECOND_NS:.6g} s"
