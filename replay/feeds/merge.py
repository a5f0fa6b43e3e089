"""Several feeds as one: stored ones in the order of their receive times, live ones as their batches arrive.

May not live here: any format, and the checks of the sequencer; merging never drops or alters anything but the offset.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError
from replay.feeds.feed import Batch, DeadLetter, Feed, ReceiveTime
from replay.feeds.tape import BAR_PRICES, TapeHeader, TapeInstrument
from replay.measures import Measure, told_apart
from replay.records import FLAG_BAR_LENGTH_MASK, RECORD, Kind, joined

BAR_LENGTHS_MAX = FLAG_BAR_LENGTH_MASK + 1

_NS_MIN = -(2**63)
_LIVE_QUEUE_MAX = 16
"""Batches that may wait for the engine; then the feeds wait, too."""


class FeedPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one feed of a merge stands.

    cursor: of the feed, before the batch that is under way.
    taken: records of that batch that went on already.
    top_ns: the largest receive time before that batch.
    told: the dead letters of that batch went on already.
    """

    cursor: msgspec.Raw = msgspec.Raw(b"null")
    taken: int = 0
    top_ns: int = _NS_MIN
    told: bool = False


class MergeCursor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a merge: one place for each feed, in order."""

    feeds: list[FeedPlace]


def merge(feeds: Sequence[Feed], *, bar_lengths_ns: Sequence[int] | None = None) -> MergedFeed:
    """Make one feed of several, or of one: this is where clock offsets are added and bar lengths get one table.

    `bar_lengths_ns` is that table where it is given; it must hold every length of the feeds. Stored feeds go by
    (largest ts_recv + clock_offset of the feed so far, feed index, row), live ones as they come.
    """
    if not feeds:
        raise ConfigError("there is no feed")
    if len({feed.live for feed in feeds}) > 1:
        stored = next(feed.uri for feed in feeds if not feed.live)
        raise ConfigError(
            f"{stored} is stored and others are live: they have no common clock",
            remedy="run stored feeds by themselves, or let a live feed (follow:) read the file",
        )
    return MergedFeed(feeds, bar_lengths_ns)


def merged_header(feeds: Sequence[Feed]) -> TapeHeader:
    """Describe what the feeds carry together; bar lengths in the order of their first appearance."""
    instruments: dict[str, TapeInstrument] = {}
    for feed in feeds:
        for entry in feed.header.instruments:
            known = instruments.get(entry.symbol)
            if known is None:
                instruments[entry.symbol] = entry
                continue
            scales = (entry.price_decimals, entry.size_decimals)
            if scales != (known.price_decimals, known.size_decimals):
                raise ConfigError(
                    f"{entry.symbol!r} has {scales[0]} and {scales[1]} decimals of price and size here, "
                    f"{known.price_decimals} and {known.size_decimals} in the feeds before",
                    place=feed.uri,
                    remedy="convert the tapes with the same decimals",
                )
            instruments[entry.symbol] = msgspec.structs.replace(
                known,
                kinds=[*known.kinds, *(kind for kind in entry.kinds if kind not in known.kinds)],
                sizes="none" if "none" in (known.sizes, entry.sizes) else "full",
                venue=known.venue or entry.venue,
                bar_price=next(
                    (price for price in BAR_PRICES if price in (known.bar_price, entry.bar_price)), msgspec.UNSET
                ),
            )
    lengths = list(dict.fromkeys(length for feed in feeds for length in feed.header.bar_lengths_ns))
    if len(lengths) > BAR_LENGTHS_MAX:
        raise ConfigError(f"the feeds have {len(lengths)} bar lengths together: at most {BAR_LENGTHS_MAX} are possible")
    starts = [feed.header.first_ns for feed in feeds]
    ends = [feed.header.last_ns for feed in feeds]
    rows = [feed.header.rows for feed in feeds]
    offsets = [feed.clock_offset_ns for feed in feeds]
    known_starts = [start + offset for start, offset in zip(starts, offsets, strict=True) if start is not None]
    known_ends = [end + offset for end, offset in zip(ends, offsets, strict=True) if end is not None]
    return TapeHeader(
        one_time=all(feed.header.one_time for feed in feeds) and not any(offsets),
        bar_lengths_ns=lengths,
        instruments=list(instruments.values()),
        rows=sum(count for count in rows if count is not None) if None not in rows else None,
        first_ns=min(known_starts, default=None),
        last_ns=max(known_ends) if known_ends and len(known_ends) == len(feeds) else None,
    )


class MergedFeed:
    """One feed made of several. Its records are the same, however the batches of its parts are cut."""

    def __init__(self, feeds: Sequence[Feed], bar_lengths_ns: Sequence[int] | None = None) -> None:
        self.feeds = list(feeds)
        self.header = merged_header(self.feeds)
        if bar_lengths_ns is not None:
            self.header = msgspec.structs.replace(self.header, bar_lengths_ns=list(bar_lengths_ns))
        self.uri = " + ".join(feed.uri for feed in self.feeds)
        self.live = self.feeds[0].live
        self.receive_time: ReceiveTime = "stamp" if any(feed.receive_time == "stamp" for feed in self.feeds) else "keep"
        self.clock_offset_ns = 0
        self._lengths = [self._length_table(feed) for feed in self.feeds]

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the merged batches after a cursor, or all of them. Holds one batch of each feed."""
        places = self._places(cursor)
        parts = [_Part(index, feed, places[index], len(places) == 1) for index, feed in enumerate(self.feeds)]
        while True:
            dead: list[DeadLetter] = []
            for part in parts:
                dead += self._fill(part)
            holding = [(part.last_ns, index) for index, part in enumerate(parts) if not part.is_done]
            if not holding:
                if dead:
                    yield Batch(np.zeros(0, dtype=RECORD), self._cursor(parts), dead)
                return
            yield Batch(_take(parts, *min(holding)), self._cursor(parts), dead)

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the batches as they come; those of stored feeds in their order."""
        if not self.live:
            for batch in self.batches(cursor):
                yield batch
                await asyncio.sleep(0)
            return
        places = self._places(cursor)
        cursors = [place.cursor for place in places]
        async with contextlib.aclosing(_arriving(self.feeds, places)) as arriving:
            async for index, batch in arriving:
                cursors[index] = msgspec.Raw(batch.cursor)
                records = self._converted(index, batch.records)
                text = msgspec.json.encode(MergeCursor([FeedPlace(cursor=raw) for raw in cursors]))
                yield Batch(records, text, batch.dead)

    def counters(self) -> dict[str, int]:
        """Sum the counters of all feeds."""
        total: dict[str, int] = {}
        for feed in self.feeds:
            for name, count in feed.counters().items():
                total[name] = total.get(name, 0) + count
        return total

    def measures(self) -> Iterator[Measure]:
        """Chain the measures of all feeds; where two have the same series, `feed` is the feed's number."""
        return told_apart([feed.measures() for feed in self.feeds], "feed")

    def _length_table(self, feed: Feed) -> NDArray[np.uint16] | None:
        """Return what a feed's indexes of bar lengths become, or None if they stay."""
        table = [self.header.bar_lengths_ns.index(length) for length in feed.header.bar_lengths_ns]
        if table == list(range(len(table))):
            return None
        # An index that the feed's own table does not have stays wrong: the sequencer quarantines it.
        return np.array([*table, *[FLAG_BAR_LENGTH_MASK] * (BAR_LENGTHS_MAX - len(table))], dtype=np.uint16)

    def _converted(self, index: int, records: NDArray[Any]) -> NDArray[Any]:
        """Add the feed's clock offset and give bars the index of the common table."""
        offset_ns = self.feeds[index].clock_offset_ns
        table = self._lengths[index]
        if (offset_ns == 0 and table is None) or not len(records):
            return records
        records = records.copy()
        if offset_ns:
            times_ns = records["ts_recv"]
            lowest, highest = int(times_ns.min()) + offset_ns, int(times_ns.max()) + offset_ns
            if lowest < _NS_MIN or highest >= -_NS_MIN:
                raise DataError(
                    "a receive time leaves the range of 64-bit nanoseconds when clock_offset is added",
                    reason="overflow",
                    place=self.feeds[index].uri,
                )
            times_ns += offset_ns
        if table is not None:
            is_bar = records["kind"] == Kind.BAR
            flags = records["flags"]
            mapped = (flags & ~np.uint16(FLAG_BAR_LENGTH_MASK)) | table[flags & FLAG_BAR_LENGTH_MASK]
            records["flags"] = np.where(is_bar, mapped, flags)
        return records

    def _fill(self, part: _Part) -> Sequence[DeadLetter]:
        """Fetch the next batch of a feed that has none left; return the dead letters that are new."""
        dead: list[DeadLetter] = []
        while part.needs_batch:
            batch = next(part.source, None)
            if batch is None:
                part.end()
                break
            if not part.is_told:
                dead += batch.dead
            records = self._converted(part.index, batch.records)
            part.load(records, batch.cursor)
        return dead

    def _places(self, cursor: bytes | None) -> list[FeedPlace]:
        if cursor is None:
            return [FeedPlace() for _ in self.feeds]
        try:
            places = msgspec.json.decode(cursor, type=MergeCursor).feeds
        except msgspec.MsgspecError as error:
            raise DataError(f"the cursor is not one of merged feeds: {error}", reason="bad_cursor") from None
        if len(places) != len(self.feeds):
            raise DataError(
                f"the cursor has places of {len(places)} feeds, and the run has {len(self.feeds)}",
                reason="bad_cursor",
                remedy="go on with the feeds that the session began with",
            )
        return places

    def _cursor(self, parts: Sequence[_Part]) -> bytes:
        return msgspec.json.encode(MergeCursor([part.place() for part in parts]))


