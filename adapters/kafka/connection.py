"""The connection: what every client of Kafka here is given, from `[kafka]` of the run file.

May not live here: topics, offsets and messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replay.config.sections import Kafka

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress


def client_options(address: TopicAddress, kafka: Kafka | None) -> dict[str, Any]:
    """Give the keyword arguments that AIOKafkaConsumer, AIOKafkaProducer and AIOKafkaAdminClient have in common."""
    settings = kafka or Kafka()
    return {
        "bootstrap_servers": address.servers,
        "client_id": "replay",
        "request_timeout_ms": settings.request_timeout.ns // 1_000_000,
        "security_protocol": settings.security.upper(),
    }
