"""The disk: the few file operations that durability rests on, in one place so that a test can make them fail.

May not live here: formats. Who writes what, and what a failure means for the run, is the caller's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from replay.errors import JournalError

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room: disk full, quota used up, file size limit reached."""

_WRITEV_PARTS = 64


class Disk:
    """The real disk. Tests pass a subclass that tears, drops or refuses operations."""

    def create(self, path: Path) -> int:
        """Create a file that must not exist and open it for appending; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def open(self, path: Path, *, is_emptied: bool = False) -> int:
        """Open a file for reading and writing, made if it is not there; return its descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if is_emptied else 0)
        return os.open(path, flags, 0o644)

    def make_folder(self, path: Path) -> None:
        """Make a folder that may exist, with those above it; each one made is durable in the one above."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file; that is durable after `sync_folder`."""
        path.unlink()

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of what has it; that is durable after `sync_folder`."""
        os.replace(old, new)

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        """Write all parts, one after the other, in as few system calls as it takes."""
        pending = [memoryview(part) for part in parts if len(part)]
        while pending:
            written = os.writev(descriptor, pending[:_WRITEV_PARTS])
            while pending and written >= len(pending[0]):
                written -= len(pending.pop(0))
            if pending and written:
                pending[0] = pending[0][written:]

    def sync(self, descriptor: int) -> None:
        """Return when everything written to the file so far would survive a power cut. Never retry after an error."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut the file to `length` bytes."""
        os.ftruncate(descriptor, length)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable: files created, renamed or removed in it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Write a small file whole and durably: a reader, or a crash, finds the old text or the new."""
        temporary = path.with_name(path.name + ".part")
        descriptor = self.open(temporary, is_emptied=True)
        try:
            self.write(descriptor, [data])
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(temporary, path)
        self.sync_folder(path.parent)


def disk_error(error: OSError, what: str, path: Path) -> JournalError:
    """Turn an error of the system into one that says what failed, where, and what to do."""
    if error.errno in NO_SPACE:
        return JournalError(
            f"{what}: {error.strerror}",
            place=str(path),
            remedy="what was durable is kept: make room (or raise the file size limit), then start the session again",
        )
    return JournalError(
        f"{what}: {error.strerror or error}",
        place=str(path),
        remedy="what was durable is kept: look at the disk and its permissions, then start the session again",
    )
