"""Topics: made with the settings that ticks need, and those settings read back before anything is sent.

May not live here: sending and reading.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay.adapters.kafka.connection import client_options
from replay.adapters.kafka.reader import ANSWER_SECONDS, refused, started
from replay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress
    from replay.config.sections import Kafka

SETTINGS = {
    # Retention goes by the time of the records: old ticks would be gone at once.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    # Ticks dated in the future are refused otherwise, and a refused batch stops its producer.
    "message.timestamp.after.max.ms": "9223372036854775807",
}
"""What `--create` sets; the broker's defaults hold for all else."""

_EXISTS = 36


@dataclass(frozen=True)
class TopicLimits:
    """What a topic takes."""

    message_bytes: int
    retention_ms: int
    before_ms: int
    after_ms: int

    def __str__(self) -> str:
        return f"max.message.bytes = {self.message_bytes}, retention.ms = {self.retention_ms}"


@contextlib.asynccontextmanager
async def admin(address: TopicAddress, kafka: Kafka | None) -> AsyncIterator[Any]:
    """Give a client for what is asked of topics."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaAdminClient(**client_options(address, kafka))
    await started(client, address, kafka)
    try:
        yield client
    except TimeoutError:
        raise DataError(
            f"the broker did not answer within {ANSWER_SECONDS:.0f} s", reason="unreachable", place=str(address)
        ) from None
    except KafkaError as error:
        raise refused(error, address) from None
    finally:
        await client.close()


async def create(address: TopicAddress, kafka: Kafka | None, partitions: int) -> bool:
    """Make a topic; False if it is there already."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import for_code

    async with admin(address, kafka) as client:
        new = NewTopic(address.topic, partitions, 1, topic_configs=SETTINGS)
        new.replication_factor = -1  # the broker's default, which the constructor does not let through
        answer = await asyncio.wait_for(client.create_topics([new]), ANSWER_SECONDS)
        # An answer is no exception: each topic has its own code.
        code, *rest = answer.topic_errors[0][1:]
        if code == _EXISTS:
            return False
        if code:
            text = next((str(part) for part in rest if part), for_code(code).__name__)
            raise ConfigError(f"the topic cannot be made: {text}", place=str(address))
        return True


async def limits(address: TopicAddress, kafka: Kafka | None) -> TopicLimits:
    """Read what a topic takes."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    async with admin(address, kafka) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, address.topic)
        answers = await asyncio.wait_for(client.describe_configs([resource]), ANSWER_SECONDS)
        code, message, _, _, entries = answers[0].resources[0][:5]
        if code:
            raise DataError(
                f"the settings of the topic cannot be read: {message or code}",
                reason="not_authorized",
                place=str(address),
                remedy="ask for the right to DescribeConfigs and Write on the topic",
            )
        found = {entry[0]: entry[1] for entry in entries}
        longest = "9223372036854775807"
        return TopicLimits(
            int(found.get("max.message.bytes") or 1_048_588),
            int(found.get("retention.ms") or -1),
            int(found.get("message.timestamp.before.max.ms") or longest),
            int(found.get("message.timestamp.after.max.ms") or longest),
        )
