"""Text formats: rows of known columns, decoded exactly by the engine's CSV decoder, with local times put into UTC.

May not live here: one format's own columns, and text whose columns a run file names (replay.adapters.csv).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray

from replay.adapters.engine import engine
from replay.adapters.source import Source
from replay.adapters.text import CHUNK_BYTES, dead_letters, located
from replay.adapters.zones import LocalTimes, is_utc
from replay.errors import ConfigError, DataError, ReplayError
from replay.feeds.format import Contents, Held, NoOptions, Piece, Request, RowKind, Scale
from replay.records import from_bytes

HEAD_BYTES = 1 << 16
_SYMBOLS_MAX = 100_000

Read = Callable[[int], bytes]


class TextTable(msgspec.Struct, frozen=True, kw_only=True):
    """How the lines of a text become records of one kind.

    columns: what each column is, in order: time, receive, symbol, or a field of the kind; any other name is not read.
    skip_lines: lines before the first row.
    symbol: of all rows; None where the column `symbol` says it.
    unit, receive_unit: of times: s, ms, us, ns, or iso text.
    day_ns: added to times as they stand in the text (which count from a midnight), before the zone.
    zone: the zone of the times; UTC needs no conversion.
    bar_ns, bar_index, price: of bars; their times are starts unless `stamp` says end.
    scales: the decimals of fields that are integers on a scale.
    fields: the column of a field that has another name than its own.
    rewrite: changes whole lines before they are decoded; it keeps their number.
    negative: prices at and below zero are no error.
    """

    records: RowKind
    columns: list[str]
    skip_lines: int = 0
    delimiter: str = ","
    symbol: str | None = None
    unit: Literal["s", "ms", "us", "ns", "iso"] = "iso"
    receive_unit: Literal["s", "ms", "us", "ns", "iso"] = "iso"
    day_ns: int = 0
    zone: str = "UTC"
    bar_ns: int = 0
    bar_index: int = 0
    price: Literal["trade", "bid", "ask", "mid"] = "trade"
    stamp: Literal["start", "end"] = "start"
    scales: dict[str, int] = {}
    sizes: Literal["full", "none"] = "full"
    fields: dict[str, str] = {}
    rewrite: Callable[[bytes], bytes] | None = None
    negative: bool = False


class TextFormat(ABC):
    """Base of formats whose file is one table: give the name, `sniff` and `table`; contents and rows follow."""

    name = ""
    summary = ""
    suffixes: tuple[str, ...] = ()
    options: type[msgspec.Struct] = NoOptions

    @abstractmethod
    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether a file is surely of this format."""

    @abstractmethod
    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Say how the rows are read; `lines` are the first ones."""

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say what was assumed, for people."""
        return []

    def contents(self, request: Request) -> Contents:
        """Say what the file holds: the table's symbol, or those of its column."""
        table = self.table(request, first_lines(request.path))
        check_kind(self.name, request, table.records)
        if table.symbol is not None:
            symbols = [table.symbol]
        else:
            symbols = symbols_of(request.path, table)
            if request.symbol is not None:
                symbols = [symbol for symbol in symbols if symbol == request.symbol]
        return Contents(
            instruments=[
                Held(
                    symbol=symbol,
                    kinds=[table.records],
                    sizes=table.sizes,
                    bar_price=table.price if table.records == "bar" else None,
                )
                for symbol in symbols
            ],
            one_time="receive" not in table.columns,
            bar_lengths_ns=[table.bar_ns] if table.records == "bar" else [],
            notes=self.notes(request, table),
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces."""
        table = self.table(request, first_lines(request.path))
        check_kind(self.name, request, table.records)
        with Source(request.path) as source:
            yield from decoded(source.read, table, request, scales, str(request.path))


def decoded(read: Read, table: TextTable, request: Request, scales: Mapping[str, Scale], place: str) -> Iterator[Piece]:
    """Decode text, whose bytes `read` gives, as a table says; `place` names the file in errors and dead letters.

    Raises DataError for a number with more decimals than its instrument, unless the request rounds them.
    """
    wanted = {symbol: scale for symbol, scale in scales.items() if request.symbol in (None, symbol)}
    times = _Times(table)
    decoder = engine().CsvDecoder(_layout(table, request, wanted))
    # The decoder's first line is a header of ours; where the file has none, the file's lines count one less.
    extra_lines = 1 - table.skip_lines
    with _in_file(place, extra_lines):
        decoder.feed((table.delimiter.join(table.columns) + "\n").encode())
    read = _rest(read, _skip_lines(read, table.skip_lines))
    if table.rewrite is not None:
        read = _rewritten(read, table.rewrite)
    before: dict[str, int] = {}
    is_open = True
    while is_open:
        data = read(CHUNK_BYTES - decoder.pending)
        is_open = bool(data)
        with _in_file(place, extra_lines):
            made, dead = decoder.feed(data) if data else decoder.finish()
        counters = decoder.counters()
        rows = counters.get("rows", 0) - before.get("rows", 0)
        rounded = counters.get("rounded", 0) - before.get("rounded", 0)
        before = counters
        unnamed = [row for row in dead if row[0] == "unknown_symbol"]
        lost = [(reason, line - extra_lines, column, raw) for reason, line, column, raw in dead]
        letters = dead_letters([row for row in lost if row[0] != "unknown_symbol"], place)
        records = from_bytes(made)
        if len(records):
            times.convert(records)
        if rows or len(records):
            yield Piece(records, letters, rows, {"not_named": len(unnamed)} if unnamed else {}, rounded)


def first_lines(path: Path, count: int = 20) -> list[str]:
    """Read the first lines of a text file, inflated if it is gzip. Raises DataError where it is empty."""
    with Source(path) as source:
        return lines_of(source.read(HEAD_BYTES), str(path), count)


def lines_of(head: bytes, place: str, count: int = 20) -> list[str]:
    """Return the first lines of a text's beginning, a byte-order mark left out."""
    text = head.decode("utf-8-sig", "replace")
    if not text.strip():
        raise DataError("the file is empty", reason="empty", place=place)
    return text.splitlines()[:count]


def header_of(head: bytes) -> list[str]:
    """Return the first line's fields, for `sniff`."""
    line = head[:4096].partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    return [name.strip() for name in line.split(",")]


def columns_by_name(names: list[str], known: Mapping[str, str]) -> list[str]:
    """Name each column of a header by what it is to us; one that is nothing gets a name that nothing reads."""
    return [known.get(name.strip().lower(), f"-{place}") for place, name in enumerate(names)]


def symbols_of(path: Path, table: TextTable) -> list[str]:
    """List what stands in the column `symbol`, in the order of first appearance."""
    place = table.columns.index("symbol")
    found: dict[str, None] = {}
    with Source(path) as source:
        held = _skip_lines(source.read, table.skip_lines)
        while True:
            data = source.read(CHUNK_BYTES)
            whole, _, rest = (held + data).rpartition(b"\n") if data else (held, b"", b"")
            for line in whole.splitlines():
                fields = line.split(table.delimiter.encode(), place + 1)
                if len(fields) > place:
                    found.setdefault(fields[place].strip().strip(b'"').decode("utf-8", "replace"))
            if len(found) > _SYMBOLS_MAX:
                raise DataError(f"more than {_SYMBOLS_MAX} symbols in column {place + 1}", place=str(path))
            if not data:
                return [symbol for symbol in found if symbol]
            held = rest


def check_kind(name: str, request: Request, *kinds: str) -> None:
    """Raise ConfigError where the kind of records that is asked for is none that the file has."""
    if request.records is not None and request.records not in kinds:
        raise ConfigError(
            f"the file has {' and '.join(kinds)} records, not {request.records}s",
            place=str(request.path),
            remedy=f'leave out records = "{request.records}", or name another file of the format {name!r}',
        )


def needed_symbol(request: Request, found: str | None = None) -> str:
    """Return the symbol of all rows: as asked, else as the file's name says. Raises ConfigError without either."""
    symbol = request.symbol or found
    if not symbol:
        raise ConfigError(
            "the file does not say whose rows these are", place=str(request.path), remedy='give the symbol: "EURUSD"'
        )
    return symbol


def day_ns_of(text: str, place: str) -> int:
    """Return a day (20131007 or 2013-10-07) as ns from the epoch to its midnight, whatever the zone."""
    digits = text.replace("-", "")
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise ConfigError(f"{text!r} is no date", place=place, remedy='write it as "2013-10-07"') from None
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000_000_000


class _Times:
    """Puts the times of a table's rows into UTC, and bars at their ends."""

    def __init__(self, table: TextTable) -> None:
        self._table = table
        try:
            self._zone = None if is_utc(table.zone) else LocalTimes(table.zone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(
                f"there is no time zone {table.zone!r}", remedy="use a name such as 'America/New_York'"
            ) from None
        self._one_time = "receive" not in table.columns
        self._shift_ns = table.bar_ns if table.records == "bar" and table.stamp == "start" else 0

    def convert(self, records: NDArray[Any]) -> None:
        """Convert the times of records in place."""
        if self._zone is None and not self._table.day_ns and not self._shift_ns:
            return
        times_ns = records["ts_event"] + self._table.day_ns
        if self._zone is not None:
            times_ns = self._zone.to_utc(times_ns)
        records["ts_event"] = times_ns + self._shift_ns
        if self._one_time:
            records["ts_recv"] = records["ts_event"]


class _in_file:
    """Puts the file's name before an error's place, and counts its lines as the file does."""

    def __init__(self, place: str, extra_lines: int) -> None:
        self._located = located(place)
        self._extra_lines = extra_lines

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ReplayError) and error.place:
            error.place = re.sub(
                r"^line (\d+)", lambda match: f"line {int(match[1]) - self._extra_lines}", error.place, count=1
            )
        self._located.__exit__(kind, error, traceback)


def _skip_lines(read: Read, count: int) -> bytes:
    """Read past some lines; return what was read beyond them."""
    data = b""
    for _ in range(count):
        while b"\n" not in data:
            more = read(HEAD_BYTES)
            if not more:
                return b""
            data += more
        data = data.partition(b"\n")[2]
    return data


def _rest(read: Read, data: bytes) -> Read:
    """Give what was read already, then go on."""
    held = [data]

    def read_rest(size: int) -> bytes:
        return (held.pop() if held else b"") or read(size)

    return read_rest


def _rewritten(read: Read, rewrite: Callable[[bytes], bytes]) -> Read:
    """Give whole lines, each rewritten."""
    held = b""
    is_open = True

    def read_lines(size: int) -> bytes:
        nonlocal held, is_open
        while is_open:
            data = read(size)
            is_open = bool(data)
            whole, end, rest = (held + data).rpartition(b"\n")
            if not is_open:
                return rewrite(held)
            held = rest
            if end:
                return rewrite(whole + end)
        return b""

    return read_lines


def _layout(table: TextTable, request: Request, scales: Mapping[str, Scale]) -> bytes:
    """Write the layout that the decoder reads; bars are shifted to their ends here, after the zone."""
    return msgspec.json.encode(
        {
            "records": table.records,
            "instruments": [_instrument(symbol, scale, table) for symbol, scale in scales.items()],
            "symbol": table.symbol,
            "symbol_column": None if table.symbol is not None else "symbol",
            "time": {
                "column": table.fields.get("time", "time"),
                "unit": table.unit,
                "local": table.unit == "iso" and not is_utc(table.zone),
            },
            "receive": {"column": "receive", "unit": table.receive_unit} if "receive" in table.columns else None,
            "columns": {field: column for field, column in table.fields.items() if field != "time"},
            "scales": table.scales,
            "bar_length_ns": table.bar_ns,
            "bar_length_index": table.bar_index,
            "stamp": "end",
            "price": table.price,
            "excess_decimals": "round" if request.round_excess else "error",
            "delimiter": table.delimiter,
            "sizes": table.sizes,
        }
    )


def _instrument(symbol: str, scale: Scale, table: TextTable) -> dict[str, Any]:
    entry = {"symbol": symbol, **msgspec.structs.asdict(scale)}
    return entry | {"allow_negative_price": scale.allow_negative_price or table.negative}
