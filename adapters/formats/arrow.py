"""Tables of Arrow to records: which columns are what, and numbers of any type on the instrument's scale.

May not live here: files (parquet, feather).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.columns import PRICES, SIZES, Columns, Numbers, dead_letters, decimals_of, make_records
from replay.adapters.zones import LocalTimes, is_utc
from replay.errors import ConfigError, DataError, UsageError, choose
from replay.feeds.format import Contents, Held, Piece, Request, RowKind, Scale, one_bar_length
from replay.records import BarPrice, Side
from replay.units import parse_duration

_NAMES: dict[str, tuple[str, ...]] = {
    "time": ("ts_event", "timestamp", "time", "datetime", "ts", "date", "open_time", "event_time"),
    "receive": ("ts_recv", "local_timestamp", "local_time", "receive_time"),
    "symbol": ("symbol", "instrument", "ticker", "pair"),
    "bid": ("bid", "bid_price"),
    "ask": ("ask", "ask_price"),
    "bid_size": ("bid_size", "bid_amount", "bid_qty", "bid_quantity"),
    "ask_size": ("ask_size", "ask_amount", "ask_qty", "ask_quantity"),
    "price": ("price", "px"),
    "size": ("size", "amount", "quantity", "qty"),
    "side": ("side", "buyer_maker", "is_buyer_maker"),
    "id": ("id", "trade_id"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
}
_DIGITS_UNITS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_FREQTRADE = re.compile(r"^([A-Z0-9]+(?:_[A-Z0-9]+){1,2})-(?:(\d+[mhdw])(?:-(\w+))?|trades)$")
_SIDES = {"buy": Side.BUY, "b": Side.BUY, "bid": Side.BUY, "sell": Side.SELL, "s": Side.SELL, "a": Side.SELL}


class ArrowOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column of each field, where it has another name than the usual ones.

    unit: of times that are integers, s, ms, us or ns; by default as the number of digits says.
    zone: of timestamps that name none.
    stamp: whether a bar's time is its start or its end.
    """

    time: str | None = None
    receive: str | None = None
    symbol: str | None = None
    bid: str | None = None
    ask: str | None = None
    bid_size: str | None = None
    ask_size: str | None = None
    price: str | None = None
    size: str | None = None
    side: str | None = None
    id: str | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    close: str | None = None
    volume: str | None = None
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str = "UTC"
    stamp: Literal["start", "end"] | None = None


