"""Rows of the positions table: each change of what a strategy holds of an instrument.

May not live here: the arithmetic of a position (positions.py); it is exact there, and becomes floats here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.records import Side
from replay.result.positions import Position
from replay.result.projections import POSITIONS, RunScales, ValueScale, amounts
from replay.result.tables import Table, Words

_FILL_FIELDS = ("strategy", "instrument", "side", "currency", "last_price", "last_size")


class PositionProjection:
    """Follows the position of every strategy in every instrument."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._values = [ValueScale(scales, instrument) for instrument in range(len(scales.instruments))]
        self._positions: dict[tuple[int, int], Position] = {}
        self._unvalued: set[tuple[int, int]] = set()

    def add(self, fills: NDArray[Any]) -> Table:
        """Take fill events in order; give the rows that they make, two for a flip."""
        positions, values = self._positions, self._values
        made_by: list[int] = []
        quantities: list[int] = []
        average_price: list[float] = []
        realised: list[float] = []
        paid: list[float] = []
        columns = [fills[name].tolist() for name in _FILL_FIELDS]
        for row, (strategy, instrument, side, currency, price, size, amount) in enumerate(
            zip(*columns, amounts(fills).tolist(), strict=True)
        ):
            key = (strategy, instrument)
            value = values[instrument]
            position = positions.get(key)
            if position is None:
                position = positions[key] = Position(value.factor)
            fee = value.fee(amount, currency, price)
            if fee is None:
                self._unvalued.add(key)
            for quantity, cost, gain, fees in position.fill(
                side == Side.BUY, price, size, fee or 0, value.given(amount, currency)
            ):
                made_by.append(row)
                quantities.append(quantity)
                average_price.append(value.average_price(cost, abs(quantity)))
                realised.append(gain / value.unit)
                paid.append(np.nan if key in self._unvalued else fees / value.unit)
        return self._table(fills[np.array(made_by, dtype=np.int64)], quantities, average_price, realised, paid)

    def _table(
        self,
        made_by: NDArray[Any],
        quantities: list[int],
        average_price: list[float],
        realised: list[float],
        paid: list[float],
    ) -> Table:
        """Make the table; what a row does not change comes from the fill that made it."""
        scales = self._scales
        instrument = made_by["instrument"]
        quantity = np.array(quantities, dtype=np.int64)
        currencies = np.array([value.currency for value in self._values], dtype=np.int32)
        columns: dict[str, Any] = {
            "time": made_by["venue_time"],
            "strategy": Words(made_by["strategy"].astype(np.int32), tuple(scales.strategies)),
            "symbol": Words(instrument.astype(np.int32), scales.symbols),
            "quantity": quantity / scales.size_units[instrument],
            "average_price": average_price,
            "realised": realised,
            "fees": paid,
            "currency": Words(currencies[instrument], tuple(scales.currencies)),
            "order_id": made_by["order_id"],
            "tape_seq": made_by["tape_seq"],
            "quantity_raw": quantity,
        }
        return Table("positions", POSITIONS, columns)
