"""Round trips found in any series of fills: from flat to flat, or to a flip.

May not live here: the run's own trades table, which is made from its event log (replay.result.trade_rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.stats.series import Floats, Series, floats


@dataclass(frozen=True)
class RoundTrips:
    """What fills came to: one entry of each array per round trip, in the order of their ends; and totals of all."""

    net: Floats
    """Results after fees."""
    gross: Floats
    """Results before fees."""
    fees: Floats
    entry_values: Floats
    """Value of the fills that opened each."""
    is_long: NDArray[np.bool_]
    durations_ns: Floats | None
    """From the first to the last fill; None where the fills have no times."""
    fills: int
    traded_value: float
    total_fees: float


@dataclass(slots=True)
class _Open:
    is_long: bool
    entry_time: float
    entry_value: Decimal = Decimal(0)
    exit_value: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


def round_trips(fills: Any) -> RoundTrips:
    """Find the round trips of a table of fills, in the order of its rows.

    `fills` has the columns `side` ("buy" or "sell") or a signed `size`, `price`, `size`, and may have `fee`, `time`,
    `symbol` and `strategy`: a mapping of columns, a `Table`, an Arrow table, a pandas or polars frame. Sums are exact:
    a float stands for its shortest decimal form. The fee of a fill that flips is shared in proportion. Raises
    ValueError where a column is missing or a side is neither buy nor sell.
    """
    columns = _columns(fills)
    sizes, prices = _decimals(columns["size"]), _decimals(columns["price"])
    fees = _decimals(columns["fee"]) if "fee" in columns else [Decimal(0)] * len(sizes)
    if "side" in columns:
        sizes = [abs(size) * _sign(side) for size, side in zip(sizes, _words(columns["side"]), strict=True)]
    times = floats(columns["time"]).tolist() if "time" in columns else [0.0] * len(sizes)
    names = [_words(columns[name]) for name in ("strategy", "symbol") if name in columns]
    keys: list[tuple[str, ...]] = list(zip(*names, strict=True)) if names else [()] * len(sizes)
    held: dict[tuple[str, ...], Decimal] = {}
    open_trips: dict[tuple[str, ...], _Open] = {}
    ended: list[tuple[_Open, float]] = []
    for key, size, price, fee, time in zip(keys, sizes, prices, fees, times, strict=True):
        for part, share in _parts(held.get(key, Decimal(0)), size):
            before = held.get(key, Decimal(0))
            trip = open_trips.setdefault(key, _Open(part > 0, time))
            if before == 0 or (before > 0) == (part > 0):
                trip.entry_value += abs(part) * price
            else:
                trip.exit_value += abs(part) * price
            trip.fees += fee * share
            held[key] = before + part
            if held[key] == 0:
                ended.append((open_trips.pop(key), time))
    gross = [(trip.exit_value - trip.entry_value) * (1 if trip.is_long else -1) for trip, _ in ended]
    return RoundTrips(
        net=np.array(
            [float(result - trip.fees) for result, (trip, _) in zip(gross, ended, strict=True)], dtype=np.float64
        ),
        gross=np.array([float(result) for result in gross], dtype=np.float64),
        fees=np.array([float(trip.fees) for trip, _ in ended], dtype=np.float64),
        entry_values=np.array([float(abs(trip.entry_value)) for trip, _ in ended], dtype=np.float64),
        is_long=np.array([trip.is_long for trip, _ in ended], dtype=np.bool_),
        durations_ns=np.array([end - trip.entry_time for trip, end in ended], dtype=np.float64)
        if "time" in columns
        else None,
        fills=len(sizes),
        traded_value=float(sum((abs(size * price) for size, price in zip(sizes, prices, strict=True)), Decimal(0))),
        total_fees=float(sum(fees, Decimal(0))),
    )


def _parts(held: Decimal, size: Decimal) -> list[tuple[Decimal, Decimal]]:
    """Cut a fill where it flips the position; give each part with its share of the fee."""
    if size == 0:
        return []
    if held != 0 and (held > 0) != (size > 0) and abs(size) > abs(held):
        return [(-held, abs(held) / abs(size)), (size + held, 1 - abs(held) / abs(size))]
    return [(size, Decimal(1))]


def _columns(fills: Any) -> Mapping[str, Series]:
    if isinstance(fills, Mapping):
        columns = dict(fills)
    elif hasattr(fills, "column_names"):  # pyarrow
        columns = {name: fills[name] for name in fills.column_names}
    else:
        columns = {str(name): fills[name] for name in fills.columns}
    missing = [name for name in ("price", "size") if name not in columns]
    if missing:
        raise ValueError(f"the fills lack the column {' and '.join(missing)}; they have: {', '.join(columns)}")
    return columns


def _decimals(values: Series) -> list[Decimal]:
    cells = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return [cell if isinstance(cell, Decimal) else Decimal(str(cell)) for cell in cells]


def _words(values: Series) -> list[str]:
    cells = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return [str(cell) for cell in cells]


def _sign(side: str) -> int:
    signs = {"buy": 1, "sell": -1}
    if side.lower() not in signs:
        raise ValueError(f"a side is {side!r}: it must be buy or sell")
    return signs[side.lower()]
