"""The journal: append-only segments of frames, each frame a piece of the tape with its cursor, digest and checksums.

May not live here: what a record or a cursor means. The journal keeps bytes, proves them whole, and gives them back.

A segment starts with 128 bytes (64 in version 1), a frame with 64; all is little-endian, every part starts at a
multiple of 64:

    segment header                                   frame header
     0  magic "RPLYJRNL"      8 s                     0  magic "FRME"                                  4 s
     8  version               u32                     4  version                                       u8
    12  segment number        u32                     5  flags (1: closed in order)                    u8
    16  epoch                 u64                     6  cursor with its padding, in units of 64 bytes u16
    24  SHA-256 of the setup  32 s                    8  tape seq of its first record                  u64
    56  zero                  u32                    16  number of records                             u32
    60  CRC-32 of 0..60       u32                    20  durable when it was written, units of 64      u32
    64  SHA-256 of the        32 s                   24  digest of the event log before it             32 s
        strategies' sources                          56  CRC-32 of 0..56                               u32
    96  zero                  28 s                   60  CRC-32 of 0..60, cursor and records           u32
   124  CRC-32 of 64..124     u32

The first 64 bytes of a segment are the same in every version, so that any program can tell a newer one from damage. A
segment of version 1 ends its header there: it says nothing of the strategies. A newer version is refused by its name.

The cursor is JSON padded with blanks, then come the records. The header has a checksum of its own because its lengths
say where the next frame starts. What was durable (bytes of this segment) tells damage from a torn tail: a power cut may
leave any part of what no commit had covered, so a bad frame is damage only if something proves that it was durable.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.checksum import crc32
from replay.disk import Disk, disk_error
from replay.errors import JournalError
from replay.pipeline.histogram import DISK_SECONDS, Histogram
from replay.records import RECORD, RECORD_BYTES

VERSION = 2
"""Of segments; 1 is read, too."""
FRAME_VERSION = 1
ALIGNMENT_BYTES = 64
SEGMENT_MAGIC = b"RPLYJRNL"
FRAME_MAGIC = b"FRME"
SEGMENT_HEADER = struct.Struct("<8sIIQ32sII")
SEGMENT_SOURCES = struct.Struct("<32s28sI")
"""The second part of a segment's header, since version 2."""
SEGMENT_HEADER_BYTES = SEGMENT_HEADER.size + SEGMENT_SOURCES.size
FRAME_HEADER = struct.Struct("<4sBBHQII32sII")
FLAG_CLOSED = 1
EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of no events."""

SEGMENT_BYTES = 64 << 20
COMMIT_EVERY_NS = 5_000_000
COMMIT_BYTES = 1 << 20
CURSOR_BYTES_MAX = 0xFFFF * ALIGNMENT_BYTES

_SEGMENT_NAME = re.compile(r"(\d{8})\.journal")
_HEADER_CRC_AT = 56
_FRAME_CRC_AT = 60

assert SEGMENT_HEADER.size == SEGMENT_SOURCES.size == FRAME_HEADER.size == ALIGNMENT_BYTES

UNKNOWN_SOURCES = "0" * 64
"""The SHA-256 in a segment whose writer did not know the strategies' sources."""


class Place(NamedTuple):
    """A place between two frames of a journal."""

    segment: int
    offset: int
    """Byte of the segment at which the next frame starts, or will start."""
    seq: int
    """Tape seq of the next record."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read."""

    first_seq: int
    records: NDArray[Any]
    cursor: bytes
    digest_before: str
    closed: bool
    epoch: int
    path: Path
    offset: int

    @property
    def limit_seq(self) -> int:
        """The tape seq after its last record."""
        return self.first_seq + len(self.records)


@dataclass(frozen=True, slots=True)
class TornTail:
    """What a crash left half-written at the very end: cut off before the session goes on."""

    path: Path
    offset: int
    size_bytes: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path}: the last {self.size_bytes} bytes, from byte {self.offset}, are an unfinished frame "
            f"({self.reason}); nothing of it had been shown to anyone, and it is cut off"
        )


# -- writing


