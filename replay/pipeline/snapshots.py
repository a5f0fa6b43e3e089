"""Snapshots while a session runs: when one is taken, what goes into it, and when it may be written.

May not live here: the file's layout (snapshot_file.py), and recovery; that is `replay.recovery`.

A snapshot is taken on the loop, between two batches, when all that was admitted has been run; it is written on a thread
of its own once the journal is durable up to it, after the files beside the journal. Nothing waits for it, and a session
whose snapshots cannot be written goes on without them.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from replay.checksum import crc32
from replay.disk import Disk
from replay.measures import Measure
from replay.pipeline.histogram import DISK_SECONDS, Histogram
from replay.pipeline.sinks import EquityLog, EventLog, ExcursionLog, HeldFile
from replay.pipeline.snapshot_file import Facts, Held, write_snapshot
from replay.strategy_state import REMEDY, UnsupportedState, find_problems, take_state

if TYPE_CHECKING:
    from replay.pipeline.pipeline import Pipeline
    from replay.result.builder import ResultBuilder
    from replay.strategy import Strategy

EVERY_NS = 300_000_000_000
EVERY_RECORDS = 1_000_000


class SnapshotOptions(NamedTuple):
    """When snapshots are taken; 0: never for that reason. Without any reason there are none, not even at the end."""

    every_ns: int = EVERY_NS
    every_records: int = EVERY_RECORDS

    @property
    def is_off(self) -> bool:
        """Whether there is no reason to take any."""
        return not self.every_ns and not self.every_records


@dataclass
class Files:
    """The files beside the journal that a snapshot stands on."""

    events: EventLog
    equity: EquityLog
    excursions: ExcursionLog
    marks: HeldFile

    @property
    def all(self) -> tuple[HeldFile, ...]:
        """Every one of them."""
        return self.events, self.equity, self.excursions, self.marks

    @property
    def sinks(self) -> tuple[EventLog, EquityLog, ExcursionLog]:
        """Those that the outbox writes, in this order."""
        return self.events, self.equity, self.excursions


@dataclass
class SnapshotCounters:
    """What metrics read of snapshots."""

    taken: int = 0
    failed: int = 0
    last_bytes: int = 0
    last_seq: int = 0
    take_seconds: Histogram = field(default_factory=lambda: Histogram(DISK_SECONDS))
    write_seconds: Histogram = field(default_factory=lambda: Histogram(DISK_SECONDS))


class _Taken(NamedTuple):
    """A snapshot that waits for the journal."""

    position: int
    """Of the journal, that must be durable."""
    facts: Facts
    parts: dict[str, bytes]
    equity_points: int
    mark_rows: int


class Snapshots:
    """Takes the snapshots of one session."""

    def __init__(
        self,
        folder: Path,
        *,
        pipeline: Pipeline,
        strategies: Sequence[Strategy],
        sources: Mapping[str, tuple[str, str]],
        builder: ResultBuilder,
        files: Files,
        session: str,
        setup_digest: str,
        build: str,
        options: SnapshotOptions,
        last_seq: int,
        disk: Disk,
        log: Any,
    ) -> None:
        self.folder = folder
        self.counters = SnapshotCounters()
        self.is_off = options.is_off
        self._pipeline = pipeline
        self._strategies = list(strategies)
        self._sources = dict(sources)
        self._builder = builder
        self._files = files
        self._session = session
        self._setup_digest = setup_digest
        self._build = build
        self._options = options
        self._disk = disk
        self._log = log
        self._is_checked = False
        self._last_seq = last_seq
        self._last_ns = time.monotonic_ns()
        self._taken: _Taken | None = None
        self._writing: Future[int] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._summed: dict[str, Held] = {}

    # -- what the pipeline calls

    def poll(self) -> None:
        """Between two batches: write what was taken and is durable by now, take one if it is due."""
        if self.is_off:
            return
        if not self._is_checked and self._pipeline.engine.seq:
            self._check()
        self._finish_writing(waits=False)
        self._start_writing()
        if self._taken is None and self._writing is None and self._is_due():
            self._take()

    def take_last(self) -> None:
        """Before the run ends in order: take one that stands before `on_stop`, unless nothing came since the last."""
        if self.is_off:
            return
        if not self._is_checked and self._pipeline.engine.seq:
            self._check()
        self._finish_writing(waits=True)
        if self._pipeline.engine.seq > self._last_seq or self._taken is not None:
            self._take()

    def write_last(self) -> None:
        """After the run has ended in order and the journal is durable: write what was taken."""
        self._start_writing()
        self.close()

    def close(self) -> None:
        """Wait for the thread; what was not written is forgotten. May be called again."""
        self._finish_writing(waits=True)
        self._taken = None
        if self._executor is not None:
            self._executor.shutdown(wait=True)
            self._executor = None

    def measures(self) -> Iterable[Measure]:
        """Count snapshots, and say how large and how slow they are."""
        counters = self.counters
        yield Measure("replay_snapshot_taken", "Snapshots written.", counters.taken, "counter")
        yield Measure("replay_snapshot_failed", "Snapshots that could not be written.", counters.failed, "counter")
        yield Measure("replay_snapshot_bytes", "Length of the last snapshot.", counters.last_bytes)
        yield Measure("replay_snapshot_seq", "Records on the tape before the last snapshot.", counters.last_seq)
        taking = "Time the loop stood still for a snapshot."
        yield Measure("replay_snapshot_take_seconds", taking, counters.take_seconds, "histogram")
        yield Measure("replay_snapshot_write_seconds", "Time to write a snapshot.", counters.write_seconds, "histogram")

    # -- inside

    def _check(self) -> None:
        """Name at the start, once on_start has run, what of the strategies no snapshot could hold."""
        self._is_checked = True
        names = list(self._sources)
        for name, strategy in zip(names, self._strategies, strict=True):
            problems = find_problems(strategy, self._pipeline.engine)
            if problems:
                self._turn_off(name, "; ".join(str(problem) for problem in problems))
                return

    def _turn_off(self, strategy: str, reason: str) -> None:
        self.is_off = True
        self._taken = None
        self._log.warning("no snapshots are taken", strategy=strategy, reason=reason, remedy=REMEDY)

    def _is_due(self) -> bool:
        seq = self._pipeline.engine.seq
        if seq == self._last_seq:
            return False
        options = self._options
        if options.every_records and seq - self._last_seq >= options.every_records:
            return True
        return bool(options.every_ns) and time.monotonic_ns() - self._last_ns >= options.every_ns

    def _take(self) -> None:
        started_ns = time.perf_counter_ns()
        pipeline, journal = self._pipeline, self._pipeline.journal
        assert journal is not None, "a session has a journal"
        if journal.place.seq != pipeline.engine.seq:
            return  # a frame is being run: the next time
        pipeline.observe()
        engine = pipeline.engine
        parts = {"sequencer": pipeline.sequencer.snapshot(), "engine": engine.snapshot()}
        for name, strategy in zip(self._sources, self._strategies, strict=True):
            try:
                parts[f"strategy {name}"] = take_state(strategy, engine)
            except UnsupportedState as error:
                self._turn_off(name, str(error))
                return
        parts["marks"] = msgspec.msgpack.encode(self._builder.mark_state())
        self._taken = _Taken(
            journal.appended, self._facts(), parts, pipeline.outbox.equity_points, self._files.marks.rows
        )
        self._last_seq, self._last_ns = engine.seq, time.monotonic_ns()
        self.counters.take_seconds.observe((time.perf_counter_ns() - started_ns) / 1e9)

    def _facts(self) -> Facts:
        pipeline, journal = self._pipeline, self._pipeline.journal
        assert journal is not None
        place = journal.place
        return Facts(
            session=self._session,
            setup_digest=self._setup_digest,
            build=self._build,
            python=platform.python_version(),
            strategies=self._sources,
            created_ns=time.time_ns(),
            epoch=journal.epoch,
            segment=place.segment,
            offset=place.offset,
            seq=place.seq,
            digest=pipeline.engine.digest(),
            events=pipeline.outbox.events,
            fills=pipeline.outbox.fills,
            cursor=pipeline.frame_cursor().decode(),
            equity=Held(0, 0),
            excursions=Held(0, 0),
            marks=Held(0, 0),
            parts={},
        )

    def _start_writing(self) -> None:
        taken, journal = self._taken, self._pipeline.journal
        if taken is None or journal is None or self._writing is not None:
            return
        if journal.durable < taken.position or self._pipeline.outbox.released_events < taken.facts.events:
            return
        if self._files.equity.rows < taken.equity_points:
            return
        self._taken = None
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-snapshot")
        self._writing = self._executor.submit(self._write, taken)

    def _write(self, taken: _Taken) -> int:
        """On the thread: make durable what the snapshot stands on, then write it."""
        started_ns = time.perf_counter_ns()
        for file in self._files.all:
            file.sync()
        facts = msgspec.structs.replace(
            taken.facts,
            equity=self._sum("equity", self._files.equity, taken.equity_points),
            excursions=self._sum("excursions", self._files.excursions, taken.facts.fills),
            marks=self._sum("marks", self._files.marks, taken.mark_rows),
        )
        size_bytes = write_snapshot(self.folder, facts, taken.parts, self._disk)
        self.counters.write_seconds.observe((time.perf_counter_ns() - started_ns) / 1e9)
        self.counters.last_seq = facts.seq
        return size_bytes

    def _sum(self, name: str, file: HeldFile, rows: int) -> Held:
        """Add the rows since the last snapshot to the checksum."""
        held = self._summed.get(name, Held(0, 0))
        checksum = held.checksum
        for piece in file.pieces(held.rows, rows):
            checksum = crc32(piece, checksum)
        self._summed[name] = Held(rows, checksum)
        return self._summed[name]

    def _finish_writing(self, *, waits: bool) -> None:
        writing = self._writing
        if writing is None or not (waits or writing.done()):
            return
        self._writing = None
        try:
            self.counters.last_bytes = writing.result()
            self.counters.taken += 1
        except OSError as error:
            self.counters.failed += 1
            self.is_off = True  # a failed fsync is never tried again
            self._taken = None
            self._log.warning(
                "a snapshot cannot be written: none are taken until the next start",
                reason=error.strerror or str(error),
                place=str(self.folder),
            )
