"""Rows of the trades table: round trips, from flat to flat or to a flip; and what was paid and traded in all.

May not live here: the average cost of what is held (positions.py); a round trip needs only what went out and came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.events import ABSENT
from replay.records import Side
from replay.result.positions import half_even
from replay.result.projections import TRADES, RunScales, ValueScale
from replay.result.tables import ABSENT_INTEGER, Table, Words

_SIDES = ("long", "short")
_SAFE_INT64 = 2.0**62


class TradeProjection:
    """Finds the round trips of every strategy in every instrument; keeps the sums of those that are open."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._holdings: dict[tuple[int, int], _Holding] = {}

    def add(self, fills: NDArray[Any], excursions: NDArray[Any] | None = None) -> Table:
        """Take fill events in order; give the round trips that they end, as they ended.

        `excursions` has that of each fill (replay.events.EXCURSION); without it a position's round trips have none.
        """
        key = fills["strategy"].astype(np.int64) * len(self._scales.instruments) + fills["instrument"]
        ended: list[tuple[int, tuple[Any, ...]]] = []
        for code in np.unique(key).tolist():
            rows = np.flatnonzero(key == code)
            strategy, instrument = divmod(code, len(self._scales.instruments))
            holding = self._holdings.get((strategy, instrument))
            if holding is None:
                holding = _Holding(self._scales, strategy, instrument)
                self._holdings[strategy, instrument] = holding
            own = None if excursions is None else excursions[rows]
            ended += [(int(rows[at]), trade) for at, trade in holding.add(fills[rows], own)]
        ended.sort(key=lambda one: one[0])
        return self._table([trade for _, trade in ended])

    def fees(self) -> dict[str, float | None]:
        """Give the fees so far by quote currency; None where some could not be valued in it."""
        totals: dict[str, float | None] = {}
        for holding in self._holdings.values():
            name = self._scales.currencies[holding.value.currency]
            so_far = totals.get(name, 0.0)
            if so_far is not None:
                totals[name] = so_far + holding.fees / holding.value.unit if holding.is_known else None
        return totals

    def traded(self) -> dict[str, float]:
        """Give the value traded so far by quote currency."""
        totals: dict[str, float] = {}
        for holding in self._holdings.values():
            name = self._scales.currencies[holding.value.currency]
            totals[name] = totals.get(name, 0.0) + holding.traded * holding.value.factor / holding.value.unit
        return totals

    def _table(self, trades: list[tuple[Any, ...]]) -> Table:
        if not trades:
            return Table.empty("trades", TRADES)
        columns = dict(zip((column.name for column in TRADES), map(list, zip(*trades, strict=True)), strict=True))
        vocabularies = {
            "strategy": tuple(self._scales.strategies),
            "symbol": self._scales.symbols,
            "side": _SIDES,
            "currency": tuple(self._scales.currencies),
        }
        values: dict[str, Any] = dict(columns)
        for name, vocabulary in vocabularies.items():
            values[name] = Words(np.array(columns[name], dtype=np.int32), vocabulary)
        return Table("trades", TRADES, values)


@dataclass(slots=True)
class _Sums:
    """What an open round trip came to so far; values are raw price x raw size.

    `worst` and `best` are the lowest and the highest result before fees that it had so far, doubled.
    """

    entry_time: int
    first_order_id: int
    is_long: bool
    max_size: int
    entry_size: int
    entry_value: int
    exit_size: int
    exit_value: int
    fees: int
    fills: int
    worst: int
    best: int

    @property
    def result(self) -> int:
        """What came in, less what went out: the result before fees once nothing is held, and at a price of 0 before."""
        went_up = self.exit_value - self.entry_value
        return went_up if self.is_long else -went_up