def encode_frame(
    first_seq: int,
    records: NDArray[np.uint8],
    cursor: bytes,
    digest_before: str,
    *,
    durable_bytes: int = 0,
    closed: bool = False,
) -> list[bytes | memoryview]:
    """Lay out one frame as parts to be written one after the other; the records are not copied."""
    body = records.data.cast("B") if len(records) else memoryview(b"")
    assert len(body) % RECORD_BYTES == 0, f"{len(body)} bytes are not whole records"
    if len(cursor) > CURSOR_BYTES_MAX:
        raise JournalError(f"a cursor of {len(cursor)} bytes is longer than {CURSOR_BYTES_MAX}")
    padded = cursor + b" " * (-len(cursor) % ALIGNMENT_BYTES)
    flags = FLAG_CLOSED if closed else 0
    count = len(body) // RECORD_BYTES
    digest = bytes.fromhex(digest_before)
    units = len(padded) // ALIGNMENT_BYTES
    durable_units = durable_bytes // ALIGNMENT_BYTES
    head = FRAME_HEADER.pack(FRAME_MAGIC, FRAME_VERSION, flags, units, first_seq, count, durable_units, digest, 0, 0)
    head = head[:_HEADER_CRC_AT] + struct.pack("<I", crc32(head[:_HEADER_CRC_AT]))
    checksum = crc32(body, crc32(padded, crc32(head)))
    return [head + struct.pack("<I", checksum) + padded, body]


def encode_segment_header(segment: int, epoch: int, setup_digest: str, sources_digest: str = UNKNOWN_SOURCES) -> bytes:
    """Lay out the first 128 bytes of a segment."""
    head = SEGMENT_HEADER.pack(SEGMENT_MAGIC, VERSION, segment, epoch, bytes.fromhex(setup_digest), 0, 0)
    sources = SEGMENT_SOURCES.pack(bytes.fromhex(sources_digest), bytes(28), 0)
    return b"".join(part[:_FRAME_CRC_AT] + struct.pack("<I", crc32(part[:_FRAME_CRC_AT])) for part in (head, sources))


@dataclass(slots=True)
class JournalCounters:
    """What metrics read of a journal."""

    bytes_written: int = 0
    frames: int = 0
    records: int = 0
    segments: int = 0
    commits: int = 0
    durable_seq: int = 0
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(DISK_SECONDS))


