"""The sink `kafka://host:port/topic`: publishes a session's event log, no event missing and none twice.

May not live here: schemas (reports.py), what a tail holds (tail.py), who may connect (connection.py).

The event log is the outbox: `write` only notes how far it may be read, a task reads it, makes reports and sends them.
Whatever fails, the way back is one: a new producer with a higher epoch fences the old one off by a message in each
partition, the tails say how far each partition came, and the task goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFenced,
)

from replay.adapters.kafka import topics
from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.connection import broker_fault, client_options, connection_fault, missing_topic
from replay.adapters.kafka.producer import SendOnceProducer, fencing_producer, let_go
from replay.adapters.kafka.reports import KIND_OF, Reporter, SessionReport
from replay.adapters.kafka.tail import Origin, PartitionTail, read_tails
from replay.config.sections import SinkSpec
from replay.errors import DataError, HaltError
from replay.events import EVENT, EVENT_BYTES
from replay.logs import logger
from replay.measures import Measure
from replay.pipeline.histogram import Histogram
from replay.pipeline.outbox import Effects, SinkContext
from replay.result.projections import RunScales
from replay.tasks import end_task

CHUNK_EVENTS = 64
"""Events taken from the log at a time: few enough that the session's loop is held for about a millisecond."""

UNACKNOWLEDGED_MAX = 2_000
"""Messages that may be under way; the rest waits in the event log."""

