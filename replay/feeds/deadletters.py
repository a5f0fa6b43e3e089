"""Dead letters: rows and records that never reach the tape, kept as NDJSON with reason, place and raw text; counted.

May not live here: the decision that something is dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec
from numpy.typing import NDArray

from replay.errors import JournalError
from replay.feeds.feed import DeadLetter
from replay.feeds.tape import KIND_NAMES
from replay.records import RECORD

FILE_BYTES_MAX = 1 << 30
"""Beyond this the file takes no more; the counts go on."""


class DeadLetterWriter:
    """Keeps dead letters in a file, or only counts them where there is no path.

    counts: how many of each reason, those beyond the file's limit included.
    """

    def __init__(self, path: str | Path | None, *, keep_bytes: int = 0) -> None:
        """Open the file, keeping its first `keep_bytes` (those that a journal knows of)."""
        self.path = None if path is None else Path(path)
        self.counts: Counter[str] = Counter()
        self._file: BinaryIO | None = None
        self._size_bytes = 0
        self._is_full = False
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
        """Hand everything to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file; counts stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: Path, keep_bytes: int) -> None:
        try:
            self._file = path.open("r+b" if keep_bytes and path.exists() else "wb")
            held = self._file.seek(0, 2)
            if held < keep_bytes:
                raise JournalError(
                    f"is {held} bytes long, and the journal knows of {keep_bytes}",
                    place=str(path),
                    remedy="put back the file that was there",
                )
            if keep_bytes:
                self._file.seek(0)
                for line in self._file.read(keep_bytes).splitlines():
                    self.counts[msgspec.json.decode(line, type=_Kept).reason] += 1
            self._file.truncate(keep_bytes)
            self._file.seek(keep_bytes)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror}", place=str(path)) from None
        except msgspec.MsgspecError:
            raise JournalError("is not what the journal knows of", place=str(path)) from None
        self._size_bytes = keep_bytes

    def _put(self, reason: str, content: dict[str, Any]) -> None:
        self.counts[reason] += 1
        if self._file is None or self._is_full:
            return
        line = msgspec.json.encode({"reason": reason, **content}) + b"\n"
        if self._size_bytes + len(line) > FILE_BYTES_MAX:
            self._is_full = True
            line = msgspec.json.encode({"reason": "dead_letters_full", "place": "", "raw": ""}) + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            raise JournalError(f"cannot be written: {error.strerror}", place=str(self.path)) from None
        self._size_bytes += len(line)


class _Kept(msgspec.Struct):
    """The part of a line that is counted again."""

    reason: str
