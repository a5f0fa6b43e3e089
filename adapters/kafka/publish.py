"""The publisher: any feed to a topic as frames; started again it goes on behind what the topic holds, nothing twice.

May not live here: the layout of a frame (wire), and reading of topics as feeds (feed).

Records have sequence numbers over the whole topic. An instrument has its partition (index modulo their number), so each
frame says of which range it is its partition's part. It also carries, as a message header, where its feed goes on:
after a crash the publisher takes up the place of the partition that is furthest behind, and leaves out
what the others have.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.kafka import topics
from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.delivery import Delivery, Parcel
from replay.adapters.kafka.frame_tail import FeedPlace, FrameTail, read_frame_tails
from replay.adapters.kafka.wire import FRAME_BYTES_MAX, FrameWriter, Place, Table
from replay.errors import ConfigError, DataError
from replay.pipeline.pacing import PlayControls, TapePacer
from replay.records import RECORD_BYTES, as_bytes
from replay.records import empty as no_records

if TYPE_CHECKING:
    from replay.config.sections import Kafka
    from replay.data.publish import Publishing
    from replay.feeds.feed import Batch, Feed

FRAME_ROWS = 1_000
"""Records of a frame at most."""

_LINGER_NS = 2_000_000
"""Paced records that follow each other more closely go into one frame."""
_MARK_SECONDS = 0.2
"""A partition without records is told so often how far the others are, so that readers need not wait for it."""
_MARGIN_BYTES = 1_024


@dataclass
class Summary:
    """What publishing did; its text is what the command prints."""

    address: str
    records: int = 0
    """Sent by this start."""
    held: int = 0
    """In the topic before, of the same source."""
    frames: int = 0
    bytes_sent: int = 0
    dead: int = 0
    seconds: float = 0.0
    is_interrupted: bool = False
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rate = self.records / self.seconds if self.seconds > 0 else 0.0
        size = self.bytes_sent / (1 << 20)
        what = f"{self.records:,} records in {self.frames:,} frames ({size:.1f} MiB)"
        lines = [f"{self.address}: {what}, {self.seconds:.1f} s, {rate:,.0f} records/s"]
        if self.held:
            lines.append(f"  {self.held:,} records were there already: nothing was sent twice")
        if self.dead:
            lines.append(f"  left out: {self.dead:,} rows of the source that gave no record")
        if self.is_interrupted:
            lines.append("  interrupted: the same command goes on from here")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def publish(feed: Feed, uri: str, kafka: Kafka | None, how: Publishing) -> Summary:
    """Publish a feed from where the topic ends to the feed's end, or until a stop is asked for."""
    address = TopicAddress.parse(uri)
    return asyncio.run(_Publisher(feed, address, kafka, how).run())


