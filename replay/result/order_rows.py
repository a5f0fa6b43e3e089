"""Rows of the orders table: each order from its first event to its end.

May not live here: fills, positions; what an order may do (the engine's lifecycle table decides that).
"""

from __future__ import annotations

from typing import Any

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


class OrderProjection:
    """Follows every order; between calls it keeps the events of those that are open."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._carried = np.zeros(0, dtype=EVENT)

    def add(self, events: NDArray[Any]) -> Table:
        """Take events in order; give the rows of the orders that they end, as they ended."""
        kind = events["kind"]
        is_told = (kind < EventKind.POSTING) & (kind != EventKind.CANCEL_REJECTED) & (kind != EventKind.AMEND_REJECTED)
        if not np.any(is_told):
            return Table.empty("orders", ORDERS)
        orders = _Orders(np.concatenate((self._carried, events[is_told])))
        is_ended = _IS_END[orders.state]
        self._carried = orders.events_of(~is_ended)
        ended = np.flatnonzero(is_ended)
        return orders.table(ended[np.argsort(orders.end_place[ended])], self._scales)

    def still_open(self) -> Table:
        """Give the rows of the orders that have not ended, by id."""
        if not len(self._carried):
            return Table.empty("orders", ORDERS)
        orders = _Orders(self._carried)
        return orders.table(np.arange(len(orders.start)), self._scales)


class _Orders:
    """Events grouped by order: every array has one entry per order, in the order of their ids."""

    def __init__(self, events: NDArray[Any]) -> None:
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
            "average_price": self._average_prices()[chosen] / price_unit,
            "fees": self._fees()[chosen].astype(np.float64) / scales.ledger_units[currency],
            "fee_currency": Words(np.where(has_fills, currency, -1).astype(np.int32), tuple(scales.currencies)),
            "fills": np.add.reduceat(self._is_fill.astype(np.int64), self.start)[chosen],
            "quantity_raw": quantity,
            "filled_raw": filled,
            "limit_raw": terms["limit"],
            "trigger_raw": terms["trigger"],
        }
        return Table("orders", ORDERS, values)

    def _fees(self) -> NDArray[Any]:
        fees = amounts(self._events)
        return np.add.reduceat(np.where(self._is_fill, fees, np.zeros_like(fees)), self.start)

    def _average_prices(self) -> NDArray[np.float64]:
        """Give raw average prices, NaN without fills: the first fill's price plus the mean distance from it."""
        price = self._events["last_price"]
        size = np.where(self._is_fill, self._events["last_size"], 0).astype(np.float64)
        first = price[self._first(self._is_fill)]
        distance = (price - np.repeat(first, self._size)).astype(np.float64)
        filled = np.add.reduceat(size, self.start)
        with np.errstate(invalid="ignore", divide="ignore"):
            average: NDArray[np.float64] = first + np.add.reduceat(distance * size, self.start) / filled
        return average


def _prices(raw: NDArray[np.int64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(raw == ABSENT, np.nan, raw / unit)


def _reason_codes(reason: NDArray[np.uint16], has_reason: NDArray[np.bool_]) -> NDArray[np.int32]:
    known = np.minimum(reason, len(REASONS)).astype(np.int32)
    return np.where(has_reason, known, np.int32(-1))
