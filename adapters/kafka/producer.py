"""The producer of what must not come twice: it sends each batch once, and what went wrong is its owner's to find out.

May not live here: what is sent, and how the end of a topic is read.

The client's own producer sends a batch again until it is acknowledged, and trusts that the broker knows it again. A
broker does not always: it reckons how long ago it heard of a producer by the times of its records, so that one who
sends old ticks is forgotten with the next restart or clean-up, and what it repeats is taken for new. So here the first
batch that is not acknowledged ends the producer: nothing behind it is sent any more, and its owner looks at the topic's
end before it sends anything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.producer.sender import Sender, SendProduceReqHandler

CONNECT_S = 10.0
"""How long a producer may take to start."""
TRANSACTIONAL_PREFIX = "replay-"
"""What the transactional ids of all our producers begin with."""


class _Handler(SendProduceReqHandler):  # type: ignore[misc]
    """Sends one batch a partition, once."""

    def _can_retry(self, error: Any, batch: Any) -> bool:
        return isinstance(error, NodeNotReadyError)  # raised before anything is sent: there was no connection


class _Sender(Sender):  # type: ignore[misc]
    """Sends until a batch is not acknowledged."""

    _failure: BaseException | None = None

    async def _send_produce_req(self, node_id: int, batches: dict[Any, Any]) -> None:
        if self._failure is None:
            await _Handler(self, batches).do(node_id)
            self._failure = next(filter(None, map(_failure_of, batches.values())), None)
        if self._failure is not None:
            self._end(batches.values())
        self._in_flight.remove(node_id)
        for partition in batches:
            self._muted_partitions.remove(partition)

    def _fail_all(self, task: asyncio.Task[None]) -> None:
        """Fail all when the task of sending fails; the client would also end a transaction, and there is none here."""
        if not task.cancelled() and task.exception() is not None:
            self._message_accumulator.fail_all(task.exception())

    def _end(self, batches: Iterable[Any]) -> None:
        """Fail what is under way, what waits, and what may still come."""
        accumulator = self._message_accumulator
        accumulator.fail_all(self._failure)
        waiting = list(itertools.chain.from_iterable(accumulator._batches.values()))
        accumulator._batches.clear()
        for batch in (*batches, *waiting):
            batch.failure(self._failure)
            if batch._drain_waiter.done():
                batch._drain_waiter.exception()  # whoever waits for room in a batch hears of it; often nobody does


def _failure_of(batch: Any) -> BaseException | None:
    future = batch.future
    return future.exception() if future.done() and not future.cancelled() else None


class SendOnceProducer(AIOKafkaProducer):  # type: ignore[misc]
    """An idempotent producer that never sends again what may have been written."""

    _sender: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Without a leader for long a batch would be given up, and the next one sent in its place.
        self._message_accumulator._batch_ttl = math.inf
        whole = self._sender
        self._sender = _Sender(
            self.client,
            acks=whole._acks,
            txn_manager=self._txn_manager,
            message_accumulator=self._message_accumulator,
            retry_backoff_ms=options.get("retry_backoff_ms", 100),
            request_timeout_ms=whole._request_timeout_ms,
        )


async def fencing_producer(transactional_id: str, options: dict[str, Any]) -> SendOnceProducer:
    """Start a producer with a higher epoch than every earlier one of its id.

    Once it has written into a partition, the broker takes nothing there any more of what an earlier one still has under
    way. Raises what the client raises, TimeoutError among it.
    """
    producer = SendOnceProducer(**options, acks="all", transactional_id=TRANSACTIONAL_PREFIX + transactional_id)
    try:
        await asyncio.wait_for(producer.start(), CONNECT_S)
    except BaseException:
        await let_go(producer)
        raise
    # The transactional id has done its part: the broker gave an epoch under which older producers are refused.
    # What is sent from here on belongs to no transaction.
    producer._txn_manager.transactional_id = None
    return producer


async def let_go(producer: AIOKafkaProducer) -> None:
    """End a producer without waiting for what it could not send."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
        await producer.client.close()
    task = producer._sender.sender_task
    if task is not None:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
    producer._closed = True


__all__ = ["SendOnceProducer", "fencing_producer", "let_go"]
