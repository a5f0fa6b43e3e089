"""Recovery: from a snapshot, or the journal's start, through the frames after it, proved by their digests, to its end.

May not live here: what a session folder is (session.py), what is in a snapshot's file (pipeline/snapshot_file.py), new
records.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from replay.checksum import crc32
from replay.disk import Disk
from replay.errors import JournalError, ReplayError, StrategyError
from replay.events import EVENT, EVENT_BYTES, EventKind
from replay.health import RecoveryProgress
from replay.pipeline.journal import UNKNOWN_SOURCES, Frame, JournalReader, segment_paths
from replay.pipeline.outbox import Effects
from replay.pipeline.pipeline import FrameCursor, Pipeline
from replay.pipeline.sinks import HeldFile, is_torn_end
from replay.pipeline.snapshot_file import Facts, Held, Snapshot, SnapshotUnusable, read_snapshot, snapshot_paths
from replay.pipeline.snapshots import Files
from replay.result.eventtext import Names, event_text
from replay.result.marks import SAMPLE, SamplerState
from replay.strategy_state import UnsupportedState, put_state

if TYPE_CHECKING:
    from replay.result.builder import ResultBuilder
    from replay.strategy import Strategy

CHECKED_BYTES_MAX = 8 << 20
"""So much of the journal before a snapshot is checked at a start; `replay verify` runs all of it."""

GROUP_RECORDS = 4_096
"""So many records of short frames are run at once: a millisecond or two, in which the event loop waits."""

GROUP_FRAMES = 1_024

RELEASED_BYTES = 256 << 10
"""So much of what is proved is handed to the sinks at once."""

REMEDY = (
    "if the strategy, replay or a library was changed: go back; or go on from here in a new session that takes this "
    "one's ticks: `replay paper RUN --fork SESSION --session NEW`"
)


@dataclass(frozen=True)
class Recovery:
    """What starting a session found and did."""

    frames: int
    """Frames that were run."""
    records: int
    events: int
    was_closed: bool
    """Whether the last process ended in order."""
    notes: tuple[str, ...]
    """What had to be mended: a torn tail, an event log that was damaged, a snapshot that could not be used."""
    snapshot_seq: int | None = None
    """Records before the snapshot that it started from; None: from the journal's start."""


class SnapshotMisled(Exception):
    """What came of a snapshot is not what the journal proves: engine and strategies are to be made anew."""


