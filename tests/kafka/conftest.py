"""The brokers of the Kafka tests: one for each process that runs tests, and own ones for faults.

May not live here: what a broker does; that is tests/support/broker.py.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.broker import Broker, BrokerMissing


def started(broker: Broker) -> Broker:
    """Start it; where the machine cannot, skip the test with the reason, except in CI, which must run them."""
    try:
        broker.start()
    except BrokerMissing as lack:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs the Kafka tests, and this machine cannot: {lack}")
        pytest.skip(str(lack))
    return broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Share one broker among the tests of this process; a test that disturbs it takes `own_broker`."""
    shared = Broker(tmp_path_factory.mktemp("kafka") / "broker")
    try:
        yield started(shared)
    finally:
        shared.kill()


@pytest.fixture
def topic(broker: Broker, request: pytest.FixtureRequest) -> str:
    """Make a fresh topic of one partition on the shared broker."""
    return broker.create_topic(topic_name(request.node.name))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Start a broker for one test, which may kill, pause and restart it."""
    own = Broker(tmp_path / "own-broker")
    try:
        yield started(own)
    finally:
        own.kill()


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Start brokers with arguments of Broker: users, properties, heap."""
    made: list[Broker] = []

    def make(**options: object) -> Broker:
        made.append(Broker(tmp_path / f"broker-{len(made)}", **options))  # type: ignore[arg-type]
        return started(made[-1])

    try:
        yield make
    finally:
        for broker in made:
            broker.kill()


def topic_name(test: str) -> str:
    """Make a name for a topic that no other test has."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', test)[:80]}-{uuid.uuid4().hex[:8]}"
