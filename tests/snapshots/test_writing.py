"""Writing a snapshot: whatever operation fails or is the last one, what was there stays, and the session goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from replay.disk import Disk
from replay.pipeline.snapshot_file import Facts, SnapshotUnusable, read_snapshot, snapshot_paths, write_snapshot

from .sessions import CrashingFeed, CutFeed, crash, run, tape, undisturbed


class Killed(BaseException):
    """The process ends here."""


class DyingDisk(Disk):
    """Ends the process at the n-th operation; a write leaves half of what it was to write."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def _step(self) -> bool:
        self.left -= 1
        return self.left < 0

    def open(self, path: Path, *, is_emptied: bool = False) -> int:
        if self._step():
            raise Killed
        return super().open(path, is_emptied=is_emptied)

    def write(self, descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
        if self._step():
            data = b"".join(bytes(part) for part in parts)
            os.write(descriptor, data[: len(data) // 2])
            raise Killed
        super().write(descriptor, parts)

    def sync(self, descriptor: int) -> None:
        if self._step():
            raise Killed
        super().sync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        if self._step():
            raise Killed
        super().rename(old, new)

    def sync_folder(self, path: Path) -> None:
        if self._step():
            raise Killed
        super().sync_folder(path)

    def remove(self, path: Path) -> None:
        if self._step():
            raise Killed
        super().remove(path)


def facts(seq: int) -> Facts:
    plain = {
        "session": "s", "setup_digest": "", "build": "", "python": "", "strategies": {}, "created_ns": 1, "epoch": 1,
        "segment": 0, "offset": 128, "seq": seq, "digest": "", "events": 0, "fills": 0, "cursor": "{}",
        "parts": {}, **{name: {"rows": 0, "checksum": 0} for name in ("equity", "excursions", "marks")},
    }  # fmt: skip
    return msgspec.convert(plain, Facts)


def test_killed_at_any_operation_there_are_whole_snapshots_and_the_next_one_is_written(tmp_path: Path) -> None:
    for operations in range(20):
        folder = tmp_path / str(operations)
        folder.mkdir()
        for seq in (1, 2):
            write_snapshot(folder, facts(seq), {"engine": bytes(5_000)}, Disk())
        try:
            write_snapshot(folder, facts(3), {"engine": bytes(5_000)}, DyingDisk(operations))
            is_killed = False
        except Killed:
            is_killed = True
        found = [read_snapshot(path).facts.seq for path in snapshot_paths(folder)]
        assert found[:2] in ([2, 1], [3, 2]), operations
        write_snapshot(folder, facts(4), {"engine": b""}, Disk())
        assert next(read_snapshot(path).facts.seq for path in snapshot_paths(folder)) == 4
        assert len(list(folder.iterdir())) == 2
        if not is_killed:
            break
    assert operations >= 6
    assert not is_killed


def test_a_file_that_is_not_there_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(SnapshotUnusable, match="cannot be read"):
        read_snapshot(tmp_path / "none")


class FullForSnapshots(Disk):
    """Has no room for snapshots."""

    def replace(self, path: Path, data: bytes) -> None:
        if path.suffix == ".snapshot":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().replace(path, data)


def test_a_session_whose_snapshots_cannot_be_written_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("replay.session.Disk", FullForSnapshots)
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(1), [50], 20))
    assert "a snapshot cannot be written" in capsys.readouterr().err
    assert snapshot_paths(folder / "snapshots") == []
    assert run(folder, CutFeed(tape(1), [50])).digest == undisturbed(1).digest
