"""The reader: one consumer on chosen partitions of one topic, what the broker holds of it, and the watch for outages.

May not live here: what the messages mean, and their order across partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from replay import logs
from replay.adapters.kafka.bounds import Bound, Held, missing_range
from replay.adapters.kafka.connection import client_options, refusal
from replay.adapters.kafka.noise import quiet
from replay.errors import ConfigError, DataError, choose
from replay.measures import Measure
from replay.tasks import end_task

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from replay.adapters.kafka.address import TopicAddress
    from replay.config.sections import Kafka

MESSAGES_MAX = 2_000
"""Messages taken at a time, all partitions together."""
POLL_MS = 200
"""How long one wait for messages lasts."""
ANSWER_SECONDS = 10.0
"""How long questions about a topic may take at the start: a topic that is missing is never answered."""
MISSING_S = 2.0
"""How long a topic may be missing before it is said to be."""
WATCH_SECONDS = 1.0
"""How often the watch asks for the ends of the partitions, and how long an answer may take before it is away."""
AWAY_SECONDS = 0.25
"""How often it asks a broker that is away."""
_FETCH_BYTES_MAX = 8 << 20
_PARTITION_BYTES_MAX = 8 << 20
"""A fetch asks once for what several polls take: the broker is waited for between two fetches."""


@dataclass
class ReaderCounters:
    """What the metrics read; kept by the feed from one reader to the next."""

    messages: int = 0
    bytes_read: int = 0
    reachable: bool = True
    reconnects: int = 0
    next_offset: dict[int, int] = field(default_factory=dict)
    limit_offset: dict[int, int] = field(default_factory=dict)
    active_s: dict[int, float] = field(default_factory=dict)
    """By partition, when (on the monotonic clock) it was last not known to have nothing."""
    last_message_ms: dict[int, int] = field(default_factory=dict)

    def silent(self, idle_s: float) -> list[int]:
        """List the partitions that the broker has had nothing of for so long."""
        limit_s = time.monotonic() - idle_s
        return [partition for partition, active_s in self.active_s.items() if active_s < limit_s]

    def measures(self, topic: str) -> Iterable[Measure]:
        """Give the series of one topic."""
        labels = {"topic": topic}
        yield Measure("replay_kafka_feed_messages", "Messages taken from Kafka", self.messages, "counter", labels)
        yield Measure("replay_kafka_feed_bytes", "Bytes of messages taken", self.bytes_read, "counter", labels)
        yield Measure("replay_kafka_feed_broker_reachable", "1 if the broker answers", self.reachable, "gauge", labels)
        yield Measure(
            "replay_kafka_feed_reconnects", "Times that the broker came back", self.reconnects, "counter", labels
        )
        now_ms = time.time_ns() // 1_000_000
        for partition, next_offset in sorted(self.next_offset.items()):
            behind = max(0, self.limit_offset.get(partition, next_offset) - next_offset)
            last_ms = self.last_message_ms.get(partition)
            of = {**labels, "partition": str(partition)}
            yield Measure("replay_kafka_feed_lag_offsets", "Messages at the broker, not taken yet", behind, "gauge", of)
            seconds = 0.0 if not behind or last_ms is None else max(0.0, (now_ms - last_ms) / 1000)
            yield Measure(
                "replay_kafka_feed_lag_seconds", "Age of the last message taken, while behind", seconds, "gauge", of
            )


class TopicReader:
    """Reads chosen partitions of a topic from given offsets on. Use it as an asynchronous context manager."""

    def __init__(
        self,
        address: TopicAddress,
        kafka: Kafka | None,
        *,
        partitions: Sequence[int] | None = None,
        check_crcs: bool = True,
        messages_max: int = MESSAGES_MAX,
        counters: ReaderCounters | None = None,
    ) -> None:
        self.address = address
        self.partitions: list[int] = []
        """Those that are read."""
        self.partition_count = 0
        self.counters = counters or ReaderCounters()
        self._kafka = kafka
        self._chosen = partitions
        self._check_crcs = check_crcs
        self._messages_max = messages_max
        self._consumer: AIOKafkaConsumer
        self._watch: asyncio.Task[None] | None = None
        self._log = logs.logger("kafka")

    async def __aenter__(self) -> Self:
        quiet()
        self._consumer = self._make_consumer(self._check_crcs)
        await started(self._consumer, self.address, self._kafka)
        try:
            self.partition_count = await self._find_topic()
            self.partitions = self._choose_partitions()
            self._consumer.assign([self._of(partition) for partition in self.partitions])
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            await end_task(self._watch)
        with contextlib.suppress(Exception):  # whatever it is, what was read is read
            await asyncio.wait_for(self._consumer.stop(), ANSWER_SECONDS)

    async def held(self, start: Bound | None = None, end: Bound | None = None) -> dict[int, Held]:
        """Ask the broker what it holds of each partition, and where the times among the bounds begin."""
        names = [self._of(partition) for partition in self.partitions]
        with self._answering():
            firsts = await asyncio.wait_for(self._consumer.beginning_offsets(names), ANSWER_SECONDS)
            limits = await asyncio.wait_for(self._consumer.end_offsets(names), ANSWER_SECONDS)
            times = [await self._offsets_at(bound) for bound in (start, end)]
        return {
            name.partition: Held(firsts[name], limits[name], times[0].get(name.partition), times[1].get(name.partition))
            for name in names
        }

    async def _offsets_at(self, bound: Bound | None) -> dict[int, int | None]:
        if bound is None or bound.kind != "time":
            return {}
        names = {self._of(partition): max(0, bound.time_ms) for partition in self.partitions}
        found = await asyncio.wait_for(self._consumer.offsets_for_times(names), ANSWER_SECONDS)
        return {name.partition: None if at is None else at.offset for name, at in found.items()}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go to the next offsets to read."""
        for partition, offset in offsets.items():
            self._consumer.seek(self._of(partition), offset)
            self.counters.next_offset[partition] = offset
            self.counters.active_s[partition] = time.monotonic()

    async def poll(self, partitions: Sequence[int], timeout_ms: int = POLL_MS) -> dict[int, list[Any]]:
        """Wait for the next messages of some partitions; {} if none came in time.

        Raises DataError for a range that is gone, and where the right to read is missing.
        """
        from aiokafka.errors import KafkaError, OffsetOutOfRangeError

        names = [self._of(partition) for partition in partitions]
        try:
            got = await self._consumer.getmany(*names, timeout_ms=timeout_ms, max_records=self._messages_max)
        except OffsetOutOfRangeError as error:
            raise await self._out_of_range(error) from None
        except KafkaError as error:
            raise refused(error, self.address) from None
        messages = {name.partition: found for name, found in got.items() if found}
        for partition, found in messages.items():
            self._count(partition, found)
        return messages

    def _count(self, partition: int, found: Sequence[Any]) -> None:
        counters = self.counters
        counters.messages += len(found)
        counters.bytes_read += sum([message.serialized_value_size for message in found])
        counters.next_offset[partition] = found[-1].offset + 1
        counters.active_s[partition] = time.monotonic()
        counters.last_message_ms[partition] = found[-1].timestamp
        highwater = self._consumer.highwater(self._of(partition))
        if highwater is not None:
            counters.limit_offset[partition] = highwater

    async def position(self, partition: int) -> int:
        """Return the next offset, also behind what gave no message (marks of transactions, what was compacted)."""
        return int(await self._consumer.position(self._of(partition)))

    async def last_before(self, partition: int, has: Held, limit: int, span: int = 64) -> list[Any]:
        """Read the last messages before an offset, at most `span` of them; the consumer is left behind them."""
        at = max(has.first, limit - span)
        found: list[Any] = []
        self._consumer.seek(self._of(partition), at)
        end = time.monotonic() + ANSWER_SECONDS
        while at < limit and time.monotonic() < end:
            got = await self.poll([partition])
            found += [message for message in got.get(partition, []) if message.offset < limit]
            at = await self.position(partition)
        if at < limit:
            raise self._no_answer(f" with the messages of partition {partition} before offset {limit}")
        return found

    async def first_after(self, partition: int, start: int, limit: int, span: int) -> list[Any]:
        """Read the first messages from an offset on, at most those of `span` offsets and of one answer."""
        at, limit = start, min(limit, start + span)
        self._consumer.seek(self._of(partition), at)
        end = time.monotonic() + ANSWER_SECONDS
        while at < limit and time.monotonic() < end:
            got = (await self.poll([partition])).get(partition, [])
            if got:
                return [message for message in got if message.offset < limit]
            at = await self.position(partition)
        if at < limit:
            raise self._no_answer(f" with the messages of partition {partition} from offset {start} on")
        return []

    def start_watch(self) -> None:
        """Watch the broker from now on: its silence is not told by the consumer."""
        self._watch = asyncio.create_task(self._watching())

    async def _watching(self) -> None:
        watcher: AIOKafkaConsumer | None = None
        names = [self._of(partition) for partition in self.partitions]
        try:
            while True:
                try:
                    if watcher is None:
                        watcher = self._make_consumer(True)
                        async with asyncio.timeout(WATCH_SECONDS * 3):
                            await watcher.start()
                    async with asyncio.timeout(WATCH_SECONDS * 3):
                        ends = await watcher.end_offsets(names)
                except asyncio.CancelledError:
                    raise
                except Exception:  # noqa: BLE001 (whatever prevents an answer: the broker is away)
                    self.heard(None)
                    await _closed(watcher)
                    watcher = None
                else:
                    self.heard({name.partition: offset for name, offset in ends.items()})
                    for partition, limit in self.counters.limit_offset.items():
                        if await self.position(partition) < limit:
                            self.counters.active_s[partition] = time.monotonic()
                await asyncio.sleep(WATCH_SECONDS if self.counters.reachable else AWAY_SECONDS)
        finally:
            await _closed(watcher)

    def heard(self, ends: dict[int, int] | None) -> None:
        """Note that the broker answered, or did not (None); one line for each change."""
        counters = self.counters
        if ends is not None:
            counters.limit_offset.update(ends)
        else:  # nobody knows what it would have had
            counters.active_s = dict.fromkeys(counters.active_s, time.monotonic())
        if counters.reachable == (ends is not None):
            return
        counters.reachable = ends is not None
        if ends is None:
            self._log.error("broker unreachable", topic=str(self.address))
        else:
            counters.reconnects += 1
            self._log.info("broker reachable again", topic=str(self.address))

    def _make_consumer(self, check_crcs: bool) -> AIOKafkaConsumer:
        from aiokafka import AIOKafkaConsumer

        return AIOKafkaConsumer(
            **client_options(self.address, self._kafka),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            check_crcs=check_crcs,
            fetch_max_bytes=_FETCH_BYTES_MAX,
            max_partition_fetch_bytes=_PARTITION_BYTES_MAX,
            fetch_max_wait_ms=100,
            max_poll_records=self._messages_max,
        )

    async def _find_topic(self) -> int:
        topics: set[str] = set()
        with self._answering():
            # The metadata of a topic that was just made, or of a broker that has just come back, may lag behind.
            limit_s = time.monotonic() + MISSING_S
            while True:
                # What the consumer's own `topics()` asks for; it keeps the partitions to itself.
                metadata = await asyncio.wait_for(self._consumer._client.fetch_all_metadata(), ANSWER_SECONDS)
                topics = metadata.topics()
                found = metadata.partitions_for_topic(self.address.topic)
                if found:
                    return len(found)
                if time.monotonic() > limit_s:
                    break
                await asyncio.sleep(0.1)
        raise missing_topic(self.address, topics)

    def _choose_partitions(self) -> list[int]:
        everything = list(range(self.partition_count))
        if self._chosen is None:
            return everything
        for partition in self._chosen:
            if partition not in everything:
                raise ConfigError(
                    f"there is no partition {partition}: the topic has {self.partition_count}",
                    place=str(self.address),
                    remedy=f"choose among 0..{self.partition_count}",
                )
        return sorted(set(self._chosen))

    async def _out_of_range(self, error: Any) -> DataError:
        wanted = {name.partition: offset for name, offset in error.args[0].items()}
        held = await self.held()
        partition, offset = min(wanted.items())
        return missing_range(str(self.address), partition, offset, None, held[partition])

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        from aiokafka.errors import KafkaError

        try:
            yield
        except TimeoutError:
            raise self._no_answer() from None
        except KafkaError as error:
            raise refused(error, self.address) from None

    def _no_answer(self, what: str = "") -> DataError:
        return DataError(
            f"the broker did not answer within {ANSWER_SECONDS:.0f} s{what}",
            reason="unreachable",
            place=str(self.address),
            remedy="check the broker, and that the address is the one that it advertises",
        )

    def _of(self, partition: int) -> Any:
        from aiokafka import TopicPartition

        return TopicPartition(self.address.topic, partition)