class Journal:
    """Appends frames; what `durable` has reached survives a power cut, and only that may be shown to sinks.

    After the first error it refuses everything: the session ends, and the next start reads what is whole. `append` is
    called by one thread; `commit` may run on another.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment: int,
        epoch: int,
        setup_digest: str,
        sources_digest: str = UNKNOWN_SOURCES,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        commit_every_ns: int = COMMIT_EVERY_NS,
        commit_bytes: int = COMMIT_BYTES,
        guard: Callable[[], None] | None = None,
    ) -> None:
        """Open a new segment. `guard` is asked after each commit and raises where the journal is no longer ours."""
        self.folder = folder
        self.counters = JournalCounters()
        self.appended = 0
        """Bytes of frames appended by this writer; a position to compare with `durable`."""
        self.durable = 0
        self.last_commit_ns = 0
        """How long the last commit took."""
        self.commit_every_ns = commit_every_ns
        self.commit_bytes = commit_bytes
        self._disk = disk or Disk()
        self._guard = guard
        self._segment = segment
        self._epoch = epoch
        self._setup_digest = setup_digest
        self._sources_digest = sources_digest
        self._segment_bytes = segment_bytes
        self._written_bytes = 0
        self._next_seq = 0
        self._first_pending_ns = 0
        self._lock = threading.Lock()
        self._failed: str | None = None
        self._closed = False
        self._descriptor = self._open_segment()

    @property
    def path(self) -> Path:
        """The segment that is being written."""
        return segment_path(self.folder, self._segment)

    @property
    def place(self) -> Place:
        """Where the next frame will stand, unless it starts a new segment."""
        return Place(self._segment, self._written_bytes, self._next_seq)

    @property
    def epoch(self) -> int:
        """The epoch of this writer."""
        return self._epoch

    def append(self, first_seq: int, records: NDArray[np.uint8], cursor: bytes, digest_before: str) -> int:
        """Write one frame and return its position; it is durable once `durable` has reached that.

        Raises JournalError; then the file is as it was before the frame.
        """
        return self._append(first_seq, records, cursor, digest_before, closed=False)

    def _append(
        self, first_seq: int, records: NDArray[np.uint8], cursor: bytes, digest_before: str, *, closed: bool
    ) -> int:
        self._check_usable()
        if self._written_bytes > SEGMENT_HEADER_BYTES and self._written_bytes + len(records) > self._segment_bytes:
            self._rotate()
        durable_bytes = self._written_bytes - (self.appended - self.durable)
        parts = encode_frame(first_seq, records, cursor, digest_before, durable_bytes=durable_bytes, closed=closed)
        size_bytes = sum(len(part) for part in parts)
        try:
            self._disk.write(self._descriptor, parts)
        except OSError as error:
            self._failed = error.strerror or str(error)
            self._undo_partial_write()
            raise disk_error(error, "the journal cannot be written", self.path) from error
        if self.appended == self.durable:
            self._first_pending_ns = time.monotonic_ns()
        self._written_bytes += size_bytes
        self.appended += size_bytes
        self._next_seq = first_seq + len(records) // RECORD_BYTES
        self.counters.bytes_written += size_bytes
        self.counters.frames += 1
        self.counters.records += len(records) // RECORD_BYTES
        return self.appended

    def commit_due(self) -> bool:
        """Say whether enough bytes, or enough time, wait for a commit."""
        pending = self.appended - self.durable
        if not pending:
            return False
        return pending >= self.commit_bytes or time.monotonic_ns() - self._first_pending_ns >= self.commit_every_ns

    def next_commit_ns(self) -> int | None:
        """Give the nanoseconds until a commit is due, or None when nothing waits for one."""
        if self.appended == self.durable:
            return None
        return max(0, self._first_pending_ns + self.commit_every_ns - time.monotonic_ns())

    def commit(self) -> int:
        """Make all that was appended before the call durable, and return that position. May run on another thread."""
        with self._lock:
            self._check_usable()
            position, next_seq = self.appended, self._next_seq
            if position == self.durable:
                return position
            started_ns = time.perf_counter_ns()
            try:
                self._disk.sync(self._descriptor)
            except OSError as error:
                self._failed = f"a commit failed ({error.strerror or error})"
                raise disk_error(error, "the journal cannot be made durable", self.path) from error
            if self._guard is not None:
                try:
                    self._guard()
                except JournalError as error:
                    self._failed = error.message
                    raise
            self._note_commit(started_ns, position, next_seq)
            return position

    def close(self, cursor: bytes, digest: str) -> None:
        """End in order: a last frame without records pins the digest, everything becomes durable. Idempotent."""
        if self._closed:
            return
        try:
            if self._failed is None:
                self._append(self._next_seq, np.zeros(0, dtype=np.uint8), cursor, digest, closed=True)
                self.commit()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file without writing anything. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    def start_at(self, next_seq: int) -> None:
        """Say which tape seq comes next, before the first append of a session that goes on."""
        self._next_seq = next_seq
        self.counters.durable_seq = next_seq

    def _note_commit(self, started_ns: int, position: int, next_seq: int) -> None:
        self.counters.commits += 1
        self.counters.durable_seq = next_seq
        self.last_commit_ns = time.perf_counter_ns() - started_ns
        self.counters.commit_seconds.observe(self.last_commit_ns / 1e9)
        self.durable = position
        self._first_pending_ns = time.monotonic_ns()

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise JournalError(
                f"refuses to go on after an error: {self._failed}",
                place=str(self.path),
                remedy="start the session again: it goes on from what is durable",
            )
        if self._closed:
            raise JournalError("is closed", place=str(self.path))

    def _undo_partial_write(self) -> None:
        """Take a half-written frame away, so that the file ends with a whole one; the next scan would do the same."""
        try:
            self._disk.truncate(self._descriptor, self._written_bytes)
        except OSError:
            pass

    def _rotate(self) -> None:
        self.commit()
        with self._lock:
            os.close(self._descriptor)
            self._segment += 1
            try:
                self._descriptor = self._open_segment()
            except BaseException:
                self._closed = True
                raise

    def _open_segment(self) -> int:
        path = self.path
        descriptor = -1
        try:
            descriptor = self._disk.create(path)
            header = encode_segment_header(self._segment, self._epoch, self._setup_digest, self._sources_digest)
            self._disk.write(descriptor, [header])
            self._disk.sync(descriptor)
            self._disk.sync_folder(self.folder)
        except OSError as error:
            self._failed = error.strerror or str(error)
            if descriptor >= 0:
                os.close(descriptor)
            raise disk_error(error, "a journal segment cannot be created", path) from error
        self._written_bytes = SEGMENT_HEADER_BYTES
        self.counters.segments += 1
        return descriptor


# -- reading


def segment_path(folder: Path, segment: int) -> Path:
    """Name the file of a segment."""
    return folder / f"{segment:08d}.journal"


def last_epoch(folder: Path) -> int:
    """Read the epoch of the last segment whose header is whole, 0 without one; nothing else is looked at."""
    for path in reversed(segment_paths(folder)):
        with path.open("rb") as file:
            head = file.read(SEGMENT_HEADER.size)
        if len(head) == SEGMENT_HEADER.size:
            magic, version, _, epoch, *_ = SEGMENT_HEADER.unpack(head)
            if magic == SEGMENT_MAGIC and version == VERSION:
                return int(epoch)
    return 0


def segment_paths(folder: Path) -> list[Path]:
    """List the segments of a journal in order; raise JournalError where one is missing."""
    found = sorted(path for path in folder.iterdir() if _SEGMENT_NAME.fullmatch(path.name)) if folder.is_dir() else []
    for number, path in enumerate(found):
        if path != segment_path(folder, number):
            raise JournalError(
                f"segment {segment_path(folder, number).name} is missing, {path.name} is there",
                place=str(folder),
                remedy="put the missing segment back from a copy: without it the session cannot be rebuilt",
            )
    return found


class JournalReader:
    """Reads the frames of a journal in order, checking every byte.

    An unfinished frame at the very end is normal after a crash: `torn` then says so, and `cut_torn_tail` removes it.
    Anything wrong in what was durable raises JournalError.
    """

    def __init__(self, folder: Path, *, setup_digest: str | None = None) -> None:
        """Look at a journal folder; with a setup's digest, segments written under another setup are refused."""
        self.folder = folder
        self.torn: TornTail | None = None
        self.epoch = 0
        """The highest epoch read so far."""
        self.segments = 0
        self.next_seq = 0
        self.sources_digest = UNKNOWN_SOURCES
        """SHA-256 of the strategies' sources of whoever wrote the last segment read."""
        self._setup_digest = setup_digest
        self._is_alone = False
        """Whether a segment is read without those before it."""

    def frames(self, start: Place | None = None) -> Iterator[Frame]:
        """Give frame after frame, all of them or those from a place on.

        Afterwards `torn`, `epoch`, `segments`, `next_seq` and `sources_digest` hold for the whole journal.
        """
        place = start or Place(0, 0, 0)
        self.torn, self.epoch, self.segments, self.next_seq = None, 0, 0, place.seq
        paths = segment_paths(self.folder)
        for number, path in enumerate(paths):
            if number >= place.segment:
                offset = place.offset if number == place.segment else 0
                yield from self._segment(number, path, is_last=number == len(paths) - 1, offset=offset)
            self.segments = number + 1

    def check_before(self, place: Place, *, bytes_max: int) -> bool:
        """Check the segments that end at a place, going back up to `bytes_max`; say whether a frame can start there.

        Raises JournalError for damage in what is looked at.
        """
        paths = segment_paths(self.folder)
        if place.segment >= len(paths) or paths[place.segment].stat().st_size < place.offset:
            return False
        first, looked_at = place.segment, place.offset
        while first > 0 and looked_at + paths[first - 1].stat().st_size <= bytes_max:
            first -= 1
            looked_at += paths[first].stat().st_size
        if looked_at > bytes_max:
            return True
        self.torn, self.epoch, self.next_seq = None, 0, 0 if first == 0 else -1
        for number in range(first, place.segment + 1):
            limit = place.offset if number == place.segment else None
            is_last = number == len(paths) - 1
            deque(self._segment(number, paths[number], is_last=is_last, limit_offset=limit), maxlen=0)
        return not self.is_torn and self.next_seq in (place.seq, -1)

    @property
    def is_torn(self) -> bool:
        """Whether what was read ends in an unfinished frame."""
        return self.torn is not None

    def frames_of(self, number: int, path: Path) -> Iterator[Frame]:
        """Give the frames of one segment by itself; an unfinished or damaged frame ends it."""
        self._is_alone = True
        yield from self._segment(number, path, is_last=True)

    def cut_torn_tail(self, disk: Disk | None = None) -> None:
        """Remove what `torn` describes, durably; a segment of which nothing is left goes altogether."""
        if self.torn is None:
            return
        disk = disk or Disk()
        path = self.torn.path
        try:
            if self.torn.offset < ALIGNMENT_BYTES:
                disk.remove(path)
                self.segments -= 1
            else:
                descriptor = disk.open(path)
                try:
                    disk.truncate(descriptor, self.torn.offset)
                    disk.sync(descriptor)
                finally:
                    os.close(descriptor)
            disk.sync_folder(self.folder)
        except OSError as error:
            raise disk_error(error, "the unfinished end of the journal cannot be cut off", path) from error

    def _segment(
        self, number: int, path: Path, *, is_last: bool, offset: int = 0, limit_offset: int | None = None
    ) -> Iterator[Frame]:
        start = offset
        try:
            size_bytes = path.stat().st_size
            if limit_offset is not None:
                size_bytes = min(size_bytes, limit_offset)
            file = open(path, "rb", buffering=1 << 20)  # noqa: SIM115 - closed by the with below
        except OSError as error:
            raise disk_error(error, "the journal cannot be read", path) from error
        with file:
            header = self._check_segment_header(file.read(SEGMENT_HEADER_BYTES), number, path)
            problem = header if isinstance(header, str) else None
            offset = 0
            if isinstance(header, int):
                offset = max(header, start)
                file.seek(offset)
                while offset < size_bytes:
                    found = self._read_frame(file, path, offset, size_bytes)
                    if isinstance(found, str):
                        problem = found
                        break
                    yield found
                    offset = file.tell()
            if problem is not None:
                self._judge(file, path, offset, size_bytes, problem, is_last=is_last)

    def _check_segment_header(self, head: bytes, number: int, path: Path) -> str | int:
        """Give the length of the header, or what is wrong with it."""
        if len(head) < ALIGNMENT_BYTES:
            return f"{len(head)} bytes of a segment header"
        magic, version, segment, epoch, setup_digest, _, checksum = SEGMENT_HEADER.unpack_from(head)
        if checksum != crc32(head[:_FRAME_CRC_AT]) or magic != SEGMENT_MAGIC:
            return "the segment header does not match its checksum"
        _check_version(version, VERSION, path)
        if segment != number:
            raise JournalError(f"calls itself segment {segment}: it was renamed", place=str(path))
        if self._setup_digest is not None and setup_digest.hex() != self._setup_digest:
            raise JournalError(
                "was written under another setup than the session's",
                place=str(path),
                remedy="it does not belong here: put the session's own segment back from a copy",
            )
        self.epoch = max(self.epoch, epoch)
        if version == 1:
            self.sources_digest = UNKNOWN_SOURCES
            return ALIGNMENT_BYTES
        if len(head) < SEGMENT_HEADER_BYTES:
            return f"{len(head)} bytes of a segment header"
        sources, _, checksum = SEGMENT_SOURCES.unpack_from(head, ALIGNMENT_BYTES)
        if checksum != crc32(head[ALIGNMENT_BYTES : ALIGNMENT_BYTES + _FRAME_CRC_AT]):
            return "the segment header does not match its checksum"
        self.sources_digest = sources.hex()
        return SEGMENT_HEADER_BYTES

    def _read_frame(self, file: Any, path: Path, offset: int, size_bytes: int) -> Frame | str:
        head = file.read(ALIGNMENT_BYTES)
        if len(head) < ALIGNMENT_BYTES:
            return f"{len(head)} of {ALIGNMENT_BYTES} bytes of its header"
        if not _is_frame_header(head):
            return "its header does not match its checksum"
        _, version, flags, cursor_units, first_seq, count, _, digest, _, checksum = FRAME_HEADER.unpack(head)
        _check_version(version, FRAME_VERSION, path)
        cursor_bytes = cursor_units * ALIGNMENT_BYTES
        wanted_bytes = cursor_bytes + count * RECORD_BYTES
        if offset + ALIGNMENT_BYTES + wanted_bytes > size_bytes:
            return f"{size_bytes - offset} of {ALIGNMENT_BYTES + wanted_bytes} bytes"
        body = file.read(wanted_bytes)
        if checksum != crc32(body, crc32(head[:_FRAME_CRC_AT])):
            return "it does not match its checksum"
        if self._is_alone:
            self.next_seq, self._is_alone = first_seq, False
        if first_seq != self.next_seq and self.next_seq >= 0:
            raise JournalError(
                f"the frame at byte {offset} starts at record {first_seq}, but {self.next_seq} comes next",
                place=str(path),
                remedy="a segment is missing or was put in the wrong place",
            )
        self.next_seq = first_seq + count
        records = np.frombuffer(body, dtype=RECORD, count=count, offset=cursor_bytes)
        cursor = body[:cursor_bytes].rstrip(b" ")
        return Frame(first_seq, records, cursor, digest.hex(), bool(flags & FLAG_CLOSED), self.epoch, path, offset)

    def _judge(self, file: Any, path: Path, offset: int, size_bytes: int, problem: str, *, is_last: bool) -> None:
        """Decide whether a bad frame is a torn tail, or damage: then something after it proves that it was durable."""
        proof = _find_proof(file, offset, size_bytes)
        if is_last and proof is None:
            self.torn = TornTail(path, offset, size_bytes - offset, problem)
            return
        after = "other segments follow" if proof is None else f"the frame at byte {proof} was written after its commit"
        raise JournalError(
            f"the frame at byte {offset} is damaged: {problem}, yet {after}",
            place=str(path),
            remedy="this is no torn tail: restore the file from a copy; nothing was changed",
        )


