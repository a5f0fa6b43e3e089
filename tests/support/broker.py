"""A Kafka broker for tests and stress runs: started by deploy/kafka/start, and killed, paused and restarted at will.

May not live here: fixtures, and anything of replay; its methods block and may be called beside a running event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import for_code
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import CreateAclsRequest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "start"
LACKS = 3
"""Exit code of the script on a machine without Java, or without the jars and Maven."""

TOPIC_CONFIG = {
    "retention.ms": "-1",  # retention goes by the time of records: old ticks would vanish
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(2**63 - 1),  # ticks of the future are no error
}

_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_RESOURCES = {"topic": 2, "group": 3, "transactional_id": 5}
_OPERATIONS = {
    "all": 2,
    "read": 3,
    "write": 4,
    "create": 5,
    "describe": 8,
    "describe_configs": 10,
    "idempotent_write": 12,
}

Result = TypeVar("Result")


class BrokerMissing(Exception):
    """This machine cannot start a broker; the message says what it lacks."""


@dataclass(frozen=True)
class Message:
    """One message of a topic, as it lies there."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes] = field(default_factory=dict)


class Broker:
    """One broker with its folder; a context manager that ends it for sure."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: Mapping[str, str] | None = None,
        properties: Sequence[str] = (),
        heap: str = "256m",
    ) -> None:
        """Take name: password pairs with `users`, `admin` among them: then it speaks SASL_SSL and has an authorizer."""
        self.folder = folder
        self.port = port if port is not None else free_port()
        self.users = dict(users or {})
        self.properties = list(properties)
        self.heap = heap
        self.pid: int | None = None

    # -- life

    def start(self) -> None:
        """Start it and wait until it answers; where its port was taken before it ever ran, on another."""
        has_run = (self.folder / "server.properties").exists()
        for attempt in range(5):
            done = subprocess.run(self._command(), capture_output=True, text=True, check=False)
            if done.returncode == LACKS:
                raise BrokerMissing(done.stderr.strip())
            if done.returncode == 0:
                self.pid = int(done.stdout.split()[0].removeprefix("pid="))
                return
            if has_run or attempt == 4 or "taken" not in done.stderr:
                break
            self.port = free_port()
        raise RuntimeError(f"the broker did not start: {done.stderr}")

    def kill(self) -> None:
        """End it at once, as a power cut of its machine would (its page cache survives)."""
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        while _is_running(self.pid) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        self.pid = None

    def restart(self) -> None:
        """Kill it and start it again on its data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop all its threads: connections stay open and nothing answers."""
        assert self.pid is not None, "the broker does not run"
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let its threads go on."""
        assert self.pid is not None, "the broker does not run"
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it in order, also when it is paused."""
        if self.folder.exists():
            subprocess.run([str(SCRIPT), "--stop", str(self.folder)], capture_output=True, check=False)
        self.pid = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self) -> list[str]:
        command = [str(SCRIPT), "--heap", self.heap, "--owner", str(os.getpid())]
        if self.users:
            users = self.folder.with_name(f"{self.folder.name}.users")
            users.parent.mkdir(parents=True, exist_ok=True)
            users.touch(0o600)
            users.write_text("".join(f"{name}:{password}\n" for name, password in self.users.items()))
            command += ["--secure", str(users)]
        for line in self.properties:
            command += ["--property", line]
        return [*command, str(self.folder), str(self.port)]

    # -- addresses

    @property
    def bootstrap(self) -> str:
        """Its host:port."""
        return f"127.0.0.1:{self.port}"

    def uri(self, topic: str) -> str:
        """Address of a topic, as a run file names it."""
        return f"kafka://{self.bootstrap}/{topic}"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients of a secure broker trust."""
        return self.folder / "tls" / "ca.pem"

    def client_options(self, user: str = "admin") -> dict[str, Any]:
        """Give what aiokafka's clients need to reach it."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap}
        if self.users:
            options |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": user,
                "sasl_plain_password": self.users[user],
                "ssl_context": create_ssl_context(cafile=str(self.ca_file)),
            }
        return options

    # -- topics

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Make a topic that keeps all it gets; give its name."""
        new = NewTopic(name, partitions, 1, topic_configs={**TOPIC_CONFIG, **(config or {})})

        async def create(admin: AIOKafkaAdminClient) -> None:
            response = await admin.create_topics([new])
            _raise_errors(response.topic_errors)

        self._administer(create)
        return name

    def add_partitions(self, name: str, total: int) -> None:
        """Give a topic more partitions."""

        async def add(admin: AIOKafkaAdminClient) -> None:
            response = await admin.create_partitions({name: NewPartitions(total)})
            _raise_errors(response.topic_errors)

        self._administer(add)

    def delete_topic(self, name: str) -> None:
        """Remove a topic with its messages."""

        async def delete(admin: AIOKafkaAdminClient) -> None:
            response = await admin.delete_topics([name])
            _raise_errors(response.topic_error_codes)

        self._administer(delete)

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Forget the messages of partitions before an offset each, as retention does."""
        wanted = {TopicPartition(topic, partition): RecordsToDelete(offset) for partition, offset in before.items()}

        async def delete(admin: AIOKafkaAdminClient) -> None:
            await admin.delete_records(wanted)

        self._administer(delete)

    def allow(self, user: str, operation: str, name: str, *, resource: str = "topic", prefix: bool = False) -> None:
        """Let a user of a secure broker do something with a topic, group or transactional id of that name or prefix."""
        pattern = _PREFIXED if prefix else _LITERAL
        creation = (_RESOURCES[resource], name, pattern, f"User:{user}", "*", _OPERATIONS[operation], _ALLOW)

        async def allow(admin: AIOKafkaAdminClient) -> None:
            response = await admin._send_to_controller(CreateAclsRequest(*creation))
            _raise_errors([("acl", *answer) for answer in response.creation_responses])

        self._administer(allow)

    # -- messages

    def read(self, topic: str) -> list[Message]:
        """Read everything that lies in a topic now (what is committed of transactions), partition by partition."""

        async def read(consumer: AIOKafkaConsumer) -> list[Message]:
            partitions = await _partitions(consumer, topic)
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: dict[TopicPartition, list[Message]] = {partition: [] for partition in partitions}
            while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[partition] += [_message(record) for record in records]
            return [message for partition in partitions for message in found[partition]]

        return self._consume(read)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Give the offset after the last message of each partition."""

        async def ends(consumer: AIOKafkaConsumer) -> dict[int, int]:
            offsets = await consumer.end_offsets(await _partitions(consumer, topic))
            return {partition.partition: offset for partition, offset in offsets.items()}

        return self._consume(ends)

    def produce(
        self,
        topic: str,
        values: Sequence[bytes],
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
        user: str = "admin",
    ) -> None:
        """Put messages into a partition, in order."""

        async def produce() -> None:
            producer = AIOKafkaProducer(**self.client_options(user), enable_idempotence=True, acks="all")
            try:
                await producer.start()
                sent = [
                    await producer.send(
                        topic, value, key=key, partition=partition, headers=list((headers or {}).items())
                    )
                    for value in values
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        blocking(produce())

    # -- clients

    def _administer(self, work: Callable[[AIOKafkaAdminClient], Awaitable[None]]) -> None:
        async def administer() -> None:
            admin = AIOKafkaAdminClient(**self.client_options())
            await admin.start()
            try:
                await work(admin)
            finally:
                await admin.close()

        blocking(administer())

    def _consume(self, work: Callable[[AIOKafkaConsumer], Awaitable[Result]]) -> Result:
        async def consume() -> Result:
            consumer = AIOKafkaConsumer(
                **self.client_options(),
                isolation_level="read_committed",
                auto_offset_reset="none",
                enable_auto_commit=False,
                fetch_max_wait_ms=50,
            )
            await consumer.start()
            try:
                return await work(consumer)
            finally:
                await consumer.stop()

        return blocking(consume())


def free_port() -> int:
    """Find a port that is free together with the next one, which is the controller's."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port
    raise RuntimeError("no two free ports beside each other")


def blocking(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a loop of its own in a thread of its own: works with and without a loop that runs here."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again below, where it is waited for
            failure.append(error)

    thread = threading.Thread(target=run, name="broker")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    deadline_s = time.monotonic() + 3.0
    await consumer._client.add_topic(topic)
    while not (numbers := consumer.partitions_for_topic(topic)):
        if time.monotonic() > deadline_s:  # until then: a broker that was paused may know no topic yet
            raise LookupError(f"there is no topic {topic}")
        await asyncio.sleep(0.1)
        await consumer._client.force_metadata_update()
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _message(record: Any) -> Message:
    headers = {name: bytes(value) for name, value in record.headers}
    return Message(record.partition, record.offset, record.timestamp, record.key, record.value, headers)


def _raise_errors(answers: Sequence[Sequence[Any]]) -> None:
    """Raise what an administrator's answers hold; aiokafka leaves that to its caller."""
    for _, code, *text in answers:
        if code:
            raise for_code(code)(*text)


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