class _Holding:
    """Fills of one strategy in one instrument: the open round trip between calls, and totals."""

    def __init__(self, scales: RunScales, strategy: int, instrument: int) -> None:
        self.strategy = strategy
        self.instrument = instrument
        self.value = ValueScale(scales, instrument)
        self.fees = 0
        self.is_known = True
        self.traded = 0.0
        self._size_unit = 10 ** scales.instruments[instrument].size_decimals
        self._quantity = 0
        self._open: _Sums | None = None
        self._has_excursions = True

    def add(self, fills: NDArray[Any], excursions: NDArray[Any] | None) -> list[tuple[int, tuple[Any, ...]]]:
        """Take fills in order; give each trade that they end with the place of the fill that ended it."""
        self._has_excursions &= excursions is not None
        valued = self.value.fees(fills)
        known_limit = valued.index(None) if None in valued else len(valued)
        known_limit = known_limit if self.is_known else 0
        fees = [fee or 0 for fee in valued]
        self.is_known = known_limit == len(valued)
        self.fees += sum(fees)
        parts = _Parts(fills, fees, self._quantity, self.value.all_given(fills))
        worst, best = parts.extremes(0 if self._open is None else self._open.result, excursions)
        self.traded += parts.traded
        self._quantity = parts.quantity
        ended = []
        times, order_ids = fills["venue_time"].tolist(), fills["order_id"].tolist()
        for at, sums in parts.segments(worst, best):
            whole = sums if self._open is None else _joined(self._open, sums)
            self._open = None
            if at is None:
                self._open = whole
            else:
                ended.append((at, self._row(whole, times[at], order_ids[at], at < known_limit)))
        return ended

    def _row(self, sums: _Sums, exit_time: int, last_order_id: int, is_known: bool) -> tuple[Any, ...]:
        """Give one row of TRADES, words as indices."""
        value = self.value
        gross = sums.result * value.factor
        worst, best = (extreme * value.factor / (2 * value.unit) for extreme in (sums.worst, sums.best))
        return (
            self.strategy,
            self.instrument,
            0 if sums.is_long else 1,
            sums.entry_time,
            exit_time,
            value.average_price(sums.entry_value * value.factor, sums.entry_size),
            value.average_price(sums.exit_value * value.factor, sums.exit_size),
            sums.max_size / self._size_unit,
            gross / value.unit,
            sums.fees / value.unit if is_known else np.nan,
            (gross - sums.fees) / value.unit if is_known else np.nan,
            value.currency,
            sums.fills,
            sums.first_order_id,
            last_order_id,
            abs(sums.entry_value) * value.factor / value.unit,
            value.raw(gross),
            value.raw(sums.fees) if is_known else ABSENT_INTEGER,
            worst if self._has_excursions else np.nan,
            best if self._has_excursions else np.nan,
        )


