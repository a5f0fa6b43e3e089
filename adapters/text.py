"""What all text feeds share: the layout for the decoders, dead letters with their place, local times, cursors.

May not live here: one format's own ways (csv, ndjson, binance), and waiting for more (follow, stdin).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from numpy.typing import NDArray

from replay.adapters.engine import engine
from replay.adapters.source import Source
from replay.adapters.zones import LocalTimes, is_utc
from replay.errors import ConfigError, DataError, ReplayError, choose
from replay.feeds.feed import Batch, DeadLetter, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.records import from_bytes

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.config.sections import TimeColumn

CHUNK_BYTES = 1 << 20
"""Text decoded at a time; above the longest line, so that batches depend on the cursor alone."""

DeadRows = list[tuple[str, int, str, bytes]]


class Decoder(Protocol):
    """A compiled decoder: bytes in, records and dead rows out."""

    def feed(self, data: bytes) -> tuple[bytearray, DeadRows]:
        """Take the next bytes."""

    def finish(self) -> tuple[bytearray, DeadRows]:
        """Take the end."""

    @property
    def position(self) -> tuple[int, int]:
        """Bytes and lines decoded."""

    @property
    def pending(self) -> int:
        """Bytes of an unfinished row."""

    def resume(self, offset: int, line: int) -> None:
        """Go on at a position."""

    def counters(self) -> dict[str, int]:
        """Count rows and what became of them."""


class TextPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a text feed: the bytes of (inflated) text that are decoded, and the lines."""

    offset: int
    line: int

    @classmethod
    def parse(cls, cursor: bytes, place: str) -> TextPlace:
        """Read a cursor; raise DataError if it is another feed's."""
        try:
            return msgspec.json.decode(cursor, type=cls)
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a text feed: {error}", reason="bad_cursor", place=place
            ) from None


class Decoding:
    """How the rows of one feed become records: makes decoders and finishes what they give."""

    def __init__(self, spec: FeedSpec, make: Callable[[], Decoder]) -> None:
        self.make = make
        self._bar_shift_ns = 0
        if spec.records == "bar" and spec.time is not None and spec.time.stamp == "start" and spec.bar is not None:
            self._bar_shift_ns = spec.bar.ns
        self._event_zone = _local_times(spec.time)
        self._receive_zone = _local_times(spec.receive)
        self._one_time = spec.receive is None

    def records(self, data: bytearray) -> NDArray[Any]:
        """View decoded bytes as records, their local times converted."""
        records = from_bytes(data)
        if self._event_zone is not None and len(records):
            shift_ns = self._bar_shift_ns
            records["ts_event"] = self._event_zone.to_utc(records["ts_event"] - shift_ns) + shift_ns
            if self._one_time:
                records["ts_recv"] = records["ts_event"]
        if self._receive_zone is not None and len(records):
            records["ts_recv"] = self._receive_zone.to_utc(records["ts_recv"])
        return records


class TextFeed(StoredFeed):
    """A text file of one format, from its beginning or from a cursor to its end."""

    def __init__(self, spec: FeedSpec, path: Path, header: TapeHeader, decoding: Decoding) -> None:
        """Open the file and decode its beginning, so that what is wrong with it shows at once."""
        super().__init__(spec.uri, header)
        self.clock_offset_ns = spec.clock_offset.ns
        self.path = path
        self._decoding = decoding
        self._counters: dict[str, int] = {}
        first_ns = self._probe()
        self.header = msgspec.structs.replace(header, first_ns=first_ns)

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all of them."""
        decoder = self._decoding.make()
        with Source(self.path) as source:
            if cursor is not None:
                place = TextPlace.parse(cursor, str(self.path))
                self._read_header(decoder)
                decoder.resume(place.offset, place.line)
                source.skip(place.offset)
            is_open = True
            while is_open:
                data = source.read(CHUNK_BYTES - decoder.pending)
                is_open = bool(data)
                with located(self.path):
                    batch = self._decode(decoder, decoder.feed(data) if data else decoder.finish())
                if batch is not None:
                    yield batch

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return dict(self._counters)

    def _decode(self, decoder: Decoder, decoded: tuple[bytearray, DeadRows]) -> Batch | None:
        data, dead = decoded
        self._counters = decoder.counters()
        if not data and not dead:
            return None
        cursor = msgspec.json.encode(TextPlace(*decoder.position))
        return Batch(self._decoding.records(data), cursor, dead_letters(dead, str(self.path)))

    def _probe(self) -> int | None:
        """Decode the beginning: errors of the whole file are raised here. Returns the first receive time."""
        decoder = self._decoding.make()
        with Source(self.path) as source, located(self.path):
            data = source.read(CHUNK_BYTES)
            if not data:
                raise DataError(
                    "the file is empty",
                    reason="empty",
                    remedy="name the file that has the data; a text file needs a header and rows",
                )
            records = self._decoding.records(decoder.feed(data)[0])
            if len(data) < CHUNK_BYTES and not len(records):
                records = self._decoding.records(decoder.finish()[0])
            return int(records["ts_recv"][0]) if len(records) else None

    def _read_header(self, decoder: Decoder) -> None:
        """Let a decoder see the file's beginning, where its column names are."""
        with Source(self.path) as source, located(self.path):
            read_header(decoder, source.read)


