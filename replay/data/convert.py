"""Market data on disk: files to tapes, tapes to CSV. Gathers what else a tape can be asked, and the synthetic one.

May not live here: printing, and what a file probably is (replay.data.guess).
"""

from __future__ import annotations

import contextlib
import gzip
import time as clock
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.config import FeedSpec, Instrument, RunConfig, SymbolColumn, load
from replay.data import guess
from replay.data.describe import TapeHead, TapeInfo, head, info, tape_info
from replay.data.market import ProgressCall, is_synthetic_tape, synthetic_tape
from replay.errors import ConfigError, DataError, JournalError, UsageError, choose
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import Feed
from replay.feeds.merge import merge
from replay.feeds.tape import KIND_NAMES, TapeHeader, TapeInstrument, TapeWriter
from replay.records import Kind, as_bytes, empty
from replay.units import format_duration

__all__ = [
    "Conversion",
    "TapeHead",
    "TapeInfo",
    "convert",
    "head",
    "info",
    "is_synthetic_tape",
    "synthetic_tape",
    "tape_info",
]

_TEXT_KINDS = (Kind.QUOTE, Kind.TRADE, Kind.BAR)


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversion did. `rows` = `records` + `dead` + `left_out`; `written` of the records are in the new file."""

    path: str
    header: TapeHeader
    rows: int
    records: int
    written: int
    dead: dict[str, int]
    dead_letters: str | None
    left_out: dict[str, int]
    rounded: int
    guessed: list[str]
    seconds: float

    def __str__(self) -> str:
        rate = self.written / self.seconds if self.seconds > 0 else 0.0
        lines = [f"{self.path}: {self.written:,} records in {self.seconds:.1f} s ({rate / 1e6:.1f} M/s)"]
        for entry in self.header.instruments:
            scales = f"{entry.price_decimals} and {entry.size_decimals} decimals of price and size"
            lines.append(f"  {entry.symbol}: {', '.join(entry.kinds) or 'nothing'}; {scales}")
        lines += [f"  assumed: {text}" for text in self.guessed]
        lines += [f"  left out: {count:,} {name.replace('_', ' ')}" for name, count in self.left_out.items() if count]
        if self.rounded:
            lines.append(f"  rounded: {self.rounded:,} numbers")
        for reason, count in self.dead.items():
            lines.append(f"  dead: {count:,} rows, {reason} (in {self.dead_letters})")
        return "\n".join(lines)


def convert(
    sources: Sequence[str | Path],
    destination: str | Path,
    *,
    run: str | Path | None = None,
    format: Literal["tape", "csv", "ndjson", "binance"] | None = None,  # noqa: A002 (as the option is called)
    symbol: str | None = None,
    records: Literal["quote", "trade", "bar"] | None = None,
    bar: str | None = None,
    time: str | None = None,
    stamp: Literal["start", "end"] | None = None,
    receive: str | None = None,
    columns: Sequence[str] = (),
    decimals: Sequence[str] = (),
    excess_decimals: Literal["error", "round"] = "error",
    delimiter: str = ",",
    sizes: Literal["full", "none"] = "full",
    price: Literal["trade", "bid", "ask", "mid"] = "trade",
    clock_offset: str = "0s",
    dead_letters: str | Path | None = None,
    progress: ProgressCall | None = None,
) -> Conversion:
    """Convert files to a tape (`.npy`), or to the CSV (`.csv`, `.csv.gz`) of one kind of records; several are merged.

    What no option says is guessed from names and first rows, and listed in the result; decimals are found by reading
    the files once before.

    run: a run file; its feeds and instruments say how to read. Without sources, its feeds are converted.
    format: of the sources, where their names do not say it.
    symbol: of all rows; `{column}` names the column that holds it. Of a tape or a capture: the only one to keep.
    records: what each row is; of CSV to write: the kind, where there are several.
    bar: the length of bars, as in `1m`.
    time, receive: `column[,unit[,zone]]`, the unit s, ms, us, ns or iso.
    stamp: whether a bar's time is its start or its end; by default its end, but the start of a day that it only names.
    columns: `field=column` for each that has another name.
    decimals: `2,8` of price and size, or `BTCUSDT=2,8`.
    excess_decimals, delimiter, sizes, price, clock_offset: as in the run file.
    dead_letters: the file for rows that give no record; by default beside the destination, and only if there are any.
    """
    begun_ns = clock.perf_counter_ns()
    destination = Path(destination)
    asked = _Asked(
        format, symbol, records, bar, time, stamp, receive, columns, decimals, excess_decimals, delimiter, sizes, price,
        clock_offset,
    )  # fmt: skip
    plan = _Plan()
    if run is not None:
        _plan_by_run(plan, load(run), sources)
    else:
        if not sources:
            raise UsageError("there is nothing to convert", remedy="name the files, or a run file")
        for source in sources:
            _plan_by_guess(plan, Path(source), asked)
    feed = merge([_open(spec, plan.instruments, plan.base_dir) for spec in plan.specs])
    letters_path = (
        Path(dead_letters) if dead_letters else destination.with_name(destination.name + ".dead-letters.ndjson")
    )
    if any(Path(text).resolve() == destination.resolve() for text in sources):
        raise UsageError(f"{destination} is both a source and the destination", remedy="write to another file")
    sink = (
        _TapeSink(destination, feed, plan)
        if destination.suffix == ".npy"
        else _CsvSink(destination, feed, plan, records)
    )
    try:
        with DeadLetterWriter(letters_path) as letters:
            header, written = _write(feed, sink, letters, progress)
    finally:
        if letters_path.stat().st_size == 0:
            letters_path.unlink()
    counters = feed.counters()
    return Conversion(
        path=str(destination),
        header=header,
        rows=counters.get("rows", 0),
        records=counters.get("records", 0),
        written=written,
        dead=dict(letters.counts),
        dead_letters=str(letters_path) if letters.counts else None,
        left_out={
            name.removeprefix("ignored_"): count for name, count in counters.items() if name.startswith("ignored_")
        },
        rounded=counters.get("rounded", 0),
        guessed=plan.guessed,
        seconds=(clock.perf_counter_ns() - begun_ns) / 1e9,
    )


class _Asked(msgspec.Struct, frozen=True):
    """The options of a conversion without a run file."""

    format: guess.Format | None
    symbol: str | None
    records: guess.RowKind | None
    bar: str | None
    time: str | None
    stamp: Literal["start", "end"] | None
    receive: str | None
    columns: Sequence[str]
    decimals: Sequence[str]
    excess_decimals: Literal["error", "round"]
    delimiter: str
    sizes: Literal["full", "none"]
    price: Literal["trade", "bid", "ask", "mid"]
    clock_offset: str


class _Plan:
    """What to open: feeds, instruments, and what was guessed on the way."""

    def __init__(self) -> None:
        self.specs: list[FeedSpec] = []
        self.instruments: list[Instrument] = []
        self.base_dir = Path()
        self.has_venues = False
        self.guessed: list[str] = []

    def add_instruments(self, found: Sequence[Instrument], place: str) -> None:
        """Add instruments; one that is there already must have the same scales."""
        known = {entry.symbol: entry for entry in self.instruments}
        for entry in found:
            other = known.get(entry.symbol)
            if other is None:
                self.instruments.append(entry)
                continue
            mine, theirs = (entry.price_decimals, entry.size_decimals), (other.price_decimals, other.size_decimals)
            if mine != theirs:
                raise ConfigError(
                    f"{entry.symbol!r} has {mine[0]} and {mine[1]} decimals of price and size here, "
                    f"{theirs[0]} and {theirs[1]} in a source before",
                    place=place,
                    remedy=f"give both: decimals {entry.symbol}={max(mine[0], theirs[0])},{max(mine[1], theirs[1])}",
                )


def _plan_by_run(plan: _Plan, config: RunConfig, sources: Sequence[str | Path]) -> None:
    plan.instruments = list(config.instrument)
    plan.base_dir = config.base_dir
    plan.has_venues = True
    plan.specs = list(config.feed)
    if sources:
        # The sources are read as the run file's first feed says, unless one of its feeds is that very file.
        feeds = {(config.base_dir / spec.uri).resolve(): spec for spec in config.feed}
        plan.specs = [
            feeds.get(Path(source).resolve(), msgspec.structs.replace(config.feed[0], uri=str(Path(source).resolve())))
            for source in sources
        ]


def _plan_by_guess(plan: _Plan, path: Path, asked: _Asked) -> None:
    place = str(path)
    format_name = asked.format or guess.format_of(path)
    spec = FeedSpec(uri=place, clock_offset=cast(Any, asked.clock_offset), excess_decimals=asked.excess_decimals)
    if format_name == "tape":
        _keep_tape(plan, path, spec, asked)
        return
    if asked.format is not None:
        spec = _with_format(spec, format_name)
    rows: guess.Rows | None = None
    if format_name != "binance":
        rows = guess.first_rows(path, format_name, asked.delimiter)
        spec = _text_spec(plan, spec, rows, asked)
    symbols = [spec.symbol] if isinstance(spec.symbol, str) else _symbols(path, format_name, spec, asked)
    if format_name == "binance" and asked.symbol is not None:
        symbols = [asked.symbol]
    if not symbols:
        raise DataError("no row names a symbol", reason="empty", place=place)
    given = _given_decimals(asked.decimals, symbols)
    step_ns: int | None = None
    if given is None or (spec.records == "bar" and spec.bar is None):
        probing = msgspec.structs.replace(spec, excess_decimals="round", bar=spec.bar or cast(Any, "1s"))
        found, step_ns = guess.decimals_of(
            lambda entries: _open(probing, entries, Path()), symbols, place, wants_decimals=given is None
        )
        if given is None:
            given = found
            listed = ", ".join(f"{name} {scales[0]},{scales[1]}" for name, scales in found.items())
            plan.guessed.append(f"{path.name}: decimals of price and size: {listed}")
    if spec.records == "bar" and spec.bar is None:
        spec = _with_bar(plan, spec, step_ns, place)
    plan.specs.append(spec)
    plan.add_instruments([guess.plain_instrument(name, *given[name]) for name in symbols], place)


def _keep_tape(plan: _Plan, path: Path, spec: FeedSpec, asked: _Asked) -> None:
    found = guess.tape_instruments(path)
    if asked.symbol is not None:
        symbols = [entry.symbol for entry in found]
        if asked.symbol not in symbols:
            raise ConfigError(
                f"the tape has no instrument {asked.symbol!r}", place=str(path), remedy=choose(asked.symbol, symbols)
            )
        found = [entry for entry in found if entry.symbol == asked.symbol]
        spec = msgspec.structs.replace(spec, symbol=asked.symbol)
    plan.specs.append(spec)
    plan.add_instruments(found, str(path))


def _text_spec(plan: _Plan, spec: FeedSpec, rows: guess.Rows, asked: _Asked) -> FeedSpec:
    """Complete a text feed's entry: with what was asked, else with what its names and first row suggest."""
    place = spec.uri
    name = Path(place).name
    columns = _given_columns(asked.columns)
    records = asked.records or guess.records_of(rows, columns, place)
    if asked.records is None:
        plan.guessed.append(f"{name}: each row is a {records}")
    time = guess.time_column(asked.time or guess.time_of(rows, place), rows, asked.stamp)
    if asked.time is None or "," not in asked.time:
        plan.guessed.append(f"{name}: time in {time.column!r}, unit {time.unit}")
    receive_name = asked.receive or guess.receive_of(rows)
    receive = None if receive_name is None else guess.time_column(receive_name, rows)
    if receive is not None and asked.receive is None:
        plan.guessed.append(f"{name}: receive time in {receive.column!r}, unit {receive.unit}")
    if records == "bar" and asked.stamp is None:
        plan.guessed.append(f"{name}: a bar's time is its {time.stamp}")
    return msgspec.structs.replace(
        spec,
        records=records,
        symbol=guess.symbol_choice(asked.symbol, rows, place),
        bar=None if asked.bar is None else cast(Any, asked.bar),
        time=time,
        receive=receive,
        columns=columns,
        delimiter=asked.delimiter,
        sizes=asked.sizes,
        price=asked.price,
    )


