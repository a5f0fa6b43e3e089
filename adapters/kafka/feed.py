"""The feed of a topic: `kafka://host:port/topic?from=..&to=..`; with `to` it is a data set that ends, without it live.

May not live here: how messages become records (frames, messages), their order (partitions), the broker (reader).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import msgspec

from replay.adapters.kafka import bridge
from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.bounds import Bound, Held, Span, check_held, resolve
from replay.adapters.kafka.deadletters import DeadLetterTopic
from replay.adapters.kafka.frames import FrameIntake, Intake, IntakeCounters, place_of_message
from replay.adapters.kafka.partitions import Order, PartitionMerge, PartitionPlace, TopicPlace
from replay.adapters.kafka.reader import WATCH_SECONDS, ReaderCounters, TopicReader
from replay.adapters.kafka.wire import BadFrame, Frame, Table, decode, is_frame
from replay.adapters.live import Stamper
from replay.adapters.text import header_of
from replay.errors import ConfigError, DataError, NothingYet, UsageError
from replay.feeds.feed import Batch, DeadLetter, ReceiveTime
from replay.feeds.tape import TapeHeader
from replay.logs import logger
from replay.measures import Measure

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed

OPTIONS = ("from", "to", "partitions")
FRAMES_MAX = 64
"""Frames taken at a time: some MiB."""
MESSAGES_MAX = 2_000
"""Small messages taken at a time: some milliseconds of work."""
_PROBED_MESSAGES = 256


@dataclass(frozen=True)
class Source:
    """Which part of which topic is read, and how; what a feed is made of."""

    spec: FeedSpec
    address: TopicAddress
    instruments: Sequence[Instrument]
    start: Bound
    end: Bound | None
    partitions: tuple[int, ...] | None

    @classmethod
    def parse(cls, spec: FeedSpec, instruments: Sequence[Instrument]) -> Source:
        """Read the URI of a feed's entry."""
        address = TopicAddress.parse(spec.uri, OPTIONS)
        end_text = address.options.get("to")
        start_text = address.options.get("from", "latest" if end_text is None else "earliest")
        chosen = address.options.get("partitions")
        if chosen is not None and not all(part.strip().isdigit() for part in chosen.split(",")):
            raise ConfigError(f"{spec.uri!r}: partitions must be numbers", remedy="write partitions=0,3")
        return cls(
            spec=spec,
            address=address,
            instruments=instruments,
            start=Bound.parse("from", start_text, spec.uri),
            end=None if end_text is None else Bound.parse("to", end_text, spec.uri),
            partitions=None if chosen is None else tuple(int(part) for part in chosen.split(",")),
        )

    @property
    def is_frames(self) -> bool:
        """Whether the messages are frames of ours."""
        return self.spec.message in (None, "frames")

    def reader(self, counters: ReaderCounters | None = None) -> TopicReader:
        """Make a reader of the topic."""
        return TopicReader(
            self.address,
            self.spec.kafka,
            partitions=self.partitions,
            check_crcs=not self.is_frames,  # a frame has its own checksum
            messages_max=FRAMES_MAX if self.is_frames else MESSAGES_MAX,
            counters=counters,
        )


@dataclass(frozen=True)
class Found:
    """What was found when a feed was opened: where each partition starts, and what its records are."""

    places: dict[int, PartitionPlace]
    header: TapeHeader


class MessageIntake(Protocol):
    """Turns the messages of one partition into records."""

    def take(self, partition: int, messages: Sequence[Any], watermark: int | None) -> list[Intake]:
        """Take messages, in the order of their offsets; `watermark` is where the partition is."""


