"""Rows of the orders table: each order from its first event to its end.

May not live here: fills, positions; what an order may do (the engine's lifecycle table decides that).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.events import ABSENT, EVENT, EventKind
from replay.result.projections import ORDER_TYPES, ORDERS, SIDES, TIMES_IN_FORCE, RunScales, amounts
from replay.result.reasons import REASONS
from replay.result.tables import Table, Words

_STATES = ("new", "rejected", "triggered", "canceled", "expired", "partially_filled", "filled")
_PARTIALLY_FILLED = _STATES.index("partially_filled")
_FILLED = _STATES.index("filled")

_STATE_OF_KIND = np.full(len(EventKind) + 1, -1, dtype=np.int32)
for _kind, _state in (
    (EventKind.NEW, "new"),
    (EventKind.REJECTED, "rejected"),
    (EventKind.TRIGGERED, "triggered"),
    (EventKind.CANCELED, "canceled"),
    (EventKind.EXPIRED, "expired"),
    (EventKind.FILL, "partially_filled"),
):
    _STATE_OF_KIND[_kind] = _STATES.index(_state)

_IS_END = np.isin(_STATES, ("rejected", "canceled", "expired", "filled"))
_REASON_WORDS = (*REASONS, "unknown")


_CARRIED_MIN = 256
"""Fewer events of open orders are kept as they are."""
_CARRIED_PER_ORDER = 16
"""So many events of an open order are kept, on average, before those are dropped that its row will not show."""
_SAFE_INT64 = 2.0**62


class FillSums(NamedTuple):
    """What the fills of one order come to, exactly."""

    fills: int
    fees: int
    size: int
    distance: int
    """Sum of size x (price - price of the order's first fill)."""


_NO_FILLS = FillSums(0, 0, 0, 0)


class OrderProjection:
    """Follows every order; between calls it keeps of those that are open what their rows will show."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._carried = np.zeros(0, dtype=EVENT)
        self._folded: dict[int, FillSums] = {}
        """Of open orders, by id: fills whose events are not kept any more."""

    @property
    def kept(self) -> int:
        """Events of open orders that are kept."""
        return len(self._carried)

    def add(self, events: NDArray[Any]) -> Table:
        """Take events in order; give the rows of the orders that they end, as they ended."""
        kind = events["kind"]
        is_told = (kind < EventKind.POSTING) & (kind != EventKind.CANCEL_REJECTED) & (kind != EventKind.AMEND_REJECTED)
        if not np.any(is_told):
            return Table.empty("orders", ORDERS)
        orders = _Orders(np.concatenate((self._carried, events[is_told])), self._folded)
        is_ended = _IS_END[orders.state]
        self._carried = orders.events_of(~is_ended)
        ended = np.flatnonzero(is_ended)
        table = orders.table(ended[np.argsort(orders.end_place[ended])], self._scales)
        if self._folded:
            for order_id in table.integers("order_id").tolist():
                self._folded.pop(order_id, None)
        if len(self._carried) > _CARRIED_MIN + _CARRIED_PER_ORDER * (len(is_ended) - len(ended)):
            self._carried = _Orders(self._carried, self._folded).fold()
        return table

    def still_open(self) -> Table:
        """Give the rows of the orders that have not ended, by id."""
        if not len(self._carried):
            return Table.empty("orders", ORDERS)
        orders = _Orders(self._carried, self._folded)
        return orders.table(np.arange(len(orders.start)), self._scales)


class _Orders:
    """Events grouped by order: every array has one entry per order, in the order of their ids."""

    def __init__(self, events: NDArray[Any], folded: dict[int, FillSums]) -> None:
        self._folded = folded
        self._place = np.argsort(events["order_id"], kind="stable")
        """Where each grouped event stands in the log."""
        self._events = grouped = events[self._place]
        ids = grouped["order_id"]
        self.start = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
        self._size = np.diff(np.append(self.start, len(ids)))
        kind = grouped["kind"]
        self._is_fill = kind == EventKind.FILL
        is_terms = kind == EventKind.REPLACED
        is_terms[self.start] = True
        self._terms = self._last(is_terms)
        """Row of the event that names quantity and prices as they stand."""
        self._last_fill = self._last(self._is_fill)
        deciding = self._last(_STATE_OF_KIND[kind] >= 0)
        self._deciding = np.where(deciding < 0, self.start, deciding)
        """Row of the event that made the state."""
        self.filled = np.where(self._last_fill < 0, 0, grouped["filled"][self._last_fill])
        self.quantity = grouped["quantity"][self._terms]
        state = _STATE_OF_KIND[kind[self._deciding]]
        is_whole = (state == _PARTIALLY_FILLED) & (self.filled >= self.quantity)
        self.state: NDArray[np.int32] = np.where(is_whole, np.int32(_FILLED), np.maximum(state, 0))
        self.end_place = self._place[self._deciding]

    def _last(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give the last row of each order for which the mask holds, -1 where there is none."""
        return np.maximum.reduceat(np.where(mask, np.arange(len(mask)), -1), self.start)

    def _first(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give the first row of each order for which the mask holds, the order's first row where there is none."""
        first = np.minimum.reduceat(np.where(mask, np.arange(len(mask)), len(mask)), self.start)
        return np.where(first == len(mask), self.start, first)

    def events_of(self, chosen: NDArray[np.bool_]) -> NDArray[Any]:
        """Give the events of some orders as they stand in the log."""
        rows = np.repeat(chosen, self._size)
        return self._events[rows][np.argsort(self._place[rows])]

    def fold(self) -> NDArray[Any]:
        """Add up the fills that no row shows by themselves, and give the events of the others."""
        is_kept = np.zeros(len(self._events), dtype=np.bool_)
        is_trigger = self._events["kind"] == EventKind.TRIGGERED
        shown = (self.start, self._terms, self._deciding, self._last_fill, self._first(self._is_fill))
        for rows in (*shown, self._last(is_trigger)):
            is_kept[rows[rows >= 0]] = True
        dropped = self._sums_of(self._is_fill & ~is_kept)
        ids = self._events["order_id"][self.start].tolist()
        for order_id, row in zip(ids, zip(*(column.tolist() for column in dropped), strict=True), strict=True):
            if row[0]:
                before = self._folded.get(order_id, _NO_FILLS)
                self._folded[order_id] = FillSums(*(a + b for a, b in zip(before, row, strict=True)))
        return self._events[is_kept][np.argsort(self._place[is_kept])]

    def table(self, chosen: NDArray[np.int64], scales: RunScales) -> Table:
        """Make the rows of some orders."""
        if not len(chosen):
            return Table.empty("orders", ORDERS)
        events, state = self._events, self.state[chosen]
        begun = events[self.start[chosen]]
        terms = events[self._terms[chosen]]
        decided = events[self._deciding[chosen]]
        has_fills = self._last_fill[chosen] >= 0
        currency = np.where(has_fills, events["currency"][self._last_fill[chosen]], 0)
        price_unit = scales.price_units[begun["instrument"]]
        size_unit = scales.size_units[begun["instrument"]]
        is_ended = _IS_END[state]
        has_reason = is_ended & (state != _FILLED) & (decided["reason"] != 0)
        triggered = np.where(events["kind"] == EventKind.TRIGGERED, events["venue_time"], ABSENT)
        quantity, filled = self.quantity[chosen], self.filled[chosen]
        sums = self._sums()
        values: dict[str, Any] = {
            "order_id": begun["order_id"],
            "strategy": Words(begun["strategy"].astype(np.int32), tuple(scales.strategies)),
            "symbol": Words(begun["instrument"].astype(np.int32), scales.symbols),
            "type": Words(begun["order_type"].astype(np.int32), ORDER_TYPES),
            "time_in_force": Words(begun["time_in_force"].astype(np.int32), TIMES_IN_FORCE),
            "side": Words(begun["side"].astype(np.int32), SIDES),
            "quantity": quantity / size_unit,
            "filled": filled / size_unit,
            "limit": _prices(terms["limit"], price_unit),
            "trigger": _prices(terms["trigger"], price_unit),
            "expire": terms["expire"],
            "state": Words(state, _STATES),
            "reason": Words(_reason_codes(decided["reason"], has_reason), _REASON_WORDS),
            "created_time": begun["venue_time"],
            "triggered_time": np.maximum.reduceat(triggered, self.start)[chosen],
            "ended_time": np.where(is_ended, decided["venue_time"], ABSENT),
            "average_price": self._average_prices(sums)[chosen] / price_unit,
            "fees": sums.fees[chosen].astype(np.float64) / scales.ledger_units[currency],
            "fee_currency": Words(np.where(has_fills, currency, -1).astype(np.int32), tuple(scales.currencies)),
            "fills": sums.fills[chosen],
            "quantity_raw": quantity,
            "filled_raw": filled,
            "limit_raw": terms["limit"],
            "trigger_raw": terms["trigger"],
        }
        return Table("orders", ORDERS, values)

    def _average_prices(self, sums: _Sums) -> NDArray[np.float64]:
        """Give raw average prices, NaN without fills: the first fill's price plus the mean distance from it."""
        first = self._events["last_price"][self._first(self._is_fill)]
        with np.errstate(invalid="ignore", divide="ignore"):
            return first + sums.distance.astype(np.float64) / sums.size.astype(np.float64)

    def _sums(self) -> _Sums:
        """Add up the fills of each order, with those that are folded."""
        sums = self._sums_of(self._is_fill)
        if not self._folded:
            return sums
        ids = self._events["order_id"][self.start].tolist()
        more = [self._folded.get(order_id, _NO_FILLS) for order_id in ids]
        columns = (np.array(column, dtype=object) for column in zip(*more, strict=True))
        return _Sums(*(a + b for a, b in zip(sums, columns, strict=True)))

    def _sums_of(self, rows: NDArray[np.bool_]) -> _Sums:
        """Add up some of the fills, by order; exactly, so that it does not matter how they are cut."""
        events = self._events
        price = events["last_price"]
        first = np.repeat(price[self._first(self._is_fill)], self._size)
        size: Any = np.where(rows, events["last_size"], 0)
        distance: Any = np.where(rows, price - first, 0)
        if float(np.sum(np.abs(distance).astype(np.float64) * size)) >= _SAFE_INT64:
            distance = distance.astype(object)
        fees = amounts(events)
        if fees.dtype != object and float(np.sum(np.abs(fees).astype(np.float64))) >= _SAFE_INT64:
            fees = fees.astype(object)
        columns = (rows.astype(np.int64), np.where(rows, fees, np.zeros_like(fees)), size, distance * size)
        return _Sums(*(np.add.reduceat(column, self.start) for column in columns))


class _Sums(NamedTuple):
    """`FillSums` of many orders, a column each: int64, or Python integers where those do not hold them."""

    fills: NDArray[Any]
    fees: NDArray[Any]
    size: NDArray[Any]
    distance: NDArray[Any]


def _prices(raw: NDArray[np.int64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(raw == ABSENT, np.nan, raw / unit)


def _reason_codes(reason: NDArray[np.uint16], has_reason: NDArray[np.bool_]) -> NDArray[np.int32]:
    known = np.minimum(reason, len(REASONS)).astype(np.int32)
    return np.where(has_reason, known, np.int32(-1))
