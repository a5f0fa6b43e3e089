"""Excursions: how far the price went for and against each round trip while it was open, found in the price series.

May not live here: which fills make a round trip (trade_rows.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from replay.report.prices import Integers, PriceSeries
from replay.result.tables import Table, Words

Floats = NDArray[np.float64]


def excursions(trades: Table, series: Sequence[PriceSeries]) -> tuple[Floats, Floats]:
    """Give the adverse (<= 0) and favourable (>= 0) excursion of each round trip, as fractions of its entry price.

    The prices of entry and exit count; of bars, those that ended after the entry, with their extremes. NaN where the
    instrument has no price series, or the entry price is not positive. After J. Sweeney, Maximum Adverse Excursion.
    Where the run noted them itself (in money, columns `mae` and `mfe`), they are those.
    """
    if "mae" in trades and "mfe" in trades:
        with np.errstate(divide="ignore", invalid="ignore"):
            noted = trades["mae"] / trades["entry_value"], trades["mfe"] / trades["entry_value"]
        return np.where(np.isfinite(noted[0]), noted[0], np.nan), np.where(np.isfinite(noted[1]), noted[1], np.nan)
    adverse, favourable = np.full(len(trades), np.nan), np.full(len(trades), np.nan)
    symbols, sides = trades.raw("symbol"), trades.raw("side")
    assert isinstance(symbols, Words) and isinstance(sides, Words)
    is_long = np.array([word == "long" for word in sides.vocabulary], dtype=np.bool_)[sides.codes]
    entry, exits = trades["entry_price"], trades["exit_price"]
    entry_ns, exit_ns = trades.integers("entry_time"), trades.integers("exit_time")
    for one in series:
        code = symbols.vocabulary.index(one.symbol) if one.symbol in symbols.vocabulary else -2
        rows = np.flatnonzero((symbols.codes == code) & (entry > 0))
        if not len(rows):
            continue
        first = np.searchsorted(one.time_ns, entry_ns[rows], side="right")
        limit = np.searchsorted(one.time_ns, exit_ns[rows], side="right")
        lowest = _extremes(one.low if one.low is not None else one.price, first, limit, np.minimum) / one.unit
        highest = _extremes(one.high if one.high is not None else one.price, first, limit, np.maximum) / one.unit
        start = entry[rows]
        lowest = np.fmin(np.fmin(lowest, exits[rows]), start) / start - 1.0
        highest = np.fmax(np.fmax(highest, exits[rows]), start) / start - 1.0
        longs = is_long[rows]
        adverse[rows] = np.where(longs, lowest, -highest)
        favourable[rows] = np.where(longs, highest, -lowest)
    return adverse, favourable


def _extremes(values: Integers, first: Integers, limit: Integers, function: np.ufunc) -> Floats:
    """Give the extreme of values[first..limit] for each pair; NaN for an empty stretch."""
    is_empty = first >= limit
    padded = np.append(values, values[-1:])  # a stretch may end where the values do
    pairs = np.stack([first, np.maximum(limit, first)], axis=1).ravel()
    found: Floats = function.reduceat(padded, pairs)[::2].astype(np.float64)
    found[is_empty] = np.nan
    return found