BATCH_BYTES = 65_536
BATCH_BYTES_MIN = 256
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Waits between attempts to reach a broker; the last one again and again."""

CONNECT_S = 10.0
"""How long a broker may take to answer at the start, before its address is called wrong."""

MISSING_S = 2.0
"""How long a topic may be missing before it is said to be."""

PROBE_S = 1.0
"""How often it is asked whether the broker still answers while messages are under way."""

ACKNOWLEDGED_SECONDS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Message(NamedTuple):
    """One message, ready to be sent again and again."""

    origin: Origin
    partition: int
    key: bytes
    value: bytes


class _Encoder(Protocol):
    def encode(self, value: object, /) -> bytes: ...


class _Broken(Exception):
    """The way to the topic has to be made anew; not an error of its own."""


class _Interleaved(_Broken):
    """Somebody else has written into a partition of ours."""


def open_sink(spec: SinkSpec, context: SinkContext) -> KafkaSink:
    """Make the sink of a [[sink]] entry; it connects when it is opened."""
    return KafkaSink(spec, context)


class KafkaSink:
    """Publishes orders, fills, positions and session events to one topic."""

    def __init__(self, spec: SinkSpec, context: SinkContext) -> None:
        self._spec = spec
        self._context = context
        self._address = TopicAddress.parse(spec.uri, place="sink")
        self.name = f"kafka {self._address.topic}"
        self.failure: Exception | None = None
        self.epoch = context.epoch
        self.reachable = False
        self._kinds = frozenset(spec.kinds)
        self._writer = uuid.uuid4().hex
        self._encoder: _Encoder = msgspec.json.Encoder() if spec.format == "json" else msgspec.msgpack.Encoder()
        self._reporter = Reporter(RunScales(context.setup, context.ledger_scales))
        self._log = logger("sink")
        self._descriptor: int | None = None
        self._released = 0
        """Events that may be published."""
        self._position = 0
        """Events that reports were made of."""
        self._pending: dict[tuple[int, int], Message] = {}
        """Messages made and not acknowledged, in order."""
        self._earlier: set[str] = set()
        """Processes that had published this session when this one started."""
        self._held: dict[int, tuple[int, int]] = {}
        """By partition, the last (event, part) that its tail had when the producer was made."""
        self._next_offset: dict[int, int | None] = {}
        self._since: dict[int, int] = {}
        self._producer: SendOnceProducer | None = None
        self._generation = 0
        self._broken: BaseException | None = None
        self._batch_bytes = min(BATCH_BYTES, spec.max_message_bytes)
        self._partitions = 0
        self._wake: asyncio.Event
        self._opened: asyncio.Future[None]
        self._task: asyncio.Task[None] | None = None
        self._said_full = False
        self._is_ending = False
        self._has_ended = False
        self.messages = self.bytes = self.errors = self.retries = 0
        self.acknowledged_event = -1
        self._latency = Histogram(ACKNOWLEDGED_SECONDS)

    # -- what the session calls

    def write(self, effects: Effects) -> None:
        """Note how far the event log may be published."""
        self._released = max(self._released, effects.limit_event)
        if self._task is not None:
            self._wake.set()
        if self.is_full and not self._said_full and self._opened.done():
            self._said_full = True
            self._log.warning(
                "too much waits for the broker: the session waits, too", sink=self.name, events=self._behind()
            )

    @property
    def is_full(self) -> bool:
        """Whether more events wait than may."""
        return self._released - self._position > self._spec.max_behind

    async def open(self) -> None:
        """Connect and read the topic's tails; raise ConfigError or HaltError where it cannot be this session's."""
        self._wake = asyncio.Event()
        self._opened = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name=self.name)
        self._task.add_done_callback(self._finished)
        await self._opened

    async def drain(self) -> None:
        """Publish what is left within the bound of [[sink]] drain; the next start publishes the rest."""
        if self._task is None:
            return
        self._is_ending = True
        self._wake.set()
        await asyncio.wait({self._task}, timeout=self._spec.drain.ns / 1e9)
        if self.failure is None and not self._has_ended:
            self._log.warning(
                "the session ends before all is published; its next start publishes the rest",
                sink=self.name,
                events=self._released - self.acknowledged_event - 1,
            )

    async def aclose(self) -> None:
        """Let go at once."""
        task, self._task = self._task, None
        if task is not None:
            await end_task(task)
        await self._abandon()
        self._close_log()

    def close(self) -> None:
        """Let go of the event log; the connections were closed before."""
        self._close_log()

    def measures(self) -> Iterable[Measure]:
        """Give the sink's figures."""
        labels = {"sink": "kafka", "topic": self._address.topic}

        def measure(name: str, text: str, value: Any, kind: Literal["counter", "gauge", "histogram"]) -> Measure:
            return Measure(f"replay_sink_{name}", text, value, kind, labels)

        yield measure("messages", "Messages acknowledged.", self.messages, "counter")
        yield measure("published_bytes", "Keys and values acknowledged.", self.bytes, "counter")
        yield measure("produce_errors", "Attempts to publish that failed.", self.errors, "counter")
        yield measure("retries", "Times that the way to the topic was made anew.", self.retries, "counter")
        yield measure("outbox_events", "Events that are not published yet.", self._behind(), "gauge")
        yield measure("outbox_messages", "Messages under way.", len(self._pending), "gauge")
        yield measure("acknowledged_seconds", "From sending to acknowledgement.", self._latency, "histogram")
        yield measure(
            "acknowledged_event", "Number of the newest event acknowledged.", self.acknowledged_event, "gauge"
        )
        yield measure("full", "1 while the session waits for this sink.", float(self.is_full), "gauge")
        yield measure("epoch", "The epoch under which is published.", self.epoch, "gauge")
        yield measure("reachable", "1 while the broker answers.", float(self.reachable), "gauge")

    def _behind(self) -> int:
        oldest = next(iter(self._pending), (self._position, 0))[0]
        return self._released - min(oldest, self._position)

    # -- the task

    async def _run(self) -> None:
        waits = iter(RETRY_S)
        while True:
            try:
                await self._connect()
                self._note_reachable()
                waits = iter(RETRY_S)
                await self._pump()
                return
            except (KafkaError, OSError, TimeoutError, _Broken) as error:
                self.errors += not isinstance(error, _Broken)
                await self._judge(error)
                self._note_unreachable(error)
            await self._abandon()
            self.retries += 1
            await asyncio.sleep(next(waits, RETRY_S[-1]))

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Keep what ended the task; before the first connection `open` raises it, later the session does."""
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        self.reachable = False
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        assert isinstance(error, Exception)
        self.failure = error
        self._log.error("the sink has failed; the session ends", sink=self.name, error=str(error))
        self._context.wake()

    async def _judge(self, error: BaseException) -> None:
        """Raise what no further attempt would mend."""
        if isinstance(error, ProducerFenced | InvalidProducerEpoch):
            raise self._fenced("another process publishes this session by now") from None
        if isinstance(error, MessageSizeTooLargeError):
            if self._batch_bytes <= BATCH_BYTES_MIN:
                longest = max(len(message.key) + len(message.value) for message in self._pending.values())
                raise DataError(
                    f"the broker refuses messages of up to {longest} bytes",
                    reason="message_too_large",
                    place=str(self._address),
                    remedy="raise max.message.bytes of the topic; the next start publishes the rest",
                ) from None
            self._batch_bytes //= 2
            return
        fault = broker_fault(error, self._address, self._spec.kafka)
        if fault is not None:
            raise fault from None
        if not self._opened.done() and not isinstance(error, _Broken):
            raise await connection_fault(error, self._address, self._spec.kafka) from None

    def _note_reachable(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)
        elif not self.reachable:
            self._said_full = False
            self._log.info("the sink publishes again", sink=self.name, events=self._behind())
        self.reachable = True

    def _note_unreachable(self, error: BaseException) -> None:
        if self.reachable and not isinstance(error, _Broken):
            reason = f"{type(error).__name__} {error}".strip()
            self._log.warning("the sink has lost its broker and keeps trying", sink=self.name, error=reason)
            self.reachable = False

    # -- the way to the topic

    async def _connect(self) -> None:
        """Find the topic, fence older processes off, and learn how far each partition came."""
        options = client_options(self._address, self._spec.kafka)
        consumer = AIOKafkaConsumer(
            **options, enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=50, max_poll_records=500
        )
        try:
            async with asyncio.timeout(CONNECT_S):
                await consumer.start()
                self._partitions = await self._find_topic(consumer)
            self._check(await self._tails(consumer))
            self._producer = await self._make_producer(options)
            await self._fence()
            self._take_up(self._check(await self._tails(consumer)))
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), CONNECT_S)

    async def _find_topic(self, consumer: AIOKafkaConsumer) -> int:
        await consumer._client.set_topics([self._address.topic])
        cluster = consumer._client.cluster
        is_there = cluster.partitions_for_topic(self._address.topic)
        if self._spec.create and not self._opened.done() and not is_there:
            await topics.create(self._address, self._spec.kafka, self._spec.create)
        patience_s = time.monotonic() + MISSING_S
        while not (numbers := cluster.partitions_for_topic(self._address.topic)):
            if self._address.topic in cluster.unauthorized_topics:
                raise broker_fault(_unauthorized(), self._address, self._spec.kafka) or missing_topic(self._address)
            if time.monotonic() > patience_s:  # until then: a broker that has just come back may know no topic yet
                if self._opened.done():
                    raise KafkaError(f"the topic {self._address.topic} is not there")
                raise missing_topic(self._address)
            await asyncio.sleep(RETRY_S[0])
            await consumer._client.force_metadata_update()
        return len(numbers)

    async def _tails(self, consumer: AIOKafkaConsumer) -> dict[int, PartitionTail]:
        return await read_tails(
            consumer,
            self._address.topic,
            self._partitions,
            self._context.session,
            timeout_s=max(CONNECT_S, 10 * CONNECT_S * bool(self._since)),
            since=self._since,
        )

    def _check(self, tails: dict[int, PartitionTail]) -> dict[int, PartitionTail]:
        """Refuse a topic that somebody else writes into, and one in which this session has a higher epoch by now."""
        is_start = not self._opened.done()
        for number, tail in tails.items():
            if tail.foreign is not None:
                offset, session = tail.foreign
                who = f"session {session}" if session else "something that is no sink of replay"
                raise HaltError(
                    "foreign_session",
                    f"{who} has written into the topic (partition {number}, offset {offset})",
                    place=str(self._address),
                    remedy="give each session a topic of its own: name another in [[sink]] uri",
                )
            if tail.partitions not in (None, self._partitions):
                raise HaltError(
                    "partitions_changed",
                    f"the topic had {tail.partitions} partitions and has {self._partitions}: what it holds is not "
                    "where the rest would go",
                    place=str(self._address),
                    remedy="publish to a new topic; the session publishes all its events there",
                )
            if is_start and self._context.epoch > 1 and tail.first_offset > 0 and tail.last is None:
                raise HaltError(
                    "tail_deleted",
                    f"partition {number} has deleted its messages (it begins at offset {tail.first_offset}): how far "
                    "it came cannot be told",
                    place=str(self._address),
                    remedy="set retention.ms=-1, and publish to a new topic",
                )
            if is_start:
                # A killed process leaves its epoch behind when it had not come to its journal: equal is no rival then.
                self._earlier.update(tail.writers)
                rivals = [epoch for epoch in tail.writers.values() if epoch > self.epoch]
            else:
                others = [tail.writers[writer] for writer in tail.writers.keys() - self._earlier - {self._writer}]
                rivals = [epoch for epoch in others if epoch >= self.epoch]
            if rivals:
                raise self._fenced(f"epoch {max(rivals)} stands in partition {number}")
        return tails

    def _fenced(self, fact: str) -> HaltError:
        return HaltError(
            "fenced",
            f"{fact}, and this one has epoch {self.epoch}",
            place=str(self._address),
            remedy="one process at a time runs a session: end the other one, or its copied folder, and start again",
        )

    async def _make_producer(self, options: dict[str, Any]) -> SendOnceProducer:
        """Make an idempotent producer whose epoch is higher than that of every earlier one of this session."""
        self._generation += 1
        self._broken = None
        return await fencing_producer(
            f"{self._context.session}-{self._address.topic}",
            {
                **options,
                "max_batch_size": self._batch_bytes,
                "max_request_size": max(self._spec.max_message_bytes * 2, 1 << 20),
                "linger_ms": 0,
            },
        )

    async def _fence(self) -> None:
        """Put a report of the session into each partition: behind it, nothing of an older producer is taken."""
        state = "reconnected" if self._opened.done() else "started"
        async with asyncio.timeout(CONNECT_S):
            await self._report_session(state)

    async def _report_session(self, state: str) -> None:
        assert self._producer is not None
        report = SessionReport(
            session=self._context.session,
            name=self._context.name,
            epoch=self.epoch,
            state=state,
            time_ns=time.time_ns(),
        )
        value, key = self._encoder.encode(report), self._context.session.encode()
        sent = []
        for number in range(self._partitions):
            origin = Origin(self._context.session, self.epoch, self._writer, -1, 0, 0, 0, self._partitions)
            sent.append(
                await self._producer.send(
                    self._address.topic, value, key=key, partition=number, headers=origin.headers()
                )
            )
        await asyncio.gather(*sent)

    def _take_up(self, tails: dict[int, PartitionTail]) -> None:
        """Leave out of what is to be sent all that the tails hold."""
        self._since = {}
        self._next_offset = {number: tail.limit_offset for number, tail in tails.items()}
        self._held = {
            number: (tail.last.event, tail.last.part) for number, tail in tails.items() if tail.last is not None
        }
        for key, message in list(self._pending.items()):
            if self._is_held(message):
                self._settle(key, message)

    def _is_held(self, message: Message) -> bool:
        return (message.origin.event, message.origin.part) <= self._held.get(message.partition, (-1, -1))

    async def _abandon(self) -> None:
        producer, self._producer = self._producer, None
        self._generation += 1
        if producer is not None:
            await let_go(producer)

    # -- sending

    async def _pump(self) -> None:
        """Send what waits and what comes; ends when the session does and all is acknowledged."""
        for message in list(self._pending.values()):
            await self._send(message)
        while True:
            self._raise_broken()
            if self._position < self._released and len(self._pending) < UNACKNOWLEDGED_MAX:
                for message in self._next_messages():
                    await self._send(message)
                await asyncio.sleep(0)
                continue
            if self._is_ending and self._position >= self._released and not self._pending:
                await self._report_end()
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S if self._pending else None):
                    await self._wake.wait()
                continue
            await self._probe()

    async def _report_end(self) -> None:
        async with asyncio.timeout(CONNECT_S):
            await self._report_session("ended")
        self._has_ended = True

    def _next_messages(self) -> Iterator[Message]:
        """Read a chunk of the event log and make what its partitions do not hold yet."""
        limit = min(self._released, self._position + CHUNK_EVENTS)
        first = self._position
        events = self._read_events(first, limit)
        self._position = limit
        made: list[Message] = []
        for event, part, report in self._reporter.reports(first, events):
            if KIND_OF[type(report)] not in self._kinds:
                continue
            key = report.symbol.encode()
            place = partition_of(key, self._partitions)
            origin = Origin(
                self._context.session, self.epoch, self._writer, event, part, report.seq, report.index, self._partitions
            )
            message = Message(origin, place, key, b"")
            if self._is_held(message):
                self.acknowledged_event = max(self.acknowledged_event, event)
                continue
            message = message._replace(value=self._encoder.encode(report))
            self._check_size(message)
            made.append(message)
            self._pending[event, part] = message
        yield from made

    def _read_events(self, first: int, limit: int) -> Any:
        if self._descriptor is None:
            self._descriptor = os.open(self._context.events_path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._descriptor, (limit - first) * EVENT_BYTES, first * EVENT_BYTES)
        if len(data) != (limit - first) * EVENT_BYTES:
            raise DataError(
                f"the event log ends before event {limit}",
                place=str(self._context.events_path),
                remedy="start the session again: it rebuilds the event log from its journal",
            )
        return np.frombuffer(data, dtype=EVENT)

    def _check_size(self, message: Message) -> None:
        size = len(message.key) + len(message.value)
        if size > self._spec.max_message_bytes:
            raise DataError(
                f"the message of event {message.origin.event} has {size} bytes, and at most "
                f"{self._spec.max_message_bytes} may be sent",
                reason="message_too_large",
                place=str(self._address),
                remedy="raise max_message_bytes in [[sink]] and max.message.bytes of the topic; the next start goes on",
            )

    async def _send(self, message: Message) -> None:
        assert self._producer is not None
        # Headers of a message that is sent again: who sends it may have another epoch by now.
        origin = msgspec.structs.replace(message.origin, epoch=self.epoch)
        while True:
            self._raise_broken()
            try:
                async with asyncio.timeout(PROBE_S):
                    sent = await self._producer.send(
                        self._address.topic,
                        message.value,
                        key=message.key,
                        partition=message.partition,
                        headers=origin.headers(),
                    )
            except (TimeoutError, KafkaTimeoutError):  # a full batch that cannot leave: it was not taken
                await self._probe()
                continue
            break
        sent.add_done_callback(partial(self._acknowledged, message, self._generation, time.monotonic()))

    def _acknowledged(self, message: Message, generation: int, sent_s: float, sent: asyncio.Future[Any]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if generation != self._generation or sent.cancelled():
            return
        if error is not None:
            self._break(error)
            return
        offset = sent.result().offset
        expected = self._next_offset.get(message.partition)
        self._next_offset[message.partition] = None if offset < 0 else offset + 1
        if expected is not None and 0 <= offset != expected:
            self._since[message.partition] = min(expected, offset)
            self._break(_Interleaved(f"partition {message.partition}: offset {offset} in place of {expected}"))
        self._latency.observe(time.monotonic() - sent_s)
        self.messages += 1
        self.bytes += len(message.key) + len(message.value)
        self._settle((message.origin.event, message.origin.part), message)

    def _settle(self, key: tuple[int, int], message: Message) -> None:
        if self._pending.pop(key, None) is not None:
            self.acknowledged_event = max(self.acknowledged_event, message.origin.event)
        self.reachable = True
        self._wake.set()

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = error
        self._wake.set()

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    async def _probe(self) -> None:
        """Ask whether the broker is there; the producer goes on by itself when it is back, so nothing is torn down."""
        producer = self._producer
        assert producer is not None
        try:
            async with asyncio.timeout(PROBE_S):
                is_there = await producer.client._metadata_update(
                    producer.client.cluster, producer.client._topics or [self._address.topic]
                )
        except (TimeoutError, KafkaError, OSError):
            is_there = False
        if is_there and not self.reachable:
            self._note_reachable()
        elif not is_there:
            self._note_unreachable(KafkaConnectionError(self._address.servers))

    def _close_log(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key: the murmur2 rule of Kafka's own clients."""
    from aiokafka.partitioner import murmur2

    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def _unauthorized() -> KafkaError:
    from aiokafka.errors import TopicAuthorizationFailedError

    return TopicAuthorizationFailedError()


__all__ = ["KafkaSink", "Message", "open_sink", "partition_of"]