def _with_format(spec: FeedSpec, format_name: guess.Format) -> FeedSpec:
    """Name the format in the URI, where the file's suffix does not say it."""
    return msgspec.structs.replace(spec, uri=f"{format_name}:{spec.uri}")


def _with_bar(plan: _Plan, spec: FeedSpec, step_ns: int | None, place: str) -> FeedSpec:
    if step_ns is None:
        raise ConfigError(
            "the length of the bars cannot be told from the file", place=place, remedy='give it: bar "1m"'
        )
    length = format_duration(step_ns)
    plan.guessed.append(f"{Path(place).name}: bars of {length}, the commonest step between two rows")
    return msgspec.structs.replace(spec, bar=cast(Any, length))


def _symbols(path: Path, format_name: guess.Format, spec: FeedSpec, asked: _Asked) -> list[str]:
    column = spec.symbol.column if isinstance(spec.symbol, SymbolColumn) else None
    return guess.symbols_in(path, format_name, column, asked.delimiter)


def _given_columns(pairs: Sequence[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise UsageError(f"{pair!r} names no column", remedy="write it as field=column, as in price=px")
        columns[name.strip()] = column.strip()
    return columns


def _given_decimals(texts: Sequence[str], symbols: Sequence[str]) -> dict[str, tuple[int, int]] | None:
    """Read `2,8` (for all) and `BTCUSDT=2,8`; None if that leaves a symbol without."""
    found: dict[str, tuple[int, int]] = {}
    for text in texts:
        name, equals, scales = text.rpartition("=")
        price_text, _, size_text = scales.partition(",")
        if not (price_text.strip().isdecimal() and size_text.strip().isdecimal()):
            raise UsageError(f"{text!r} are no decimals", remedy="write them as 2,8 or BTCUSDT=2,8: of price and size")
        pair = (int(price_text), int(size_text))
        for symbol in [name] if equals else symbols:
            found[symbol] = pair
    return {symbol: found[symbol] for symbol in symbols} if all(symbol in found for symbol in symbols) else None


def _open(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    feed: Feed = import_module("replay.adapters.registry").open_feed(spec, instruments, base_dir)
    if feed.live:
        raise UsageError(f"{spec.uri} is live: it has no end that a conversion could reach")
    return feed


class _TapeSink:
    """Writes records to a tape."""

    def __init__(self, path: Path, feed: Feed, plan: _Plan) -> None:
        self._writer = TapeWriter(path, _listed_as_numbered(feed, plan))

    def append(self, records: NDArray[Any]) -> int:
        """Write records; return how many."""
        self._writer.append(records)
        return len(records)

    def close(self) -> TapeHeader:
        """Finish the file and describe it."""
        return self._writer.close()

    def abandon(self) -> None:
        """Throw the file away."""
        self._writer.abandon()


class _CsvSink:
    """Writes the records of one kind to CSV, compressed if the name ends in .gz."""

    def __init__(self, path: Path, feed: Feed, plan: _Plan, records: guess.RowKind | None) -> None:
        if not path.name.lower().endswith((".csv", ".csv.gz")):
            raise UsageError(f"{path.name!r} says no format to write", remedy="end it with .npy, .csv or .csv.gz")
        self._path = path
        self._header = _listed_as_numbered(feed, plan)
        self._kind = self._chosen(records)
        self._instruments = msgspec.json.encode(
            [
                {
                    "symbol": entry.symbol,
                    "index": index,
                    "price_decimals": entry.price_decimals,
                    "size_decimals": entry.size_decimals,
                }
                for index, entry in enumerate(self._header.instruments)
            ]
        )
        self._engine = import_module("replay.adapters.engine").engine()
        self._part = path.with_name(path.name + ".part")
        try:
            self._raw: BinaryIO = self._part.open("wb")
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror}", place=str(path)) from None
        # Without name and time in it, the same records give the same bytes.
        self._gzip = gzip.GzipFile("", "wb", 6, self._raw, mtime=0) if path.suffix == ".gz" else None
        self._is_first = True

    def append(self, records: NDArray[Any]) -> int:
        """Write the records of the kind; return how many."""
        text = self._engine.records_to_csv(
            as_bytes(records).tobytes(), int(self._kind), self._instruments, self._is_first
        )
        self._is_first = False
        try:
            (self._gzip or self._raw).write(text)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror}", place=str(self._path)) from None
        return int(np.count_nonzero(records["kind"] == self._kind))

    def close(self) -> TapeHeader:
        """Finish the file and describe it."""
        if self._is_first:
            self.append(empty(0))
        try:
            self._close()
            self._part.replace(self._path)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror}", place=str(self._path)) from None
        return self._header

    def abandon(self) -> None:
        """Throw the file away."""
        with contextlib.suppress(OSError):
            self._close()
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._gzip is not None:
            self._gzip.close()
        self._raw.close()

    def _chosen(self, records: guess.RowKind | None) -> Kind:
        kinds = [
            kind for kind in _TEXT_KINDS if any(KIND_NAMES[kind] in entry.kinds for entry in self._header.instruments)
        ]
        if records is not None:
            wanted = Kind[records.upper()]
            if wanted not in kinds:
                raise UsageError(
                    f"the sources have no {records}s", remedy=choose(records, [KIND_NAMES[kind] for kind in kinds])
                )
            return wanted
        if len(kinds) != 1:
            names = [KIND_NAMES[kind] for kind in kinds]
            raise UsageError(
                f"a CSV file has rows of one kind, and the sources have {' and '.join(names) or 'none'}",
                remedy=f"choose with records: {', '.join(names)}",
            )
        return kinds[0]


def _write(
    feed: Feed, sink: _TapeSink | _CsvSink, letters: DeadLetterWriter, progress: ProgressCall | None
) -> tuple[TapeHeader, int]:
    written = 0
    try:
        for batch in feed.batches():
            written += sink.append(batch.records)
            letters.write(batch.dead)
            if progress is not None and len(batch.records):
                progress(written, feed.header.rows, int(batch.records["ts_recv"][-1]))
        return sink.close(), written
    except BaseException:
        sink.abandon()
        raise


def _listed_as_numbered(feed: Feed, plan: _Plan) -> TapeHeader:
    """List the instruments in the order of the records' indexes; venues only where a run file named them."""
    known = {entry.symbol: entry for entry in feed.header.instruments}
    listed = []
    for entry in plan.instruments:
        found = known.get(entry.symbol, TapeInstrument(symbol=entry.symbol, price_decimals=0, size_decimals=0))
        scales = {"price_decimals": entry.price_decimals, "size_decimals": entry.size_decimals}
        venue = entry.venue if plan.has_venues else (found.venue if found.venue != "venue" else None)
        listed.append(msgspec.structs.replace(found, venue=venue, **scales))
    return msgspec.structs.replace(feed.header, instruments=listed)