@dataclass
class _Part:
    """One feed of a merge of stored feeds, with the batch that is under way."""

    index: int
    feed: Feed
    start: FeedPlace
    is_alone: bool
    records: NDArray[Any] = field(default_factory=lambda: np.zeros(0, dtype=RECORD))
    keys: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    taken: int = 0
    is_done: bool = False

    def __post_init__(self) -> None:
        self.before: bytes = bytes(self.start.cursor)
        self.after = self.before
        self.top_ns = self.start.top_ns
        self.skip = self.start.taken
        self.is_told = self.start.told
        self.has_batch = False
        self.source = iter(self.feed.batches(None if self.before == b"null" else self.before))

    @property
    def needs_batch(self) -> bool:
        return not self.is_done and self.taken >= len(self.records)

    @property
    def last_ns(self) -> int:
        return int(self.keys[-1])

    def load(self, records: NDArray[Any], cursor: bytes) -> None:
        """Take the next batch; what a cursor says was taken from it is left out."""
        if len(self.keys):
            self.top_ns = int(self.keys[-1])
        self.before, self.after = self.after, cursor
        self.records = records
        if self.is_alone:  # nothing is put between its records: only the last key is asked for
            self.keys = np.full(min(1, len(records)), max(self.top_ns, int(records["ts_recv"].max(initial=_NS_MIN))))
        else:
            self.keys = np.maximum.accumulate(records["ts_recv"])
            np.maximum(self.keys, self.top_ns, out=self.keys)
        self.taken, self.skip = self.skip, 0
        self.is_told = False
        self.has_batch = True

    def end(self) -> None:
        """The feed has no more: stay behind its last batch."""
        if len(self.keys):
            self.top_ns = int(self.keys[-1])
        self.before = self.after
        self.records = np.zeros(0, dtype=RECORD)
        self.keys = np.zeros(0, dtype=np.int64)
        self.taken = 0
        self.has_batch = False
        self.is_done = True

    def place(self) -> FeedPlace:
        """Say where to go on."""
        if not self.has_batch or self.taken >= len(self.records):
            top_ns = int(self.keys[-1]) if len(self.keys) else self.top_ns
            return FeedPlace(cursor=msgspec.Raw(self.after), top_ns=top_ns)
        return FeedPlace(cursor=msgspec.Raw(self.before), taken=self.taken, top_ns=self.top_ns, told=True)