class ArrowTable:
    """How the columns of one file become records: found by their names, unless options say otherwise."""

    def __init__(self, request: Request, names: Sequence[str]) -> None:
        self._request = request
        self._options: ArrowOptions = request.options
        self.place = str(request.path)
        self.columns = {field: name for field in _NAMES if (name := self._named(field, names)) is not None}
        self.named = _freqtrade(request.path)
        self.kind = self._kind(names)
        if "time" not in self.columns:
            raise ConfigError(
                f"none of the columns {', '.join(names)} is known as a time",
                place=self.place,
                remedy='name it: options = { time = ".." }, or --option time=..',
            )
        self.is_start = (self._options.stamp or ("start" if self.named else "end")) == "start"
        self.fields = [name for name in (*PRICES[self.kind], *SIZES[self.kind]) if name in self.columns]

    @property
    def used(self) -> list[str]:
        """The columns that are read."""
        wanted = ["time", "receive", "symbol", "side", "id", *self.fields]
        return list(dict.fromkeys(self.columns[field] for field in wanted if field in self.columns))

    def contents(self, batches: Iterator[Any], rows: int | None) -> Contents:
        """Say what the file holds, reading it once: symbols, decimals, the length of bars."""
        found: dict[str, list[list[Numbers]]] = {}
        scales: dict[str, tuple[int | None, int | None]] = {}
        steps = np.zeros(0, dtype=np.int64)
        has_sizes = all(name in self.columns for name in SIZES[self.kind])
        any_size = False
        for batch in batches:
            columns = self.read(batch, 0)
            if not len(steps) and len(columns.times_ns) > 1:
                steps = np.diff(columns.times_ns)
            for number, name in enumerate(columns.names):
                mine = (
                    np.ones(len(columns.times_ns), np.bool_) if columns.symbols is None else columns.symbols == number
                )
                parts = {field: numbers.part(mine) for field, numbers in columns.numbers.items()}
                any_size = any_size or any(not _is_absent(parts[field]) for field in SIZES[self.kind] if field in parts)
                found.setdefault(name, [])
                scales[name] = _wider(
                    scales.get(name, (0, 0)),
                    decimals_of([parts[field] for field in PRICES[self.kind] if field in parts]),
                    decimals_of([parts[field] for field in SIZES[self.kind] if field in parts]),
                )
        sizes: Literal["full", "none"] = "full" if has_sizes and any_size else "none"
        bars = [self._bar_ns(steps)] if self.kind == "bar" else []
        return Contents(
            instruments=[
                Held(
                    symbol=name,
                    kinds=[self.kind],
                    price_decimals=self._known(scales[name][0], "prices", name),
                    size_decimals=self._known(scales[name][1], "sizes", name) if sizes == "full" else 0,
                    sizes=sizes,
                    bar_price=self._request.price if self.kind == "bar" else None,
                )
                for name in found
                if self._request.symbol in (None, name)
            ],
            one_time="receive" not in self.columns,
            bar_lengths_ns=bars,
            rows=rows,
            notes=self._notes(sizes),
        )

    def pieces(self, batches: Iterator[Any], scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Make a piece of each batch of the file."""
        wanted = {name: scale for name, scale in scales.items() if self._request.symbol in (None, name)}
        bar_ns: int | None = None
        first_row = 0
        for batch in batches:
            if self.kind == "bar" and bar_ns is None and batch.num_rows:
                bar_ns = self._bar_ns(np.diff(self._times(batch, "time")[0]))
            columns = self.read(batch, bar_ns or 0)
            if all(field not in columns.numbers or _is_absent(columns.numbers[field]) for field in SIZES[self.kind]):
                columns.numbers = {name: it for name, it in columns.numbers.items() if name not in SIZES[self.kind]}
            made = make_records(columns, wanted, self.place, round_excess=self._request.round_excess)
            letters = dead_letters(made, self.place, first_row, lambda row, batch=batch: _row_text(batch, row))  # type: ignore[misc]
            left_out = {"not_named": made.not_named} if made.not_named else {}
            yield Piece(made.records, letters, batch.num_rows, left_out, made.rounded)
            first_row += batch.num_rows

    def read(self, batch: Any, bar_ns: int) -> Columns:
        """Take what is known from the columns of a batch; bars are put at their ends, `bar_ns` after their starts."""
        times_ns, bad = self._times(batch, "time")
        receive = self._times(batch, "receive") if "receive" in self.columns else None
        if receive is not None:
            bad = bad | receive[1]
        names, symbols = self._symbols(batch)
        return Columns(
            kind=self.kind,
            names=names,
            symbols=symbols,
            times_ns=times_ns + (bar_ns if self.kind == "bar" and self.is_start else 0),
            receive_ns=None if receive is None else receive[0],
            bad_times=bad if bad.any() else None,
            numbers={field: self._numbers(batch, field) for field in self.fields},
            ids=self._ids(batch),
            side=self._sides(batch) if self.kind == "trade" else self._bar_price(),
        )

    def _named(self, field: str, names: Sequence[str]) -> str | None:
        asked: str | None = getattr(self._options, field)
        if asked is not None:
            if asked not in names:
                raise ConfigError(f"there is no column {asked!r}", place=self.place, remedy=choose(asked, names))
            return asked
        by_lower = {name.lower(): name for name in names}
        return next((by_lower[name] for name in _NAMES[field] if name in by_lower), None)

    def _kind(self, names: Sequence[str]) -> RowKind:
        for kind, needed in (("bar", PRICES["bar"]), ("quote", PRICES["quote"]), ("trade", PRICES["trade"])):
            if all(field in self.columns for field in needed) and self._request.wants(kind):
                return kind  # type: ignore[return-value]
        raise ConfigError(
            f"the columns {', '.join(names)} tell neither quotes, trades nor bars",
            place=self.place,
            remedy='name them: options = { price = "px", size = "qty" }, or --option price=px',
        )

    def _bar_ns(self, steps: NDArray[np.int64]) -> int:
        found = None if self.named is None or self.named[1] is None else parse_duration(self.named[1])
        positive = steps[steps > 0]
        if found is None and len(positive):
            values, counts = np.unique(positive, return_counts=True)
            found = int(values[np.argmax(counts)])
        return one_bar_length(self._request, self._request.bar_ns or found, self.place)

    def _known(self, decimals: int | None, what: str, name: str) -> int:
        if decimals is not None:
            return decimals
        if self._request.round_excess:
            return 9
        raise DataError(
            f"the {what} of {name} are floats with more than 12 decimals",
            reason="excess_decimals",
            place=self.place,
            remedy='give the decimals of price and size, and excess_decimals = "round"',
        )

    def _notes(self, sizes: str) -> list[str]:
        used = ", ".join(f"{field} in {name!r}" for field, name in self.columns.items() if name in self.used)
        notes = [f"each row is a {self.kind}; {used}"]
        if self.kind == "bar":
            notes.append(f"a bar's time is its {'start' if self.is_start else 'end'}")
        return notes + (["there are no sizes"] if sizes == "none" else [])

    def _times(self, batch: Any, field: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        arrow = pyarrow()
        column = batch.column(self.columns[field])
        bad = np.asarray(column.is_null())
        kind = column.type
        if arrow.types.is_timestamp(kind) or arrow.types.is_date(kind):
            in_ns = column.cast(arrow.timestamp("ns", getattr(kind, "tz", None)))
            times_ns = plain(in_ns.cast(arrow.int64()), arrow)
            if getattr(kind, "tz", None) is None and not is_utc(self._options.zone):
                times_ns = LocalTimes(self._options.zone).to_utc(times_ns)
            return times_ns, bad
        if arrow.types.is_integer(kind):
            values = plain(column.cast(arrow.int64()), arrow)
            unit_ns = _UNIT_NS[self._options.unit] if self._options.unit else _unit_ns(values)
            return values * unit_ns, bad
        if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
            in_ns = column.cast(arrow.timestamp("ns", "UTC"))
            return plain(in_ns.cast(arrow.int64()), arrow), bad
        raise DataError(
            f"the time {self.columns[field]!r} is of the type {kind}",
            reason="wrong_format",
            place=self.place,
            remedy="write it as a timestamp, an integer since the epoch, or ISO text",
        )

    def _symbols(self, batch: Any) -> tuple[list[str], NDArray[np.int64] | None]:
        if "symbol" not in self.columns:
            symbol = self._request.symbol or (self.named[0] if self.named else None)
            if symbol is None:
                raise ConfigError(
                    "the file does not say whose rows these are", place=self.place, remedy='give the symbol: "BTCUSDT"'
                )
            return [symbol], None
        arrow = pyarrow()
        column = batch.column(self.columns["symbol"])
        encoded = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
        indices = plain(encoded.indices.fill_null(-1).cast(arrow.int64()), arrow)
        return [str(name) for name in encoded.dictionary.to_pylist()], indices

    def _numbers(self, batch: Any, field: str) -> Numbers:
        arrow = pyarrow()
        column = batch.column(self.columns[field])
        missing = np.asarray(column.is_null()) if column.null_count else None
        kind = column.type
        if arrow.types.is_decimal(kind):
            return Numbers(unscaled(column, arrow), kind.scale, missing)
        if arrow.types.is_integer(kind):
            return Numbers(plain(column.cast(arrow.int64()), arrow), 0, missing)
        if arrow.types.is_floating(kind):
            values = np.asarray(column.fill_null(0.0) if missing is not None else column)
            if values.dtype != np.float64:
                # A 32-bit float stands for its own shortest decimal, not for that of the 64-bit one it becomes.
                values = np.array([float(str(value)) for value in values], dtype=np.float64)
            return Numbers(values, 0, missing)
        if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
            return self._texts(column, field, missing)
        if arrow.types.is_null(kind):
            return Numbers(np.zeros(len(column)), 0, np.ones(len(column), np.bool_))
        raise DataError(
            f"the column {self.columns[field]!r} is of the type {kind}, which is no number",
            reason="wrong_format",
            place=self.place,
            remedy="name another column, or write it as a decimal, an integer, a float or text",
        )

    def _texts(self, column: Any, field: str, missing: NDArray[np.bool_] | None) -> Numbers:
        """Read decimal text exactly, on the scale of its longest fraction."""
        arrow = pyarrow()
        decimals = max((len(text.partition(".")[2]) for text in column.to_pylist() if text is not None), default=0)
        try:
            return Numbers(unscaled(column.cast(arrow.decimal128(38, decimals)), arrow), decimals, missing)
        except arrow.ArrowInvalid as error:
            raise DataError(
                f"the column {self.columns[field]!r} holds text that is no decimal number: {error}",
                reason="wrong_format",
                place=self.place,
                remedy="name another column",
            ) from None

    def _ids(self, batch: Any) -> NDArray[np.int64] | None:
        """Read trade ids that are numbers; texts of other kinds are not kept."""
        if self.kind != "trade" or "id" not in self.columns:
            return None
        arrow = pyarrow()
        column = batch.column(self.columns["id"])
        try:
            return plain(column.cast(arrow.int64()).fill_null(0), arrow)
        except arrow.ArrowInvalid:
            return None

    def _sides(self, batch: Any) -> NDArray[Any] | int:
        if "side" not in self.columns:
            return int(Side.NONE)
        arrow = pyarrow()
        name = self.columns["side"]
        column = batch.column(name)
        texts = column.cast(arrow.string()).dictionary_encode()
        is_maker = "maker" in name.lower()
        table = [self._side(str(text).lower(), name, is_maker) for text in texts.dictionary.to_pylist()]
        indices = plain(texts.indices.fill_null(len(table)).cast(arrow.int64()), arrow)
        return np.array([*table, int(Side.NONE)], dtype=np.uint8)[indices]

    def _side(self, text: str, name: str, is_maker: bool) -> int:
        if is_maker and text in ("true", "false"):
            return int(Side.SELL if text == "true" else Side.BUY)
        if text in ("", "none", "nan", "unknown"):
            return int(Side.NONE)
        if text not in _SIDES:
            raise DataError(
                f"{text!r} in column {name!r} is neither buy nor sell",
                reason="bad_side",
                place=self.place,
                remedy='name another column: options = { side = ".." }',
            )
        return int(_SIDES[text])

    def _bar_price(self) -> int:
        return int(BarPrice[self._request.price.upper()]) if self.kind == "bar" else 0


def pyarrow() -> Any:
    """Load pyarrow, with the modules that are used; raise UsageError that names the extra without it."""
    try:
        arrow = import_module("pyarrow")
        import_module("pyarrow.compute")
    except ImportError as error:
        raise UsageError(
            f"Parquet and Arrow files need pyarrow, which cannot be imported here ({error})",
            remedy="pip install 'tickreplay[parquet]'",
        ) from error
    return arrow


def plain(column: Any, arrow: Any) -> NDArray[np.int64]:
    """Return a column of 64-bit integers as an array; missing ones are 0."""
    return np.asarray(column.fill_null(0) if column.null_count else column, dtype=np.int64)


def unscaled(column: Any, arrow: Any) -> NDArray[np.int64]:
    """Return decimals as the integers that they are stored as."""
    wide = column.cast(arrow.decimal128(38, column.type.scale))
    halves = np.frombuffer(wide.buffers()[1], dtype=np.int64)
    start = wide.offset * 2
    pairs = halves[start : start + 2 * len(wide)].reshape(-1, 2)
    missing = np.asarray(wide.is_null())
    fits = (pairs[:, 0] >> 63) == pairs[:, 1]
    # What does not fit 64 bits is refused as too large by whoever scales it.
    return np.where(missing, 0, np.where(fits, pairs[:, 0], np.iinfo(np.int64).max))


def _unit_ns(values: NDArray[np.int64]) -> int:
    """Tell the unit of times by the number of their digits."""
    digits = len(str(int(values[0]))) if len(values) else 19
    return _DIGITS_UNITS[min(_DIGITS_UNITS, key=lambda length: abs(length - digits))]


def _wider(
    known: tuple[int | None, int | None], prices: int | None, sizes: int | None
) -> tuple[int | None, int | None]:
    return (
        None if known[0] is None or prices is None else max(known[0], prices),
        None if known[1] is None or sizes is None else max(known[1], sizes),
    )


def _is_absent(numbers: Numbers) -> bool:
    return numbers.missing is not None and bool(numbers.missing.all())


def _row_text(batch: Any, row: int) -> str:
    values = {name: batch.column(name)[row].as_py() for name in batch.schema.names}
    return msgspec.json.encode(values, enc_hook=str).decode()


def _freqtrade(path: Path) -> tuple[str, str | None] | None:
    """Read pair and timeframe from a name as freqtrade gives it: XRP_USDT_USDT-5m-futures is XRP/USDT:USDT."""
    match = _FREQTRADE.match(path.name.partition(".")[0])
    if match is None:
        return None
    if match[3] == "funding_rate":
        raise ConfigError(
            "holds funding rates, not prices", place=str(path), remedy="name the candles: ..-futures.feather"
        )
    base, quote, *settle = match[1].split("_")
    return f"{base}/{quote}" + (f":{settle[0]}" if settle else ""), match[2]
