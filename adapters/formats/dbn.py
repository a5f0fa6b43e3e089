"""Databento's binary encoding (DBN, versions 1 to 3): trades, quotes and bars of its market data schemas.

May not live here: how columns become records (columns), and decompression (zstd).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.columns import Columns, Made, Numbers, dead_letters, make_records
from replay.adapters.formats.zstd import open_zstd
from replay.errors import DataError
from replay.feeds.format import Contents, Held, NoOptions, Piece, Request, Scale, not_of_format
from replay.records import Side, joined

_PRICE_DECIMALS = 9
_UNDEFINED = np.iinfo(np.int64).max
_UNDEFINED_TIME = np.iinfo(np.uint64).max
_CHUNK_BYTES = 1 << 22
_METADATA_BYTES = 100
_DAY_NS = 86_400_000_000_000
_SCHEMA_TBBO = 3

_HEADER = [("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("id", "<u4"), ("ts_event", "<u8")]
_LEVEL = [
    ("bid", "<i8"), ("ask", "<i8"), ("bid_size", "<u4"), ("ask_size", "<u4"), ("bid_count", "<u4"),
    ("ask_count", "<u4"),
]  # fmt: skip
_TRADE = [
    *_HEADER, ("price", "<i8"), ("size", "<u4"), ("action", "S1"), ("side", "S1"), ("flags", "u1"), ("depth", "u1"),
    ("ts_recv", "<u8"), ("ts_in_delta", "<i4"), ("sequence", "<u4"),
]  # fmt: skip
_MBO = [
    *_HEADER, ("order", "<u8"), ("price", "<i8"), ("size", "<u4"), ("flags", "u1"), ("channel", "u1"), ("action", "S1"),
    ("side", "S1"), ("ts_recv", "<u8"), ("ts_in_delta", "<i4"), ("sequence", "<u4"),
]  # fmt: skip
_BAR = [*_HEADER, ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"), ("volume", "<u8")]

_LAYOUTS = {
    0x00: np.dtype(_TRADE),
    0x01: np.dtype([*_TRADE, *_LEVEL]),
    0x0A: np.dtype([*_TRADE, *_LEVEL]),  # the best of ten levels; the others follow it
    0xB1: np.dtype([*_TRADE, *_LEVEL]),
    0xC3: np.dtype([*_TRADE, *_LEVEL]),
    0xC4: np.dtype([*_TRADE, *_LEVEL]),
    0xA0: np.dtype(_MBO),
    0x20: np.dtype(_BAR),
    0x21: np.dtype(_BAR),
    0x22: np.dtype(_BAR),
    0x23: np.dtype(_BAR),
    0x24: np.dtype(_BAR),
}
"""The fields of a record by its type; a record may be longer."""

_TRADES = frozenset({0x00, 0x01, 0x0A, 0xA0, 0xB1})
_QUOTES = frozenset({0x01, 0x0A, 0xB1, 0xC3, 0xC4})
_SAMPLED = frozenset({0xC3, 0xC4})
"""Quotes that were taken once in an interval: the time of their last change may be none."""
_LENGTHS_NS = {0x20: 10**9, 0x21: 60 * 10**9, 0x22: 3_600 * 10**9, 0x23: _DAY_NS, 0x24: _DAY_NS}
_NAMES = {
    0x12: "status", 0x13: "definition", 0x14: "imbalance", 0x15: "error", 0x16: "symbol_mapping", 0x17: "system",
    0x18: "statistics",
}  # fmt: skip


class Interval(NamedTuple):
    """A time in which an instrument id stood for a symbol."""

    first_ns: int
    limit_ns: int
    symbol: str


class Metadata(NamedTuple):
    """What the head of a file says. intervals: by instrument id."""

    version: int
    dataset: str
    schema: int
    intervals: dict[int, list[Interval]]


class Dbn:
    """Files `.dbn` and `.dbn.zst` of the schemas trades, tbbo, mbp-1, mbp-10, bbo-1s, bbo-1m, mbo and ohlcv."""

    name = "dbn"
    summary = "Databento DBN 1-3: trades, tbbo, mbp-1, mbp-10 (best level), bbo, mbo (trades), ohlcv"
    suffixes = (".dbn", ".dbn.zst", ".dbn.zstd")
    options: type[msgspec.Struct] = NoOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know a file by its magic bytes."""
        return head.startswith(b"DBN") and len(head) > 3 and 1 <= head[3] <= 3

    def contents(self, request: Request) -> Contents:
        """Say what the file holds, reading it once: symbols, kinds, the decimals of prices."""
        with open_zstd(request.path) as file:
            metadata = _metadata(file, request)
            found: dict[str, dict[str, None]] = {}
            divisors: dict[str, int] = {}
            lengths: dict[int, None] = {}
            others: dict[str, None] = {}
            rows = 0
            for rtype, part in _runs(file, request):
                rows += len(part)
                if rtype not in _LAYOUTS:
                    others.setdefault(_NAMES.get(rtype, f"type {rtype:#04x}"))
                    continue
                lengths |= {_LENGTHS_NS[rtype]: None} if rtype in _LENGTHS_NS else {}
                names, codes = _symbols(part, metadata)
                for number, name in enumerate(names):
                    mine = part[codes == number]
                    found.setdefault(name, {}).update(dict.fromkeys(_kinds_of(rtype, mine)))
                    for field in ("price", "bid", "ask", "open", "high", "low", "close"):
                        if field in (part.dtype.names or ()):
                            values = mine[field][mine[field] != _UNDEFINED]
                            divisors[name] = int(np.gcd.reduce(values, initial=divisors.get(name, 0)))
        if not found:
            held = f"records of {' and '.join(others)} only" if others else "no records"
            raise DataError(
                f"holds {held}: there are no trades, quotes or bars",
                reason="empty",
                place=str(request.path),
                remedy="name a file of the schemas trades, tbbo, mbp-1, mbp-10, bbo, mbo or ohlcv",
            )
        instruments = [
            Held(
                symbol=name,
                kinds=[kind for kind in kinds if request.wants(kind)],
                price_decimals=_decimals(divisors.get(name, 0)),
                size_decimals=0,
                bar_price="trade" if "bar" in kinds and request.wants("bar") else None,
            )
            for name, kinds in found.items()
            if request.symbol in (None, name)
        ]
        return Contents(
            instruments=[held for held in instruments if held.kinds],
            one_time=all(held.kinds == ["bar"] for held in instruments),
            bar_lengths_ns=list(lengths),
            rows=rows,
            notes=[f"version {metadata.version}, {metadata.dataset}", *_notes(found)],
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the records in pieces."""
        wanted = {name: scale for name, scale in scales.items() if request.symbol in (None, name)}
        with open_zstd(request.path) as file:
            metadata = _metadata(file, request)
            lengths: dict[int, None] = {}
            first_row = 0
            for rtype, part in _runs(file, request):
                if rtype in _LENGTHS_NS:
                    lengths.setdefault(_LENGTHS_NS[rtype])
                yield _piece(rtype, part, metadata, request, wanted, first_row, list(lengths))
                first_row += len(part)


def _metadata(file: BinaryIO, request: Request) -> Metadata:
    """Read the head of a file: version, dataset, schema, and which instrument id is which symbol when."""
    place = str(request.path)
    head = file.read(8)
    if len(head) < 8 or head[:3] != b"DBN" or not 1 <= head[3] <= 3:
        raise not_of_format("dbn", f"it begins with {head[:4]!r}", place)
    version, length = head[3], struct.unpack("<I", head[4:])[0]
    data = file.read(length)
    if len(data) < max(length, _METADATA_BYTES):
        raise DataError("ends within its head", reason="truncated", place=place, remedy="copy the file again")
    dataset = data[:16].rstrip(b"\0").decode("ascii", "replace")
    schema = struct.unpack_from("<H", data, 16)[0]
    symbol_bytes = struct.unpack_from("<H", data, 45)[0] if version > 1 else 22
    try:
        intervals = _intervals(data, symbol_bytes)
    except (struct.error, ValueError) as error:
        raise DataError(f"its table of symbols cannot be read: {error}", reason="truncated", place=place) from None
    return Metadata(version, dataset, schema, intervals)


def _intervals(data: bytes, symbol_bytes: int) -> dict[int, list[Interval]]:
    at = _METADATA_BYTES
    at += 4 + struct.unpack_from("<I", data, at)[0]  # the definition of the schema: none so far
    for _ in range(3):  # symbols asked for, those found for a part of the time, and those not found
        at += 4 + symbol_bytes * struct.unpack_from("<I", data, at)[0]
    count = struct.unpack_from("<I", data, at)[0]
    at += 4
    found: dict[int, list[Interval]] = {}
    for _ in range(count):
        symbol = _text(data[at : at + symbol_bytes])
        at += symbol_bytes
        parts = struct.unpack_from("<I", data, at)[0]
        at += 4
        for _ in range(parts):
            first, limit = struct.unpack_from("<II", data, at)
            mapped = _text(data[at + 8 : at + 8 + symbol_bytes])
            at += 8 + symbol_bytes
            # One of the two is the id, the other the symbol, whichever way the data were asked for.
            number, name = (mapped, symbol) if mapped.isdecimal() else (symbol, mapped)
            if number.isdecimal():
                found.setdefault(int(number), []).append(Interval(_day_ns(first), _day_ns(limit), name))
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def _day_ns(number: int) -> int:
    day = date(number // 10_000, number // 100 % 100, number % 100)
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * _DAY_NS


def _runs(file: BinaryIO, request: Request) -> Iterator[tuple[int, NDArray[Any]]]:
    """Give runs of records of one type and length, as arrays of the fields that are known of the type."""
    held = b""
    rows = 0
    while True:
        data = file.read(_CHUNK_BYTES)
        held += data
        at = 0
        while len(held) - at >= 2 and held[at] and len(held) - at >= held[at] * 4:
            size, rtype = held[at] * 4, held[at + 1]
            count = (len(held) - at) // size
            table = np.frombuffer(held, np.uint8, count * size, at).reshape(count, size)
            others = np.flatnonzero((table[:, 0] != held[at]) | (table[:, 1] != rtype))
            count = int(others[0]) if len(others) else count
            known = _LAYOUTS.get(rtype, np.dtype(_HEADER))
            if known.itemsize > size:
                raise DataError(
                    f"a record of type {rtype:#x} has {size} bytes, and {known.itemsize} are known",
                    reason="wrong_format",
                    place=f"{request.path}, record {rows + 1}",
                )
            whole = np.dtype(
                {
                    "names": list(known.names or ()),
                    "formats": [known[name] for name in known.names or ()],
                    "offsets": [known.fields[name][1] for name in known.names or ()] if known.fields else [],
                    "itemsize": size,
                }
            )
            yield rtype, np.frombuffer(held, whole, count, at)
            rows += count
            at += count * size
        held = held[at:]
        if not data:
            if held:
                raise DataError(
                    f"ends within a record, {len(held)} bytes after the last whole one",
                    reason="truncated",
                    place=f"{request.path}, record {rows + 1}",
                    remedy="copy the file again",
                )
            return


def _symbols(part: NDArray[Any], metadata: Metadata) -> tuple[list[str], NDArray[np.int64]]:
    """Return the symbols of records, and the place of each record's symbol among them."""
    names: dict[str, int] = {}
    codes = np.zeros(len(part), dtype=np.int64)
    for number in np.unique(part["id"]).tolist():
        mine = part["id"] == number
        intervals = metadata.intervals.get(number, [])
        if len(intervals) <= 1:
            name = intervals[0].symbol if intervals else str(number)
            codes[mine] = names.setdefault(name, len(names))
            continue
        codes[mine] = names.setdefault(str(number), len(names))
        times_ns = part["ts_event"]
        for interval in intervals:
            inside = mine & (times_ns >= interval.first_ns) & (times_ns < interval.limit_ns)
            if inside.any():
                codes[inside] = names.setdefault(interval.symbol, len(names))
    return list(names), codes


def _kinds_of(rtype: int, part: NDArray[Any]) -> list[str]:
    if rtype in _LENGTHS_NS:
        return ["bar"]
    kinds = ["quote"] if rtype in _QUOTES else []
    has_trades = rtype in _TRADES and bool((part["action"] == b"T").any())
    return kinds + (["trade"] if has_trades or rtype in (0x00, 0xA0) else [])


def _decimals(divisor: int) -> int:
    decimals = _PRICE_DECIMALS
    while decimals > 0 and divisor and divisor % 10 == 0:
        divisor, decimals = divisor // 10, decimals - 1
    return decimals if divisor else 0


def _notes(found: Mapping[str, Mapping[str, None]]) -> list[str]:
    kinds = {kind for held in found.values() for kind in held}
    return ["bars stand at their end"] if "bar" in kinds else []


def _piece(
    rtype: int,
    part: NDArray[Any],
    metadata: Metadata,
    request: Request,
    scales: Mapping[str, Scale],
    first_row: int,
    lengths: list[int],
) -> Piece:
    count = len(part)
    if rtype not in _LAYOUTS:
        return Piece(joined([]), (), count, {_NAMES.get(rtype, f"type_{rtype:#04x}"): count})
    place = str(request.path)
    names, codes = _symbols(part, metadata)
    parts: list[tuple[Made, NDArray[np.int64]]] = []
    left_out: dict[str, int] = {}
    rows = np.arange(count)
    if rtype in _LENGTHS_NS and request.wants("bar"):
        bars = _bars(rtype, part, names, codes, lengths)
        parts.append((make_records(bars, scales, place, round_excess=request.round_excess), rows))
    if rtype in _QUOTES and request.wants("quote"):
        quotes = _quotes(rtype, part, names, codes)
        parts.append((make_records(quotes, scales, place, round_excess=request.round_excess), rows))
    if rtype in _TRADES and request.wants("trade"):
        is_trade = part["action"] == b"T"
        trades = _trades(part[is_trade], names, codes[is_trade])
        parts.append((make_records(trades, scales, place, round_excess=request.round_excess), rows[is_trade]))
        if rtype not in _QUOTES and not is_trade.all():
            left_out["orders"] = count - int(np.count_nonzero(is_trade))
    dead = []
    for made, own_rows in parts:
        named = [(int(own_rows[row]), reason, field) for row, reason, field in made.dead]
        dead += dead_letters(made._replace(dead=named), place, first_row, lambda row: repr(part[row].tolist()))
    # Of one record, a trade comes before the quote that it leaves; in tbbo the quote is the one before the trade.
    order = [own_rows[made.rows] * 2 for made, own_rows in parts]
    if len(parts) == 2 and metadata.schema != _SCHEMA_TBBO:
        order[0] = order[0] + 1
    records = joined([made.records for made, _ in parts])
    if len(parts) == 2:
        records = records[np.argsort(np.concatenate(order), kind="stable")]
    not_named = parts[0][0].not_named if parts else 0
    if not_named:
        left_out["not_named"] = not_named
    return Piece(records, dead, count, left_out, sum(made.rounded for made, _ in parts))


def _prices(values: NDArray[Any]) -> Numbers:
    is_missing = values == _UNDEFINED
    return Numbers(np.where(is_missing, 0, values), _PRICE_DECIMALS, is_missing if is_missing.any() else None)


def _sizes(values: NDArray[Any]) -> Numbers:
    # A volume of 64 bits that does not fit is refused as too large.
    return Numbers(np.minimum(values.astype(np.uint64), np.uint64(_UNDEFINED)).astype(np.int64))


def _trades(part: NDArray[Any], names: list[str], codes: NDArray[np.int64]) -> Columns:
    sides = np.where(
        part["side"] == b"B", int(Side.BUY), np.where(part["side"] == b"A", int(Side.SELL), int(Side.NONE))
    )
    return Columns(
        kind="trade",
        names=names,
        symbols=codes,
        times_ns=part["ts_event"].astype(np.int64),
        receive_ns=part["ts_recv"].astype(np.int64),
        numbers={"price": _prices(part["price"]), "size": _sizes(part["size"])},
        side=sides.astype(np.uint8),
    )


def _quotes(rtype: int, part: NDArray[Any], names: list[str], codes: NDArray[np.int64]) -> Columns:
    numbers: dict[str, Numbers] = {}
    for side in ("bid", "ask"):
        # A side without a price is absent, which its size of 0 says.
        is_absent = part[side] == _UNDEFINED
        numbers[side] = Numbers(np.where(is_absent, 0, part[side]), _PRICE_DECIMALS)
        numbers[f"{side}_size"] = Numbers(np.where(is_absent, 0, part[f"{side}_size"]).astype(np.int64))
    times = part["ts_event"]
    if rtype in _SAMPLED:
        times = np.where(times == _UNDEFINED_TIME, part["ts_recv"], times)
    return Columns(
        kind="quote",
        names=names,
        symbols=codes,
        times_ns=times.astype(np.int64),
        receive_ns=part["ts_recv"].astype(np.int64),
        numbers=numbers,
    )


def _bars(rtype: int, part: NDArray[Any], names: list[str], codes: NDArray[np.int64], lengths: list[int]) -> Columns:
    return Columns(
        kind="bar",
        names=names,
        symbols=codes,
        times_ns=part["ts_event"].astype(np.int64) + _LENGTHS_NS[rtype],
        numbers={name: _prices(part[name]) for name in ("open", "high", "low", "close")}
        | {"volume": _sizes(part["volume"])},
        bar_index=lengths.index(_LENGTHS_NS[rtype]),
    )


FORMAT = Dbn()
