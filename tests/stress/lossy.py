"""A disk that loses what was not synced: any subset of the writes and names since, torn at any byte.

May not live here: the run that is cut, and what must hold after it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.disk import Disk

from .watched import WatchedDisk
from .world import Point, no_point

_GRAINS = (1, 64, 512, 4_096)


@dataclass
class Content:
    """A file or folder: what is durable of it, and the changes since, oldest first."""

    is_folder: bool = False
    durable: bytes = b""
    pending: list[Change] = field(default_factory=list)
    lost: int = 0
    """So many of the first pending changes can never become durable: a sync of them failed."""

    def torn(self, dice: random.Random) -> bytes:
        """Give what a power cut may leave."""
        content = bytearray(self.durable)
        for change in self.pending:
            change.tear(content, dice)
        return bytes(content)

    def make_durable(self, count: int) -> None:
        """Make the first `count` pending changes durable, those excepted that were lost."""
        content = bytearray(self.durable)
        for change in self.pending[self.lost : count]:
            change.apply(content)
        self.durable = bytes(content)
        self.pending = self.pending[: self.lost] + self.pending[count:]


@dataclass(frozen=True)
class Change:
    """A write at an offset, or (without data) a cut to a length."""

    offset: int
    data: bytes | None = None

    def apply(self, content: bytearray) -> None:
        """Do it whole."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def tear(self, content: bytearray, dice: random.Random) -> None:
        """Do it whole, not at all, up to some byte, or in some of its sectors only."""
        kind = dice.random()
        if kind < 0.3:
            return
        if self.data is None or kind < 0.6:
            self.apply(content)
        elif kind < 0.75:
            Change(self.offset, self.data[: dice.randrange(len(self.data) + 1)]).apply(content)
        else:
            grain = dice.choice(_GRAINS)
            for place in range(0, len(self.data), grain):
                if dice.random() < 0.5:
                    Change(self.offset + place, self.data[place : place + grain]).apply(content)


@dataclass(frozen=True)
class Renaming:
    """A change of names in a folder: `path` is `content` from now on (None: nothing), and `old` is gone."""

    folder: Path
    path: Path
    content: Content | None
    old: Path | None = None

    def apply(self, names: dict[Path, Content]) -> None:
        """Do it."""
        if self.old is not None:
            names.pop(self.old, None)
        if self.content is None:
            names.pop(self.path, None)
        else:
            names[self.path] = self.content


