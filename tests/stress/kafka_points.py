"""kill -9 at each named point of the path of the sink kafka://: before and after every method of it, in any start.

May not live here: names of points; they are those that a recorded run passes, so that new methods are covered.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import inspect
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
from modes.market import SETTINGS, Busy
from support.broker import Broker

from replay import api, modes, opening
from replay.adapters.kafka import feed as kafka_feed
from replay.adapters.kafka.partitions import TopicPlace
from replay.adapters.kafka.sink import KafkaSink
from replay.config import load
from replay.feeds.feed import Batch, Feed, LiveFeed

from .forks import forked
from .proof import Figures, Proof, check
from .topics import OUT, TICKS, Topics, running
from .watched import KillAt, Recorder
from .world import Point, log_of

MESSAGES_MAX = 12
"""Messages that the feed takes at a time: few, so that there are many frames and releases."""


class FeedToEnd(LiveFeed):
    """A live topic that ends once its cursor has come to an offset: the source of a session that is to finish."""

    def __init__(self, feed: Feed, limit: int) -> None:
        super().__init__(feed.uri, feed.header, feed.receive_time)
        self._feed = feed
        self._limit = limit

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        if cursor is not None and self._is_over(cursor):
            return
        async with contextlib.aclosing(cast(Any, self._feed.batches_async(cursor))) as batches:
            async for batch in batches:
                yield batch
                if self._is_over(batch.cursor):
                    return

    def _is_over(self, cursor: bytes) -> bool:
        return TopicPlace.parse(cursor, self.uri).partitions["0"].offset >= self._limit


def install(point: Point) -> None:
    """Name a point before and after each method of the sink; for one session a process."""
    for name, method in list(vars(KafkaSink).items()):
        if inspect.isfunction(method) and name not in ("__init__", "measures"):
            setattr(KafkaSink, name, _watched(method, name.lstrip("_"), point))


def _watched(method: Callable[..., Any], name: str, point: Point) -> Callable[..., Any]:
    before, after = f"sink {name} before", f"sink {name} after"

    @functools.wraps(method)
    async def coroutine(*given: Any, **named: Any) -> Any:
        point(before)
        value = await method(*given, **named)
        point(after)
        return value

    @functools.wraps(method)
    def generator(*given: Any, **named: Any) -> Iterator[Any]:
        point(before)
        yield from method(*given, **named)
        point(after)

    @functools.wraps(method)
    def function(*given: Any, **named: Any) -> Any:
        point(before)
        value = method(*given, **named)
        point(after)
        return value

    if inspect.iscoroutinefunction(method):
        return coroutine
    return generator if inspect.isgeneratorfunction(method) else function


@dataclass(frozen=True)
class Place:
    """A point: its name, which passing of it, and whether in a start after a crash in the midst of the sending."""

    name: str
    occurrence: int
    is_second_start: bool


class KafkaPoints(Proof):
    """A cycle is one point of one start, then a start that is left alone."""

    name = "kafka-points"
    holds = "killed at each named point of the path of the sink kafka://, the topic is the event log"
    cycles = 0
    small = 0
    rows = 160

    def __init__(self) -> None:
        self._held = ExitStack()

    def prepare(self, scratch: Path) -> None:
        broker = self._held.enter_context(running(Broker(scratch / "broker")))
        self._topics = Topics(scratch / "ticks", broker, "points", "json", "keep", self.rows, 6, out_partitions=2)
        self._topics.create()
        broker.produce(self._topics.topic(TICKS), self._topics.messages())
        self._digest = modes.backtest(load(self._topics.run_file(is_data_set=True))).digest
        first = self._record(self._fresh(scratch / "first"))
        self._middle = max(1, first["sink acknowledged before"] // 2)
        crashed = self._fresh(scratch / "second")
        self._crash(crashed)
        second = self._record(crashed)
        found = [Place(name, 1, False) for name in sorted(first)]
        found += [Place(name, 1, True) for name in sorted(second.keys() - first.keys())]
        self.small = len(found)
        found += [Place(name, 1, True) for name in sorted(second.keys() & first.keys())]
        found += [Place(name, 1 + count // 2, False) for name, count in sorted(first.items()) if count > 1]
        self.points = found
        self.cycles = len(found)

    def close(self) -> None:
        self._held.close()

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        place = self.points[number % len(self.points)]
        topics = self._fresh(scratch / "s")
        if place.is_second_start:
            self._crash(topics)
        end = self._run(topics, KillAt(place.occurrence, place.name))
        check(end.killed or place.occurrence > 1, f"the point was not passed: {end.error}")
        digest = self._run(topics).result()
        check(digest == self._digest, "the event log is not that of the topic's backtest")
        check(hashlib.sha256(log_of(topics.folder)).hexdigest() == digest, "the digest is not that of the log")
        topics.judge_topic()
        return {
            "point": place.name,
            "occurrence": place.occurrence,
            "second": place.is_second_start,
            "kills": int(end.killed),
        }

    def _fresh(self, scratch: Path) -> Topics:
        """Give the same ticks, and a new topic for a new session."""
        scratch.mkdir(parents=True)
        name = f"p-{uuid.uuid4().hex[:12]}"
        topics = replace(self._topics, scratch=scratch, name=name)
        topics.broker.create_topic(topics.topic(OUT), partitions=topics.out_partitions)
        return topics

    def _crash(self, topics: Topics) -> None:
        end = self._run(topics, KillAt(self._middle, "sink acknowledged before"))
        check(end.killed, f"the session was to be killed: {end.error}")

    def _record(self, topics: Topics) -> dict[str, int]:
        recorder = Recorder()

        def run() -> dict[str, int]:
            self._session(topics, recorder)
            return dict(recorder.counts)

        counts: dict[str, int] = forked(run, topics.printed).result()
        return counts

    def _run(self, topics: Topics, point: Point | None = None) -> Any:
        return forked(lambda: self._session(topics, point), topics.printed)

    def _session(self, topics: Topics, point: Point | None) -> str:
        if point is not None:
            install(point)
        kafka_feed.MESSAGES_MAX = MESSAGES_MAX
        config = load(self._topics.run_file())
        feed = FeedToEnd(
            opening.open_feed(msgspec.structs.replace(config.feed[0], dead_letters=None), config), self.rows
        )
        sink = {"uri": topics.broker.uri(topics.topic(OUT)), "drain": "60s"}
        settings = {**SETTINGS, "metrics": {"port": 0}, "sink": [sink], "run": {"seed": config.run.seed}}
        plan = api.plan(Busy, feed, **settings)
        return asyncio.run(modes.paper_async(plan, topics.folder, commit_every_ns=0)).digest
