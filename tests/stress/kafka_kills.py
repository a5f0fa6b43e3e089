"""kill -9 of `replay paper` on Kafka, at random moments while a topic fills up and another is published to.

May not live here: kills at points that are enumerated (kafka_points).
"""

from __future__ import annotations

import random
import signal
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from support.broker import Broker

from .proof import Figures, Proof
from .topics import Form, Topics, running
from .world import ReceiveTime

KINDS: tuple[tuple[Form, ReceiveTime], ...] = (
    ("frames", "keep"),
    ("json", "stamp"),
    ("json", "keep"),
    ("frames", "stamp"),
)


class KafkaKills(Proof):
    """A cycle is one session with three kills under load, then a start that is left alone until it has all."""

    name = "kill-kafka"
    holds = "kill -9 under load on Kafka: each offset once, the event log and the output topic as promised"
    cycles = 168
    small = 4
    kills = 3
    rows = 2_400
    seconds = 8.0

    def __init__(self) -> None:
        self._held = ExitStack()

    def prepare(self, scratch: Path) -> None:
        self._broker = self._held.enter_context(running(Broker(scratch / "broker")))

    def close(self) -> None:
        self._held.close()

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        form, receive_time = KINDS[number % len(KINDS)]
        # Receive times of several partitions are merged; then what comes last waits for what never comes.
        partitions = 1 if (form, receive_time) == ("json", "keep") else dice.choice([1, 2])
        topics = Topics(
            scratch / "s",
            self._broker,
            f"k{number}-{uuid.uuid4().hex[:8]}",
            form,
            receive_time,
            self.rows,
            dice.randrange(1 << 30),
            partitions=partitions,
            out_partitions=dice.choice([1, 3]),
            sink_format=dice.choice(["json", "msgpack"]),
            commit_every=dice.choice(["0ms", "2ms", "20ms"]),
            snapshot_records=dice.choice([0, 150, 600]),
        )
        topics.create()
        publisher = topics.publishing(self.seconds)
        killed = 0
        try:
            for _ in range(self.kills):
                killed += self._disturb(topics, dice)
                if dice.random() < 0.4:
                    publisher.disturb()
            before, starts = len(topics.taken_rows()), topics.starts()
            process = topics.start()
            try:
                topics.wait_until_started(process, starts)
                publisher.finish()
                topics.wait_until_all_is_taken(process, self.rows)
                topics.end(process)
            finally:
                process.kill()
                process.wait()
        finally:
            publisher.kill()
        figures = topics.judge()
        kind = {"form": form, "receive_time": receive_time, "partitions": partitions}
        return {**kind, "kills": killed, "rows_before_the_last_start": before, **figures}

    def _disturb(self, topics: Topics, dice: random.Random) -> bool:
        starts = topics.starts()
        process = topics.start()
        if dice.random() < 0.8:  # otherwise it may die while it connects, recovers, or has not begun at all
            topics.wait_until_started(process, starts)
        time.sleep(dice.random() * 0.8)
        process.kill()
        return process.wait() == -signal.SIGKILL
