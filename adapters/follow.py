"""The feed of a file that grows: CSV or NDJSON, from its beginning or from the byte where a session stopped.

May not live here: decoding (engine_rs/ingest), and files that rotate: one that shrank or was replaced is an error.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from replay.adapters.live import Stamper, options, receive_time, whole_number
from replay.adapters.text import (
    CHUNK_BYTES,
    Decoder,
    Decoding,
    csv_decoding,
    dead_letters,
    header_of,
    located,
    ndjson_decoding,
    read_header,
    text_path,
)
from replay.errors import ConfigError, DataError
from replay.feeds.feed import Batch, LiveFeed, ReceiveTime
from replay.feeds.tape import TapeHeader, missing_file

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed

POLL_MS = 50
"""How often the file is looked at, unless `?poll_ms=` says otherwise."""

_CHECKED_BYTES = 256


class FollowPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor: bytes and lines decoded, and a checksum of the bytes before, which must still be there."""

    offset: int
    line: int
    crc: int


class FollowFeed(LiveFeed):
    """Reads what is appended to a file. A row without its line end waits for it."""

    def __init__(
        self, spec: FeedSpec, path: Path, header: TapeHeader, decoding: Decoding, receive: ReceiveTime, poll_ms: int
    ) -> None:
        super().__init__(spec.uri, header, receive)
        self.clock_offset_ns = spec.clock_offset.ns
        self.path = path
        self._decoding = decoding
        self._poll_seconds = poll_ms / 1000
        self._counters: dict[str, int] = {}
        if not path.is_file():
            raise missing_file(path)
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise ConfigError("a compressed file cannot be followed", place=str(path))

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the rows after a cursor, and all that are appended, as they come."""
        decoder = self._decoding.make()
        stamper = Stamper()
        with _open(self.path) as file:
            inode = os.fstat(file.fileno()).st_ino
            if cursor is not None:
                self._go_to(file, decoder, cursor)
            while True:
                data = file.read(CHUNK_BYTES - decoder.pending)
                if not data:
                    self._check(file, inode)
                    await asyncio.sleep(self._poll_seconds)
                    continue
                with located(self.path):
                    decoded, dead = decoder.feed(data)
                self._counters = decoder.counters()
                records = self._decoding.records(decoded)
                if self.receive_time == "stamp":
                    stamper.stamp(records)
                if len(records) or dead:
                    place = self._place(file, decoder)
                    yield Batch(records, msgspec.json.encode(place), dead_letters(dead, str(self.path)))
                await asyncio.sleep(0)

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return dict(self._counters)

    def _go_to(self, file: BinaryIO, decoder: Decoder, cursor: bytes) -> None:
        try:
            place = msgspec.json.decode(cursor, type=FollowPlace)
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a followed file: {error}", reason="bad_cursor", place=str(self.path)
            ) from None
        size = os.fstat(file.fileno()).st_size
        if size < place.offset:
            raise self._shrank(size, place.offset)
        if self._crc(file, place.offset) != place.crc:
            raise DataError(
                f"the bytes before {place.offset}, where the session stopped, are not those that it read",
                reason="replaced",
                place=str(self.path),
                remedy="put the file back, or start a new session",
            )
        file.seek(0)
        with located(self.path):
            read_header(decoder, file.read)
        decoder.resume(place.offset, place.line)
        file.seek(place.offset)

    def _place(self, file: BinaryIO, decoder: Decoder) -> FollowPlace:
        offset, line = decoder.position
        here = file.tell()
        crc = self._crc(file, offset)
        file.seek(here)
        return FollowPlace(offset=offset, line=line, crc=crc)

    def _crc(self, file: BinaryIO, offset: int) -> int:
        file.seek(max(0, offset - _CHECKED_BYTES))
        return zlib.crc32(file.read(min(offset, _CHECKED_BYTES)))

    def _check(self, file: BinaryIO, inode: int) -> None:
        """Raise DataError if the file under the name is no longer this one, or is shorter than what was read."""
        read_bytes = file.tell()
        size = os.fstat(file.fileno()).st_size
        if size < read_bytes:
            raise self._shrank(size, read_bytes)
        try:
            if os.stat(self.path).st_ino == inode:
                return
            text = "was replaced by another file"
        except FileNotFoundError:
            text = "was removed"
        raise DataError(text, reason="replaced", place=str(self.path), remedy="append to the file; do not rotate it")

    def _shrank(self, size: int, read_bytes: int) -> DataError:
        return DataError(
            f"has {size} bytes, and {read_bytes} were read before: it shrank",
            reason="shrank",
            place=str(self.path),
            remedy="put the file back, or start a new session",
        )


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open `follow:path.csv` or `follow:path.ndjson`; columns as for the stored formats. Option: `?poll_ms=50`."""
    poll_ms = whole_number(spec, "poll_ms", options(spec, ("poll_ms",)).get("poll_ms", str(POLL_MS)), 1, 60_000)
    decodings: dict[str | None, Callable[[FeedSpec, Sequence[Instrument]], Decoding]] = {
        "csv": csv_decoding,
        "ndjson": ndjson_decoding,
    }
    make = decodings.get(spec.text_format)
    if make is None:
        raise ConfigError(
            f"{spec.uri!r}: a file that is followed is CSV or NDJSON",
            remedy="give it a suffix: .csv, .tsv, .txt, .ndjson, .jsonl",
        )
    receive = receive_time(spec)
    one_time = receive == "keep" and spec.receive is None
    header = header_of(spec, instruments, [spec.records or "quote"], one_time=one_time)
    return FollowFeed(spec, text_path(spec, base_dir), header, make(spec, instruments), receive, poll_ms)


def _open(path: Path) -> BinaryIO:
    try:
        # Unbuffered: what was appended since the last read is seen.
        return path.open("rb", buffering=0)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=str(path)) from None
