"""The tail: what the end of a topic says of who published last, and how far it came in each partition.

May not live here: what follows from it; the sink decides that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

TAIL_MESSAGES = 200
"""How far back a tail is read at first; farther only while it holds nothing but starts and ends of the session."""


class Origin(msgspec.Struct, frozen=True):
    """Who published a message, and from which event: the headers of each message of a sink."""

    session: str
    epoch: int
    writer: str
    """Drawn anew by each process that publishes."""
    event: int
    """Number of the event in the session's log, -1 for a report of the session itself."""
    part: int
    seq: int
    index: int
    partitions: int
    """How many partitions the topic had."""

    def headers(self) -> list[tuple[str, bytes]]:
        """Give the headers of a message."""
        return [(name, str(value).encode()) for name, value in msgspec.structs.asdict(self).items()]

    @classmethod
    def of(cls, headers: Any) -> Origin | None:
        """Read the headers of a message; None for one that no sink has written."""
        found = {name: bytes(value) for name, value in headers if value is not None}
        try:
            numbers = {name: int(found[name]) for name in cls.__struct_fields__ if name not in ("session", "writer")}
            return cls(session=found["session"].decode(), writer=found["writer"].decode(), **numbers)
        except (KeyError, ValueError):
            return None


@dataclass
class PartitionTail:
    """The end of one partition."""

    first_offset: int
    limit_offset: int
    last: Origin | None = None
    """The last message that an event made."""
    epoch: int = 0
    """The highest epoch of the session."""
    writers: dict[str, int] = field(default_factory=dict)
    """Epoch by writer, of the session."""
    partitions: int | None = None
    """How many partitions the last message says that there were."""
    foreign: tuple[int, str | None] | None = None
    """Offset and session of the first message that is not the session's; None for a message of no sink."""


async def read_tails(
    consumer: AIOKafkaConsumer,
    topic: str,
    partitions: int,
    session: str,
    *,
    timeout_s: float,
    since: Mapping[int, int] | None = None,
) -> dict[int, PartitionTail]:
    """Read the tail of each partition, or from the offset in `since` where it lies further back.

    Raises TimeoutError, or what the client raises.
    """
    async with asyncio.timeout(timeout_s):
        places = [TopicPartition(topic, number) for number in range(partitions)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        tails: dict[int, PartitionTail] = {}
        for place in places:
            begin, end = begins[place], ends[place]
            first = min(end - TAIL_MESSAGES, (since or {}).get(place.partition, end))
            while True:
                first = max(begin, first)
                tail = await _read(consumer, place, first, end, session)
                if tail.last is not None or tail.foreign is not None or first == begin:
                    break
                first = end - 4 * (end - first)
            tail.first_offset = begin
            tails[place.partition] = tail
        return tails


async def _read(
    consumer: AIOKafkaConsumer, place: TopicPartition, first: int, limit: int, session: str
) -> PartitionTail:
    tail = PartitionTail(first, limit)
    if first >= limit:
        return tail
    consumer.assign([place])
    consumer.seek(place, first)
    while await consumer.position(place) < limit:
        for message in (await consumer.getmany(place, timeout_ms=100)).get(place, []):
            if message.offset >= limit:
                break
            _take(tail, message.offset, Origin.of(message.headers), session)
    return tail


def _take(tail: PartitionTail, offset: int, origin: Origin | None, session: str) -> None:
    if origin is None or origin.session != session:
        if tail.foreign is None:
            tail.foreign = (offset, None if origin is None else origin.session)
        return
    tail.epoch = max(tail.epoch, origin.epoch)
    tail.writers[origin.writer] = max(origin.epoch, tail.writers.get(origin.writer, 0))
    tail.partitions = origin.partitions
    if origin.event >= 0:
        tail.last = origin
