"""Parquet, both ways: tapes as archives that every tool reads, and tables of others with a time and prices.

May not live here: which column of a foreign table is what (replay.adapters.formats.arrow).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.arrow import ArrowOptions, ArrowTable, plain, pyarrow, unscaled
from replay.errors import DataError, JournalError, UsageError
from replay.feeds.format import Contents, Held, Piece, Request, Scale, not_of_format
from replay.feeds.tape import KIND_NAMES, TapeHeader
from replay.records import BarPrice, Kind, Side, empty, joined

_ROW_GROUP = 1 << 16
_HEADER_KEY = b"replay.tape"
_LARGEST = 10**18
"""A decimal of 18 digits is stored as a 64-bit integer; a larger number is not written."""

_PRICED: dict[Kind, dict[str, str]] = {
    Kind.QUOTE: {"a": "bid", "b": "ask"},
    Kind.TRADE: {"a": "price"},
    Kind.BAR: {"a": "open", "b": "high", "c": "low", "d": "close"},
    Kind.BOOK: {"a": "price"},
    Kind.ORDER: {"a": "price"},
}
_SIZED: dict[Kind, dict[str, str]] = {
    Kind.QUOTE: {"c": "bid_size", "d": "ask_size"},
    Kind.TRADE: {"b": "size"},
    Kind.BAR: {"e": "volume"},
    Kind.BOOK: {"b": "size"},
    Kind.ORDER: {"b": "size"},
}
_PLAIN: dict[Kind, dict[str, str]] = {Kind.TRADE: {"c": "id"}, Kind.ORDER: {"c": "id"}}
_SIDES = [side.name.lower() for side in Side]
_BAR_PRICES = [price.name.lower() for price in BarPrice]


class Parquet:
    """A tape as a table, with exact decimals, its header in the file's metadata; or a table of somebody else."""

    name = "parquet"
    summary = "Parquet: tapes (both ways), and other tables"
    suffixes = (".parquet", ".pq")
    options: type[msgspec.Struct] = ArrowOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by its magic number."""
        return head.startswith(b"PAR1")

    def contents(self, request: Request) -> Contents:
        """Say what the file holds: a tape by its header, another table by reading it once."""
        file = _open(request)
        header = _header(file, request)
        if header is None:
            table = ArrowTable(request, file.schema_arrow.names)
            return table.contents(file.iter_batches(_ROW_GROUP, columns=table.used), file.metadata.num_rows)
        return Contents(
            instruments=[
                Held(
                    symbol=entry.symbol,
                    kinds=[kind for kind in entry.kinds if request.wants(kind)],
                    price_decimals=entry.price_decimals,
                    size_decimals=entry.size_decimals,
                    sizes=entry.sizes,
                    bar_price=entry.bar_price or None,
                )
                for entry in header.instruments
                if request.symbol in (None, entry.symbol)
            ],
            one_time=header.one_time,
            bar_lengths_ns=header.bar_lengths_ns,
            rows=file.metadata.num_rows,
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces."""
        file = _open(request)
        header = _header(file, request)
        if header is None:
            table = ArrowTable(request, file.schema_arrow.names)
            return table.pieces(file.iter_batches(_ROW_GROUP, columns=table.used), scales)
        return (_piece(batch, header, request, scales) for batch in file.iter_batches(_ROW_GROUP))

    def writer(self, path: Path, header: TapeHeader) -> ParquetWriter:
        """Begin a file for records that a header describes."""
        return ParquetWriter(path, header)


