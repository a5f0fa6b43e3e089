"""A source that repeats, reorders, delays, loses and breaks messages, and a model that counts what becomes of each.

May not live here: what a message does to orders; the strategy here does nothing.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from data.feeds import ListedFeed
from digest.golden_run import setup
from numpy.typing import NDArray

from replay import Strategy, records
from replay._engine import Engine, Sequencer
from replay.errors import HaltError, JournalError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import Batch, DeadLetter
from replay.pipeline.journal import Journal, JournalReader
from replay.pipeline.outbox import Outbox
from replay.pipeline.pipeline import FrameCursor, Pipeline
from replay.records import Kind

from .proof import Figures, Proof, check

HOUR_NS = 3_600_000_000_000
START_NS = 1_700_000_000_000_000_000
ARRIVAL = "e"
"""The field that names a message's arrival: no check of the sequencer looks at it in quotes and trades."""


class Idle(Strategy):
    """Does nothing."""


class Source:
    """What arrives, in order of arrival: sound messages and broken ones. It can be read again from any place."""

    def __init__(self, dice: random.Random, count: int) -> None:
        sent = [self._sound(dice, number) for number in range(count)]
        arrived: list[tuple[Any, ...] | None] = []
        for number, message in enumerate(sent):
            kind = dice.random()
            if kind < 0.03:
                continue  # missing
            if kind < 0.08:
                arrived.append(sent[dice.randrange(max(0, number - 50), number + 1)])  # a copy, perhaps a late one
            if kind < 0.11:
                arrived.append(None)  # cannot be decoded
            arrived.append(self._broken(dice, message) if kind > 0.9 else message)
            if kind < 0.2 and len(arrived) > 3:
                other = dice.randrange(max(0, len(arrived) - 8), len(arrived))
                arrived[other], arrived[-1] = arrived[-1], arrived[other]  # out of order
        self.is_readable = np.array([message is not None for message in arrived], dtype=np.bool_)
        self.messages = records.empty(len(arrived))
        for place, one in enumerate(arrived):
            if one is not None:
                self.messages[place] = one
        self.messages[ARRIVAL] = np.arange(len(arrived))
        self.jumps = 0
        while self.jumps < 4:  # the clock jumps by an hour, and perhaps back
            first, by_ns = dice.randrange(len(arrived)), dice.choice([-HOUR_NS, HOUR_NS])
            limit = dice.choice([len(arrived), min(len(arrived), first + dice.randrange(1, 60))])
            fields = dice.choice([("ts_event",), ("ts_recv",), ("ts_event", "ts_recv")])
            for field in fields:
                self.messages[field][first:limit] += by_ns
            self.jumps += 1

    def __len__(self) -> int:
        return len(self.messages)

    def batch(self, first: int, limit: int) -> Batch:
        """Give the messages first..limit as a feed would: records, and dead letters for what cannot be decoded."""
        readable = self.is_readable[first:limit]
        dead = [
            DeadLetter("bad_message", f"arrival {first + int(place)}".encode(), f"source:{first + int(place)}")
            for place in np.flatnonzero(~readable)
        ]
        return Batch(self.messages[first:limit][readable], msgspec.json.encode(limit), dead)

    def mend(self, arrival: int) -> None:
        """Do what an operator does where a message halts the run: make it a sound one."""
        self.messages[arrival]["ts_event"] = self.messages[arrival]["ts_recv"] = START_NS + 2 * HOUR_NS

    def _sound(self, dice: random.Random, number: int) -> tuple[Any, ...]:
        ts_event = START_NS + number * 1_000_000
        ts_recv = ts_event + dice.randrange(2_000_000)
        price = 10_000 + dice.randrange(-50, 50)
        instrument = dice.randrange(2)
        if dice.random() < 0.3:
            fields = (price, 1 + dice.randrange(20), number, 0)
            return (ts_event, ts_recv, *fields, 0, instrument, Kind.TRADE, dice.randrange(3), 0)
        fields = (price, price + 1 + dice.randrange(3), dice.randrange(30), 1 + dice.randrange(30))
        return (ts_event, ts_recv, *fields, 0, instrument, Kind.QUOTE, 0, 0)

    def _broken(self, dice: random.Random, message: tuple[Any, ...]) -> tuple[Any, ...]:
        fields = list(message)
        place, value = dice.choice(
            [
                (2, -5),  # a price below zero
                (3, 1 << 62),  # beyond what the ledger holds
                (3, -1),
                (7, 99),  # an instrument that nobody knows
                (8, 200),  # a kind that nobody knows
                (9, 77),  # a side that nobody knows
                (0, message[1] + HOUR_NS),  # ahead of its receipt
                (0, 12_345) if dice.random() < 0.3 else (0, message[0] - HOUR_NS),  # a wrong unit halts; or late
            ]
        )
        fields[place] = value
        return tuple(fields)