@dataclass
class Recoverer:
    """Recovers one session into a pipeline that has taken nothing yet."""

    folder: Path
    """Of the journal."""
    snapshots_folder: Path
    session: str
    setup_digest: str
    sources_digest: str
    build: str
    sources: Mapping[str, tuple[str, str]]
    pipeline: Pipeline
    strategies: Sequence[Strategy]
    builder: ResultBuilder
    files: Files
    names: Names
    disk: Disk
    progress: RecoveryProgress

    async def run(self, *, trusts_snapshots: bool) -> tuple[Recovery, JournalReader]:
        """Run the journal through engine and strategy, prove it frame by frame, and set the pipeline on its way.

        Raises JournalError where the journal is damaged or gives other events than it did, SnapshotMisled where that
        happens after a snapshot; then nothing was changed.
        """
        reader = JournalReader(self.folder, setup_digest=self.setup_digest)
        notes: list[str] = []
        self.pipeline.is_recovering = True
        snapshot = self._start_at_snapshot(reader, notes) if trusts_snapshots else None
        try:
            frames, last = await self._run_frames(reader, snapshot)
        except (Divergence, UnsupportedState, StrategyError) as error:
            if snapshot is None:
                raise
            raise SnapshotMisled(f"{snapshot.path}: {_first_line(error)}") from error
        self._settle(reader, notes)
        cursor = last.cursor if last is not None else snapshot.facts.cursor.encode() if snapshot is not None else None
        if cursor is not None:
            self.pipeline.go_on_from(msgspec.json.decode(cursor, type=FrameCursor))
        if reader.sources_digest not in (UNKNOWN_SOURCES, self.sources_digest):
            notes.append(
                f"{self.folder}: the last segment was written with other strategy sources; the journal's digests show "
                f"that these decide the same"
            )
        was_closed = last is None or last.closed
        seq = None if snapshot is None else snapshot.facts.seq
        return Recovery(frames, reader.next_seq, self.pipeline.outbox.events, was_closed, tuple(notes), seq), reader

    async def _run_frames(self, reader: JournalReader, snapshot: Snapshot | None) -> tuple[int, Frame | None]:
        pipeline = self.pipeline
        held_events = self.files.events.held_events
        last: Frame | None = None
        frames = proved = 0
        if snapshot is not None:
            self._restore(snapshot)
        self.progress.begin(segment_paths(self.folder))
        for group in _groups(reader.frames(None if snapshot is None else snapshot.facts.place)):
            is_proved = pipeline.engine.digest() == group[0].digest_before
            if is_proved and pipeline.outbox.pending_bytes >= RELEASED_BYTES:
                pipeline.outbox.release(0)
            count, proved_now = pipeline.run_frames(group)
            proved = max(proved, proved_now)
            if count < len(group):
                raise self._divergence(group[count], self._unproved(proved))
            last, frames = group[-1], frames + count
            if self.progress.is_breath_due(last, frames):
                await asyncio.sleep(0)  # whoever asks is told how far it is
                self.progress.breathed()
        self.progress.end(frames)
        self._check_unproved(self._unproved(proved), held_events)
        return frames, last

    def _unproved(self, proved: int) -> Effects:
        """Give the events that wait, without those that a frame's digest has proved already."""
        pending = self.pipeline.outbox.peek()
        skipped = max(0, proved - pending.first_event)
        return Effects(pending.first_event + skipped, pending.events[skipped * EVENT_BYTES :], b"")

    def _settle(self, reader: JournalReader, notes: list[str]) -> None:
        """All is proved: cut what a crash left, bring the files beside the journal to what it says."""
        if reader.torn is not None:
            notes.append(str(reader.torn))
            reader.cut_torn_tail(self.disk)
        self.pipeline.outbox.release(0)
        self.pipeline.observe()
        self.pipeline.is_recovering = False
        rewritten = self.files.events.rewritten_from
        if rewritten is not None:
            notes.append(
                f"{self.files.events.path}: damaged at event {rewritten}; rewritten from the journal, whose digests "
                f"prove it"
            )
        self.files.events.settle()
        for file in (self.files.equity, self.files.excursions, self.files.marks):
            file.settle(cut=True)
        self.builder.publish()

    # -- snapshots

    def _start_at_snapshot(self, reader: JournalReader, notes: list[str]) -> Snapshot | None:
        """Find the newest snapshot that can be used; say of each other one why it cannot."""
        for path in snapshot_paths(self.snapshots_folder):
            try:
                snapshot = read_snapshot(path)
                self._check(snapshot.facts, reader)
                self._restore_core(snapshot)
            except SnapshotUnusable as reason:
                notes.append(f"{path}: is not used: {reason}")
                continue
            return snapshot
        return None

    def _check(self, facts: Facts, reader: JournalReader) -> None:
        if facts.session != self.session:
            raise SnapshotUnusable("it belongs to another session")
        if facts.setup_digest != self.setup_digest:
            raise SnapshotUnusable("it was taken under another setup")
        if facts.build != self.build:
            raise SnapshotUnusable(f"it was taken by another build of the engine ({facts.build}, this is {self.build})")
        for name, source in self.sources.items():
            if facts.strategies.get(name) != source:
                raise SnapshotUnusable(f"the source of strategy {name!r} has changed since it was taken")
        if facts.strategies.keys() != self.sources.keys():
            raise SnapshotUnusable("it was taken with other strategies")
        if not reader.check_before(facts.place, bytes_max=CHECKED_BYTES_MAX):
            raise SnapshotUnusable("the journal does not reach it")
        events = self.files.events
        digest = hashlib.sha256()
        for piece in events.pieces(0, min(facts.events, events.held_events)):
            digest.update(piece)
        if events.held_events < facts.events or digest.hexdigest() != facts.digest:
            raise SnapshotUnusable(f"{events.path.name} does not hold the {facts.events} events before it")
        _check_held(self.files.equity, facts.equity)
        _check_held(self.files.excursions, facts.excursions)
        if facts.excursions.rows != facts.fills:
            raise SnapshotUnusable(f"it stands on {facts.excursions.rows} excursions and {facts.fills} fills")
        _check_held(self.files.marks, facts.marks)

    def _restore_core(self, snapshot: Snapshot) -> None:
        wanted = {"sequencer", "engine", "marks", *(f"strategy {name}" for name in self.sources)}
        if snapshot.parts.keys() != wanted:
            raise SnapshotUnusable("it has other parts than a session needs")
        try:
            msgspec.msgpack.decode(snapshot.parts["marks"], type=SamplerState)
            self.pipeline.engine.restore(snapshot.parts["engine"])
            self.pipeline.sequencer.restore(snapshot.parts["sequencer"])
        except (ValueError, msgspec.MsgspecError) as error:
            raise SnapshotUnusable(str(error)) from error

    def _restore(self, snapshot: Snapshot) -> None:
        """Bring strategies, sinks and result to where the engine is already."""
        facts, pipeline = snapshot.facts, self.pipeline
        for name, strategy in zip(self.sources, self.strategies, strict=True):
            put_state(strategy, pipeline.engine, snapshot.parts[f"strategy {name}"])
        self.builder.restore_marks(msgspec.msgpack.decode(snapshot.parts["marks"], type=SamplerState))
        for piece in self.files.marks.pieces(0, facts.marks.rows):
            self.builder.add_marks(np.frombuffer(piece, dtype=SAMPLE))
        self.files.marks.skip(facts.marks.rows)
        self._hand_over(facts)
        pipeline.outbox.go_on_from(events=facts.events, fills=facts.fills, equity_points=facts.equity.rows)
        pipeline.counters.recovered = facts.seq

    def _hand_over(self, facts: Facts) -> None:
        """Give each sink what came before the snapshot, from the first event that it does not hold."""
        files = self.files
        others = [sink for sink in self.pipeline.outbox.sinks if sink not in files.sinks]
        first = fills = 0
        for events in files.events.pieces(0, facts.events):
            limit = fills + int(np.count_nonzero(np.frombuffer(events, dtype=EVENT)["kind"] == EventKind.FILL))
            effects = Effects(first, events, b"", files.excursions.held(fills, limit))
            for sink in others:
                if getattr(sink, "next_event", 0) < effects.limit_event:
                    sink.write(effects)
            first, fills = effects.limit_event, limit
        for points in files.equity.pieces(0, facts.equity.rows):
            for sink in others:
                sink.write(Effects(first, b"", points))
        files.events.skip(facts.events)
        files.equity.skip(facts.equity.rows)
        files.excursions.skip(facts.excursions.rows)

    # -- divergence

    def _divergence(self, frame: Frame, pending: Effects) -> Divergence:
        """Say that a re-run of the journal decided otherwise, with the first event that differs."""
        found = _first_differing_event(pending, self.files.events)
        head = f"running the journal again gives other events before record {frame.first_seq} than it did"
        if found is None:
            return Divergence(head, place=str(frame.path), remedy=REMEDY)
        number, before, now = found
        return Divergence(
            f"{head}; the first is event {number}:\n  then: {_text(before, self.names)}\n"
            f"  now:  {_text(now, self.names)}",
            place=str(frame.path),
            remedy=REMEDY,
        )

    def _check_unproved(self, pending: Effects, held_events: int) -> None:
        """Compare what no later frame's digest proves, after the last frame, with what was already shown."""
        event_log = self.files.events
        found = _first_differing_event(pending, event_log)
        if found is None and held_events > pending.limit_event:
            (extra,) = np.frombuffer(event_log.held(pending.limit_event, pending.limit_event + 1), dtype=EVENT)
            found = (pending.limit_event, extra, None)
        if found is None or is_torn_end(event_log.held(pending.first_event, held_events), pending.events):
            return
        number, before, now = found
        raise Divergence(
            f"the event log has other events than the journal gives, from event {number} on:\n"
            f"  shown:   {_text(before, self.names)}\n  journal: {_text(now, self.names)}",
            place=str(event_log.path),
            remedy="the strategy was changed, or the end of the journal is lost: go back to the old source, restore "
            "the journal from a copy, or go on in a new session: `replay paper RUN --fork SESSION --session NEW`",
        )


