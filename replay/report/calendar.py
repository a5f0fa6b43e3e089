"""Returns by the calendar: of each UTC day and each month, from the equity at their ends.

May not live here: annualised figures; those are the statistics'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.result.tables import Table
from replay.stats.periods import DAY_NS, Period
from replay.stats.returns import returns_of

_DAY = Period("1 day", "D", DAY_NS, True)
_MONTH = Period("1 month", "M", 30 * DAY_NS, True)


@dataclass(frozen=True)
class CalendarReturns:
    """One return for each period that has an equity point; a period's return is from the last one's end to its own."""

    period: NDArray[np.int64]
    """Days or months since 1970-01-01."""
    value: NDArray[np.float64]
    """Fractions; NaN where the equity before it was not positive."""


def daily_returns(equity: Table, start_equity: float | None, start_ns: int | None) -> CalendarReturns:
    """Give the return of each UTC day with an equity point from `start_ns` on."""
    return _returns(equity, start_equity, start_ns, _DAY)


def monthly_returns(equity: Table, start_equity: float | None, start_ns: int | None) -> CalendarReturns:
    """Give the return of each UTC month with an equity point from `start_ns` on."""
    return _returns(equity, start_equity, start_ns, _MONTH)


def _returns(equity: Table, start_equity: float | None, start_ns: int | None, period: Period) -> CalendarReturns:
    time_ns, values = equity.integers("time"), equity["equity"]
    if start_ns is not None:
        is_counted = time_ns >= start_ns
        time_ns, values = np.ascontiguousarray(time_ns[is_counted]), values[is_counted]
    if not len(time_ns) or start_equity is None:
        return CalendarReturns(np.zeros(0, np.int64), np.zeros(0))
    index = period.index(time_ns)
    last = np.flatnonzero(np.append(index[1:] != index[:-1], True))
    return CalendarReturns(index[last], returns_of(values[last], start_equity))