class Desk:
    """One start of a session over a source: the real pipeline, sequencer, journal and dead letters."""

    def __init__(self, folder: Path, as_json: bytes, dice: random.Random) -> None:
        self.letters_path = folder / "dead-letters.ndjson"
        self.journal_folder = folder / "journal"
        self.journal_folder.mkdir(parents=True, exist_ok=True)
        self.engine = Engine(as_json, [Idle()])
        self.pipeline = Pipeline(
            feed=ListedFeed(records.empty(0), symbols=("A", "B")),
            sequencer=Sequencer(as_json),
            engine=self.engine,
            outbox=Outbox([]),
            dead_letters=DeadLetterWriter(None),
        )
        reader = JournalReader(self.journal_folder)
        last = None
        for frame in reader.frames():
            check(self.engine.digest() == frame.digest_before, "the journal gives other events than it did")
            self.pipeline.run_frames([frame])
            last = frame
        if last is not None:
            self.pipeline.go_on_from(msgspec.json.decode(last.cursor, type=FrameCursor))
        self.letters = DeadLetterWriter(self.letters_path, keep_bytes=self.pipeline.dead_letter_bytes)
        self.pipeline.dead_letters = self.letters
        self.journal = Journal(
            self.journal_folder,
            segment=reader.segments,
            epoch=reader.epoch + 1,
            setup_digest="00" * 32,
            segment_bytes=dice.choice([8_000, 1 << 20]),
        )
        self.journal.start_at(reader.next_seq)
        self.pipeline.journal = self.journal

    @property
    def place(self) -> int:
        """Where the source is read on."""
        return 0 if self.pipeline.cursor is None else int(msgspec.json.decode(self.pipeline.cursor))

    def take(self, batch: Batch) -> None:
        """Take one batch through the pipeline's own step."""
        admitted = self.pipeline._take(batch)
        if len(admitted):
            self.pipeline.run_rows(admitted)
        self.pipeline.raise_halt()

    def close(self) -> None:
        """Let go of all files, as the end of a process does."""
        self.journal.abandon()
        self.letters.close()


class Messages(Proof):
    """A cycle is 2,000 messages through a session that is ended and started again at random."""

    name = "messages"
    holds = "admitted + dead-lettered = received, message by message, whatever the source and the restarts do"
    cycles = 500
    small = 10
    steps = 2_000

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        source = Source(dice, self.steps)
        text = msgspec.json.decode(setup(one_clock=dice.random() < 0.3))
        text |= {
            "late": dice.choice(["accept", "quarantine"]),
            "leap": dice.choice(["quarantine", "accept"]),
            "gap": dice.choice(["quarantine", "accept"]),
            "plausible_from_ns": START_NS // 2,
            "max_gap_ns": dice.choice([HOUR_NS // 2, 30 * 24 * HOUR_NS]),
        }
        as_json = msgspec.json.encode(text)
        desk = Desk(scratch, as_json, dice)
        restarts = halts = 0
        while True:
            desk, is_over, halted = self._go(desk, source, dice)
            self._judge(desk, source)
            halts += halted
            if is_over:
                break
            restarts += 1
            desk = Desk(scratch, as_json, dice)
        admitted = desk.engine.seq
        dead = sum(desk.letters.counts.values())
        check(admitted + dead == len(source), f"{admitted} admitted and {dead} dead letters are not {len(source)}")
        return {
            "received": len(source),
            "admitted": admitted,
            "dead": dead,
            "restarts": restarts,
            "halts": halts,
            "reasons": dict(desk.letters.counts),
        }

    def _go(self, desk: Desk, source: Source, dice: random.Random) -> tuple[Desk, bool, bool]:
        """Take batches until the source ends, a message halts the run, or the process ends at a random place."""
        left = dice.randrange(1, 40)
        while desk.place < len(source):
            first = desk.place
            limit = min(len(source), first + dice.choice([1, 2, 7, 40, 200]))
            if left == 0 and dice.random() < 0.5:
                self._fail_to_append(desk)
            try:
                desk.take(source.batch(first, limit))
            except HaltError:
                before = int(np.flatnonzero(source.is_readable[first:limit])[desk.pipeline.skip])
                source.mend(first + before)
                desk.close()
                return desk, False, True
            except JournalError:
                desk.close()
                return desk, False, False
            if dice.random() < 0.3:
                desk.journal.commit()
            if left == 0:
                desk.close()
                return desk, False, False
            left -= 1
        desk.close()
        return desk, True, False

    def _fail_to_append(self, desk: Desk) -> None:
        """Let the process end between the dead letters of a batch and its frame."""

        def refuse(*_: object) -> int:
            raise JournalError("ended here")

        desk.journal.append = refuse  # type: ignore[method-assign, assignment]

    def _judge(self, desk: Desk, source: Source) -> None:
        """Hold the files against the source: each message up to the journal's cursor is in one of them, once."""
        tape: list[NDArray[Any]] = [records.empty(0)]
        cursor = FrameCursor()
        for frame in JournalReader(desk.journal_folder).frames():
            tape.append(frame.records)
            cursor = msgspec.json.decode(frame.cursor, type=FrameCursor)
        admitted = np.concatenate(tape)[ARRIVAL].tolist()
        check(admitted == sorted(set(admitted)), "a message is on the tape twice, or out of the order of arrival")
        known = desk.letters_path.read_bytes()[: cursor.dead_letters]
        dead = [_arrival(line) for line in known.splitlines()]
        feed = msgspec.json.decode(cursor.feed)
        received = list(range(feed or 0))
        if cursor.skip:  # those of a batch that halted: its records up to there, none of its undecodable ones
            readable = np.flatnonzero(source.is_readable)
            received += readable[readable >= (feed or 0)][: cursor.skip].tolist()
        both = sorted(admitted + dead)
        check(both == received, f"{sorted(set(received) ^ set(both))[:5]} are lost, doubled or out of nowhere")


def _arrival(line: bytes) -> int:
    letter = msgspec.json.decode(line)
    return int(letter["record"][ARRIVAL]) if "record" in letter else int(letter["raw"].split()[1])
