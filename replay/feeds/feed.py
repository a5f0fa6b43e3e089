"""What a feed is: batches of records, each with the place where to go on after it and the rows that died on the way.

May not live here: any format or venue (adapters), the order of several feeds (merge), and what a record does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from replay.errors import UsageError
from replay.feeds.tape import TapeHeader
from replay.measures import Measure

ReceiveTime = Literal["keep", "stamp"]
"""Whether receive times are those of the data, or those of the arrival here."""


class DeadLetter(NamedTuple):
    """A row that is not on the tape: the code of its reason, its raw text, and where it stands."""

    reason: str
    raw: bytes
    place: str


class Batch(NamedTuple):
    """Some records in their order, and where to go on.

    records: array of `replay.records.RECORD`; `instrument` is the index into the run's table.
    cursor: JSON; `feed.batches(cursor)` goes on with what follows this batch.
    dead: the rows among them that gave no record.
    """

    records: NDArray[Any]
    cursor: bytes
    dead: Sequence[DeadLetter] = ()


class Feed(Protocol):
    """A source of records. The same cursor gives the same batches again, except where arrivals are stamped."""

    uri: str
    header: TapeHeader
    live: bool
    """Whether it waits for what has not happened yet: then only `batches_async` works."""
    receive_time: ReceiveTime
    clock_offset_ns: int
    """Added to every receive time by `merge`."""

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all of them."""

    def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the batches after a cursor, as they come."""

    def counters(self) -> dict[str, int]:
        """Count rows, records, dead, rounded and dropped ones since the feed was opened."""

    def measures(self) -> Iterable[Measure]:
        """Give what metrics show of this feed beyond its counters."""


class StoredFeed(ABC):
    """Base of feeds that end: the asynchronous form follows from the plain one."""

    live = False
    clock_offset_ns = 0

    def __init__(self, uri: str, header: TapeHeader, receive_time: ReceiveTime = "keep") -> None:
        self.uri = uri
        self.header = header
        self.receive_time: ReceiveTime = receive_time

    @abstractmethod
    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all of them."""

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the same batches, letting the event loop breathe between them."""
        import asyncio  # here: a backtest needs none, and it costs a third of the import

        for batch in self.batches(cursor):
            yield batch
            await asyncio.sleep(0)

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return {}

    def measures(self) -> Iterable[Measure]:
        """Give what metrics show of this feed beyond its counters: nothing, unless a feed says more."""
        return ()


class LiveFeed(ABC):
    """Base of feeds that wait for what comes."""

    live = True
    clock_offset_ns = 0

    def __init__(self, uri: str, header: TapeHeader, receive_time: ReceiveTime = "stamp") -> None:
        self.uri = uri
        self.header = header
        self.receive_time: ReceiveTime = receive_time

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Refuse: what has not happened yet cannot be iterated."""
        raise UsageError(
            f"{self.uri} is live: it has no end that a backtest could reach",
            remedy="run it with `replay paper`, or give a stored feed with --feed",
        )

    @abstractmethod
    def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the batches after a cursor, as they come."""

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return {}

    def measures(self) -> Iterable[Measure]:
        """Give what metrics show of this feed beyond its counters: nothing, unless a feed says more."""
        return ()
