"""deploy/kafka/start and the broker of the tests: a real Kafka that can be killed, paused and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from support.broker import SCRIPT, Broker, free_port

pytestmark = pytest.mark.kafka


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_a_topic_gives_back_what_was_put_into_it(broker: Broker, topic: str) -> None:
    broker.produce(topic, [b"one", b"two"], key=b"k", headers={"h": b"v"})
    messages = broker.read(topic)
    assert [(message.offset, message.value) for message in messages] == [(0, b"one"), (1, b"two")]
    assert (messages[0].key, messages[0].headers) == (b"k", {"h": b"v"})
    assert broker.end_offsets(topic) == {0: 2}


def test_topics_are_made_with_the_partitions_asked_for_and_only_once(broker: Broker, topic: str) -> None:
    with pytest.raises(KafkaError, match="already exists"):
        broker.create_topic(topic)
    name = broker.create_topic(f"{topic}-wide", partitions=3)
    broker.produce(name, [b"x"], partition=2)
    assert broker.end_offsets(name) == {0: 0, 1: 0, 2: 1}


def test_a_missing_topic_is_an_error_and_is_not_made(broker: Broker) -> None:
    with pytest.raises(LookupError, match="there is no topic"):
        broker.read("never-made")


@pytest.mark.slow
def test_messages_and_deletions_survive_kill_and_pause(own_broker: Broker) -> None:
    own_broker.create_topic("kept")
    own_broker.produce("kept", [b"%d" % number for number in range(10)])
    own_broker.delete_records("kept", {0: 4})
    time.sleep(1.0)  # the new start is written every 200 ms
    own_broker.restart()
    assert [message.offset for message in own_broker.read("kept")] == [4, 5, 6, 7, 8, 9]
    own_broker.pause()
    own_broker.resume()
    own_broker.produce("kept", [b"after"])
    assert own_broker.read("kept")[-1].value == b"after"


@pytest.mark.slow
def test_a_secure_broker_lets_a_user_do_what_an_acl_says_and_nothing_else(
    make_broker: Callable[..., Broker],
) -> None:
    secure = make_broker(users={"admin": "admin-secret", "desk": "desk-secret"})
    secure.create_topic("allowed")
    secure.allow("desk", "read", "allowed")
    assert (secure.folder.stat().st_mode & 0o077, secure.ca_file.exists()) == (0, True)
    secure.produce("allowed", [b"x"])
    assert len(secure.read("allowed")) == 1
    with pytest.raises(KafkaError, match="AuthorizationFailed"):
        secure.produce("allowed", [b"y"], user="desk")


def test_a_taken_port_a_second_broker_and_a_missing_java_are_told(broker: Broker, tmp_path: Path) -> None:
    taken = start(str(tmp_path / "other"), str(broker.port))
    assert (taken.returncode, f"port {broker.port} is taken" in taken.stderr) == (1, True)
    again = start(str(broker.folder), str(free_port()))
    assert (again.returncode, f"runs already: pid {broker.pid}" in again.stderr) == (1, True)
    bare = start(str(tmp_path / "bare"), str(free_port()), JAVA_HOME=str(tmp_path))
    assert (bare.returncode, "install Java 17" in bare.stderr) == (3, True)
    empty = start(str(tmp_path / "bare"), str(free_port()), KAFKA_CACHE=str(tmp_path / "empty"), MVN="no-such-maven")
    assert (empty.returncode, "install Maven" in empty.stderr) == (3, True)
    assert not (tmp_path / "bare").exists()


@pytest.mark.parametrize(
    "arguments", [(), ("only-a-folder",), ("folder", "70000"), ("--heap",), ("--no-such", "a", "1")]
)
def test_wrong_arguments_are_told(arguments: tuple[str, ...]) -> None:
    done = start(*arguments)
    assert done.returncode == 2
    assert "--help" in done.stderr


@pytest.mark.slow
def test_a_broker_ends_with_its_owner(broker: Broker, tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    done = start("--owner", str(owner.pid), str(tmp_path / "owned"), str(free_port()))
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout.split()[0].removeprefix("pid="))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    deadline_s = time.monotonic() + 15
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
