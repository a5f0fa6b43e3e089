"""Messages through Kafka doubled, out of order, late, missing, broken, under clocks that jump: each is counted.

May not live here: the same without Kafka, at large numbers (messages).
"""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from modes.market import SETTINGS, START_NS, Busy, header
from support.broker import Broker

from replay import api, modes, opening
from replay.adapters.kafka import feed as kafka_feed
from replay.adapters.kafka.wire import BadFrame, FrameWriter, Place, Table, decode
from replay.config import load
from replay.verify import verify

from .forks import forked
from .kafka_points import FeedToEnd
from .proof import Broken, Figures, Proof, check
from .topics import TICKS, Form, Topics, count_dead, dead_places, dead_rows, named_market, running
from .watched import KillAt, WatchedDisk

HOUR_NS = 3_600_000_000_000


def disturbed(dice: random.Random, sent: list[Any], copy_share: float = 0.05) -> list[Any]:
    """Repeat, reorder and lose some of what was sent."""
    arrived: list[Any] = []
    for number, message in enumerate(sent):
        kind = dice.random()
        if kind < 0.03:
            continue
        if kind < 0.03 + copy_share:
            arrived.append(sent[dice.randrange(max(0, number - 50), number + 1)])
        arrived.append(message)
        if kind > 0.9 and len(arrived) > 3:
            other = dice.randrange(max(0, len(arrived) - 8), len(arrived))
            arrived[other], arrived[-1] = arrived[-1], arrived[other]
    return arrived


def json_messages(dice: random.Random, count: int) -> list[bytes]:
    """Write messages as they arrive; the ask size names the arrival, so that also copies can be told apart."""
    arrived = disturbed(dice, [_sound(dice, number) for number in range(count)])
    for _ in range(4):  # the clock jumps by an hour, and perhaps back
        first, by_ns = dice.randrange(len(arrived)), dice.choice([-HOUR_NS, HOUR_NS])
        limit = dice.choice([len(arrived), min(len(arrived), first + dice.randrange(1, 60))])
        names = dice.choice([("t",), ("r",), ("t", "r")])
        arrived[first:limit] = [{**row, **{name: row[name] + by_ns for name in names}} for row in arrived[first:limit]]
    written = []
    for number, row in enumerate(arrived):
        broken = dice.choice(_BREAKS) if dice.random() < 0.1 else {}
        text = msgspec.json.encode({**row, **broken, "A": f"{(number + 1) / 1000:.3f}"})
        written.append(text[:-1] if dice.random() < 0.02 else text)
    return written


_BREAKS: list[dict[str, Any]] = [
    {"b": "-1.00"},
    {"b": "x"},
    {"s": "DOGE"},
    {"B": "2000000000000000.000"},
    {"B": "-1.000"},
    {"t": "soon"},
    {"b": "1e400"},
    {"t": START_NS - HOUR_NS},
    {"t": START_NS + 100 * HOUR_NS},
]


def _sound(dice: random.Random, number: int) -> dict[str, Any]:
    at_ns = START_NS + number * 20_000_000
    bid = 100_000 + dice.randrange(-50, 50)
    symbol = dice.choice(["BTCUSDT", "ETHUSDT"])
    prices = {"b": f"{bid / 100:.2f}", "a": f"{(bid + 3) / 100:.2f}", "B": f"{dice.randrange(1, 30)}.000"}
    return {"t": at_ns, "r": at_ns + dice.randrange(40_000_000), "s": symbol, **prices}


def frame_messages(dice: random.Random, count: int) -> list[bytes]:
    """Write frames of a few records each; some come twice, some late or never, some are damaged."""
    whole = named_market(count, dice.randrange(1 << 30))
    writer = FrameWriter(Table.of(header()))
    frames, first = [], 0
    while first < count:
        limit = min(count, first + dice.randrange(1, 12))
        frames.append(writer.encode(Place(first, limit, 0, 1), whole[first:limit]))
        first = limit
    arrived = disturbed(dice, frames[1:])
    damaged = [_damaged(dice, frame) if dice.random() < 0.03 else frame for frame in arrived]
    return [frames[0], *damaged]


