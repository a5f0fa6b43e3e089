"""What a crash, a power cut, a flipped bit and a full disk do to a journal, and what reading it then says."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from replay import records
from replay.disk import Disk
from replay.errors import JournalError
from replay.pipeline.journal import EMPTY_DIGEST, SEGMENT_HEADER_BYTES, Frame, Journal, JournalReader, segment_path

SETUP_DIGEST = hashlib.sha256(b"setup").hexdigest()


def some_records(count: int, first: int = 0) -> np.ndarray:
    made = records.empty(count)
    made["ts_event"] = np.arange(first, first + count) * 1_000
    made["a"] = np.arange(first, first + count) + 100
    made["kind"] = records.Kind.QUOTE
    return made


def write_journal(folder: Path, frames: int, *, commit: bool = True, rows: int = 2) -> list[int]:
    """Write `frames` frames; return the offset at which each starts, and the end."""
    journal = Journal(folder, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    offsets = [SEGMENT_HEADER_BYTES]
    for number in range(frames):
        body = records.as_bytes(some_records(rows, number * rows))
        offsets.append(SEGMENT_HEADER_BYTES + journal.append(number * rows, body, b'{"row":1}', EMPTY_DIGEST))
        if commit:
            journal.commit()
    journal.abandon()
    return offsets


def read(folder: Path) -> tuple[list[Frame], JournalReader]:
    reader = JournalReader(folder, setup_digest=SETUP_DIGEST)
    return list(reader.frames()), reader


def test_a_tail_torn_at_every_byte_of_the_last_frame_is_cut(tmp_path: Path) -> None:
    offsets = write_journal(tmp_path, 3)
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    assert len(whole) == offsets[-1]
    for length in range(offsets[2], offsets[3]):
        path.write_bytes(whole[:length])
        frames, reader = read(tmp_path)
        assert len(frames) == 2, length
        assert reader.next_seq == 4
        if length == offsets[2]:
            assert reader.torn is None
            continue
        assert reader.torn is not None
        assert (reader.torn.offset, reader.torn.size_bytes) == (offsets[2], length - offsets[2])
        assert "unfinished frame" in str(reader.torn)
        reader.cut_torn_tail()
        assert path.read_bytes() == whole[: offsets[2]]
        again, after = read(tmp_path)
        assert len(again) == 2
        assert after.torn is None


def test_a_segment_torn_at_every_byte_of_its_header_is_removed(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    second = segment_path(tmp_path, 1)
    Journal(tmp_path, segment=1, epoch=2, setup_digest=SETUP_DIGEST).abandon()
    header = second.read_bytes()
    for length in range(SEGMENT_HEADER_BYTES):
        second.write_bytes(header[:length])
        frames, reader = read(tmp_path)
        assert len(frames) == 2
        assert reader.torn is not None
        reader.cut_torn_tail()
        assert not second.exists()
        assert reader.segments == 1


def test_each_single_flipped_bit_is_detected_and_never_gives_other_records(tmp_path: Path) -> None:
    offsets = write_journal(tmp_path, 7)
    path = segment_path(tmp_path, 0)
    whole = path.read_bytes()
    assert 1_500 < len(whole) <= 4_096
    sound = [
        (frame.first_seq, frame.records.tobytes(), frame.cursor, frame.digest_before) for frame in read(tmp_path)[0]
    ]
    for position in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                frames, reader = read(tmp_path)
            except JournalError:
                continue
            # No later frame vouches for the last one: it is cut off, and that is said.
            assert reader.torn is not None, (position, bit)
            assert position >= offsets[-2], "a durable frame that a later one vouches for was taken for a torn tail"
            found = [(frame.first_seq, frame.records.tobytes(), frame.cursor, frame.digest_before) for frame in frames]
            assert found == sound[:-1]


def test_damage_before_the_end_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    offsets = write_journal(tmp_path, 3)
    path = segment_path(tmp_path, 0)
    damaged = bytearray(path.read_bytes())
    damaged[offsets[1] - 1] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match=r"frame at byte 128 is damaged.*written after its commit") as caught:
        read(tmp_path)
    assert caught.value.exit_code == 5
    assert path.read_bytes() == bytes(damaged)


def test_a_bad_frame_in_a_segment_that_others_follow_is_damage(tmp_path: Path) -> None:
    write_journal(tmp_path, 2)
    Journal(tmp_path, segment=1, epoch=2, setup_digest=SETUP_DIGEST).abandon()
    path = segment_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(JournalError, match="other segments follow"):
        read(tmp_path)


def test_a_power_cut_may_keep_a_later_frame_and_lose_an_earlier_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    ends = []
    for number in range(4):
        ends.append(
            SEGMENT_HEADER_BYTES
            + journal.append(number, records.as_bytes(some_records(1, number)), b"{}", EMPTY_DIGEST)
        )
        if number == 1:
            journal.commit()
    journal.abandon()
    path = segment_path(tmp_path, 0)
    lost = bytearray(path.read_bytes())
    lost[ends[1] : ends[2]] = bytes(ends[2] - ends[1])  # frame 2 never reached the disk, frame 3 did
    path.write_bytes(lost)
    frames, reader = read(tmp_path)
    assert len(frames) == 2
    assert reader.torn is not None
    assert reader.torn.offset == ends[1]


class FailingDisk(Disk):
    """Refuses writes after some bytes, or every commit, as a real disk does."""

    def __init__(self, *, bytes_left: int = 1 << 60, commits_left: int = 1 << 60, error: int = errno.ENOSPC) -> None:
        self.bytes_left, self.commits_left, self.error = bytes_left, commits_left, error

    def write(self, descriptor: int, parts: object) -> None:
        data = b"".join(bytes(part) for part in parts)  # type: ignore[attr-defined]
        room = min(len(data), self.bytes_left)
        self.bytes_left -= room
        os.write(descriptor, data[:room])
        if room < len(data):
            raise OSError(self.error, os.strerror(self.error))

    def sync(self, descriptor: int) -> None:
        if self.commits_left <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.commits_left -= 1
        super().sync(descriptor)


def test_a_full_disk_halts_with_exit_code_5_and_keeps_what_it_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, disk=FailingDisk(bytes_left=664))
    body = records.as_bytes(some_records(2))
    journal.append(0, body, b"{}", EMPTY_DIGEST)
    journal.append(2, body, b"{}", EMPTY_DIGEST)
    with pytest.raises(JournalError, match="No space left") as caught:
        journal.append(4, body, b"{}", EMPTY_DIGEST)
    assert caught.value.exit_code == 5
    assert caught.value.remedy is not None
    with pytest.raises(JournalError, match="refuses to go on"):
        journal.append(4, body, b"{}", EMPTY_DIGEST)
    journal.close(b"{}", EMPTY_DIGEST)
    frames, reader = read(tmp_path)
    assert len(frames) == 2
    assert reader.torn is None, "the half-written frame was taken away"


def test_a_failed_commit_is_never_retried(tmp_path: Path) -> None:
    disk = FailingDisk(commits_left=1)  # the segment header's
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, disk=disk)
    journal.append(0, records.as_bytes(some_records(1)), b"{}", EMPTY_DIGEST)
    with pytest.raises(JournalError, match="cannot be made durable"):
        journal.commit()
    disk.commits_left = 100
    with pytest.raises(JournalError, match="refuses to go on after an error: a commit failed"):
        journal.commit()
    assert journal.durable == 0
    journal.abandon()


def test_the_file_size_limit_of_the_system_halts_in_order(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import resource, sys
        from pathlib import Path
        from replay import records
        from replay.errors import JournalError
        from replay.pipeline.journal import EMPTY_DIGEST, Journal
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        journal = Journal(Path({str(tmp_path)!r}), segment=0, epoch=1, setup_digest={SETUP_DIGEST!r})
        body = records.as_bytes(records.empty(5))
        try:
            for frame in range(100):
                journal.append(frame * 5, body, b"{{}}", EMPTY_DIGEST)
        except JournalError as error:
            print(frame, error)
            sys.exit(error.exit_code)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5, done.stderr
    assert "File too large" in done.stdout
    written = int(done.stdout.split()[0])
    frames, reader = read(tmp_path)
    assert len(frames) == written > 0
    assert reader.torn is None


@pytest.fixture
def small_filesystem(tmp_path: Path) -> Iterator[Path]:
    """Mount a tmpfs of 64 KiB, where that is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk_halts_and_keeps_what_it_has(small_filesystem: Path) -> None:
    journal = Journal(small_filesystem, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    body = records.as_bytes(some_records(50))
    written = 0
    with pytest.raises(JournalError, match="No space left"):
        for number in range(1_000):
            journal.append(number * 50, body, b"{}", EMPTY_DIGEST)
            written += 1
    journal.close(b"{}", EMPTY_DIGEST)
    frames, reader = read(small_filesystem)
    assert len(frames) == written > 5
    assert reader.torn is None


def test_no_limit_of_this_process_was_changed() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
