"""What a tape holds, for people: counts, times, clocks, and its first records as text.

May not live here: what other files hold (replay.data.survey), and printing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from replay.data import guess
from replay.data.plan import Asked, make_plan
from replay.data.sinks import listed_as_numbered
from replay.data.survey import FileInfo, first_lines, survey
from replay.errors import UsageError
from replay.feeds.tape import KIND_NAMES, TapeHeader, load
from replay.records import BarPrice, Kind, Side
from replay.units import format_duration, format_time

_BLOCK_ROWS = 1 << 16
_HEAD_ROWS_MAX = 100_000


class TapeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a tape holds.

    counts: records by symbol and kind. late: ts_event before the largest so far; raised: received before it happened.
    clock_offset_ns: what to add to receive times so that nothing is received before it happens.
    """

    path: str
    bytes: int
    header: TapeHeader
    counts: dict[str, dict[str, int]]
    first_event_ns: int | None
    last_event_ns: int | None
    late: int
    raised: int
    crossed: int
    clock_offset_ns: int

    def __str__(self) -> str:
        header = self.header
        lines = [f"{self.path}: {header.rows or 0:,} records, {self.bytes:,} bytes"]
        if self.first_event_ns is not None and self.last_event_ns is not None:
            lines.append(f"  events    {format_time(self.first_event_ns)} .. {format_time(self.last_event_ns)}")
        if header.first_ns is not None and header.last_ns is not None and not header.one_time:
            lines.append(f"  received  {format_time(header.first_ns)} .. {format_time(header.last_ns)}")
        lines.append(f"  times     {'one (ts_recv = ts_event)' if header.one_time else 'two (event and receipt)'}")
        if header.bar_lengths_ns:
            lines.append(f"  bars      {', '.join(format_duration(length) for length in header.bar_lengths_ns)}")
        for entry in header.instruments:
            counts = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.get(entry.symbol, {}).items())
            scales = f"price_decimals = {entry.price_decimals}, size_decimals = {entry.size_decimals}"
            sizes = "" if entry.sizes == "full" else ", no sizes"
            bars = f", bars of {entry.bar_price}" if entry.bar_price else ""
            lines.append(f"  {entry.symbol:<9} {counts or 'nothing'}; {scales}{sizes}{bars}")
        others = self.counts.get("", {})
        if others:
            lines.append("  no instrument: " + ", ".join(f"{count:,} {kind}" for kind, count in others.items()))
        if self.late:
            lines.append(f"  late      {self.late:,} records happened before one that stands earlier")
        if self.crossed:
            lines.append(f"  crossed   {self.crossed:,} quotes have their bid above their ask")
        if self.raised:
            offset = format_duration(-(-self.clock_offset_ns // 1_000_000) * 1_000_000)  # up to a millisecond
            lines.append(
                f"  early     {self.raised:,} records were received before they happened: "
                f'the recorder\'s clock is behind; clock_offset = "{offset}" makes it good'
            )
        return "\n".join(lines)


class TapeHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first records of a tape, as text."""

    path: str
    rows: list[list[str]]

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.path} has no records"
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.rows[0]) - 1)]
        return "\n".join(
            "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]])
            for row in self.rows
        )


def info(path: str | Path) -> TapeInfo | FileInfo:
    """Describe a tape by reading it once, or another file by its first rows."""
    path = Path(path)
    return tape_info(path) if path.suffix == ".npy" else survey(path)


def tape_info(path: str | Path) -> TapeInfo:
    """Describe a tape by reading it once."""
    path = Path(path)
    tape = load(path)
    header = tape.header
    names = [entry.symbol for entry in header.instruments]
    counts = np.zeros((len(names) + 1, 256), dtype=np.int64)
    first_ns: int | None = None
    top_ns: int | None = None
    late = raised = crossed = 0
    offset_ns = 0
    for first in range(0, len(tape), _BLOCK_ROWS):
        block = tape.records[first : first + _BLOCK_ROWS]
        events_ns = block["ts_event"]
        has_instrument = (block["kind"] != Kind.CLOCK) & (block["kind"] != Kind.COMMAND)
        places = np.where(has_instrument, np.minimum(block["instrument"], len(names)), len(names))
        np.add.at(counts, (places, block["kind"]), 1)
        tops_ns = np.maximum.accumulate(events_ns if top_ns is None else np.concatenate([[top_ns], events_ns]))
        late += int(np.count_nonzero(events_ns < (tops_ns if top_ns is None else tops_ns[1:])))
        first_ns = int(events_ns.min()) if first_ns is None else min(first_ns, int(events_ns.min()))
        top_ns = int(tops_ns[-1])
        ahead_ns = events_ns - block["ts_recv"]
        raised += int(np.count_nonzero(ahead_ns > 0))
        offset_ns = max(offset_ns, int(ahead_ns.max()))
        quotes = block[block["kind"] == Kind.QUOTE]
        crossed += int(np.count_nonzero((quotes["a"] > quotes["b"]) & (quotes["c"] > 0) & (quotes["d"] > 0)))
        tape.release(first, first + len(block))
    return TapeInfo(
        path=str(path),
        bytes=path.stat().st_size,
        header=header,
        counts={
            name: {KIND_NAMES.get(int(kind), str(kind)): int(row[kind]) for kind in np.flatnonzero(row)}
            for name, row in zip([*names, ""], counts, strict=True)
            if row.any()
        },
        first_event_ns=first_ns,
        last_event_ns=top_ns,
        late=late,
        raised=raised,
        crossed=crossed,
        clock_offset_ns=offset_ns,
    )


def head(path: str | Path, rows: int = 10, asked: Asked | None = None, run: str | Path | None = None) -> TapeHead:
    """Return the first records of a tape, or of a file of a format, as text: times, symbol, kind, values.

    Of other text it is the first lines, unless a run file says how they are read. asked: how the file is read.
    """
    path = Path(path)
    if rows < 0:
        raise UsageError(f"rows must be 0 or more, not {rows}")
    if path.suffix != ".npy":
        if run is None and not guess.is_data_format((asked or Asked()).format or guess.format_of(path)):
            return TapeHead(path=str(path), rows=[[line] for line in first_lines(path, min(rows, _HEAD_ROWS_MAX))])
        return _read_head(path, min(rows, _HEAD_ROWS_MAX), asked or Asked(), run)
    tape = load(path)
    shown = tape.records[: min(rows, _HEAD_ROWS_MAX)]
    return TapeHead(path=str(path), rows=[_described(record, tape.header) for record in shown])


def _read_head(path: Path, rows: int, asked: Asked, run: str | Path | None) -> TapeHead:
    """Read a file as far as its first records."""
    plan = make_plan([path], run, asked)
    (feed,) = plan.feeds()
    header = listed_as_numbered(feed, plan)
    shown: list[list[str]] = []
    for batch in feed.batches():
        shown += [_described(record, header) for record in batch.records[: rows - len(shown)]]
        if len(shown) >= rows:
            break
    return TapeHead(path=str(path), rows=shown)


def _described(record: Any, header: TapeHeader) -> list[str]:
    """Write a record as text: received, event (if it differs), symbol, kind, values."""
    kind = int(record["kind"])
    event_ns, receive_ns = int(record["ts_event"]), int(record["ts_recv"])
    times = [format_time(receive_ns), "" if event_ns == receive_ns else f"event {format_time(event_ns)}"]
    index = int(record["instrument"])
    if kind in (Kind.CLOCK, Kind.COMMAND) or index >= len(header.instruments):
        return [*times, "", KIND_NAMES.get(kind, str(kind)), f"a={int(record['a'])}"]
    entry = header.instruments[index]
    prices = [_decimal(int(record[name]), entry.price_decimals) for name in "abcd"]
    sizes = [_decimal(int(record[name]), entry.size_decimals) for name in "abcde"]
    if kind == Kind.QUOTE:
        values = f"bid {prices[0]} x {sizes[2]}  ask {prices[1]} x {sizes[3]}"
    elif kind == Kind.TRADE:
        side = {Side.BUY: "bought", Side.SELL: "sold"}.get(Side(int(record["side"])), "traded")
        values = f"{side} {sizes[1]} at {prices[0]}  id {int(record['c'])}"
    elif kind == Kind.BAR:
        place = int(record["flags"]) & 0xFF
        length = format_duration(header.bar_lengths_ns[place]) if place < len(header.bar_lengths_ns) else "?"
        of = BarPrice(int(record["side"])).name.lower() if int(record["side"]) < len(BarPrice) else "?"
        values = f"{length} {of}  {' '.join(prices)}  volume {sizes[4]}"
    else:
        values = " ".join(f"{name}={int(record[name])}" for name in "abcde")
    return [*times, entry.symbol, KIND_NAMES.get(kind, str(kind)), values]


def _decimal(raw: int, decimals: int) -> str:
    sign, digits = ("-" if raw < 0 else ""), str(abs(raw)).rjust(decimals + 1, "0")
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)