def _damaged(dice: random.Random, frame: bytes) -> bytes:
    place = dice.randrange(len(frame) // 2, len(frame))
    return frame[:place] + bytes([frame[place] ^ (1 << dice.randrange(8))]) + frame[place + 1 :]


class KafkaMessages(Proof):
    """A cycle is one topic: of JSON, over kills and restarts, or of frames, in one start."""

    name = "messages-kafka"
    holds = "admitted + dead-lettered + counted duplicates = received, through Kafka"
    cycles = 200
    small = 4
    steps = 1_500

    def __init__(self) -> None:
        self._held = ExitStack()

    def prepare(self, scratch: Path) -> None:
        self._broker = self._held.enter_context(running(Broker(scratch / "broker")))

    def close(self) -> None:
        self._held.close()

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        form: Form = "frames" if number % 2 else "json"
        topics = Topics(scratch / "s", self._broker, f"m{number}-{uuid.uuid4().hex[:8]}", form, "keep", 0, 0)
        topics.scratch.mkdir()
        self._broker.create_topic(topics.topic(TICKS))
        values = (json_messages if form == "json" else frame_messages)(dice, self.steps)
        self._broker.produce(topics.topic(TICKS), values)
        kills = 0
        if form == "json":
            for _ in range(dice.randrange(1, 4)):
                kills += self._run(topics, len(values), KillAt(dice.randrange(5, 300))).killed
        counts = self._run(topics, len(values)).result()
        check(verify(topics.folder).equal, "the event log is not that of a backtest of the journal")
        taken, dead = topics.taken_rows(), count_dead(topics.folder)
        if form == "json":
            judge_arrivals(topics, len(values))
            received, duplicates = len(values), 0
        else:
            received, duplicates = _received(values), counts["duplicates"]
        total = len(taken) + dead + duplicates
        check(total == received, f"{len(taken)} admitted + {dead} dead + {duplicates} duplicates are not {received}")
        return {
            "form": form,
            "received": received,
            "admitted": len(taken),
            "dead": dead,
            "duplicates": duplicates,
            "kills": kills,
        }

    def _run(self, topics: Topics, limit: int, point: KillAt | None = None) -> Any:
        def session() -> dict[str, int]:
            kafka_feed.MESSAGES_MAX = 40
            config = load(topics.run_file())
            opened = opening.open_feed(msgspec.structs.replace(config.feed[0], dead_letters=None), config)
            plan = api.plan(Busy, FeedToEnd(opened, limit), **SETTINGS, metrics={"port": 0})
            disk = None if point is None else WatchedDisk(point, syncs=False)
            asyncio.run(modes.paper_async(plan, topics.folder, disk=disk, commit_every_ns=0))
            assert isinstance(opened, kafka_feed.KafkaFeed)
            return {"duplicates": opened._intake.duplicates}

        return forked(session, topics.printed)


def judge_arrivals(topics: Topics, count: int) -> None:
    """Check that each arrival is on the tape once or in the dead letters once, under its own offset."""
    both = sorted([*topics.taken_rows(), *dead_rows(topics.folder)])
    if both != list(range(count)):
        missing = sorted(set(range(count)) - set(both))
        raise Broken(f"{missing[:5]} ({len(missing)}) of {count} are nowhere, or some are there twice")
    for row, place in dead_places(topics.folder):
        check(f"offset {row}" in place.split(", "), f"the dead letter of offset {row} names {place}")


def _received(values: list[bytes]) -> int:
    """Count the records of whole frames, and the damaged frames."""
    count = 0
    for value in values:
        try:
            count += len(decode(value, "").records)
        except BadFrame:
            count += 1
    return count