class KafkaFeed:
    """Part of a topic as a feed."""

    def __init__(self, source: Source, found: Found, receive: ReceiveTime) -> None:
        self.uri = source.spec.uri
        self.header = found.header
        self.live = source.end is None
        self.receive_time: ReceiveTime = receive
        self.clock_offset_ns = source.spec.clock_offset.ns
        self._source = source
        self._found = found
        self._reading = ReaderCounters()
        self._intake = IntakeCounters()
        self._said_silent: set[int] = set()
        self._log = logger("kafka")

    # -- Feed

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all; reads ahead on a thread of its own."""
        if self.live:
            raise UsageError(
                f"{self.uri} is live: it has no end that a backtest could reach",
                remedy="add to=latest (or an offset or a time), or run it with `replay paper`",
            )
        return bridge.iterate(lambda: self._read(cursor))

    def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the batches after a cursor, as they come."""
        return self._read(cursor)

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return self._intake.rows_of_feed()

    def measures(self) -> Iterable[Measure]:
        """Give lag, reachability and what became of the messages."""
        topic = self._source.address.topic
        labels = {"topic": topic}
        yield from self._reading.measures(topic)
        counts = self._intake
        yield Measure("replay_kafka_feed_dead", "Messages or rows that gave no record", counts.dead, "counter", labels)
        yield Measure(
            "replay_kafka_feed_duplicates",
            "Records dropped since they came before",
            counts.duplicates,
            "counter",
            labels,
        )
        yield Measure("replay_kafka_feed_gaps", "Ranges of sequences that never came", counts.gaps, "counter", labels)

    def cut_before(self, spec: FeedSpec) -> FeedSpec:
        """Have a warm-up that reads this topic to its end stop where this feed begins; leave any other as it is."""
        if spec.scheme != "kafka":
            return spec
        other = Source.parse(spec, self._source.instruments)
        mine = self._source.address
        if (other.address.servers, other.address.topic) != (mine.servers, mine.topic):
            return spec
        if other.end is None or other.end.kind != "latest":
            return spec
        limits = ",".join(f"{number}:{place.offset}" for number, place in sorted(self._found.places.items()))
        options = {**other.address.options, "to": limits}
        return msgspec.structs.replace(spec, uri=f"{other.address}?{urlencode(options, safe=':,')}")

    # -- reading

    async def _read(self, cursor: bytes | None) -> AsyncIterator[Batch]:
        place = self._place(cursor)
        merge = PartitionMerge(self._order(), {int(number): at for number, at in place.partitions.items()}, place.seq)
        intake = self._make_intake(place)
        stamper = Stamper() if self.receive_time == "stamp" else None
        async with contextlib.AsyncExitStack() as held:
            reader, letters = await self._connect(held, place)
            reader.seek({part.number: part.next_offset for part in merge.parts.values()})
            if self.live:
                reader.start_watch()
            given = merge.cursor()
            while True:
                dead, halt = await _read_on(reader, merge, intake)
                await letters.send(dead)
                self._note_silent(merge)
                records = merge.take()
                if stamper is not None and len(records):
                    records = records.copy()
                    stamper.stamp(records)
                at = merge.cursor()
                if len(records) or dead or at != given:
                    given = at
                    yield Batch(records, at, dead)
                if halt is not None:
                    raise halt
                if merge.is_done:
                    return

    async def _connect(self, held: contextlib.AsyncExitStack, place: TopicPlace) -> tuple[TopicReader, DeadLetterTopic]:
        """Connect to the topics; where the feed is live, a broker that has gone since it was opened is waited for."""
        spec = self._source.spec
        while True:
            reader = self._source.reader(self._reading)
            letters = DeadLetterTopic(spec.dead_letters, spec.kafka, self._source.address)
            async with contextlib.AsyncExitStack() as opened:
                try:
                    await opened.enter_async_context(reader)
                    await opened.enter_async_context(letters)
                    await self._check(reader, place)
                except DataError as error:
                    if not self.live or error.reason != "unreachable":
                        raise
                    reader.heard(None)
                else:
                    held.push_async_exit(opened.pop_all())
                    return reader, letters
            await asyncio.sleep(WATCH_SECONDS)

    def _note_silent(self, merge: PartitionMerge) -> None:
        """Have a partition that is silent hold the others back no longer, where nothing else bounds that."""
        if not self.live or merge.order != "time":
            return
        silent = frozenset(self._reading.silent(self._source.spec.idle.ns / 1e9))
        for number in sorted(silent - merge.silent - self._said_silent):
            self._said_silent.add(number)
            self._log.warning(
                "a partition is silent: the others wait for it no longer",
                topic=str(self._source.address),
                partition=number,
            )
        merge.silent = silent

    def _order(self) -> Order:
        if self.receive_time == "stamp":
            return "arrival"
        return "sequence" if self._source.is_frames else "time"

    def _make_intake(self, place: TopicPlace) -> MessageIntake:
        source = self._source
        if not source.is_frames:
            from replay.adapters.kafka.messages import make_intake

            intake: MessageIntake = make_intake(source.address, source.spec, source.instruments, self._intake)
            return intake
        spec = source.spec
        return FrameIntake(
            str(source.address),
            self.header,
            source.instruments,
            spec.symbol if isinstance(spec.symbol, str) else None,
            gaps=spec.gaps,
            counters=self._intake,
            seq=place.seq,
            first_ns=source.start.time_ns if source.start.kind == "time" else None,
            limit_ns=source.end.time_ns if source.end is not None and source.end.kind == "time" else None,
        )

    def _place(self, cursor: bytes | None) -> TopicPlace:
        if cursor is None:
            return TopicPlace({str(number): place for number, place in self._found.places.items()})
        place = TopicPlace.parse(cursor, self.uri)
        mine = sorted(str(number) for number in self._found.places)
        if sorted(place.partitions) != mine:
            raise DataError(
                f"the cursor knows the partitions {', '.join(sorted(place.partitions))}, and the topic has "
                f"{', '.join(mine)}",
                reason="other_partitions",
                place=str(self._source.address),
                remedy="name those of the cursor with partitions=.. in the URI, or begin a new session",
            )
        return place

    async def _check(self, reader: TopicReader, place: TopicPlace) -> None:
        """Raise DataError where the broker no longer has what a cursor asks for."""
        held = await reader.held()
        reader.heard({number: has.limit for number, has in held.items()})
        for number, at in place.partitions.items():
            has = held[int(number)]
            check_held(str(self._source.address), int(number), at.offset, at.limit, has)


