"""The group: a Kafka consumer group that does nothing but share out the partitions of a topic among workers.

May not live here: reading messages, offsets (they travel in journals), and what a worker does with a partition.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.connection import client_options
from replay.config.sections import Kafka
from replay.errors import DataError

if TYPE_CHECKING:
    from replay.config.sections import FeedSpec

_POLL_MS = 200


class PartitionGroup:
    """One worker's membership in a group; opened by the entry point group `replay.groups`."""

    def __init__(self, spec: FeedSpec, group: str) -> None:
        """Take the feed entry whose topic is shared out. Raises ConfigError where its URI is none of Kafka."""
        head, _, _ = spec.uri.partition("?")
        self.address = TopicAddress.parse(head, place="--group")
        self.name = group
        self._options = client_options(self.address, spec.kafka)
        self._timeout_ms = (spec.kafka or Kafka()).group_timeout.ns // 1_000_000

    async def assignments(self) -> AsyncGenerator[frozenset[int], None]:
        """Give the partitions that are this worker's, each time they may have changed, for as long as it is a member.

        Whoever takes them holds a lock for each: for a while after a change, two workers may believe in one partition.
        Raises DataError where the topic is missing or the group may not be used.
        """
        changes: asyncio.Queue[frozenset[int]] = asyncio.Queue()
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=self.name,
            enable_auto_commit=False,
            auto_offset_reset="latest",  # nothing is read
            partition_assignment_strategy=(_own_assignor(),),
            session_timeout_ms=self._timeout_ms,
            heartbeat_interval_ms=max(100, self._timeout_ms // 6),
        )
        polling: asyncio.Task[None] | None = None
        try:
            await self._start(consumer)
            consumer.subscribe([self.address.topic], listener=_Listener(consumer, changes))
            polling = asyncio.create_task(_poll(consumer))
            while True:
                waiting = asyncio.ensure_future(changes.get())
                await asyncio.wait({waiting, polling}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    yield waiting.result()
                    continue
                waiting.cancel()
                polling.result()
        except KafkaError as error:
            raise self._failed(error) from error
        finally:
            if polling is not None:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)
            with contextlib.suppress(KafkaError):  # it leaves the group; a broker that is away forgets it by itself
                await consumer.stop()

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.start()
        topics = await consumer.topics()
        if self.address.topic not in topics:
            raise DataError(
                f"there is no topic {self.address.topic!r}, or this user may not read it",
                reason="no_topic",
                place=str(self.address),
                remedy="make it with one partition for each shard, or mend the name",
            )

    def _failed(self, error: KafkaError) -> DataError:
        return DataError(
            f"the group {self.name!r} cannot be used: {type(error).__name__}: {error}",
            reason="group",
            place=str(self.address),
            remedy="look at the broker's address, and at this user's right to read the group",
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses whatever is assigned and tells of it; what is revoked is told of by the next assignment."""

    def __init__(self, consumer: AIOKafkaConsumer, changes: asyncio.Queue[frozenset[int]]) -> None:
        self._consumer = consumer
        self._changes = changes

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._changes.put_nowait(frozenset(place.partition for place in assigned))


def _own_assignor() -> type[StickyPartitionAssignor]:
    """Make an assignor of this member's own: aiokafka keeps what a member held in the class, and counts no generations.

    Counted here, they tell a member that missed some from those that hold its partitions by now.
    """

    class OwnAssignor(StickyPartitionAssignor):  # type: ignore[misc]
        @classmethod
        def on_assignment(cls, assignment: object) -> None:
            super().on_assignment(assignment)
            cls.generation += 1

    return OwnAssignor


async def _poll(consumer: AIOKafkaConsumer) -> None:
    """Stay a member: a consumer that does not poll is taken for dead."""
    while True:
        await consumer.getmany(timeout_ms=_POLL_MS)


def open_group(spec: FeedSpec, group: str) -> PartitionGroup:
    """Join nothing yet; `assignments` does."""
    return PartitionGroup(spec, group)