class located:
    """Puts the file's name before the place of an error."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ReplayError) and not (error.place or "").startswith(self._path):
            error.place = f"{self._path}, {error.place}" if error.place else self._path


def read_header(decoder: Decoder, read: Callable[[int], bytes]) -> None:
    """Feed a decoder until it knows its columns, if it has columns at all."""
    if not hasattr(decoder, "columns"):
        return
    while decoder.columns is None:
        data = read(CHUNK_BYTES)
        if not data:
            decoder.finish()
            return
        decoder.feed(data)


def dead_letters(rows: DeadRows, path: str) -> list[DeadLetter]:
    """Turn a decoder's dead rows into letters that name the file, the line and the column."""
    return [
        DeadLetter(reason, raw, f"{path}:{line}, column {column!r}" if column else f"{path}:{line}")
        for reason, line, column, raw in rows
    ]


def text_path(spec: FeedSpec, base_dir: Path) -> Path:
    """Return the path of a URI: without its scheme and its query, from `base_dir`."""
    text = spec.uri
    if spec.scheme is not None:
        text = text.partition(":")[2]
    return base_dir / text.partition("?")[0]


def layout(spec: FeedSpec, instruments: Sequence[Instrument]) -> bytes:
    """Write the layout that the CSV and NDJSON decoders read."""
    if spec.records is None or spec.time is None or spec.symbol is None:
        missing = next(key for key in ("records", "symbol", "time") if getattr(spec, key) is None)
        raise ConfigError(f"the feed {spec.uri!r} is text and lacks the key {missing!r}")
    if spec.records == "bar" and spec.bar is None:
        raise ConfigError(f"the feed {spec.uri!r} has bars and lacks the key 'bar'", remedy='add bar = "1m"')
    symbol = spec.symbol if isinstance(spec.symbol, str) else None
    if symbol is not None and symbol not in [entry.symbol for entry in instruments]:
        raise ConfigError(
            f"the feed's symbol {symbol!r} is no instrument of the run",
            remedy=choose(symbol, [entry.symbol for entry in instruments]),
        )
    content = {
        "records": spec.records,
        "instruments": instrument_layouts(instruments),
        "symbol": symbol,
        "symbol_column": None if isinstance(spec.symbol, str) else spec.symbol.column,
        "time": _time_layout(spec.time),
        "receive": None if spec.receive is None else _time_layout(spec.receive),
        "columns": spec.columns,
        "scales": spec.scales,
        "bar_length_ns": spec.bar.ns if spec.records == "bar" and spec.bar is not None else 0,
        "bar_length_index": 0,
        "stamp": spec.time.stamp,
        "price": spec.price,
        "excess_decimals": spec.excess_decimals,
        "delimiter": "\t"
        if spec.uri.removesuffix(".gz").endswith(".tsv") and spec.delimiter == ","
        else spec.delimiter,
        "sizes": spec.sizes,
    }
    return msgspec.json.encode(content)


def instrument_layouts(instruments: Sequence[Instrument]) -> list[dict[str, Any]]:
    """List the run's instruments as the decoders want them."""
    return [
        {
            "symbol": entry.symbol,
            "index": index,
            "price_decimals": entry.price_decimals,
            "size_decimals": entry.size_decimals,
            "allow_negative_price": entry.allow_negative_price,
        }
        for index, entry in enumerate(instruments)
    ]


def header_of(spec: FeedSpec, instruments: Sequence[Instrument], kinds: Sequence[str], *, one_time: bool) -> TapeHeader:
    """Describe what a feed carries, as far as its entry in the run file tells."""
    named = spec.symbol if isinstance(spec.symbol, str) else None
    return TapeHeader(
        one_time=one_time,
        bar_lengths_ns=[spec.bar.ns] if "bar" in kinds and spec.bar is not None else [],
        instruments=[
            TapeInstrument(
                symbol=entry.symbol,
                price_decimals=entry.price_decimals,
                size_decimals=entry.size_decimals,
                kinds=list(kinds),
                sizes=spec.sizes,
                venue=entry.venue,
                bar_price=spec.price if "bar" in kinds else msgspec.UNSET,
            )
            for entry in instruments
            if named is None or entry.symbol == named
        ],
    )


def csv_decoding(spec: FeedSpec, instruments: Sequence[Instrument]) -> Decoding:
    """Decode CSV as a feed's entry says."""
    text = layout(spec, instruments)
    return Decoding(spec, lambda: engine().CsvDecoder(text))


def ndjson_decoding(spec: FeedSpec, instruments: Sequence[Instrument]) -> Decoding:
    """Decode NDJSON as a feed's entry says."""
    text = layout(spec, instruments)
    return Decoding(spec, lambda: engine().NdjsonDecoder(text))


def _time_layout(column: TimeColumn) -> dict[str, Any]:
    return {"column": column.column, "unit": column.unit, "local": _is_local(column)}


def _is_local(column: TimeColumn) -> bool:
    return column.unit == "iso" and not is_utc(column.zone)


def _local_times(column: TimeColumn | None) -> LocalTimes | None:
    if column is None or not _is_local(column):
        return None
    try:
        return LocalTimes(column.zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"there is no time zone {column.zone!r}", remedy="use a name such as 'America/New_York'"
        ) from error
