"""The feed of standard input: NDJSON, one object a line, as it comes.

May not live here: decoding (engine_rs/ingest). Nothing can be read twice here: a restart leaves a gap, which is marked.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from replay.adapters.live import Stamper, options, receive_time
from replay.adapters.text import Decoding, dead_letters, header_of, located, ndjson_decoding
from replay.feeds.feed import Batch, LiveFeed, ReceiveTime
from replay.feeds.tape import TapeHeader
from replay.records import FLAG_GAP_BEFORE

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed

_READ_BYTES = 1 << 16
_WAITING_MAX = 64
"""Reads that may wait for the engine; then the pipe fills and its writer waits."""


class StdinPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor: lines read in this process. It only says that something was read before."""

    line: int


class StdinFeed(LiveFeed):
    """Reads lines from a descriptor until it ends."""

    def __init__(
        self,
        spec: FeedSpec,
        header: TapeHeader,
        decoding: Decoding,
        receive: ReceiveTime,
        descriptor: int | None = None,
    ) -> None:
        super().__init__(spec.uri, header, receive)
        self.clock_offset_ns = spec.clock_offset.ns
        self._decoding = decoding
        self._descriptor = descriptor
        self._counters: dict[str, int] = {}

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the rows as they come. After a cursor the first record is flagged: some are missing before it."""
        decoder = self._decoding.make()
        stamper = Stamper()
        is_after_gap = cursor is not None
        descriptor = sys.stdin.fileno() if self._descriptor is None else self._descriptor
        async for data in _reads(descriptor):
            with located("stdin"):
                decoded, dead = decoder.feed(data) if data else decoder.finish()
            self._counters = decoder.counters()
            records = self._decoding.records(decoded)
            if self.receive_time == "stamp":
                stamper.stamp(records)
            if is_after_gap and len(records):
                records["flags"][0] |= FLAG_GAP_BEFORE
                is_after_gap = False
            if len(records) or dead:
                place = StdinPlace(line=decoder.position[1])
                yield Batch(records, msgspec.json.encode(place), dead_letters(dead, "stdin"))

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return dict(self._counters)


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open `stdin:`; members as for the NDJSON format."""
    options(spec, ())
    receive = receive_time(spec)
    one_time = receive == "keep" and spec.receive is None
    header = header_of(spec, instruments, [spec.records or "quote"], one_time=one_time)
    return StdinFeed(spec, header, ndjson_decoding(spec, instruments), receive)


async def _reads(descriptor: int) -> AsyncIterator[bytes]:
    """Give what is read from a descriptor, then b"" once.

    A thread reads, since regular files and terminals cannot be awaited; it is a daemon, since nothing wakes it.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(_WAITING_MAX)
    is_over = threading.Event()

    def put(item: bytes | OSError) -> None:
        if not is_over.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, item)

    thread = threading.Thread(target=_read, args=(descriptor, room, is_over, put), name="replay-stdin", daemon=True)
    thread.start()
    try:
        while True:
            item = await queue.get()
            room.release()
            if isinstance(item, OSError):
                raise item
            yield item
            if not item:
                return
    finally:
        is_over.set()
        room.release()


def _read(
    descriptor: int,
    room: threading.Semaphore,
    is_over: threading.Event,
    put: Callable[[bytes | OSError], None],
) -> None:
    """Read in a thread until the end, an error, or until nobody listens."""
    while True:
        room.acquire()
        if is_over.is_set():
            return
        try:
            data: bytes | OSError = os.read(descriptor, _READ_BYTES)
        except OSError as error:
            data = error
        try:
            put(data)
        except RuntimeError:  # the loop was closed meanwhile
            return
        if not data or isinstance(data, OSError):
            return
