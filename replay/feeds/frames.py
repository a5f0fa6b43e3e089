"""From data frames to records: pandas, polars, Arrow tables, or a mapping of column names to arrays; exactly.

May not live here: single ticks (ticks), and reading files (adapters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError, choose
from replay.feeds.ticks import FIELDS, TickTable, is_tick, kind_of, scaled, time_ns
from replay.records import RECORD, Kind, Side

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_RAW_MAX = 2.0**62
_EXACT_MAX = 2.0**53
_SLOTS = {"quote": "abcd", "trade": "ab", "bar": "abcde"}


def is_frame(value: Any) -> bool:
    """Say whether a value is a data frame: something with named columns."""
    if isinstance(value, Mapping):
        return bool(value) and not is_tick(value)
    return hasattr(value, "__getitem__") and (hasattr(value, "columns") or hasattr(value, "column_names"))


def frame_records(frame: Any, table: TickTable, instruments: Sequence[Instrument], spec: FeedSpec) -> NDArray[Any]:
    """Convert a frame whose rows are quotes, trades or bars, in their order.

    Columns are named as the members of `replay.QuoteTick`, `TradeTick` and `BarTick`, or as `columns`, `time` and
    `symbol` of the feed's entry say; a pandas index of times serves as `time`. Raises DataError as `TickTable` does.
    """
    columns = _Columns(frame, spec)
    kind = spec.records or kind_of(name for name in _all_fields() if columns.has(name))
    if kind is None:
        raise DataError(
            f"the frame has neither quotes, trades nor bars: its columns are {', '.join(columns.names)}",
            remedy="name them bid and ask; price and size; or open, high, low, close (or say `columns`)",
        )
    rows = len(columns.get("time"))
    records = np.zeros(rows, dtype=RECORD)
    records["kind"] = Kind[kind.upper()]
    records["ts_event"] = columns.times("time")
    if kind == "bar" and spec.time is not None and spec.time.stamp == "start":
        if spec.bar is None:
            raise DataError("bars are stamped at their start, and their length is not known", remedy='add bar = "1m"')
        records["ts_event"] += spec.bar.ns
    records["ts_recv"] = columns.times("received") if columns.has("received") else records["ts_event"]
    records["instrument"] = _indexes(columns, table, rows, spec)
    names = FIELDS[kind]
    prices = [name for name in names if name in ("bid", "ask", "price", "open", "high", "low", "close")]
    sizes = [name for name in names if name in ("bid_size", "ask_size", "size", "volume")]
    if rows:
        table.note_sizes(spec.sizes != "none" and any(columns.has(name) for name in sizes), "the frame")
    for index in np.unique(records["instrument"]):
        instrument = instruments[int(index)]
        table.note(int(index), kind)
        chosen = np.flatnonzero(records["instrument"] == index)
        for slot, name in zip(_SLOTS[kind], names, strict=False):
            if not columns.has(name):
                if name in prices:
                    raise DataError(f"the frame has no column {name!r}", remedy=choose(name, columns.names))
                continue
            decimals = instrument.price_decimals if name in prices else instrument.size_decimals
            rounds = spec.excess_decimals == "round"
            records[slot][chosen] = _scaled(columns.get(name), chosen, decimals, name, rounds=rounds)
    if kind == "trade":
        records["side"] = _sides(columns, rows)
        if columns.has("id"):
            records["c"] = np.asarray(columns.get("id"), dtype=np.int64)
    return records


class _Columns:
    """The columns of any frame, by the name of the member that they hold."""

    def __init__(self, frame: Any, spec: FeedSpec) -> None:
        self._frame = frame
        self._given = dict(spec.columns)
        self._unit = spec.time.unit if spec.time is not None else "ns"
        if spec.time is not None:
            self._given["time"] = spec.time.column
        if spec.receive is not None:
            self._given["received"] = spec.receive.column
        if spec.symbol is not None and not isinstance(spec.symbol, str):
            self._given["symbol"] = spec.symbol.column
        source = frame if isinstance(frame, Mapping) else getattr(frame, "column_names", None)
        self.names = [str(name) for name in (frame.columns if source is None else source)]
        self._index = self._time_index()

    def _time_index(self) -> Any:
        """Give a pandas index of times, where no column holds them."""
        index = getattr(self._frame, "index", None)
        is_times = getattr(getattr(index, "dtype", None), "kind", "") == "M" or hasattr(index, "tz")
        return index if is_times and self._given.get("time", "time") not in self.names else None

    def has(self, field: str) -> bool:
        return self._given.get(field, field) in self.names or (field == "time" and self._index is not None)

    def get(self, field: str) -> Any:
        if field == "time" and self._index is not None:
            return self._index
        name = self._given.get(field, field)
        if name not in self.names:
            remedy = choose(name, self.names)
            if field == "time":
                remedy = 'name it in feed_options={"time": {"column": ...}}; columns: ' + ", ".join(self.names)
            raise DataError(f"the frame has no column {name!r}", remedy=remedy)
        return self._frame[name]

    def times(self, field: str) -> NDArray[np.int64]:
        """Give a column of times as ns since the epoch; times without a zone are UTC."""
        column = self.get(field)
        values = np.asarray(column)
        if values.dtype.kind in "iu":
            return values.astype(np.int64) * _NS.get(self._unit, 1)
        if values.dtype.kind in "OUT" and len(values) and isinstance(values[0], str):
            return np.array([time_ns(value, f"row {row}") for row, value in enumerate(values)], dtype=np.int64)
        try:
            stamps = np.asarray(column, dtype="datetime64[ns]")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the column {field!r} holds no times: {error}",
                remedy="give datetimes, or integers in ns since the epoch",
            ) from None
        missing = np.flatnonzero(np.isnat(stamps))
        if len(missing):
            raise DataError("has no time", place=f"row {missing[0]}")
        return stamps.astype(np.int64)


def _all_fields() -> list[str]:
    return [name for names in FIELDS.values() for name in names]


def _indexes(columns: _Columns, table: TickTable, rows: int, spec: FeedSpec) -> NDArray[np.uint32]:
    if isinstance(spec.symbol, str) or not columns.has("symbol"):
        symbol = spec.symbol if isinstance(spec.symbol, str) else None
        return np.full(rows, table.index(symbol, "the frame"), dtype=np.uint32)
    symbols, places = np.unique(np.asarray(columns.get("symbol")).astype(str), return_inverse=True)
    known = np.array([table.index(str(symbol), "the frame") for symbol in symbols], dtype=np.uint32)
    return known[places]


def _scaled(column: Any, chosen: NDArray[np.intp], decimals: int, name: str, *, rounds: bool) -> NDArray[np.int64]:
    """Give a column as integers of 10^-decimals.

    A float stands for its shortest decimal form: k / 10^decimals, correctly rounded, is that very float.
    """
    values = np.asarray(column)[chosen]
    if values.dtype.kind in "iu":
        if len(values) and abs(values.astype(np.float64)).max() * 10.0**decimals > _RAW_MAX:
            raise DataError(f"the column {name!r} holds a value that is too large", reason="overflow")
        return values.astype(np.int64) * np.int64(10**decimals)
    if values.dtype.kind != "f":
        exact = [
            scaled(value, decimals, f"row {row}, {name}") for row, value in zip(chosen, values.tolist(), strict=True)
        ]
        return np.array(exact, dtype=np.int64)
    floats = values.astype(np.float64)
    if values.dtype.itemsize < 8:
        # A narrow float's shortest decimal form is not that of the wide float which equals it.
        floats = np.array([float(str(value)) for value in values], dtype=np.float64)
    missing = np.flatnonzero(~np.isfinite(floats))
    if len(missing):
        row = chosen[missing[0]]
        raise DataError(
            f"{floats[missing[0]]} is no finite number", place=f"row {row}, {name}", remedy="drop or fill such rows"
        )
    power = 10.0**decimals
    whole = np.rint(floats * power)
    large = np.flatnonzero(abs(whole) > _RAW_MAX)
    if len(large):
        raise DataError(f"{floats[large[0]]} is too large", reason="overflow", place=f"row {chosen[large[0]]}, {name}")
    off = np.flatnonzero((whole / power != floats) | (abs(whole) > _EXACT_MAX))
    result: NDArray[np.int64] = whole.astype(np.int64)
    for at in off if not rounds else ():
        result[at] = scaled(float(floats[at]), decimals, f"row {chosen[at]}, {name}")
    return result


def _sides(columns: _Columns, rows: int) -> NDArray[np.uint8]:
    sides = np.zeros(rows, dtype=np.uint8)
    if columns.has("side"):
        names = np.char.lower(np.asarray(columns.get("side")).astype(str))
        sides[(names == "buy") | (names == "b")] = Side.BUY
        sides[(names == "sell") | (names == "s")] = Side.SELL
        unknown = np.flatnonzero((sides == 0) & ~np.isin(names, ["none", "n", ""]))
        if len(unknown):
            raise DataError(
                f"{names[unknown[0]]!r} is no side", place=f"row {unknown[0]}", remedy="choices: buy, sell, none"
            )
    return sides
