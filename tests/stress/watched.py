"""A disk that names the points it passes: before, in the midst of and after each operation, by what the file is for.

May not live here: what happens at a point; the points are found by recording a run, never listed by hand.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from replay.disk import Disk

from .world import Point, no_point


def role(path: Path) -> str:
    """Say what a file or folder of a session is for; numbers in names are left out, so that files of a kind are one."""
    name = "".join("#" if letter.isdigit() else letter for letter in path.name)
    while "##" in name:
        name = name.replace("##", "#")
    known = ("journal", "events", "dead-letters", "snapshots")
    return f"{path.parent.name}/{name}" if path.parent.name in known else name


class WatchedDisk(Disk):
    """The real disk, with points. Subclasses may refuse or record operations in `operate`."""

    def __init__(self, point: Point = no_point, *, syncs: bool = True) -> None:
        self.point = point
        self._syncs = syncs
        self._paths: dict[int, Path] = {}

    def operate(self, operation: str, path: Path, work: Callable[[], Any]) -> Any:
        """Do one operation between its points."""
        name = f"{role(path)} {operation}"
        self.point(f"{name} before")
        done = work()
        self.point(f"{name} after")
        return done

    def path_of(self, descriptor: int) -> Path:
        """Give the path that a descriptor was opened with."""
        return self._paths[descriptor]

    def create(self, path: Path) -> int:
        return self._note(path, self.operate("create", path, lambda: Disk.create(self, path)))

    def open(self, path: Path, *, is_emptied: bool = False) -> int:
        return self._note(path, self.operate("open", path, lambda: Disk.open(self, path, is_emptied=is_emptied)))

    def mkdir(self, path: Path) -> None:
        self.operate("mkdir", path, lambda: Disk.mkdir(self, path))

    def remove(self, path: Path) -> None:
        self.operate("remove", path, lambda: Disk.remove(self, path))

    def rename(self, old: Path, new: Path) -> None:
        self.operate("rename", new, lambda: Disk.rename(self, old, new))

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        path, data = self.path_of(descriptor), b"".join(parts)
        self.operate("write", path, lambda: self._write_halves(descriptor, path, data))

    def sync(self, descriptor: int) -> None:
        self.operate("sync", self.path_of(descriptor), lambda: Disk.sync(self, descriptor) if self._syncs else None)

    def truncate(self, descriptor: int, length: int) -> None:
        self.operate("truncate", self.path_of(descriptor), lambda: Disk.truncate(self, descriptor, length))

    def sync_folder(self, path: Path) -> None:
        self.operate("sync folder", path, lambda: Disk.sync_folder(self, path) if self._syncs else None)

    def _note(self, path: Path, descriptor: int) -> int:
        self._paths[descriptor] = path
        return descriptor

    def _write_halves(self, descriptor: int, path: Path, data: bytes) -> None:
        half = len(data) // 2
        Disk.write(self, descriptor, [data[:half]])
        self.point(f"{role(path)} write half")
        Disk.write(self, descriptor, [data[half:]])


class Recorder:
    """A point that counts how often each name was passed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        self.counts[name] += 1


class KillAt:
    """A point that kills the process at the n-th passing of a name, counted from 1; None: of any."""

    def __init__(self, occurrence: int, name: str | None = None) -> None:
        self._left = occurrence
        self._name = name

    def __call__(self, name: str) -> None:
        if self._name is None or name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
