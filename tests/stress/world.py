"""The world of the sessions that proofs disturb: a followed file, one session over it, a sink outside, and the judge.

May not live here: what disturbs a session.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import msgspec
import numpy as np
from modes.market import SETTINGS, Busy, market

from replay import Strategy, api, modes, opening, records
from replay.adapters import follow
from replay.config import FeedSpec
from replay.config.reading import _decode_text
from replay.disk import Disk, disk_error
from replay.feeds.feed import Batch, Feed, LiveFeed
from replay.pipeline import committer
from replay.pipeline.journal import JournalReader
from replay.pipeline.outbox import Effects, Outbox
from replay.records import Kind
from replay.rerun import rerun_session
from replay.result.result import Result

from .proof import Broken, check

ReceiveTime = Literal["keep", "stamp"]
Point = Callable[[str], None]
"""Called with the name of each point that a session passes."""

HEADER = "time,received,symbol,bid,ask,bid_size,ask_size\n"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
TABLES = ("orders", "fills", "positions", "trades", "equity")
UNREADABLE_EVERY = 97
REFUSED_EVERY = 61


INSTANT = {**SETTINGS, "latency": {"entry": "1us", "cancel": "1us", "response": "1us"}}
"""For rows that are stamped as they come, thousands a second: what waits for 150 ms would never be seen to happen."""


class Hasty(Strategy):
    """Trades by the count of quotes, since stamped times differ from run to run; timers and beats come in between."""

    def on_start(self) -> None:
        self.seen = 0
        self.every("10ms", "clean")

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        side = self.buy if self.rng.random() < 0.5 else self.sell
        if self.seen % 7 == 0:
            side(quote.symbol, 0.02)
        elif self.seen % 3 == 0:
            side(quote.symbol, 0.05, limit=quote.bid if side == self.buy else quote.ask)

    def on_timer(self, name: str) -> None:
        self.cancel_all()


def rows_of_text(count: int, seed: int) -> list[str]:
    """Write quotes whose ask size names their row; some cannot be read, some the sequencer refuses."""
    made = market(count, seed)
    lines: list[str] = []
    for row, record in enumerate(made):
        bid = 100_000 + int(record["a"]) % 400
        bid_text = f"unreadable-{row}" if row % UNREADABLE_EVERY == 11 else f"{bid / 100:.2f}"
        bid_size = "2000000000000000.000" if row % REFUSED_EVERY == 7 else f"{1 + row % 7}.000"
        lines.append(
            f"{record['ts_event']},{record['ts_recv']},{SYMBOLS[record['instrument']]},{bid_text},"
            f"{(bid + 6) / 100:.2f},{bid_size},{(row + 1) / 1000:.3f}\n"
        )
    return lines


@dataclass(frozen=True)
class World:
    """A file of rows, how it is received, and what trades on it."""

    path: Path
    rows: int
    receive_time: ReceiveTime = "keep"

    def write(self, seed: int) -> None:
        """Write the whole file."""
        self.path.write_text(HEADER + "".join(rows_of_text(self.rows, seed)))

    def spec(self) -> FeedSpec:
        """Describe the feed as a run file would."""
        entry = {
            "uri": f"follow:{self.path}?poll_ms=1",
            "records": "quote",
            "symbol": {"column": "symbol"},
            "time": {"column": "time", "unit": "ns"},
            "receive": {"column": "received", "unit": "ns"} if self.receive_time == "keep" else None,
            "receive_time": self.receive_time,
        }
        given = {key: value for key, value in entry.items() if value is not None}
        return msgspec.convert(given, FeedSpec, dec_hook=_decode_text)

    def append(self, seed: int, seconds: float) -> None:
        """Append the rows bit by bit, each with the time at which it is written, as a live source does."""
        lines = rows_of_text(self.rows, seed)
        limit = size_of_rows(self.path)
        began_s = time.monotonic() - seconds * limit / self.rows
        with self.path.open("ab", buffering=0) as file:
            while limit < self.rows:
                first, limit = limit, min(self.rows, 1 + int((time.monotonic() - began_s) / seconds * self.rows))
                for line in lines[first:limit]:
                    file.write(f"{time.time_ns()},0,{line.split(',', 2)[2]}".encode())
                time.sleep(0.0005)

    def begin(self) -> None:
        """Write the header alone."""
        self.path.write_text(HEADER)

    def feed(self) -> Feed:
        """Open the feed; it ends after the last row."""
        plan = api.plan(Busy, market(1), **SETTINGS)
        return FollowToEnd(opening.open_feed(self.spec(), plan.config), self.rows + 1)


class FollowToEnd(LiveFeed):
    """A followed file that ends once its cursor has come to a line: the source of a session that is to finish."""

    def __init__(self, feed: Feed, limit_line: int) -> None:
        super().__init__("follow:rows", feed.header, feed.receive_time)
        self._feed = feed
        self._limit_line = limit_line

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        if cursor is not None and self._is_over(cursor):
            return
        async for batch in self._feed.batches_async(cursor):
            yield batch
            if self._is_over(batch.cursor):
                return

    def _is_over(self, cursor: bytes) -> bool:
        return int(msgspec.json.decode(cursor)["line"]) >= self._limit_line


# -- one start of a session


class OutsideSink:
    """Stands for what cannot be taken back: a file beside the session that is never cut, only compared and extended."""

    name = "outside"

    def __init__(self, path: Path, point: Point) -> None:
        self._path = path
        self._point = point
        path.touch()
        self._held = path.read_bytes()

    def write(self, effects: Effects) -> None:
        """Take effects; what was shown once must come again as it was."""
        self._point("sink write before")
        start = effects.first_event * 128
        events = effects.events
        held = self._held[start : start + len(events)]
        if not events.startswith(held):
            raise Broken(f"the world was shown other events than are shown now, from event {effects.first_event} on")
        rest = events[len(held) :]
        if rest:
            check(start + len(held) == len(self._held), "a sink was shown events with a gap before them")
            self._extend(rest)
            self._held += rest
        self._point("sink write after")

    def _extend(self, rest: bytes) -> None:
        half = len(rest) // 256 * 128
        try:
            with self._path.open("ab", buffering=0) as file:
                for piece, point in ((rest[:half], "sink write half"), (rest[half:], "sink write all")):
                    if file.write(piece) < len(piece):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    self._point(point)
        except OSError as error:
            raise disk_error(error, "the sink outside cannot be written", self._path) from error

    def close(self) -> None:
        """Do nothing: each write is whole."""


class WatchedOutbox(Outbox):
    """An outbox that names the points around a release."""

    def __init__(self, sinks: Sequence[Any], *, outside: OutsideSink, point: Point) -> None:
        super().__init__([outside, *sinks])
        self._point = point

    def release(self, durable: int) -> None:
        """Release between two points."""
        self._point("release before")
        super().release(durable)
        self._point("release after")


def no_point(_name: str) -> None:
    """Pass a point by."""


def run_session(
    folder: Path,
    feed: Feed,
    dice: random.Random,
    *,
    disk: Disk | None = None,
    point: Point = no_point,
    strategy: type[Strategy] | Strategy | None = None,
    settings: dict[str, Any] | None = None,
    commit_every_ns: int | None = None,
    segment_bytes: int | None = None,
) -> str:
    """Start (or go on with) the session in `folder` until its feed ends; give its digest.

    The outside sink's file stands beside the folder. For one session a process: it replaces a part of replay.modes.
    """
    outside = OutsideSink(outside_path(folder), point)
    is_kept = feed.receive_time == "keep"
    strategy = strategy or (Busy if is_kept else Hasty)
    plan = api.plan(strategy, feed, metrics={"port": 0}, **(settings or (SETTINGS if is_kept else INSTANT)))
    options: dict[str, Any] = {
        "commit_every_ns": dice.choice([0, 200_000, 2_000_000]) if commit_every_ns is None else commit_every_ns,
        "segment_bytes": dice.choice([6_000, 20_000, 1 << 20]) if segment_bytes is None else segment_bytes,
    }
    # Whether the loop commits itself what is waited for, or always the thread: both ways are proved.
    quick_ns = dice.choice([0, committer.QUICK_NS])
    with (
        mock.patch.object(committer, "QUICK_NS", quick_ns),
        mock.patch.object(modes, "Outbox", partial(WatchedOutbox, outside=outside, point=point)),
        mock.patch.object(follow, "CHUNK_BYTES", dice.choice([700, 1_500, 4_000, 16_000])),
    ):
        return asyncio.run(modes.paper_async(plan, folder, disk=disk, **options)).digest


def home(scratch: Path) -> Path:
    """Name the session folder of a cycle: by the same names everywhere, since points are named by them."""
    (scratch / "home").mkdir(parents=True, exist_ok=True)
    return scratch / "home" / "s"


def outside_path(folder: Path) -> Path:
    """Name the file of the sink outside."""
    return folder.with_name(folder.name + ".outside")


# -- the judge


@dataclass(frozen=True)
class Undisturbed:
    """What a session over a world with kept receive times comes to when nothing disturbs it."""

    digest: str
    ledger: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Undisturbed:
        """Take it from a session that ended in order."""
        return cls(Result.load(folder / "events").digest, ledger_of(folder))


def ledger_of(folder: Path) -> dict[str, Any]:
    """Give what result.json and the Arrow files say, without what tells of the process that wrote them."""
    result = Result.load(folder / "events")
    kept = {key: result.document[key] for key in ("digest", "events", "statistics", "state", "strategies")}
    counts = {key: result.counts[key] for key in ("records", "engine", "dead_letters")}
    tables = {name: repr(getattr(result, name).to_dict()) for name in TABLES}
    return {**kept, **counts, **tables, "interrupted": result.interrupted}


def log_of(folder: Path) -> bytes:
    """Read the event log."""
    return (folder / "events" / "events.bin").read_bytes()


def judge(world: World, folder: Path, expected: Undisturbed | None = None) -> int:
    """Hold a session that ended against its world; give its events. Without `expected`: against its own journal."""
    log = log_of(folder)
    digest = hashlib.sha256(log).hexdigest()
    check(outside_path(folder).read_bytes() == log, "the world was shown something else than the event log has")
    if expected is not None:
        check(digest == expected.digest, "the event log is not that of an undisturbed run")
        ledger = ledger_of(folder)
        for key, value in expected.ledger.items():
            check(ledger[key] == value, f"{key} is not that of an undisturbed run: {ledger[key]!r}, not {value!r}")
    rerun = folder.with_name(folder.name + ".rerun")
    rerun_session(folder, rerun)
    check(rerun.read_bytes() == log, "the event log is not that of a backtest of the journal")
    rerun.unlink()
    judge_rows(world, folder)
    return len(log) // 128


def judge_rows(world: World, folder: Path) -> None:
    """Check that every row is on the tape once, in order, or in the dead letters once."""
    admitted = tape_rows(folder)
    check(admitted == sorted(set(admitted)), "a row is on the tape twice, or out of order")
    dead = list(dead_rows(folder))
    check(len(dead) == len(set(dead)), f"rows are in the dead letters twice: {sorted(dead)}")
    both = sorted([*admitted, *dead])
    if both != list(range(world.rows)):
        missing = sorted(set(range(world.rows)) - set(both))
        raise Broken(f"rows {missing[:5]} are neither on the tape nor in the dead letters ({len(missing)} of them)")


def tape_rows(folder: Path) -> list[int]:
    """Give the rows of the world that are on the tape."""
    tape = np.concatenate([records.empty(0), *[frame.records for frame in JournalReader(folder / "journal").frames()]])
    rows: list[int] = (tape["d"][tape["kind"] == Kind.QUOTE] - 1).tolist()
    return rows


def dead_rows(folder: Path) -> Iterator[int]:
    """Give the rows of the world that are in the dead letters."""
    for line in (folder / "dead-letters" / "dead-letters.ndjson").read_bytes().splitlines():
        letter = msgspec.json.decode(line)
        if "record" in letter:
            yield int(letter["record"]["d"]) - 1
        else:
            yield int(letter["raw"].rsplit(",", 1)[1].replace(".", "")) - 1


def size_of_rows(path: Path) -> int:
    """Count the rows of a file that were written whole."""
    return path.read_bytes().count(b"\n") - 1