class _Parts:
    """Fills cut where they flip the position: each part only opens or only closes.

    What leaves the position to pay a fee in kind (`given`) is a part of its own, sold at the fill's price.
    """

    def __init__(self, fills: NDArray[Any], fees: list[int], quantity: int, given: NDArray[np.int64]) -> None:
        pays = given != 0
        self._row = row = np.repeat(np.arange(len(fills)), 1 + pays)
        is_given = np.concatenate(([False], row[1:] == row[:-1]))
        self.traded = float(np.sum(np.abs(fills["last_price"]).astype(np.float64) * fills["last_size"]))
        price = fills["last_price"][row]
        size = np.where(is_given, np.abs(given)[row], fills["last_size"][row])
        bought = np.where(is_given, -given[row], np.where(fills["side"] == Side.BUY, 1, -1)[row])
        signed = np.where(bought > 0, size, -size)
        if np.any(pays):
            fees = [0 if second else fees[at] for at, second in zip(row.tolist(), is_given.tolist(), strict=True)]
        after = quantity + np.cumsum(signed)
        before = after - signed
        opposes = np.sign(before) * np.sign(signed) < 0
        closing = np.where(opposes, np.minimum(np.abs(before), size), 0)
        is_flip = opposes & (closing < size)
        self.quantity = int(after[-1])
        self._fill = np.repeat(np.arange(len(row)), 1 + is_flip)
        is_second = np.concatenate(([False], self._fill[1:] == self._fill[:-1]))
        is_first = is_flip[self._fill] & ~is_second
        opened = np.where(is_second, (size - closing)[self._fill], size[self._fill])
        self._size = np.where(is_first, closing[self._fill], opened)
        self._is_closing = opposes[self._fill] & ~is_second
        self._after = np.where(is_first, 0, after[self._fill])
        self._before = np.where(is_second, 0, before[self._fill])
        ends = np.flatnonzero(self._after == 0)
        self._starts = np.concatenate(([0], ends + 1))[: len(ends) + bool(self._after[-1])]
        self._fees = _shared(fees, is_flip, closing.tolist(), size.tolist())
        self._is_buy = signed[self._fill] > 0
        self._counts = np.where(is_given, 0, 1)[self._fill]
        self._fills = fills
        kind: Any = np.int64 if self.traded < _SAFE_INT64 else object
        self._value = price[self._fill].astype(kind) * self._size.astype(kind)

    def extremes(self, so_far: int, excursions: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give, for each part, the worst and the best result before fees of its round trip since the part before.

        They are doubled. At a price, that is what came in, less what went out, plus the open quantity at the price:
        exact, whatever the average cost was. The part's own price counts, and the marks that its fill ends. `so_far` is
        what came in less what went out of the round trip that was open.
        """
        at = self._row[self._fill]
        lowest = highest = 2 * self._fills["last_price"][at]
        if excursions is not None:
            is_first = np.concatenate(([True], at[1:] != at[:-1]))
            low, high = excursions["low"][at], excursions["high"][at]
            is_noted = is_first & (self._before != 0) & (low != ABSENT)
            lowest = np.where(is_noted, np.minimum(low, lowest), lowest)
            highest = np.where(is_noted, np.maximum(high, highest), highest)
        farthest = max(float(np.max(np.abs(prices))) for prices in (lowest, highest))
        most = float(np.max(np.abs(self._before)))
        bound = 2.0 * (abs(so_far) + 2.0 * self.traded) + farthest * most
        kind: Any = np.int64 if bound < _SAFE_INT64 else object
        paid = np.where(self._is_buy, self._value, -self._value).astype(kind)
        paid_before = np.cumsum(paid) - paid
        lengths = np.diff(np.append(self._starts, len(at)))
        base = paid_before[self._starts]
        base[0] += so_far
        result = 2 * (np.repeat(base, lengths) - paid_before)
        before = self._before.astype(kind)
        at_lowest, at_highest = result + before * lowest.astype(kind), result + before * highest.astype(kind)
        return np.minimum(at_lowest, at_highest), np.maximum(at_lowest, at_highest)

    def segments(self, worst: NDArray[Any], best: NDArray[Any]) -> list[tuple[int | None, _Sums]]:
        """Give the sums of each round trip and the place of the fill that ended it, None for one that is open.

        `worst` and `best` are those of `extremes`.
        """
        starts, ends = self._starts, np.flatnonzero(self._after == 0)
        fees: Any = np.array(self._fees, dtype=np.int64 if sum(map(abs, self._fees)) < _SAFE_INT64 else object)
        nothing = np.zeros_like(self._value)
        columns = (
            self._fills["venue_time"][self._row[self._fill[starts]]],
            self._fills["order_id"][self._row[self._fill[starts]]],
            self._is_buy[starts] ^ self._is_closing[starts],
            np.maximum.reduceat(np.abs(self._after), starts),
            np.add.reduceat(np.where(self._is_closing, 0, self._size), starts),
            np.add.reduceat(np.where(self._is_closing, nothing, self._value), starts),
            np.add.reduceat(np.where(self._is_closing, self._size, 0), starts),
            np.add.reduceat(np.where(self._is_closing, self._value, nothing), starts),
            np.add.reduceat(fees, starts),
            np.add.reduceat(self._counts, starts),
            np.minimum.reduceat(worst, starts),
            np.maximum.reduceat(best, starts),
        )
        sums = [_Sums(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
        ended: list[int | None] = list(self._row[self._fill[ends]].tolist())
        return list(zip([*ended, *[None] * (len(sums) - len(ended))], sums, strict=True))


def _shared(fees: list[int], is_flip: NDArray[np.bool_], closing: list[int], size: list[int]) -> list[int]:
    """Give the fee of each part: that of a flip is shared in proportion, the closing part's share half to even."""
    if not np.any(is_flip):
        return fees
    shared: list[int] = []
    for fee, flips, closed, whole in zip(fees, is_flip.tolist(), closing, size, strict=True):
        if flips:
            part = half_even(fee * closed, whole)
            shared += (part, fee - part)
        else:
            shared.append(fee)
    return shared


def _joined(earlier: _Sums, later: _Sums) -> _Sums:
    return _Sums(
        entry_time=earlier.entry_time,
        first_order_id=earlier.first_order_id,
        is_long=earlier.is_long,
        max_size=max(earlier.max_size, later.max_size),
        entry_size=earlier.entry_size + later.entry_size,
        entry_value=earlier.entry_value + later.entry_value,
        exit_size=earlier.exit_size + later.exit_size,
        exit_value=earlier.exit_value + later.exit_value,
        fees=earlier.fees + later.fees,
        fills=earlier.fills + later.fills,
        worst=min(earlier.worst, later.worst),
        best=max(earlier.best, later.best),
    )