def _take(parts: Sequence[_Part], bound_ns: int, bound_index: int) -> NDArray[Any]:
    """Take from all parts what comes before anything that is still to be fetched, in order.

    The bound is the last record of the feed that runs out first: (its time, its index).
    """
    if len(parts) == 1:
        rest, parts[0].taken = parts[0].records[parts[0].taken :], len(parts[0].records)
        return rest
    chosen: list[tuple[NDArray[Any], NDArray[np.int64]]] = []
    for index, part in enumerate(parts):
        if part.is_done:
            continue
        side: Any = "right" if index <= bound_index else "left"
        limit = int(np.searchsorted(part.keys, bound_ns, side=side))
        if limit > part.taken:
            chosen.append((part.records[part.taken : limit], part.keys[part.taken : limit]))
            part.taken = limit
    if len(chosen) == 1:
        return chosen[0][0]
    keys = np.concatenate([keys for _, keys in chosen])
    # Stable: at one time the earlier feed, and within a feed the earlier row, goes first.
    given: NDArray[Any] = joined([records for records, _ in chosen])[np.argsort(keys, kind="stable")]
    return given


_Arrival = tuple[int, Batch | BaseException | None]
"""The index of a feed with its batch, with what it raised, or with None at its end."""


async def _arriving(feeds: Sequence[Feed], places: Sequence[FeedPlace]) -> AsyncGenerator[tuple[int, Batch], None]:
    """Give the batches of live feeds as they come, with the index of their feed, until every feed has ended."""
    sources = [feed.batches_async(_after(place)) for feed, place in zip(feeds, places, strict=True)]
    if len(sources) == 1:  # no queue, and no second task, between a feed and the run
        try:
            async for batch in sources[0]:
                yield 0, batch
        finally:
            await _close(sources[0])
        return
    queue: asyncio.Queue[_Arrival] = asyncio.Queue(_LIVE_QUEUE_MAX)
    tasks = [asyncio.create_task(_pump(source, index, queue)) for index, source in enumerate(sources)]
    try:
        left = len(tasks)
        while left:
            index, arrival = await queue.get()
            if isinstance(arrival, BaseException):
                raise arrival
            if arrival is None:
                left -= 1
            else:
                yield index, arrival
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: AsyncIterator[Batch], index: int, queue: asyncio.Queue[_Arrival]) -> None:
    """Put a live feed's batches into the queue, then how it ended."""
    end: BaseException | None = None
    try:
        async for batch in source:
            await queue.put((index, batch))
    except Exception as error:  # noqa: BLE001 - raised by whoever takes the batches
        end = error
    finally:
        await _close(source)
    await queue.put((index, end))


def _after(place: FeedPlace) -> bytes | None:
    cursor = bytes(place.cursor)
    return None if cursor == b"null" else cursor


async def _close(source: AsyncIterator[Batch]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        with contextlib.suppress(RuntimeError):
            await close()
