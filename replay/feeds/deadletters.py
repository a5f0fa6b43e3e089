"""Dead letters: rows and records that never reach the tape, kept as NDJSON with reason, place and raw text; counted.

May not live here: the decision that something is dead.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from numpy.typing import NDArray

from replay.disk import Disk
from replay.errors import JournalError
from replay.feeds.feed import DeadLetter
from replay.feeds.tape import KIND_NAMES
from replay.records import RECORD

FILE_BYTES_MAX = 1 << 30
"""Beyond this the file takes no more; the counts go on."""

_BUFFER_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20


class DeadLetterWriter:
    """Keeps dead letters in a file, or only counts them where there is no path.

    counts: how many of each reason, those beyond the file's limit included.
    """

    def __init__(self, path: str | Path | None, *, keep_bytes: int = 0, disk: Disk | None = None) -> None:
        """Open the file, keeping its first `keep_bytes` (those that a journal knows of)."""
        self.path = None if path is None else Path(path)
        self.counts: Counter[str] = Counter()
        self._disk = disk or Disk()
        self._descriptor = -1
        self._buffer: list[bytes] = []
        self._buffer_bytes = 0
        self._size_bytes = 0
        self._durable_bytes = keep_bytes
        self._is_full = False
        self._failed = False
        if self.path is not None:
            self._open(self.path, keep_bytes)

    @property
    def size_bytes(self) -> int:
        """Length of the file so far; 0 without one."""
        return self._size_bytes

    def add(self, letter: DeadLetter) -> None:
        """Keep one dead letter."""
        self._put(letter.reason, {"place": letter.place, "raw": letter.raw.decode("utf-8", "backslashreplace")})

    def write(self, letters: Iterable[DeadLetter]) -> None:
        """Keep several dead letters."""
        for letter in letters:
            self.add(letter)

    def quarantine(self, reason: str, record: NDArray[Any], row: int) -> None:
        """Keep a record (an array of one) that the sequencer did not admit; `row` is its place in the batch."""
        values = record.reshape(-1)[0]
        fields: dict[str, int | str] = {name: int(values[name]) for name in RECORD.names or ()}
        kind = int(values["kind"])
        fields["kind"] = KIND_NAMES.get(kind, str(kind))
        self._put(reason, {"place": f"row {row} of its batch", "record": fields})

    def flush(self) -> None:
        """Hand everything to the operating system. Raises JournalError; then nothing more is written."""
        if not self._buffer:
            return
        parts, self._buffer, self._buffer_bytes = self._buffer, [], 0
        self._guarded(lambda: self._disk.write(self._descriptor, parts), "cannot be written")

    def commit(self) -> None:
        """Make everything durable. Raises JournalError; then nothing is tried again."""
        self.flush()
        if self._descriptor >= 0 and self._size_bytes != self._durable_bytes:
            self._guarded(lambda: self._disk.sync(self._descriptor), "cannot be made durable")
            self._durable_bytes = self._size_bytes

    def close(self) -> None:
        """Write what is left and close the file; counts stay. May be called again."""
        if self._descriptor < 0:
            return
        try:
            if not self._failed:
                self.flush()
        finally:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: Path, keep_bytes: int) -> None:
        try:
            is_new = not path.exists()
            self._descriptor = self._disk.open(path)
            if is_new:
                self._disk.sync_folder(path.parent)
            held = os.fstat(self._descriptor).st_size
            if held < keep_bytes:
                raise JournalError(
                    f"is {held} bytes long, and the journal knows of {keep_bytes}",
                    place=str(path),
                    remedy="put back the file that was there",
                )
            self._count_again(keep_bytes)
            if held > keep_bytes:
                self._disk.truncate(self._descriptor, keep_bytes)
            os.lseek(self._descriptor, keep_bytes, os.SEEK_SET)
        except OSError as error:
            self._abandon()
            raise _disk_error(error, "cannot be opened", path) from error
        except msgspec.MsgspecError:
            self._abandon()
            raise JournalError(
                "is not what the journal knows of", place=str(path), remedy="put back the file that was there"
            ) from None
        except BaseException:
            self._abandon()
            raise
        self._size_bytes = keep_bytes

    def _count_again(self, keep_bytes: int) -> None:
        """Count the letters that the file holds; a piece at a time, since it may be long."""
        rest = b""
        for offset in range(0, keep_bytes, _PIECE_BYTES):
            piece = os.pread(self._descriptor, min(_PIECE_BYTES, keep_bytes - offset), offset)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.counts[msgspec.json.decode(line, type=_Kept).reason] += 1
        if rest:
            self.counts[msgspec.json.decode(rest, type=_Kept).reason] += 1

    def _abandon(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _put(self, reason: str, content: dict[str, Any]) -> None:
        self.counts[reason] += 1
        if self._descriptor < 0 or self._is_full:
            return
        line = msgspec.json.encode({"reason": reason, **content}) + b"\n"
        if self._size_bytes + len(line) > FILE_BYTES_MAX:
            self._is_full = True
            line = msgspec.json.encode({"reason": "dead_letters_full", "place": "", "raw": ""}) + b"\n"
        self._buffer.append(line)
        self._buffer_bytes += len(line)
        self._size_bytes += len(line)
        if self._buffer_bytes >= _BUFFER_BYTES:
            self.flush()

    def _guarded(self, work: Callable[[], None], what: str) -> None:
        """Do one operation of the disk; after the first that failed none is tried again."""
        if self._failed:
            raise JournalError(
                "refuses to go on after an error", place=str(self.path), remedy="start the session again"
            )
        try:
            work()
        except OSError as error:
            self._failed = True
            raise _disk_error(error, what, self.path) from error


class _Kept(msgspec.Struct):
    """The part of a line that is counted again."""

    reason: str


def _disk_error(error: OSError, what: str, path: Path | None) -> JournalError:
    return JournalError(
        f"{what}: {error.strerror or error}",
        place=str(path),
        remedy="make room, or look at the disk and its permissions, then start again",
    )
