"""The delivery: the frames of one publisher into the partitions of a topic, each once, whatever becomes of the broker.

May not live here: what the frames hold, and the feed that they come from.

After whatever leaves it unknown which frames were written, the way back is one: a new producer fences the old one off
by a mark in each partition, the partitions' ends say how far each came, and what they lack is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import InvalidProducerEpoch, KafkaError, MessageSizeTooLargeError, ProducerFenced

from replay.adapters.kafka.connection import broker_fault, client_options
from replay.adapters.kafka.frame_tail import FrameTail, read_frame_tails
from replay.adapters.kafka.producer import SendOnceProducer, fencing_producer, let_go
from replay.adapters.kafka.wire import FRAME_BYTES_MAX, Place
from replay.config.sections import Kafka
from replay.errors import ConfigError, DataError, ReplayError
from replay.logs import logger
from replay.tasks import end_task

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress

PENDING_MAX = 256
"""Frames under way; then the publisher waits."""
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Waits between attempts to reach a broker; the last one again and again."""
MARKED_S = 10.0
"""How long a broker may take for the marks of a new producer."""
_PASSING = ("unreachable", "kafka")
"""Reasons of errors that time may mend."""


@dataclass
class Parcel:
    """One frame on its way."""

    partition: int
    place: Place
    data: bytes
    timestamp_ms: int
    header: tuple[str, bytes]
    sent: asyncio.Future[Any] | None = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the broker has said that it has it."""
        sent = self.sent
        return sent is not None and sent.done() and not sent.cancelled() and sent.exception() is None


class Delivery:
    """Delivers frames in order; keeps each until it is acknowledged."""

    def __init__(
        self,
        address: TopicAddress,
        kafka: Kafka | None,
        *,
        mark: Callable[[int, FrameTail | None], Parcel],
        is_stopping: Callable[[], bool],
        batch_bytes: int,
        linger_ms: int,
    ) -> None:
        """Take with `mark` what makes a frame without records that stands behind a partition's end."""
        self.address = address
        self.tails: dict[int, FrameTail | None] = {}
        """What each partition held when the producer was made."""
        self.patience_s = max(1.0, (kafka or Kafka()).request_timeout.ns / 1e9)
        """How long a broker may be away."""
        self._kafka = kafka
        self._mark = mark
        self._is_stopping = is_stopping
        self._options = {
            "max_batch_size": batch_bytes,
            "max_request_size": 2 * FRAME_BYTES_MAX,
            "linger_ms": linger_ms,
        }
        self._producer: SendOnceProducer | None = None
        self._pending: deque[Parcel] = deque()
        self._busy = asyncio.Lock()
        self._mending: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._log = logger("publish")

    async def open(self) -> None:
        """Make the producer; afterwards `tails` is what the partitions hold for sure."""
        await self._connect_patiently()

    async def send(self, parcel: Parcel) -> None:
        """Send a frame behind those before; waits while too many are under way.

        Raises DataError where the broker refuses it, stays away, or another publisher has taken the topic over.
        """
        self._raise_failure()
        while self._pending and self._pending[0].is_acknowledged:
            self._pending.popleft()
        while len(self._pending) >= PENDING_MAX:
            await self._await_oldest()
        async with self._busy:
            self._raise_failure()  # whoever mended meanwhile may have given up
            self._pending.append(parcel)
            try:
                await self._hand_over(parcel)
            except KafkaError as error:
                await self._recover(error)

    async def settle(self) -> None:
        """Wait until all frames are acknowledged."""
        while self._pending:
            await self._await_oldest()

    async def aclose(self) -> None:
        """Let go at once; what is not acknowledged may be in the topic or not."""
        if self._mending is not None:
            await end_task(self._mending)
        await self._abandon()

    # -- the way to the topic

    async def _connect(self) -> None:
        """Fence older producers off, and read the partitions' ends behind that."""
        before = await read_frame_tails(self.address, self._kafka)
        options = {**client_options(self.address, self._kafka), **self._options}
        self._producer = await fencing_producer(f"publish-{self.address.topic}", options)
        async with asyncio.timeout(MARKED_S):
            await asyncio.gather(*[await self._give(self._mark(number, tail)) for number, tail in before.items()])
        self.tails = await read_frame_tails(self.address, self._kafka)

    async def _connect_patiently(self) -> None:
        limit_s = time.monotonic() + self.patience_s
        waits = iter(RETRY_S)
        while True:
            await self._abandon()
            try:
                await self._connect()
                break
            except (KafkaError, OSError, TimeoutError) as again:
                self._judge(again)
                error = again
            except DataError as again:
                if again.reason not in _PASSING:
                    raise
                error = again
            except ConfigError as again:  # a broker that has just come back may know no topic yet
                error = again
            if time.monotonic() > limit_s or self._is_stopping():
                raise self._failed(error) from None
            await asyncio.sleep(next(waits, RETRY_S[-1]))

    async def _recover(self, error: BaseException) -> None:
        """Send what the partitions lack of the frames that are not acknowledged."""
        while True:
            self._judge(error)
            self._log.warning(
                "frames are not acknowledged: the publisher looks at the topic's end and goes on when it can",
                topic=str(self.address),
                error=f"{type(error).__name__} {error}".strip(),
            )
            await self._connect_patiently()
            self._pending = deque(parcel for parcel in self._pending if self._is_lacking(parcel))
            self._check_order()
            try:
                for parcel in list(self._pending):
                    await self._hand_over(parcel)
                self._log.info("the publisher goes on", topic=str(self.address), frames=len(self._pending))
                return
            except KafkaError as again:
                error = again

    def _is_lacking(self, parcel: Parcel) -> bool:
        tail = self.tails[parcel.partition]
        is_there = tail is not None and parcel.place.limit_seq <= tail.place.limit_seq
        return not is_there and not parcel.is_acknowledged

    def _check_order(self) -> None:
        """What is sent next must stand right behind what a partition holds."""
        first: dict[int, Parcel] = {}
        for parcel in self._pending:
            first.setdefault(parcel.partition, parcel)
        for number, parcel in first.items():
            tail = self.tails[number]
            held = 0 if tail is None else tail.place.limit_seq
            if held != parcel.place.first_seq:
                raise DataError(
                    f"partition {number} ends before sequence {held}, and {parcel.place.first_seq} comes next: another "
                    "publisher has written, or the broker has lost what it had acknowledged",
                    reason="two_publishers",
                    place=str(self.address),
                    remedy="let one publisher write to a topic; started again, it goes on behind what the topic holds",
                )

    def _judge(self, error: BaseException) -> None:
        """Raise what no further attempt would mend."""
        if isinstance(error, ProducerFenced | InvalidProducerEpoch):
            raise DataError(
                "another process publishes to this topic by now",
                reason="fenced",
                place=str(self.address),
                remedy="let one publisher write to a topic; started again, it takes the topic over",
            ) from None
        if isinstance(error, MessageSizeTooLargeError):
            raise DataError(
                "the broker refuses a message as too large",
                reason="message_too_large",
                place=str(self.address),
                remedy="raise message.max.bytes of the broker and max.message.bytes of the topic",
            ) from None
        fault = broker_fault(error, self.address, self._kafka)
        if fault is not None:
            raise fault from None

    def _failed(self, error: BaseException) -> DataError:
        fact = error.message if isinstance(error, ReplayError) else str(error) or type(error).__name__
        return DataError(
            f"publishing failed: {fact}",
            reason="produce",
            place=str(self.address),
            remedy="start it again when the broker answers: it goes on behind what the topic holds",
        )

    async def _abandon(self) -> None:
        producer, self._producer = self._producer, None
        for parcel in self._pending:
            if parcel.sent is not None and not parcel.is_acknowledged:
                parcel.sent.cancel()
                parcel.sent = None
        if producer is not None:
            await let_go(producer)

    # -- sending

    async def _hand_over(self, parcel: Parcel) -> None:
        parcel.sent = None
        parcel.sent = await self._give(parcel)
        parcel.sent.add_done_callback(self._notice)

    async def _give(self, parcel: Parcel) -> asyncio.Future[Any]:
        assert self._producer is not None
        sent: asyncio.Future[Any] = await self._producer.send(
            self.address.topic,
            value=parcel.data,
            partition=parcel.partition,
            timestamp_ms=parcel.timestamp_ms,
            headers=[parcel.header],
        )
        return sent

    def _notice(self, sent: asyncio.Future[Any]) -> None:
        """Begin to mend as soon as a frame is not acknowledged, also while the feed gives nothing more to send."""
        if not sent.cancelled() and sent.exception() is not None and self._mending is None:
            self._mending = asyncio.create_task(self._mend(), name="mend the delivery")

    async def _mend(self) -> None:
        try:
            async with self._busy:
                while (lost := next(filter(None, map(_error_of, self._pending)), None)) is not None:
                    await self._recover(lost)
        except Exception as error:  # noqa: BLE001 (raised again by whoever sends or waits)
            self._failure = error
        finally:
            self._mending = None

    async def _await_oldest(self) -> None:
        """Wait for the oldest frame, or for what mends its loss."""
        self._raise_failure()
        oldest = self._pending[0]
        if oldest.sent is not None and not oldest.sent.done():
            done, _ = await asyncio.wait({oldest.sent}, timeout=2 * self.patience_s)
            if not done:
                async with self._busy:
                    await self._recover(TimeoutError(f"no acknowledgement within {2 * self.patience_s:.0f} s"))
                return
        if oldest.is_acknowledged:
            if self._pending and self._pending[0] is oldest:
                self._pending.popleft()
            return
        await asyncio.sleep(0)  # its loss was noticed
        async with self._busy:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _error_of(parcel: Parcel) -> BaseException | None:
    sent = parcel.sent
    return None if sent is None or not sent.done() or sent.cancelled() else sent.exception()


__all__ = ["PENDING_MAX", "Delivery", "Parcel"]