async def started(client: Any, address: TopicAddress, kafka: Kafka | None) -> None:
    """Start a client; raise ConfigError where its broker refuses it, DataError where it cannot be reached."""
    from aiokafka.errors import KafkaError

    try:
        await client.start()
    except KafkaError as error:
        with contextlib.suppress(Exception):
            await client.stop()
        raise await refusal(error, address, kafka) or refused(error, address) from None


def refused(error: Exception, address: TopicAddress) -> DataError:
    """Make the error for what a broker, or the way to it, refuses."""
    from aiokafka import errors

    if isinstance(error, errors.TopicAuthorizationFailedError | errors.ClusterAuthorizationFailedError):
        return DataError(
            "the broker gives no right to this topic",
            reason="not_authorized",
            place=str(address),
            remedy="ask for the right to Read and Describe (or Write) it, or set the user in [kafka]",
        )
    if isinstance(error, errors.AuthenticationFailedError):
        return DataError(
            "the broker refuses the user or password",
            reason="not_authenticated",
            place=str(address),
            remedy="check [kafka] of the run file",
        )
    if isinstance(error, errors.KafkaConnectionError | errors.NodeNotReadyError | errors.NoBrokersAvailable):
        return DataError(
            f"no broker answers at {address.servers}",
            reason="unreachable",
            place=str(address),
            remedy="check the address, that the broker runs, and security in [kafka]",
        )
    return DataError(f"Kafka refuses: {str(error) or type(error).__name__}", reason="kafka", place=str(address))


def missing_topic(address: TopicAddress, topics: Iterable[str]) -> ConfigError:
    """Make the error for a topic that the broker does not have, or does not show."""
    known = sorted(topic for topic in topics if not topic.startswith("__"))
    listed = choose(address.topic, known[:20]) if known else "the broker shows no topic"
    return ConfigError(
        f"there is no topic {address.topic!r}, or no right to see it",
        place=str(address),
        remedy=f"{listed}; `replay publish TAPE {address} --create` makes it",
    )


async def _closed(client: Any) -> None:
    if client is not None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.stop(), 1.0)
