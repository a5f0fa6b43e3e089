"""Market data on disk: files to tapes, tapes to CSV. Gathers what else a tape can be asked, and the synthetic one.

May not live here: printing, and what a file probably is (replay.data.guess).
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from replay.data.check import Checked, check
from replay.data.describe import TapeHead, TapeInfo, head, info, tape_info
from replay.data.market import ProgressCall, is_synthetic_tape, synthetic_tape
from replay.data.plan import Asked, make_plan
from replay.data.sinks import CsvSink, FormatSink, TapeSink, sink_of
from replay.data.window import Window, window_of
from replay.errors import UsageError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import Feed
from replay.feeds.merge import merge
from replay.feeds.tape import TapeHeader
from replay.units import format_time

__all__ = [
    "Checked",
    "Conversion",
    "TapeHead",
    "TapeInfo",
    "Window",
    "check",
    "convert",
    "head",
    "info",
    "is_synthetic_tape",
    "sample",
    "synthetic_tape",
    "tape_info",
]


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
        lines = [f"{self.path}: {self.written:,} records in {self.seconds:.1f} s ({_rate_text(rate)}/s)"]
        for entry in self.header.instruments:
            scales = f"{entry.price_decimals} and {entry.size_decimals} decimals of price and size"
            lines.append(f"  {entry.symbol}: {', '.join(entry.kinds) or 'nothing'}; {scales}")
        lines += [f"  assumed: {text}" for text in self.guessed]
        lines += [f"  left out: {count:,} {name.replace('_', ' ')}" for name, count in self.left_out.items() if count]
        if self.rounded:
            lines.append(f"  rounded: {self.rounded:,} numbers")
        for reason, count in self.dead.items():
            kept = f" (in {self.dead_letters})" if self.dead_letters else ""
            lines.append(f"  dead: {count:,} rows, {reason}{kept}")
        return "\n".join(lines)


def _rate_text(rate: float) -> str:
    return f"{rate / 1e6:.1f} M" if rate >= 1e6 else f"{rate / 1e3:.1f} k"


def convert(
    sources: Sequence[str | Path],
    destination: str | Path,
    *,
    run: str | Path | None = None,
    format: str | None = None,  # noqa: A002 (as the option is called)
    options: Mapping[str, str] | None = None,
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
    window: Window | None = None,
    progress: ProgressCall | None = None,
) -> Conversion:
    """Convert files to a tape (`.npy`, `.parquet`), or to the CSV (`.csv`, `.csv.gz`) of one kind; several are merged.

    What no option says is guessed from names and first rows, and listed in the result; decimals are found by reading
    the files once before.

    run: a run file; its feeds and instruments say how to read. Without sources, its feeds are converted.
    format: of the sources, where their names do not say it; tape, csv, ndjson, binance, or a format of data files.
    options: what that format is told, as in `{"zone": "UTC"}`.
    symbol: of all rows; `{column}` names the column that holds it. Of a tape or a capture: the only one to keep.
    records: what each row is; of CSV to write: the kind, where there are several.
    bar: the length of bars, as in `1m`.
    time, receive: `column[,unit[,zone]]`, the unit s, ms, us, ns or iso.
    stamp: whether a bar's time is its start or its end; by default its end, but the start of a day that it only names.
    columns: `field=column` for each that has another name.
    decimals: `2,8` of price and size, or `BTCUSDT=2,8`.
    excess_decimals, delimiter, sizes, price, clock_offset: as in the run file.
    dead_letters: the file for rows that give no record; by default beside the destination, and only if there are any.
    window: the only records that are written, by their number or their time; with it, dead letters are only counted.
    """
    begun_ns = clock.perf_counter_ns()
    destination = Path(destination)
    if run is None and not sources:
        raise UsageError("there is nothing to convert", remedy="name the files, or a run file")
    asked = Asked(
        format=format,
        options=options or {},
        symbol=symbol,
        records=records,
        bar=bar,
        time=time,
        stamp=stamp,
        receive=receive,
        columns=columns,
        decimals=decimals,
        excess_decimals=excess_decimals,
        delimiter=delimiter,
        sizes=sizes,
        price=price,
        clock_offset=clock_offset,
    )
    plan = make_plan(sources, run, asked)
    feed = merge(plan.feeds())
    letters_path = (
        Path(dead_letters) if dead_letters else destination.with_name(destination.name + ".dead-letters.ndjson")
    )
    if any(Path(text).resolve() == destination.resolve() for text in sources):
        raise UsageError(f"{destination} is both a source and the destination", remedy="write to another file")
    sink = sink_of(destination, feed, plan, records)
    try:
        with DeadLetterWriter(letters_path if window is None else None) as letters:
            header, written = _write(feed, sink, letters, window, progress)
    finally:
        if letters_path.exists() and letters_path.stat().st_size == 0:
            letters_path.unlink()
    counters = feed.counters()
    return Conversion(
        path=str(destination),
        header=header,
        rows=counters.get("rows", 0),
        records=counters.get("records", 0),
        written=written,
        dead=dict(letters.counts),
        dead_letters=str(letters_path) if letters.counts and window is None else None,
        left_out={
            name.removeprefix("ignored_"): count for name, count in counters.items() if name.startswith("ignored_")
        },
        rounded=counters.get("rounded", 0),
        guessed=plan.guessed,
        seconds=(clock.perf_counter_ns() - begun_ns) / 1e9,
    )


def sample(
    sources: Sequence[str | Path],
    destination: str | Path,
    *,
    rows: str | None = None,
    first: str | None = None,
    until: str | None = None,
    **reading: Any,
) -> Conversion:
    """Cut a part out of files: `rows` as `100:200`, `:50`, `1000:` (numbers of records from 0), and times first..until.

    Times are those of receipt, in RFC 3339 or as dates in UTC. `reading` is as for `convert`, whose formats it writes.
    """
    return convert(sources, destination, window=window_of(rows, first, until), **reading)


def _write(
    feed: Feed,
    sink: TapeSink | CsvSink | FormatSink,
    letters: DeadLetterWriter,
    window: Window | None,
    progress: ProgressCall | None,
) -> tuple[TapeHeader, int]:
    written = 0
    span: tuple[int, int] | None = None
    try:
        first = 0
        for batch in feed.batches():
            if len(batch.records):
                ends = int(batch.records["ts_recv"][0]), int(batch.records["ts_recv"][-1])
                span = ends if span is None else (span[0], ends[1])
            records = batch.records if window is None else window.part(batch.records, first)
            first += len(batch.records)
            written += sink.append(records)
            letters.write(batch.dead)
            if window is not None and window.is_past(first):
                break
            if progress is not None and len(batch.records):
                progress(written, feed.header.rows, int(batch.records["ts_recv"][-1]))
        if window is not None and not written:
            held = (
                "it has no records" if span is None else f"{first:,} were read, {' to '.join(map(format_time, span))}"
            )
            raise UsageError("no record lies in the part that was asked for", place=feed.uri, remedy=held)
        return sink.close(), written
    except BaseException:
        sink.abandon()
        raise