@dataclass(frozen=True, slots=True)
class JournalTail:
    """What the last whole frame of a journal says of it all."""

    segments: int
    size_bytes: int
    epoch: int
    next_seq: int
    closed: bool
    """Whether the last process ended in order."""
    last_record: NDArray[Any] | None
    """The last record of the last segment that has one."""
    cursor: bytes
    digest_before: str


def read_tail(folder: Path) -> JournalTail | None:
    """Look at the end of a journal without reading the rest; None where there is no whole frame.

    Checks the headers of the last segments only: for lists, not for recovery. Raises JournalError.
    """
    paths = segment_paths(folder)
    size_bytes = sum(path.stat().st_size for path in paths)
    last: Frame | None = None
    record: NDArray[Any] | None = None
    epoch = 0
    for number in range(len(paths) - 1, -1, -1):
        reader = JournalReader(folder)
        found_last: Frame | None = None
        for frame in reader.frames_of(number, paths[number]):
            found_last = frame
            if len(frame.records):
                record = frame.records[-1:]
        epoch = max(epoch, reader.epoch)
        last = last or found_last
        if last is not None and record is not None:
            break
    if last is None:
        return None
    return JournalTail(
        len(paths), size_bytes, epoch, last.limit_seq, last.closed, record, last.cursor, last.digest_before
    )


def _is_frame_header(head: bytes) -> bool:
    (checksum,) = struct.unpack_from("<I", head, _HEADER_CRC_AT)
    return head.startswith(FRAME_MAGIC) and checksum == crc32(head[:_HEADER_CRC_AT])


def _find_proof(file: Any, offset: int, size_bytes: int) -> int | None:
    """Find a frame after `offset` that was written when everything up to there, and more, was durable."""
    position = offset + ALIGNMENT_BYTES
    file.seek(position)
    while position + ALIGNMENT_BYTES <= size_bytes:
        head = file.read(ALIGNMENT_BYTES)
        if head.startswith(FRAME_MAGIC) and len(head) == ALIGNMENT_BYTES and _is_frame_header(head):
            durable_bytes = FRAME_HEADER.unpack(head)[6] * ALIGNMENT_BYTES
            if durable_bytes > offset:
                return position
        position += ALIGNMENT_BYTES
    return None


def _check_version(version: int, known: int, path: Path) -> None:
    if not 1 <= version <= known:
        raise JournalError(
            f"has format version {version}, this program reads {known}",
            place=str(path),
            remedy="start the session with the version of replay that wrote it; nothing was changed",
        )