class LossyDisk(WatchedDisk):
    """Works on the real files, keeps beside them what would survive, and at a point leaves only that, then dies.

    cut_at: the number of the point, counted from 1, at which the power goes. fail_sync_at: the number of the sync of a
    file that fails, counted from 1; what it was to make durable is lost for good.
    """

    def __init__(
        self, root: Path, dice: random.Random, *, cut_at: int, fail_sync_at: int = 0, point: Point = no_point
    ) -> None:
        super().__init__(self._pass, syncs=False)
        self.claimed = 0
        """What the journal says is durable: the tape seq after its last durable record."""
        self._root = root
        self._dice = dice
        self._cut_left = cut_at
        self._syncs_left = fail_sync_at
        self._outer_point = point
        self._lock = threading.RLock()
        self._names: dict[Path, Content] = {}
        self._durable_names: dict[Path, Content] = {}
        self._renamings: list[Renaming] = []
        self._open_contents: dict[int, Content] = {}
        self._take_over(root)

    def _take_over(self, root: Path) -> None:
        for path in [root, *sorted(root.rglob("*"))] if root.exists() else []:
            if not (path.is_dir() or path.is_file()):  # the socket of a session that was cut off: it comes and goes
                continue
            content = Content(path.is_dir(), b"" if path.is_dir() else path.read_bytes())
            self._names[path] = self._durable_names[path] = content

    def _pass(self, name: str) -> None:
        with self._lock:
            self._outer_point(name)
            self._cut_left -= 1
            if self._cut_left == 0:
                self.cut()

    # -- operations, seen

    # What was done is noted before the point after it: the power may go there.

    def create(self, path: Path) -> int:
        work = lambda: self._opened(path, Disk.create(self, path), is_new=True)  # noqa: E731
        return self._note(path, self.operate("create", path, work))

    def open(self, path: Path, *, is_emptied: bool = False) -> int:
        def work() -> int:
            is_new = path not in self._names
            descriptor = self._opened(path, Disk.open(self, path, is_emptied=is_emptied), is_new=is_new)
            if is_emptied and not is_new:
                self._names[path].pending.append(Change(0))
            return descriptor

        return self._note(path, self.operate("open", path, work))

    def mkdir(self, path: Path) -> None:
        self._change_names(
            "mkdir", Renaming(path.parent, path, Content(is_folder=True)), lambda: Disk.mkdir(self, path)
        )

    def remove(self, path: Path) -> None:
        self._change_names("remove", Renaming(path.parent, path, None), lambda: Disk.remove(self, path))

    def rename(self, old: Path, new: Path) -> None:
        renaming = Renaming(new.parent, new, self._names[old], old)
        self._change_names("rename", renaming, lambda: Disk.rename(self, old, new))

    def _change_names(self, operation: str, renaming: Renaming, work: Callable[[], None]) -> None:
        def noted() -> None:
            with self._lock:
                work()
                self._rename(renaming)

        self.operate(operation, renaming.path, noted)

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        with self._lock:
            is_appending = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
            size_bytes = os.fstat(descriptor).st_size
            offset = size_bytes if is_appending else os.lseek(descriptor, 0, os.SEEK_CUR)
            self._open_contents[descriptor].pending.append(Change(offset, b"".join(parts)))
            super().write(descriptor, parts)

    def truncate(self, descriptor: int, length: int) -> None:
        with self._lock:
            self._open_contents[descriptor].pending.append(Change(length))
            super().truncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        content = self._open_contents[descriptor]
        with self._lock:
            count = len(content.pending)
            self._syncs_left -= 1
            fails = self._syncs_left == 0
        self.point("sync before")
        time.sleep(self._dice.random() * 0.0005)  # records go on coming while the disk works
        with self._lock:
            if fails:
                content.lost = count
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            content.make_durable(count)
        self.point("sync after")

    def sync_folder(self, path: Path) -> None:
        self.point("sync folder before")
        with self._lock:
            for renaming in self._renamings:
                if renaming.folder == path:
                    renaming.apply(self._durable_names)
            self._renamings = [renaming for renaming in self._renamings if renaming.folder != path]
        self.point("sync folder after")

    def _opened(self, path: Path, descriptor: int, *, is_new: bool) -> int:
        with self._lock:
            if is_new:
                self._rename(Renaming(path.parent, path, Content()))
            self._open_contents[descriptor] = self._names[path]
        return descriptor

    def _rename(self, renaming: Renaming) -> None:
        renaming.apply(self._names)
        self._renamings.append(renaming)

    # -- the cut

    def cut(self) -> None:
        """Leave what a power cut may leave, and die."""
        self.leave()
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self) -> None:
        """Leave what a power cut may leave."""
        left = dict(self._durable_names)
        for renaming in self._renamings:
            if self._dice.random() < 0.5:
                renaming.apply(left)
        contents = {path: content.torn(self._dice) for path, content in left.items() if not content.is_folder}
        folders = {path for path, content in left.items() if content.is_folder}
        if self._root.exists():
            self._tear_others()
        for path in sorted(self._names.keys() | left.keys(), reverse=True):
            if path != self._root and path.exists() and (path not in left or not self._is_reachable(path, folders)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self._root not in folders:
            shutil.rmtree(self._root, ignore_errors=True)
        for path in sorted(folders):
            if self._is_reachable(path, folders):
                path.mkdir(exist_ok=True)
        for path, data in contents.items():
            if self._is_reachable(path, folders):
                path.write_bytes(data)
        self._root.with_name(self._root.name + ".claimed").write_text(str(self.claimed))

    def _is_reachable(self, path: Path, folders: set[Path]) -> bool:
        above = path.parent
        while above != self._root.parent and path != self._root:
            if above not in folders:
                return False
            above = above.parent
        return True

    def _tear_others(self) -> None:
        """Files that do not go through the disk are nobody's promise: they may be gone, or hold anything up to now."""
        for path in sorted(self._root.rglob("*")):
            if path in self._names or not path.is_file():
                continue  # a socket holds nothing
            kind = self._dice.random()
            if kind < 0.3:
                path.unlink()
            elif kind < 0.7:
                data = path.read_bytes()
                path.write_bytes(data[: self._dice.randrange(len(data) + 1)])


def watch_claims(disk: LossyDisk, journal_class: Any) -> Callable[[], None]:
    """Let the disk know what the journal says is durable; give what undoes that."""
    before = journal_class._note_commit

    def note(self: Any, started_ns: int, position: int, next_seq: int) -> None:
        before(self, started_ns, position, next_seq)
        disk.claimed = next_seq

    journal_class._note_commit = note

    def undo() -> None:
        journal_class._note_commit = before

    return undo


assert issubclass(LossyDisk, Disk)