class Divergence(JournalError):
    """The journal, run again, decides otherwise than it did."""


def _groups(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Gather frames that are run at once: a frame of a few records costs the shell more than the engine."""
    group: list[Frame] = []
    rows = 0
    for frame in frames:
        if group and (rows + len(frame.records) > GROUP_RECORDS or len(group) == GROUP_FRAMES):
            yield group
            group, rows = [], 0
        group.append(frame)
        rows += len(frame.records)
    if group:
        yield group


def _check_held(file: HeldFile, held: Held) -> None:
    checksum = 0
    if file.held_rows >= held.rows:
        for piece in file.pieces(0, held.rows):
            checksum = crc32(piece, checksum)
    if file.held_rows < held.rows or checksum != held.checksum:
        raise SnapshotUnusable(f"{file.path.name} does not hold the {held.rows} rows before it")


def _first_differing_event(pending: Effects, event_log: HeldFile) -> tuple[int, Any, Any] | None:
    """Compare events that wait with those that the file holds; where both have one and differ, give both."""
    held = np.frombuffer(event_log.held(pending.first_event, pending.limit_event), dtype=EVENT)
    made = np.frombuffer(pending.events, dtype=EVENT)[: len(held)]
    for row in np.flatnonzero(held != made)[:1].tolist():
        return pending.first_event + row, held[row], made[row]
    return None


def _text(event: Any, names: Names) -> str:
    return "nothing" if event is None else event_text(event, names)


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, ReplayError) else str(error)
    return text.partition("\n")[0]
