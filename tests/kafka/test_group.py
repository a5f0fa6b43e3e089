"""A consumer group shares the partitions of a topic out among workers, each partition to one of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from support.broker import Broker

from replay.adapters.kafka.group import PartitionGroup
from replay.config.sections import FeedSpec, Kafka
from replay.config.values import DurationText
from replay.errors import ConfigError, DataError

pytestmark = pytest.mark.kafka


class Member:
    """A worker that only notes what it is given."""

    def __init__(self, broker: Broker, topic: str, group: str) -> None:
        kafka = Kafka(group_timeout=DurationText("6s"))
        self.group = PartitionGroup(FeedSpec(uri=f"kafka://{broker.bootstrap}/{topic}", kafka=kafka), group)
        self.mine: frozenset[int] = frozenset()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with contextlib.aclosing(self.group.assignments()) as assignments:
            async for mine in assignments:
                self.mine = mine

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.mine = frozenset()


async def shared_out(members: Sequence[Member], partitions: int, seconds: float = 20) -> None:
    """Wait until every partition belongs to exactly one member, and every member has some."""
    async with asyncio.timeout(seconds):
        while not (
            sorted(part for member in members for part in member.mine) == list(range(partitions))
            and all(member.mine for member in members)
        ):
            for member in members:
                if member.task.done():
                    member.task.result()
            await asyncio.sleep(0.05)


async def test_partitions_are_shared_out_and_go_on_to_those_who_stay(broker: Broker) -> None:
    topic = broker.create_topic("shared-out", partitions=6)
    members = [Member(broker, topic, "desk") for _ in range(3)]
    try:
        await shared_out(members, 6)
        before = [member.mine for member in members[1:]]
        await members[0].leave()
        await shared_out(members[1:], 6)
        for member, held in zip(members[1:], before, strict=True):
            assert held <= member.mine, "who stays keeps what it had"
    finally:
        for member in members:
            await member.leave()


async def test_a_topic_that_is_missing_is_named(broker: Broker) -> None:
    member = Member(broker, "nowhere", "desk")
    with pytest.raises(DataError, match="no topic 'nowhere'"):
        await asyncio.wait_for(member.task, 20)


async def test_only_a_topic_can_be_shared_out() -> None:
    with pytest.raises(ConfigError, match="no address of a Kafka topic"):
        PartitionGroup(FeedSpec(uri="sim:"), "desk")