class _Publisher:
    """One start of a publication."""

    def __init__(self, feed: Feed, address: TopicAddress, kafka: Kafka | None, how: Publishing) -> None:
        self.feed = feed
        self.address = address
        self.kafka = kafka
        self.how = how
        self.table = Table.of(feed.header)
        self.writer = FrameWriter(self.table)
        self.summary = Summary(str(address))
        self.limits: dict[int, int] = {}
        """The next sequence that each partition lacks."""
        self.next_seq = 0
        self.stream_start = 0
        self.stream = 0
        self.place = FeedPlace()
        self.rows_max = FRAME_ROWS
        self.batch_bytes = FRAME_BYTES_MAX
        self.topic_limits: topics.TopicLimits
        self.delivery: Delivery
        self.marked_s = time.monotonic()
        self.tails: dict[int, FrameTail | None] = {}
        self.last_ms = 0

    async def run(self) -> Summary:
        begun_s = time.perf_counter()
        await self._prepare_topic()
        source, first = await self._first_batch(None)
        if first is None:
            raise DataError("the feed has no records: there is nothing to publish", reason="empty", place=self.feed.uri)
        self.stream = self._identity(first)
        await self._take_up()
        if bytes(self.place.cursor) != b"null":
            await source.aclose()
            source, first = await self._first_batch(bytes(self.place.cursor))
        self.delivery = self._make_delivery()
        try:
            if first is not None or self._is_behind():  # else nothing would be sent, and nobody is fenced off
                await self._open_delivery(first)
                await self._publish_all(source, first)
                await self.delivery.settle()
        finally:
            await source.aclose()
            await self.delivery.aclose()
        self.summary.seconds = time.perf_counter() - begun_s
        return self.summary

    # -- before anything is sent

    async def _prepare_topic(self) -> None:
        count = max(1, len(self.table.header.instruments)) if self.how.by_instrument else self.how.partitions
        if self.how.create:
            await topics.create(self.address, self.kafka, count or 1)
        self.tails = await read_frame_tails(self.address, self.kafka)
        if count is not None and len(self.tails) != count:
            raise ConfigError(
                f"the topic has {len(self.tails)} partitions, not {count}",
                place=str(self.address),
                remedy="leave the number out, or publish to another topic",
            )
        self.topic_limits = await topics.limits(self.address, self.kafka)
        self._fit_messages()

    def _fit_messages(self) -> None:
        """Choose how many records fit the topic's largest message: a batch that it refuses stops the producer."""
        # The limit is that of a batch: its own bytes, and the header of the message, come on top of the frame.
        self.batch_bytes = largest = min(FRAME_BYTES_MAX, self.topic_limits.message_bytes - _MARGIN_BYTES)
        rows = (largest - self.writer.overhead_bytes - 8) // (RECORD_BYTES + 4)
        if rows < 1:
            raise ConfigError(
                f"a frame with one record and the table of {len(self.table.header.instruments)} instruments is larger "
                f"than the topic's messages may be ({self.topic_limits.message_bytes} bytes)",
                place=str(self.address),
                remedy="raise max.message.bytes of the topic, or publish fewer instruments",
            )
        self.rows_max = min(FRAME_ROWS, rows)
        if self.topic_limits.retention_ms >= 0:
            retention_ms = self.topic_limits.retention_ms
            self.summary.notes = (
                f"note: retention.ms = {retention_ms} goes by the ticks' own times, older ones vanish: set it to -1",
            )

    def _identity(self, first: Batch) -> int:
        """Name what is published: a stored source by its first record, a live one by its address.

        Of the instruments only what tells them apart: which kinds of records there are changes as a source grows.
        """
        told = [(one.symbol, one.price_decimals, one.size_decimals, one.venue) for one in self.feed.header.instruments]
        sha = hashlib.sha256(msgspec.json.encode(told))
        sha.update(self.feed.uri.encode() if self.feed.live else as_bytes(first.records[:1]).tobytes())
        return int.from_bytes(sha.digest()[:8], "little")

    async def _take_up(self) -> None:
        """Go on behind what the topic holds of the same source; another source begins behind everything."""
        tails = {number: tail for number, tail in self.tails.items() if tail is not None}
        self.limits = {number: 0 if tail is None else tail.place.limit_seq for number, tail in self.tails.items()}
        mine = {number: tail for number, tail in tails.items() if tail.place.stream == self.stream}
        top = max(self.limits.values(), default=0)
        if not mine or max(tail.place.limit_seq for tail in mine.values()) < top:
            self.stream_start = self.next_seq = top
            return
        starts = {tail.place.stream_start for tail in mine.values()}
        self.stream_start = min(starts)
        behind = min(self.limits, key=lambda number: self.limits[number])
        tail = mine.get(behind)
        self.next_seq = self.stream_start
        if tail is not None and tail.feed is not None:
            self.place, self.next_seq = tail.feed, tail.place.limit_seq - tail.feed.skip
        self.summary.held = top - self.stream_start

    async def _first_batch(self, cursor: bytes | None) -> tuple[Any, Batch | None]:
        """Open the feed and wait for its first records."""
        source = self.feed.batches_async(cursor)
        async for batch in source:
            self.summary.dead += len(batch.dead)
            if len(batch.records):
                return source, batch
        return source, None

    def _make_delivery(self) -> Delivery:
        return Delivery(
            self.address,
            self.kafka,
            mark=self._fence_mark,
            is_stopping=lambda: self.how.stop.requested,
            batch_bytes=self.batch_bytes,
            linger_ms=2 if self.how.speed == "max" and not self.feed.live else 0,
        )

    def _is_behind(self) -> bool:
        """Whether a partition has not been told how far the sequence is."""
        return any(tail is None or self.limits[number] < self.next_seq for number, tail in self.tails.items())

    async def _open_delivery(self, first: Batch | None) -> None:
        """Fence older publishers off; what they still had under way until then counts as published."""
        if first is not None:
            self._timestamp_ms(first.records[:1])  # what the topic refuses is told before anything is sent
        await self.delivery.open()
        for number, tail in self.delivery.tails.items():
            assert tail is not None  # at least the mark stands there
            if tail.place.stream != self.stream and tail.place.limit_seq > self.limits[number]:
                raise DataError(
                    "another source is being published to this topic",
                    reason="two_publishers",
                    place=str(self.address),
                    remedy="let one publisher write to a topic, or wait until it has ended",
                )
            self.limits[number] = max(self.limits[number], tail.place.limit_seq)

    def _fence_mark(self, partition: int, tail: FrameTail | None) -> Parcel:
        """Make a frame without records for the end of a partition; it says what the frame before it says."""
        if tail is not None and tail.place.stream == self.stream:
            known, limit, feed = tail.place.limit_seq, tail.place.limit_seq, tail.feed
        else:  # nothing of this source is there yet
            known = 0 if tail is None else tail.place.limit_seq
            limit, feed = max(known, self.stream_start), None
        place = Place(known, limit, self.stream_start, self.stream)
        feed = feed or FeedPlace(skip=limit - self.stream_start)
        return self._parcel(partition, place, no_records(0), np.zeros(0, dtype=np.int64), feed)

    # -- sending

    async def _publish_all(self, source: Any, first: Batch | None) -> None:
        before = FeedPlace(self.place.cursor)
        pacer = self._pacer()
        batch = first
        while batch is not None and not self.how.stop.requested:
            await self._publish_batch(batch, before, pacer)
            before = FeedPlace(msgspec.Raw(batch.cursor))
            batch = await self._next_batch(source)
        self.summary.is_interrupted = batch is not None or self.how.stop.requested
        for number in self.limits:
            await self._send_mark(number, self.place)

    async def _next_batch(self, source: Any) -> Batch | None:
        """Wait for the next records, or for the wish to stop."""
        stopped = self.how.stop.event(asyncio.get_running_loop()) if self.feed.live else None
        while True:
            step = asyncio.ensure_future(anext(source, None))
            if stopped is not None:
                waiting = asyncio.ensure_future(stopped.wait())
                await asyncio.wait({step, waiting}, timeout=_MARK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not step.done() and not waiting.done():  # it is quiet: no reader need wait for what never comes
                    for number in self.limits:
                        await self._send_mark(number, self.place)
                    await asyncio.wait({step, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if not step.done():
                    step.cancel()
                    await asyncio.gather(step, return_exceptions=True)
                    return None
            batch: Batch | None = await step
            if batch is None:
                return None
            self.summary.dead += len(batch.dead)
            if len(batch.records):
                return batch

    def _pacer(self) -> TapePacer | None:
        if self.feed.live or self.how.speed == "max":
            return None
        controls = PlayControls(self.how.speed)
        self.how.stop.on_request(controls.stop)
        return TapePacer(controls, lambda: 0, blocks=False)  # the producer sends on this loop

    async def _publish_batch(self, batch: Batch, before: FeedPlace, pacer: TapePacer | None) -> None:
        records = batch.records
        # What a cursor says is in frames already has its numbers; partitions that lack some of it still get it.
        done = 0
        async for limit in self._chunks(records, pacer):
            while done < limit and not self.how.stop.requested:
                until = min(done + self.rows_max, limit)
                is_last = until == len(records)
                place = FeedPlace(msgspec.Raw(batch.cursor)) if is_last else FeedPlace(before.cursor, until)
                await self._send_chunk(records[done:until], place)
                done = until
            if self.how.progress is not None and done:
                sent = self.summary.held + self.summary.records
                self.how.progress(sent, self.feed.header.rows, int(records["ts_recv"][done - 1]))

    async def _chunks(self, records: NDArray[Any], pacer: TapePacer | None) -> AsyncIterator[int]:
        """Give how many records of a batch may have gone: all, or those whose time has come."""
        if pacer is None:
            yield len(records)
            return
        times_ns = np.ascontiguousarray(records["ts_recv"])
        speed = self.how.speed if isinstance(self.how.speed, float) else 1.0
        held = 0
        held_ns = 0
        async with contextlib.aclosing(pacer.slices(times_ns)) as slices:
            async for first, limit in slices:
                now_ns = time.monotonic_ns()
                held_ns = held_ns if held else now_ns
                held += limit - first
                gap_ns = (int(times_ns[limit]) - int(times_ns[limit - 1])) / speed if limit < len(records) else None
                is_close = gap_ns is not None and gap_ns < _LINGER_NS and now_ns - held_ns < _LINGER_NS
                if not is_close or held >= self.rows_max:
                    held = 0
                    yield limit

    async def _send_chunk(self, records: NDArray[Any], place: FeedPlace) -> None:
        """Send records as one frame to each partition that has some of them."""
        first, limit = self.next_seq, self.next_seq + len(records)
        self.next_seq = limit
        self.place = place
        if len(self.limits) == 1:
            await self._send_part(0, records, first, limit, place)
        else:
            numbers = records["instrument"] % len(self.limits)
            for number in np.unique(numbers).tolist():
                rows = np.flatnonzero(numbers == number)
                await self._send_part(number, records[rows], first, limit, place, rows + first)
            now_s = time.monotonic()
            if now_s - self.marked_s > _MARK_SECONDS:
                self.marked_s = now_s
                for number in self.limits:
                    await self._send_mark(number, place)

    async def _send_part(
        self,
        partition: int,
        records: NDArray[Any],
        first: int,
        limit: int,
        place: FeedPlace,
        sequences: NDArray[np.int64] | None = None,
    ) -> None:
        """Send what a partition lacks of a range."""
        known = self.limits[partition]
        if limit <= known:
            return
        if known > first:
            skip = known - first if sequences is None else int(np.searchsorted(sequences, known, side="left"))
            records, first = records[skip:], known
            sequences = None if sequences is None else sequences[skip:]
        if sequences is None and known < first:  # the partition's range begins before: with what others published
            sequences = np.arange(first, limit, dtype=np.int64)
        await self._send(partition, Place(known, limit, self.stream_start, self.stream), records, sequences, place)

    async def _send_mark(self, partition: int, place: FeedPlace) -> None:
        """Tell a partition how far the sequence is, where it has nothing of its own."""
        known = self.limits[partition]
        if known < self.next_seq:
            empty = np.zeros(0, dtype=np.int64)
            await self._send(
                partition, Place(known, self.next_seq, self.stream_start, self.stream), no_records(0), empty, place
            )

    async def _send(
        self,
        partition: int,
        place: Place,
        records: NDArray[Any],
        sequences: NDArray[np.int64] | None,
        feed: FeedPlace,
    ) -> None:
        parcel = self._parcel(partition, place, records, sequences, feed)
        await self.delivery.send(parcel)
        self.limits[partition] = place.limit_seq
        self.summary.frames += 1
        self.summary.records += len(records)
        self.summary.bytes_sent += len(parcel.data)

    def _parcel(
        self,
        partition: int,
        place: Place,
        records: NDArray[Any],
        sequences: NDArray[np.int64] | None,
        feed: FeedPlace,
    ) -> Parcel:
        data = self.writer.encode(place, records, sequences)
        return Parcel(partition, place, data, self._timestamp_ms(records), feed.header())

    def _timestamp_ms(self, records: NDArray[Any]) -> int:
        """Give a message the largest receive time of its records, so that times find it."""
        wall_ms = time.time_ns() // 1_000_000
        if not len(records):
            return wall_ms if self.feed.live else max(0, self.last_ms)
        self.last_ms = max(0, int(records["ts_recv"].max()) // 1_000_000)
        limits = self.topic_limits
        if not -limits.after_ms <= wall_ms - self.last_ms <= limits.before_ms:
            raise ConfigError(
                f"the topic does not take records of the time {self.last_ms} (ms since the epoch): it allows "
                f"{limits.before_ms} ms before and {limits.after_ms} ms after now",
                place=str(self.address),
                remedy="set message.timestamp.before.max.ms and .after.max.ms of the topic to 9223372036854775807",
            )
        return self.last_ms
