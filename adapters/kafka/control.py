"""A Kafka topic of commands: each message once, from the place that the session's journal knows of.

May not live here: what a message means; `replay.pipeline.control` reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.connection import client_options
from replay.logs import logger
from replay.pipeline.control import ControlMessage

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from replay.config.sections import Kafka

RETRY_SECONDS_MAX = 30.0
POLL_MS = 1_000


def open_control(uri: str, kafka: Kafka | None) -> KafkaControl:
    """Check the address; nothing is connected yet."""
    return KafkaControl(TopicAddress.parse(uri, place="control.topic"), kafka)


class _Cursor(msgspec.Struct, frozen=True):
    """The next offset of each partition, by its number."""

    next: dict[str, int]


class KafkaControl:
    """Reads a topic with `assign` and `seek`. A broker that is away is tried again for as long as the session runs."""

    def __init__(self, address: TopicAddress, kafka: Kafka | None) -> None:
        self.address = address
        self._kafka = kafka
        self._log = logger("control")

    async def messages(self, cursor: bytes | None) -> AsyncIterator[ControlMessage]:
        """Give what comes after a cursor; without one, the first message says where the topic ends now."""
        from aiokafka.errors import KafkaError

        offsets = None if cursor is None else dict(msgspec.json.decode(cursor, type=_Cursor).next)
        wait_s, is_told = 0.5, False
        while True:
            try:
                async for message in self._read(offsets):
                    offsets = dict(msgspec.json.decode(message.cursor, type=_Cursor).next)
                    wait_s, is_told = 0.5, False
                    yield message
            except (KafkaError, OSError) as error:
                if not is_told:  # one line for each time that it goes away
                    is_told = True
                    self._log.warning("the control topic cannot be read", topic=str(self.address), error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_SECONDS_MAX)

    async def _read(self, offsets: dict[str, int] | None) -> AsyncIterator[ControlMessage]:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            **client_options(self.address, self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            partitions = await self._partitions(consumer)
            consumer.assign(partitions)
            places = await self._places(consumer, partitions, offsets)
            for partition in partitions:
                consumer.seek(partition, places[str(partition.partition)])
            if offsets != places:
                yield ControlMessage(None, str(self.address), _encode(places))
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                for partition in sorted(batches, key=lambda one: one.partition):
                    for record in batches[partition]:
                        places[str(partition.partition)] = record.offset + 1
                        place = f"{self.address}[{partition.partition}]@{record.offset}"
                        yield ControlMessage(record.value or b"", place, _encode(places))
        finally:
            await consumer.stop()

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        from aiokafka import TopicPartition
        from aiokafka.errors import UnknownTopicOrPartitionError

        await consumer._client.force_metadata_update()
        topics = await consumer.topics()
        found = consumer.partitions_for_topic(self.address.topic) if self.address.topic in topics else None
        if not found:
            raise UnknownTopicOrPartitionError(f"there is no topic {self.address.topic!r}")
        return [TopicPartition(self.address.topic, number) for number in sorted(found)]

    async def _places(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], offsets: dict[str, int] | None
    ) -> dict[str, int]:
        """Say where to read on: the end at the first start; else the cursor, or the nearest offset that is there."""
        first = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        places: dict[str, int] = {}
        for partition in partitions:
            known = None if offsets is None else offsets.get(str(partition.partition), first[partition])
            place = ends[partition] if known is None else known
            if not first[partition] <= place <= ends[partition]:
                self._log.warning(
                    "commands are missing from the control topic",
                    place=f"{self.address}[{partition.partition}]",
                    wanted=place,
                    first=first[partition],
                    end=ends[partition],
                )
                place = first[partition] if place < first[partition] else ends[partition]
            places[str(partition.partition)] = place
        return places


def _encode(places: dict[str, int]) -> bytes:
    return msgspec.json.encode(_Cursor(dict(places)))
