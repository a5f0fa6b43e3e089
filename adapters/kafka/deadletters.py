"""The dead-letter topic: the messages that gave no record, produced to a topic of their own with where they stood.

May not live here: the decision that something is dead, and the dead letters of a run folder.

At least once: a batch is given out only after its letters are acknowledged; a crash between the two sends them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.connection import client_options
from replay.adapters.kafka.reader import started
from replay.errors import DataError

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from replay.config.sections import Kafka
    from replay.feeds.feed import DeadLetter

_PLACE = re.compile(r", partition (\d+), offset (\d+)")


class DeadLetterTopic:
    """Sends dead letters to a topic; does nothing where there is none. An asynchronous context manager."""

    def __init__(self, uri: str | None, kafka: Kafka | None, source: TopicAddress) -> None:
        self._address = None if uri is None else TopicAddress.parse(uri, place="dead_letters")
        self._kafka = kafka
        self._source = source
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        if self._address is not None:
            from aiokafka import AIOKafkaProducer

            options = client_options(self._address, self._kafka)
            self._producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, linger_ms=2)
            await started(self._producer, self._address, self._kafka)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            with contextlib.suppress(Exception):  # what was sent is acknowledged
                await asyncio.wait_for(self._producer.stop(), 5)

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send letters and wait until the broker has them; DataError where it does not take them."""
        if self._producer is None or self._address is None or not letters:
            return
        from aiokafka.errors import KafkaError

        try:
            sent = [
                await self._producer.send(self._address.topic, value=letter.raw, headers=self._headers(letter))
                for letter in letters
            ]
            await asyncio.gather(*sent)
        except KafkaError as error:
            raise DataError(
                f"dead letters cannot be sent: {str(error) or type(error).__name__}",
                reason="dead_letters",
                place=str(self._address),
                remedy="make the topic, or leave out dead_letters of the feed",
            ) from None

    def _headers(self, letter: DeadLetter) -> list[tuple[str, Any]]:
        found = _PLACE.search(letter.place)
        headers = [("reason", letter.reason), ("place", letter.place), ("topic", self._source.topic)]
        if found:
            headers += [("partition", found[1]), ("offset", found[2])]
        return [(name, value.encode()) for name, value in headers]
