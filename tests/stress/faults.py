"""Disks that refuse: each operation once by an injected error, and full disks and file size limits for real.

May not live here: power cuts, which lose what had seemed to be written.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay.disk import Disk

from .forks import Failure, forked
from .proof import Broken, Figures, Proof, Unavailable, check
from .watched import Recorder, WatchedDisk, role
from .world import Undisturbed, World, home, judge, run_session

ERRORS = (errno.EIO, errno.ENOSPC)


class RefusingDisk(WatchedDisk):
    """Refuses one operation with an error of the system; a write is refused half-way. Tells when it is tried again."""

    def __init__(self, operation: str, occurrence: int, error: int, told: Path) -> None:
        super().__init__(syncs=False)
        self._wanted = operation
        self._left = occurrence
        self._error = error
        self._told = told
        self._refused: tuple[str, Path] | None = None

    def operate(self, operation: str, path: Path, work: Callable[[], Any]) -> Any:
        if self._refused == (operation, path) and operation == "sync":
            self._told.write_text(f"{operation} of {path} was tried again after it had failed")
        name = f"{role(path)} {operation}"
        if name == self._wanted:
            self._left -= 1
            if self._left == 0:
                self._refused = (operation, path)
                self._write_a_half = operation == "write"
                if operation != "write":
                    raise OSError(self._error, os.strerror(self._error))
        return super().operate(operation, path, work)

    def _write_halves(self, descriptor: int, path: Path, data: bytes) -> None:
        if self._refused == ("write", path) and self._write_a_half:
            self._write_a_half = False
            Disk.write(self, descriptor, [data[: len(data) // 2]])
            raise OSError(self._error, os.strerror(self._error))
        super()._write_halves(descriptor, path, data)


class _Halting(Proof):
    """What the proofs of this file share: a world, and what a session that halts must say and keep."""

    rows = 200

    def prepare(self, scratch: Path) -> None:
        self.world = World(scratch / "rows.csv", self.rows)
        self.world.write(seed=12)
        self.recorder = Recorder()
        folder = home(scratch / "undisturbed")
        self.run(folder, WatchedDisk(self.recorder, syncs=False))
        self.expected = Undisturbed.of(folder)

    def run(self, folder: Path, disk: Disk | None = None) -> str:
        """Start the session."""
        feed, dice = self.world.feed(), random.Random(3)
        return run_session(folder, feed, dice, disk=disk, segment_bytes=9_000, commit_every_ns=0)

    def check_halt(self, error: Failure) -> None:
        """Check that an error is one a user can act on."""
        check(error.exit_code == 5, f"the session ended otherwise than with code 5: {error.trace}")
        check(error.place, f"the error names no place: {error.text}")
        check(error.remedy, f"the error names no remedy: {error.text}")

    def go_on(self, folder: Path, scratch: Path) -> int:
        """Start again without disturbance, and judge."""
        forked(lambda: self.run(folder), scratch / "printed.txt").result()
        return judge(self.world, folder, self.expected)


class DiskErrors(_Halting):
    """A cycle is one operation of the disk that fails, with EIO or ENOSPC, the first time or later on."""

    name = "disk-errors"
    holds = "EIO, ENOSPC or a failing sync at each operation of the disk: halts in order, what was durable stays"
    cycles = 0
    small = 0

    def prepare(self, scratch: Path) -> None:
        super().prepare(scratch)
        counts = {
            name.removesuffix(" before"): count
            for name, count in sorted(self.recorder.counts.items())
            if name.endswith(" before")
        }
        first = [(name, 1, error) for name in counts for error in ERRORS]
        later = [(name, 1 + count // 2, errno.EIO) for name, count in counts.items() if count > 1]
        self.operations = first + later
        self.cycles = self.small = len(self.operations)

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        operation, occurrence, error = self.operations[number % len(self.operations)]
        folder, told = home(scratch), scratch / "told.txt"
        disk = RefusingDisk(operation, occurrence, error, told)
        end = forked(lambda: self.run(folder, disk), scratch / "printed.txt")
        if end.error is not None:
            self.check_halt(end.error)
        # A commit beside the loop may make fewer operations than were recorded: then nothing was refused.
        # A snapshot that cannot be written is given up and counted: the journal has all that it would have held.
        may_go_on = occurrence > 1 or operation.startswith("snapshots")
        check(end.error is not None or may_go_on, f"{operation} failed and the session went on")
        if told.exists():
            raise Broken(told.read_text())
        events = self.go_on(folder, scratch)
        return {
            "operation": operation,
            "error": errno.errorcode[error],
            "occurrence": occurrence,
            "halts": int(end.error is not None),
            "events": events,
        }


class FileLimit(_Halting):
    """A cycle is a session under RLIMIT_FSIZE of some size."""

    name = "file-limit"
    holds = "the system's file size limit, for real: halts in order, and goes on when the limit is raised"
    cycles = 200
    small = 6

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        limit_bytes = dice.randrange(500, 30_000)
        folder = home(scratch)

        def run() -> str:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
            return self.run(folder)

        end = forked(run, Path("/dev/null"))
        if end.error is not None:
            self.check_halt(end.error)
        return {
            "limit_bytes": limit_bytes,
            "halts": int(end.error is not None),
            "events": self.go_on(folder, scratch),
        }


class DiskFull(_Halting):
    """A cycle is a session on a small tmpfs, which grows before the next start."""

    name = "disk-full"
    holds = "a full disk, for real: halts in order, and goes on when there is room"
    cycles = 200
    small = 4

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        size_kib = dice.randrange(24, 180) // 4 * 4
        with tmpfs(scratch / "small", size_kib) as small:
            end = forked(lambda: self.run(home(small)), scratch / "printed.txt")
            if end.error is not None:
                self.check_halt(end.error)
            subprocess.run(["mount", "-o", "remount,size=32m", str(small)], check=True)
            events = self.go_on(home(small), scratch)
        return {"size_kib": size_kib, "halts": int(end.error is not None), "events": events}


@contextmanager
def tmpfs(folder: Path, size_kib: int) -> Iterator[Path]:
    """Mount a file system of so many KiB, or raise Unavailable where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise Unavailable("mounting a tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
