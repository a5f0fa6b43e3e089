"""The tables that follow from the event log alone: fills, orders, positions.

May not live here: round trips, equity and marks, which need what the event log does not hold.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import IO, Any

from numpy.typing import NDArray

from replay import events as event_log
from replay.result.order_rows import OrderProjection
from replay.result.position_rows import PositionProjection
from replay.result.projections import SCHEMAS, RunScales, fills_table
from replay.result.tables import Table

FROM_EVENTS = ("fills", "orders", "positions")
"""Tables that can be made from the event log at any time."""

EVENT_BATCH_BYTES = 256 * 1024
"""So much of the event log is made into rows at once."""


class EventTables:
    """The tables that follow from the event log alone, made piece by piece."""

    def __init__(self, scales: RunScales, names: Collection[str] = FROM_EVENTS) -> None:
        self._scales = scales
        self._names = names
        self._orders = OrderProjection(scales)
        self._positions = PositionProjection(scales)

    def add(self, events: NDArray[Any]) -> dict[str, Table]:
        """Take events in order; give the rows that they make, by table."""
        tables: dict[str, Table] = {}
        if "orders" in self._names:
            tables["orders"] = self._orders.add(events)
        fills = events[events["kind"] == event_log.EventKind.FILL]
        if len(fills) and "fills" in self._names:
            tables["fills"] = fills_table(fills, self._scales)
        if len(fills) and "positions" in self._names:
            tables["positions"] = self._positions.add(fills)
        return tables

    def open_orders(self) -> Table:
        """Give the rows of the orders that have not ended."""
        return self._orders.still_open()


def table_from_events(name: str, log: IO[bytes], scales: RunScales) -> Table:
    """Make one table of the whole event log."""
    projections = EventTables(scales, (name,))
    tables = [Table.empty(name, SCHEMAS[name])]
    log.seek(0)
    while data := log.read(EVENT_BATCH_BYTES):
        made = projections.add(event_log.from_bytes(data)).get(name)
        if made is not None:
            tables.append(made)
    if name == "orders":
        tables.append(projections.open_orders())
    return Table.concatenate(tables)