class ParquetWriter:
    """Writes records as rows: times, symbol, kind, and a column for each field that the kinds have.

    Prices and sizes are decimals of the finest instrument's scale, stored as integers and packed by their differences.
    """

    def __init__(self, path: Path, header: TapeHeader) -> None:
        self._path = path
        self._header = header
        self._kinds = _kinds_of(header)
        self._price_decimals = max((entry.price_decimals for entry in header.instruments), default=0)
        self._size_decimals = max((entry.size_decimals for entry in header.instruments), default=0)
        self._held: list[NDArray[Any]] = []
        self._rows = 0
        self._part = path.with_name(path.name + ".part")
        arrow = pyarrow()
        self._schema = _schema(self._kinds, self._price_decimals, self._size_decimals, arrow)
        texts = [name for name in self._schema.names if arrow.types.is_dictionary(self._schema.field(name).type)]
        try:
            self._writer = import_module("pyarrow.parquet").ParquetWriter(
                str(self._part),
                self._schema,
                compression="zstd",
                compression_level=3,
                use_dictionary=texts,
                column_encoding={name: "DELTA_BINARY_PACKED" for name in self._schema.names if name not in texts},
                store_decimal_as_integer=True,
                store_schema=True,
            )
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror or error}", place=str(path)) from None

    def append(self, records: NDArray[Any]) -> int:
        """Take records; whole row groups are written."""
        self._held.append(records.copy())
        self._rows += len(records)
        while sum(map(len, self._held)) >= _ROW_GROUP:
            together = joined(self._held)
            self._write(together[:_ROW_GROUP])
            self._held = [together[_ROW_GROUP:]]
        return len(records)

    def close(self) -> None:
        """Write the last row group and the header; the file gets its name."""
        rest = joined(self._held)
        if len(rest):
            self._write(rest)
        header = msgspec.structs.replace(self._header, rows=self._rows)
        self._writer.add_key_value_metadata({_HEADER_KEY: msgspec.json.encode(header)})
        try:
            self._writer.close()
            self._part.replace(self._path)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror or error}", place=str(self._path)) from None

    def abandon(self) -> None:
        """Throw the file away."""
        with contextlib.suppress(OSError):
            self._writer.close()
        self._part.unlink(missing_ok=True)

    def _write(self, records: NDArray[Any]) -> None:
        arrow = pyarrow()
        arrays = {name: self._column(name, records, arrow) for name in self._schema.names}
        batch = arrow.record_batch(list(arrays.values()), schema=self._schema)
        try:
            self._writer.write_batch(batch, row_group_size=_ROW_GROUP)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror or error}", place=str(self._path)) from None

    def _column(self, name: str, records: NDArray[Any], arrow: Any) -> Any:
        kind = self._schema.field(name).type
        if name in ("ts_event", "ts_recv"):
            return arrow.array(records[name].astype(np.int64)).cast(arrow.timestamp("ns")).cast(kind)
        if name == "symbol":
            symbols = [entry.symbol for entry in self._header.instruments]
            has_one = (records["kind"] != Kind.CLOCK) & (records["kind"] != Kind.COMMAND)
            codes = np.where(has_one, records["instrument"], 0).astype(np.int32)
            return _dictionary(codes, symbols, arrow, ~has_one)
        if name == "kind":
            names = [KIND_NAMES.get(number, "") for number in range(max(KIND_NAMES) + 1)]
            return _dictionary(records["kind"].astype(np.int32), names, arrow)
        if name in ("side", "bar_price"):
            is_bar = records["kind"] == Kind.BAR
            texts = _BAR_PRICES if name == "bar_price" else _SIDES
            absent = ~is_bar if name == "bar_price" else is_bar
            return _dictionary(np.where(absent, 0, records["side"]).astype(np.int32), texts, arrow, absent)
        if name == "flags":
            return arrow.array(records["flags"].astype(np.int32))
        if name == "bar_length_ns":
            is_bar = records["kind"] == Kind.BAR
            lengths = np.array([*self._header.bar_lengths_ns, 0], dtype=np.int64)
            places = np.minimum(records["flags"] & 0xFF, len(lengths) - 1)
            return arrow.array(np.where(is_bar, lengths[places], 0), mask=~is_bar)
        return self._field(name, records, kind, arrow)

    def _field(self, name: str, records: NDArray[Any], kind: Any, arrow: Any) -> Any:
        values = np.zeros(len(records), dtype=np.int64)
        absent = np.ones(len(records), dtype=np.bool_)
        for record_kind in self._kinds:
            for tables, decimals in ((_PRICED, self._price_decimals), (_SIZED, self._size_decimals), (_PLAIN, None)):
                for field, column in tables.get(record_kind, {}).items():
                    if column != name:
                        continue
                    mine = records["kind"] == record_kind
                    values[mine] = self._scaled_up(records[mine], field, decimals, priced=tables is _PRICED)
                    absent[mine] = False
        if name in "abcde":
            # What no column is named after, so that nothing of any record is lost.
            values = records[name].astype(np.int64)
            for named in self._kinds:
                if any(name in tables.get(named, {}) for tables in (_PRICED, _SIZED, _PLAIN)):
                    values[records["kind"] == named] = 0
            absent = values == 0
        if arrow.types.is_decimal(kind):
            return _decimals(values, absent, kind, arrow)
        return arrow.array(values, mask=absent)

    def _scaled_up(self, records: NDArray[Any], field: str, decimals: int | None, *, priced: bool) -> NDArray[np.int64]:
        raw: NDArray[np.int64] = records[field].astype(np.int64)
        if decimals is None or not len(raw):
            return raw
        own = [entry.price_decimals if priced else entry.size_decimals for entry in self._header.instruments]
        factors = np.array([10 ** (decimals - one) for one in own], dtype=np.int64)[records["instrument"]]
        if bool((np.abs(raw) >= _LARGEST // factors).any()):
            raise DataError(
                f"a number has more than 18 digits at {decimals} decimals",
                reason="overflow",
                place=str(self._path),
                remedy="write instruments of such different scales to files of their own (--symbol), or a tape (.npy)",
            )
        scaled: NDArray[np.int64] = raw * factors
        return scaled


def _open(request: Request) -> Any:
    arrow = pyarrow()
    try:
        return import_module("pyarrow.parquet").ParquetFile(str(request.path), memory_map=True)
    except (arrow.ArrowInvalid, OSError) as error:
        raise not_of_format("parquet", str(error).splitlines()[0], str(request.path)) from None


def _header(file: Any, request: Request) -> TapeHeader | None:
    """Read the header of a tape, None for the table of somebody else."""
    text = (file.metadata.metadata or {}).get(_HEADER_KEY)
    if text is None:
        return None
    if request.options != ArrowOptions():
        raise UsageError(f"{request.path.name} is a tape, which knows its columns", remedy="leave out the options")
    try:
        return msgspec.json.decode(text, type=TapeHeader)
    except msgspec.MsgspecError as error:
        raise DataError(f"its header is none of a tape: {error}", place=str(request.path)) from None


def _kinds_of(header: TapeHeader) -> list[Kind]:
    """List the kinds of records that are to be expected: those of the header, else all of them."""
    named = {kind for entry in header.instruments for kind in entry.kinds}
    return [kind for kind in Kind if KIND_NAMES[kind] in named] if named else list(Kind)


def _schema(kinds: list[Kind], price_decimals: int, size_decimals: int, arrow: Any) -> Any:
    text = arrow.dictionary(arrow.int32(), arrow.string())
    fields = {
        "ts_event": arrow.timestamp("ns", "UTC"),
        "ts_recv": arrow.timestamp("ns", "UTC"),
        "symbol": text,
        "kind": text,
    }
    for kind in kinds:
        fields |= {name: arrow.decimal128(18, price_decimals) for name in _PRICED.get(kind, {}).values()}
        fields |= {name: arrow.decimal128(18, size_decimals) for name in _SIZED.get(kind, {}).values()}
        fields |= {name: arrow.int64() for name in _PLAIN.get(kind, {}).values()}
    if set(kinds) - {Kind.QUOTE, Kind.BAR}:
        fields["side"] = text
    if Kind.BAR in kinds:
        fields |= {"bar_length_ns": arrow.int64(), "bar_price": text}
    # Clock beats, commands and kinds without named fields may stand on any tape.
    fields |= {name: arrow.int64() for name in "abcde"} | {"flags": arrow.int32()}
    return arrow.schema(list(fields.items()))


def _dictionary(codes: NDArray[np.int32], texts: list[str], arrow: Any, absent: NDArray[np.bool_] | None = None) -> Any:
    return arrow.DictionaryArray.from_arrays(arrow.array(codes, mask=absent), arrow.array(texts, arrow.string()))


def _decimals(values: NDArray[np.int64], absent: NDArray[np.bool_], kind: Any, arrow: Any) -> Any:
    wide = np.empty((len(values), 2), dtype=np.int64)
    wide[:, 0] = values
    wide[:, 1] = values >> 63
    valid = arrow.py_buffer(np.packbits(~absent, bitorder="little").tobytes()) if absent.any() else None
    return arrow.Decimal128Array.from_buffers(kind, len(values), [valid, arrow.py_buffer(wide.tobytes())])


def _piece(batch: Any, header: TapeHeader, request: Request, scales: Mapping[str, Scale]) -> Piece:
    """Make records of a tape's rows as they were, on the scales that are asked for."""
    arrow = pyarrow()
    names = batch.schema.names
    count = batch.num_rows
    records = empty(count)
    for name in ("ts_event", "ts_recv"):
        records[name] = plain(batch.column(name).cast(arrow.int64()), arrow)
    records["kind"] = _codes(batch.column("kind"), list(KIND_NAMES.values()), arrow, list(KIND_NAMES))
    records["flags"] = plain(batch.column("flags").cast(arrow.int64()), arrow)
    symbols = [entry.symbol for entry in header.instruments]
    unknown = len(symbols)
    places = _codes(batch.column("symbol"), symbols, arrow, list(range(unknown)), unknown)
    wanted = [scales.get(name) if request.symbol in (None, name) else None for name in symbols]
    for name, texts in (("side", _SIDES), ("bar_price", _BAR_PRICES)):
        if name in names:
            codes = _codes(batch.column(name), texts, arrow, list(range(len(texts))))
            is_mine = records["kind"] == Kind.BAR if name == "bar_price" else records["kind"] != Kind.BAR
            records["side"] = np.where(is_mine, codes, records["side"])
    for name in "abcde":
        if batch.column(name).null_count < count:
            records[name] = plain(batch.column(name), arrow)
    known = _kinds_of(header)
    for tables, key in ((_PRICED, "price_decimals"), (_SIZED, "size_decimals"), (_PLAIN, "")):
        for kind, fields in tables.items():
            if kind not in known:
                continue
            mine: Any = records["kind"] == kind
            if mine.all():
                mine = slice(None)  # a copy less for tapes of one kind
            elif not mine.any():
                continue
            for field, column in fields.items():
                if column not in names:
                    continue
                values = batch.column(column)
                if key:
                    raw = unscaled(values, arrow)[mine]
                    records[field][mine] = _scaled_down(raw, values.type.scale, places[mine], wanted, key, request)
                else:
                    records[field][mine] = plain(values, arrow)[mine]
    of_market = (records["kind"] != Kind.CLOCK) & (records["kind"] != Kind.COMMAND)
    indices = np.array([-1 if scale is None else scale.index for scale in [*wanted, None]], dtype=np.int64)[places]
    kept = ~of_market | (indices >= 0)
    if request.records is not None:
        kept &= records["kind"] == Kind[request.records.upper()]
    records["instrument"] = np.where(of_market, np.maximum(indices, 0), 0)
    left_out = count - int(np.count_nonzero(kept))
    return Piece(records[kept] if left_out else records, (), count, {"not_wanted": left_out} if left_out else {})


def _codes(column: Any, texts: list[str], arrow: Any, codes: list[int], absent: int = 0) -> NDArray[np.int64]:
    """Return the code of each text of a column; `absent` where there is none."""
    encoded = column if arrow.types.is_dictionary(column.type) else column.dictionary_encode()
    known = dict(zip(texts, codes, strict=True))
    table = [known.get(text, absent) for text in encoded.dictionary.to_pylist()]
    indices = plain(encoded.indices.fill_null(len(table)).cast(arrow.int64()), arrow)
    return np.array([*table, absent], dtype=np.int64)[indices]


def _scaled_down(
    raw: NDArray[np.int64],
    decimals: int,
    places: NDArray[np.int64],
    scales: list[Scale | None],
    key: str,
    request: Request,
) -> NDArray[np.int64]:
    """Bring numbers of the file's scale to those of their instruments."""
    result = np.zeros(len(raw), dtype=np.int64)
    found = np.flatnonzero(np.bincount(places, minlength=1))
    for place in found.tolist():
        scale = scales[place] if place < len(scales) else None
        if scale is None:
            continue
        mine: Any = slice(None) if len(found) == 1 else places == place
        wanted: int = getattr(scale, key)
        factor = 10 ** abs(decimals - wanted)
        if wanted >= decimals:
            result[mine] = raw[mine] * factor
            continue
        quotient, rest = np.divmod(raw[mine], factor)
        if rest.any() and not request.round_excess:
            raise DataError(
                f"a number has more than the {wanted} decimals of its instrument",
                reason="excess_decimals",
                place=str(request.path),
                remedy=f'set {key} of the instrument, or excess_decimals = "round" for the feed',
            )
        half = rest * 2
        result[mine] = quotient + ((half > factor) | ((half == factor) & (quotient % 2 == 1)))
    return result


FORMAT = Parquet()
