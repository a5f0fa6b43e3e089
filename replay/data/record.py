"""Recording: any feed to a folder of tapes, with rotation; killed and started again it goes on without loss or double.

May not live here: sources and their formats, and strategies; a paper session has a journal of its own.

    tape-000001.npy      a finished tape, with its sidecar tape-000001.tape.json
    tape-000002.npy.part the tape that is being written
    recording.json       how much of it is durable, and where the feed goes on
    dead-letters.ndjson  rows that gave no record
    lock                 held by the process that records
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.data.sources import open_source
from replay.errors import ConfigError, DataError, JournalError, UsageError, disk_remedy
from replay.feeds import tape
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import Batch, Feed
from replay.feeds.tape import TapeHeader, TapeWriter
from replay.pipeline.stop import Stop, stop_on_signals
from replay.records import RECORD_BYTES

COMMIT_NS = 1_000_000_000
"""What came in is durable after this long."""
STATE_FILE = "recording.json"
DEAD_LETTERS_FILE = "dead-letters.ndjson"
LOCK_FILE = "lock"

ProgressCall = Callable[[int, int | None, int | None], None]


class RecordingState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """recording.json: the tape under way, how many of its records are durable, and where the feed goes on.

    skip: records after the cursor that are on tapes already.
    """

    version: int = 1
    uri: str
    header: TapeHeader
    tape: int = 1
    rows: int = 0
    before: int = 0
    """Records on the tapes before it."""
    cursor: msgspec.Raw = msgspec.Raw(b"null")
    skip: int = 0
    dead_letters: int = 0
    top_ns: int = 0
    """The largest receive time so far."""


@dataclass
class Rotation:
    """When a tape is finished and the next begins: at a size, and at multiples of a time."""

    rows_max: int = (1 << 30) // RECORD_BYTES
    every_ns: int | None = None


@dataclass
class Recorded:
    """What a recording did; its text is what the command prints."""

    folder: Path
    records: int = 0
    held: int = 0
    tapes: list[str] = field(default_factory=list)
    dead: int = 0
    is_interrupted: bool = False

    def __str__(self) -> str:
        lines = [f"{self.folder}: {self.records:,} records, {len(self.tapes)} tapes finished"]
        lines += [f"  {name}" for name in self.tapes[:20]]
        if self.held:
            lines.append(f"  {self.held:,} records were there already")
        if self.dead:
            lines.append(f"  dead: {self.dead:,} rows (in {DEAD_LETTERS_FILE})")
        if self.is_interrupted:
            lines.append("  interrupted: the same command goes on from here")
        return "\n".join(lines)


def record(
    source: str,
    folder: Path,
    *,
    run: Path | None = None,
    feeds: tuple[str, ...] = (),
    rotation: Rotation | None = None,
    stop: Stop | None = None,
    progress: ProgressCall | None = None,
) -> Recorded:
    """Record a source to a folder until its end, or until a stop is asked for."""
    feed, _ = open_source(source, run, feeds)
    stop = stop or Stop()
    with stop_on_signals(stop):
        return asyncio.run(record_feed(feed, folder, rotation=rotation, stop=stop, progress=progress))


async def record_feed(
    feed: Feed,
    folder: Path,
    *,
    rotation: Rotation | None = None,
    stop: Stop | None = None,
    progress: ProgressCall | None = None,
) -> Recorded:
    """As `record`, for a feed that is open; its header lists the instruments by the numbers of its records."""
    with _locked(folder):
        state = finish_tape(folder, feed)
        recorder = _Recorder(feed, folder, state, rotation or Rotation(), stop or Stop(), progress)
        return await recorder.run()


def finish(folder: Path) -> str | None:
    """Make the tape that a killed recorder left behind a whole one; give its name, or None where there is none."""
    with _locked(folder):
        state = read_state(folder)
        if state is None:
            raise UsageError(
                f"{folder} holds no recording: there is no {STATE_FILE}",
                remedy="name the DIR that `replay record SOURCE DIR` was given",
            )
        left = finish_tape(folder, None)
        return None if left is None or left.tape == state.tape else _name(state.tape)


def read_state(folder: Path) -> RecordingState | None:
    """Read recording.json; None where there is none."""
    path = folder / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RecordingState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise JournalError(f"is not the state of a recording: {error}", place=str(path)) from None


def finish_tape(folder: Path, feed: Feed | None) -> RecordingState | None:
    """Cut the last tape to what is durable and finish it; what came later will come from the feed again."""
    state = read_state(folder)
    if state is None:
        return None
    if feed is not None:
        _check_same(state, feed, folder)
    for path in sorted(folder.glob("tape-*.npy*")):
        if int(path.name[5:11]) > state.tape:
            path.unlink()
    path = folder / _name(state.tape)
    if not state.rows:
        for leftover in (path, path.with_name(path.name + ".part"), tape.sidecar_path(path)):
            leftover.unlink(missing_ok=True)
        return state
    if path.exists():
        kept = np.array(tape.load(path).records[: state.rows])
    else:
        kept = tape.load_part(path, state.rows)
    tape.save(path, kept, state.header)
    state = msgspec.structs.replace(state, tape=state.tape + 1, rows=0, before=state.before + state.rows)
    _write_state(folder, state)
    return state


class _Recorder:
    """One start of a recording."""

    def __init__(
        self,
        feed: Feed,
        folder: Path,
        state: RecordingState | None,
        rotation: Rotation,
        stop: Stop,
        progress: ProgressCall | None,
    ) -> None:
        self.feed = feed
        self.folder = folder
        self.header = msgspec.structs.replace(feed.header, rows=None, first_ns=None, last_ns=None)
        self.state = state or RecordingState(uri=feed.uri, header=self.header)
        self.rotation = rotation
        self.stop = stop
        self.progress = progress
        self.done = Recorded(folder, held=self.state.before)
        self.writer: TapeWriter | None = None
        self.committed_ns = time.monotonic_ns()
        self.is_dirty = False
        self.letters = DeadLetterWriter(folder / DEAD_LETTERS_FILE, keep_bytes=self.state.dead_letters)
        self.skip = self.state.skip

    async def run(self) -> Recorded:
        cursor = bytes(self.state.cursor)
        source = self.feed.batches_async(None if cursor == b"null" else cursor)
        try:
            async for batch in self._until_stopped(source):
                if batch is not None:
                    self._take(batch)
                if self.is_dirty and time.monotonic_ns() - self.committed_ns >= COMMIT_NS:
                    self._commit()
            self._commit()
            self._finish_tape()
        finally:
            if self.writer is not None:
                self.writer._file.close()
            self.letters.close()
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
        self.done.dead = self.letters.counts.total()
        self.done.is_interrupted = self.stop.requested
        return self.done

    async def _until_stopped(self, source: AsyncIterator[Batch]) -> AsyncIterator[Batch | None]:
        """Give the batches; None where none came for a while."""
        stopped = asyncio.ensure_future(self.stop.event(asyncio.get_running_loop()).wait())
        step: asyncio.Future[Any] | None = None
        try:
            while not self.stop.requested:
                step = step or asyncio.ensure_future(anext(source, None))
                waited: set[asyncio.Future[Any]] = {step, stopped}
                await asyncio.wait(waited, timeout=COMMIT_NS / 1e9, return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    yield None
                    continue
                batch, step = step.result(), None
                if batch is None:
                    return
                yield batch
        finally:
            pending = [task for task in (step, stopped) if task is not None]
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _take(self, batch: Batch) -> None:
        for letter in batch.dead:
            self.letters.add(letter)
        records = batch.records
        skip = min(self.skip, len(records))
        done = skip
        while done < len(records):
            limit = self._tape_end(records, done)
            if limit > done:
                self._append(records[done:limit])
                done = limit
            if done < len(records):
                self._note(self.state.cursor, done)
                self._commit()
                self._finish_tape()
        self.skip -= skip
        self._note(msgspec.Raw(batch.cursor), self.skip)
        if self.progress is not None and len(records):
            self.progress(self.done.held + self.done.records, self.feed.header.rows, int(records["ts_recv"][-1]))

    def _note(self, cursor: msgspec.Raw, skip: int) -> None:
        self.state = msgspec.structs.replace(self.state, cursor=cursor, skip=skip)
        self.is_dirty = True

    def _tape_end(self, records: NDArray[Any], first: int) -> int:
        """Return the row before which the tape under way ends, at the latest at the end of the batch."""
        limit = min(len(records), first + max(0, self.rotation.rows_max - self.state.rows))
        every_ns = self.rotation.every_ns
        if every_ns is None or limit == first:
            return limit
        times_ns = np.maximum.accumulate(records["ts_recv"][first:limit])
        if self.state.rows or self.state.before:
            np.maximum(times_ns, self.state.top_ns, out=times_ns)
        begun_ns = self.state.top_ns if self.state.rows else int(times_ns[0])
        end_ns = begun_ns - begun_ns % every_ns + every_ns
        return first + int(np.searchsorted(times_ns, end_ns, side="left"))

    def _append(self, records: NDArray[Any]) -> None:
        if self.writer is None:
            self.writer = TapeWriter(self.folder / _name(self.state.tape), self.header)
        self.writer.append(records)
        top_ns = int(records["ts_recv"].max())
        top_ns = max(top_ns, self.state.top_ns) if self.state.rows or self.state.before else top_ns
        self.state = msgspec.structs.replace(self.state, rows=self.state.rows + len(records), top_ns=top_ns)
        self.done.records += len(records)

    def _commit(self) -> None:
        """Make durable what came in, then say so."""
        if self.writer is not None:
            self.writer.sync()
        self.letters.flush()
        self.state = msgspec.structs.replace(self.state, dead_letters=self.letters.size_bytes)
        _write_state(self.folder, self.state)
        self.committed_ns = time.monotonic_ns()
        self.is_dirty = False

    def _finish_tape(self) -> None:
        if self.writer is None:
            return
        self.writer.close()
        self.writer = None
        self.done.tapes.append(_name(self.state.tape))
        before = self.state.before + self.state.rows
        self.state = msgspec.structs.replace(self.state, tape=self.state.tape + 1, rows=0, before=before)
        _write_state(self.folder, self.state)


def _name(number: int) -> str:
    return f"tape-{number:06d}.npy"


def _write_state(folder: Path, state: RecordingState) -> None:
    path = folder / STATE_FILE
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JournalError(
            f"cannot be written: {error.strerror or error}", place=str(path), remedy=disk_remedy(error, path)
        ) from None


def _check_same(state: RecordingState, feed: Feed, folder: Path) -> None:
    header = msgspec.structs.replace(feed.header, rows=None, first_ns=None, last_ns=None)
    if state.uri != feed.uri:
        raise ConfigError(
            f"the folder holds a recording of {state.uri}, not of {feed.uri}",
            place=str(folder),
            remedy="record into another folder",
        )
    if state.header != header:
        raise DataError(
            "the feed now has another table of instruments than when the recording began",
            reason="other_table",
            place=str(folder),
            remedy="record into another folder; nothing of this one was changed",
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raise JournalError where another process records there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(
            f"cannot be written: {error.strerror or error}", place=str(folder), remedy=disk_remedy(error, folder)
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalError(
            "another process records into the folder", place=str(folder), remedy="stop it first, or name another folder"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
