"""The Kafka broker of the control topic's tests: the same fixtures as those of tests/kafka.

May not live here: assertions.
"""

from __future__ import annotations

from kafka.conftest import broker, own_broker, topic

__all__ = ["broker", "own_broker", "topic"]
