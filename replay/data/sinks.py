"""Files that records are written to: tapes, CSV of one kind of records, and formats that plug in.

May not live here: which records are written, and how a format that plugs in does it (adapters).
"""

from __future__ import annotations

import contextlib
import gzip
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.data import guess
from replay.data.plan import Plan
from replay.errors import JournalError, UsageError, choose, disk_remedy
from replay.feeds.feed import Feed
from replay.feeds.format import WritableFormat, Writer
from replay.feeds.tape import KIND_NAMES, TapeHeader, TapeInstrument, TapeWriter
from replay.records import Kind, as_bytes, empty

_TEXT_KINDS = (Kind.QUOTE, Kind.TRADE, Kind.BAR)


class TapeSink:
    """Writes records to a tape."""

    def __init__(self, path: Path, feed: Feed, plan: Plan) -> None:
        self._writer = TapeWriter(path, listed_as_numbered(feed, plan))

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


class CsvSink:
    """Writes the records of one kind to CSV, compressed if the name ends in .gz."""

    def __init__(self, path: Path, feed: Feed, plan: Plan, records: guess.RowKind | None) -> None:
        self._path = path
        self._header = listed_as_numbered(feed, plan)
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
            raise _refused(error, path) from None
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
            raise _refused(error, self._path) from None
        return int(np.count_nonzero(records["kind"] == self._kind))

    def close(self) -> TapeHeader:
        """Finish the file and describe it."""
        if self._is_first:
            self.append(empty(0))
        try:
            self._close()
            self._part.replace(self._path)
        except OSError as error:
            raise _refused(error, self._path) from None
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


class FormatSink:
    """Writes records in a format that plugs in."""

    def __init__(self, path: Path, feed: Feed, plan: Plan, written: WritableFormat) -> None:
        self._header = listed_as_numbered(feed, plan)
        self._writer: Writer = written.writer(path, self._header)

    def append(self, records: NDArray[Any]) -> int:
        """Write records; return how many."""
        return self._writer.append(records)

    def close(self) -> TapeHeader:
        """Finish the file and describe it."""
        self._writer.close()
        return self._header

    def abandon(self) -> None:
        """Throw the file away."""
        self._writer.abandon()


def sink_of(path: Path, feed: Feed, plan: Plan, records: guess.RowKind | None) -> TapeSink | CsvSink | FormatSink:
    """Begin the file that a path names by its suffix. Raises UsageError where nothing writes such a file."""
    name = path.name.lower()
    if name.endswith(".npy"):
        return TapeSink(path, feed, plan)
    if name.endswith((".csv", ".csv.gz")):
        return CsvSink(path, feed, plan, records)
    registry = import_module("replay.adapters.registry")
    writable = [one for one in map(registry.format_named, registry.format_names()) if isinstance(one, WritableFormat)]
    for one in writable:
        if name.endswith(tuple(one.suffixes)):
            return FormatSink(path, feed, plan, one)
    suffixes = [".npy", ".csv", ".csv.gz", *(suffix for one in writable for suffix in one.suffixes)]
    raise UsageError(f"{path.name!r} says no format to write", remedy=f"end it with one of {', '.join(suffixes)}")


def listed_as_numbered(feed: Feed, plan: Plan) -> TapeHeader:
    """List the instruments in the order of the records' indexes; venues only where a run file named them."""
    known = {entry.symbol: entry for entry in feed.header.instruments}
    listed = []
    for entry in plan.instruments:
        found = known.get(entry.symbol, TapeInstrument(symbol=entry.symbol, price_decimals=0, size_decimals=0))
        scales = {"price_decimals": entry.price_decimals, "size_decimals": entry.size_decimals}
        venue = entry.venue if plan.has_venues else (found.venue if found.venue != "venue" else None)
        listed.append(msgspec.structs.replace(found, venue=venue, **scales))
    return msgspec.structs.replace(feed.header, instruments=listed)


def _refused(error: OSError, path: Path) -> JournalError:
    return JournalError(
        f"cannot be written: {error.strerror or error}", place=str(path), remedy=disk_remedy(error, path)
    )