async def _read_on(
    reader: TopicReader, merge: PartitionMerge, intake: MessageIntake
) -> tuple[list[DeadLetter], DataError | None]:
    """Take what has come, into the merge; return the dead letters, and what ends the reading."""
    dead: list[DeadLetter] = []
    halt: DataError | None = None
    wanted = merge.hungry()
    messages = await reader.poll(wanted) if wanted else {}
    for number in sorted(messages):
        part = merge.parts[number]
        found = messages[number]
        if part.limit is not None and found[-1].offset >= part.limit:
            found = [message for message in found if message.offset < part.limit]
        for taken in intake.take(number, found, part.watermark) if found else ():
            merge.push(number, taken.piece, taken.next_offset, taken.watermark)
            dead += taken.dead
            halt = halt or taken.halt
    for number in wanted:
        part = merge.parts[number]
        if part.limit is not None and (part.next_offset >= part.limit or await reader.position(number) >= part.limit):
            merge.end(number, part.limit)
    return dead, halt


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open a topic. Options: `?from=..&to=..&partitions=0,3`; see docs/kafka.md."""
    source = Source.parse(spec, instruments)
    if spec.receive_time == "stamp" and source.end is not None:
        raise ConfigError(
            f"{spec.uri!r} has an end: its records do not arrive",
            remedy='leave out receive_time = "stamp", or leave out to=.. to read it live',
        )
    if source.is_frames:
        default: ReceiveTime = "keep"
    else:
        default = "keep" if source.end is not None or spec.receive is not None else "stamp"
    receive: ReceiveTime = spec.receive_time or default
    if not source.is_frames:
        from replay.adapters.kafka.messages import check_layout

        check_layout(spec, instruments)
    return KafkaFeed(source, bridge.run(lambda: _find(source, receive)), receive)


async def _find(source: Source, receive: ReceiveTime) -> Found:
    """Ask the broker for the range, and the first frame for its table."""
    spec = source.spec
    async with source.reader() as reader:
        held = await reader.held(source.start, source.end)
        spans = resolve(str(source.address), source.start, source.end, held, reader.partition_count)
        if not source.is_frames:
            one_time = receive == "keep" and spec.receive is None
            header = header_of(spec, source.instruments, [spec.records or "quote"], one_time=one_time)
            return Found({number: PartitionPlace(span.start, span.limit) for number, span in spans.items()}, header)
        return await _find_frames(source, reader, held, spans)


async def _find_frames(source: Source, reader: TopicReader, held: dict[int, Held], spans: dict[int, Span]) -> Found:
    """Find the table of a topic of frames, the first receive time, and where a live start stands in its sequence."""
    spec = source.spec
    places: dict[int, PartitionPlace] = {}
    headers: list[TapeHeader] = []
    starts_ns: list[int] = []
    foreign: list[Any] = []
    for number, span in spans.items():
        limit = held[number].limit if span.limit is None else span.limit
        before = await reader.last_before(number, held[number], span.start) if span.limit is None else []
        after = await reader.first_after(number, span.start, limit, _PROBED_MESSAGES)
        marks: list[Frame] = []
        first: Frame | None = None
        for frame in _frames(source, after, foreign):
            if len(frame.records):
                first = frame
                break
            marks.append(frame)
        if first is not None:
            starts_ns.append(int(first.records["ts_recv"][0]))
        earlier = list(_frames(source, before, foreign))
        watermark = max((frame.place.limit_seq for frame in earlier), default=None)
        tables = [frame.table_text for frame in ([first] if first else [*earlier[::-1], *marks]) if frame.table_text]
        if tables:
            headers.append(Table.parse(tables[0]).header)
        places[number] = PartitionPlace(span.start, span.limit, watermark)
    header = headers[0] if headers else None
    first_ns = min(starts_ns, default=None)
    if header is None and foreign:
        raise _no_frames(source, foreign[0])
    if header is None:
        header = _header_without_frames(source)
    if spec.sizes == "none":
        instruments = [msgspec.structs.replace(entry, sizes="none") for entry in header.instruments]
        header = msgspec.structs.replace(header, instruments=instruments)
    if source.start.kind == "time" and first_ns is not None:
        first_ns = max(first_ns, source.start.time_ns)
    return Found(places, msgspec.structs.replace(header, first_ns=first_ns))


def _frames(source: Source, messages: Sequence[Any], foreign: list[Any]) -> Iterator[Frame]:
    """Decode what are frames among messages; collect what are none."""
    for message in messages:
        if not is_frame(message.value):
            foreign.append(message)
            continue
        try:
            yield decode(message.value, place_of_message(str(source.address), message.partition, message.offset))
        except BadFrame:
            continue


def _no_frames(source: Source, message: Any) -> ConfigError:
    return ConfigError(
        f"the message begins with {(message.value or b'')[:24]!r}: it is no frame of replay's",
        place=place_of_message(str(source.address), message.partition, message.offset),
        remedy='set message = "json", "msgpack" or "csv" on the feed, with records, symbol and time',
    )


def _header_without_frames(source: Source) -> TapeHeader:
    spec = source.spec
    if source.end is not None:
        raise DataError(
            "the range holds no frame",
            reason="empty",
            place=str(source.address),
            remedy="publish to it first (`replay publish`), or give another from and to",
        )
    if spec.records is None:
        raise NothingYet(
            "the topic holds no frame yet, so that it is not known what it will carry",
            place=str(source.address),
            remedy='start `replay publish` first, or say records = "quote" (and bar = "1m" for bars) on the feed',
        )
    return header_of(spec, source.instruments, [spec.records], one_time=False)
