"""The brokers of the Kafka tests: one for each process that runs tests, and own ones for faults.

May not live here: what a broker does; that is tests/support/broker.py.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stress.gate import Gate
from support.broker import Broker, BrokerMissing, free_port


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


@pytest.fixture
def make_gated(tmp_path: Path) -> Iterator[Callable[..., tuple[Broker, Gate]]]:
    """Start brokers that have a second way to them, through a gate; arguments are further properties."""
    with ExitStack() as held:

        def make(*properties: str) -> tuple[Broker, Gate]:
            far, port = free_port(), free_port()
            gate = held.enter_context(Gate(far))
            names = {"PLAINTEXT": (port, port), "GATED": (far, gate.port)}
            listeners = ",".join(f"{name}://127.0.0.1:{ports[0]}" for name, ports in names.items())
            advertised = ",".join(f"{name}://127.0.0.1:{ports[1]}" for name, ports in names.items())
            ways = [
                f"listeners={listeners},CONTROLLER://127.0.0.1:{port + 1}",
                f"advertised.listeners={advertised}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GATED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            ]
            broker = Broker(tmp_path / f"gated-{port}", port=port, properties=[*ways, *properties])
            held.callback(broker.kill)
            return started(broker), gate

        yield make


def topic_name(test: str) -> str:
    """Make a name for a topic that no other test has."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', test)[:80]}-{uuid.uuid4().hex[:8]}"
