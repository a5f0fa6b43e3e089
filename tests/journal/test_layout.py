"""The journal's layout, pinned byte by byte: a file written today must be read by every later version."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from replay import records
from replay.errors import JournalError
from replay.pipeline.journal import (
    EMPTY_DIGEST,
    FLAG_CLOSED,
    UNKNOWN_SOURCES,
    Journal,
    JournalReader,
    encode_frame,
    encode_segment_header,
    segment_path,
)

SETUP_DIGEST = hashlib.sha256(b"setup").hexdigest()


def some_records(count: int, first: int = 0) -> np.ndarray:
    made = records.empty(count)
    made["ts_event"] = np.arange(first, first + count) * 1_000
    made["ts_recv"] = made["ts_event"] + 7
    made["a"] = np.arange(first, first + count) + 100
    made["kind"] = records.Kind.QUOTE
    return made


def test_the_segment_header_is_128_bytes_in_this_order() -> None:
    sources = hashlib.sha256(b"sources").hexdigest()
    head = encode_segment_header(3, 5, SETUP_DIGEST, sources)
    assert len(head) == 128
    assert head[:8] == b"RPLYJRNL"
    assert struct.unpack_from("<IIQ", head, 8) == (2, 3, 5)
    assert head[24:56].hex() == SETUP_DIGEST
    assert struct.unpack_from("<II", head, 56) == (0, zlib.crc32(head[:60]))
    assert head[64:96].hex() == sources
    assert head[96:124] == bytes(28)
    assert struct.unpack_from("<I", head, 124)[0] == zlib.crc32(head[64:124])


def test_a_segment_of_version_1_is_read_and_says_nothing_of_the_strategies(tmp_path: Path) -> None:
    head = bytearray(encode_segment_header(0, 7, SETUP_DIGEST)[:64])
    head[8:12] = struct.pack("<I", 1)
    head[60:] = struct.pack("<I", zlib.crc32(head[:60]))
    frames = [encode_frame(0, records.as_bytes(some_records(3)), b'{"row":3}', EMPTY_DIGEST)]
    frames.append(encode_frame(3, records.as_bytes(some_records(2, 3)), b'{"row":5}', EMPTY_DIGEST))
    body = b"".join(bytes(part) for frame in frames for part in frame)
    segment_path(tmp_path, 0).write_bytes(bytes(head) + body)
    reader = JournalReader(tmp_path, setup_digest=SETUP_DIGEST)
    assert [frame.limit_seq for frame in reader.frames()] == [3, 5]
    assert reader.sources_digest == UNKNOWN_SOURCES
    assert reader.epoch == 7


def test_the_sources_of_the_last_segment_are_known_after_reading(tmp_path: Path) -> None:
    for segment, text in enumerate((b"one", b"two")):
        digest = hashlib.sha256(text).hexdigest()
        made = Journal(tmp_path, segment=segment, epoch=1, setup_digest=SETUP_DIGEST, sources_digest=digest)
        made.append(segment, records.as_bytes(some_records(1)), b"{}", EMPTY_DIGEST)
        made.commit()
        made.abandon()
    reader = JournalReader(tmp_path)
    assert len(list(reader.frames())) == 2
    assert reader.sources_digest == hashlib.sha256(b"two").hexdigest()


def test_a_journal_is_read_from_any_place_between_two_frames(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, segment_bytes=1_024)
    places = []
    for number in range(12):
        journal.append(number, records.as_bytes(some_records(1, number)), b"{}", EMPTY_DIGEST)
        places.append(journal.place)
    journal.commit()
    journal.abandon()
    for place in places:
        reader = JournalReader(tmp_path)
        assert reader.check_before(place, bytes_max=1 << 20)
        assert [frame.first_seq for frame in reader.frames(place)] == list(range(place.seq, 12))
        assert (reader.next_seq, reader.segments, reader.epoch) == (12, places[-1].segment + 1, 1)
        assert not JournalReader(tmp_path).check_before(place._replace(seq=place.seq + 1), bytes_max=1 << 20)
    assert not JournalReader(tmp_path).check_before(places[-1]._replace(offset=1 << 30), bytes_max=1 << 40)
    assert not JournalReader(tmp_path).check_before(places[-1]._replace(segment=99), bytes_max=1 << 40)


def test_damage_before_a_place_is_found_as_far_back_as_is_looked_at(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, segment_bytes=1_024)
    for number in range(12):
        journal.append(number, records.as_bytes(some_records(1, number)), b"{}", EMPTY_DIGEST)
        journal.commit()
    journal.abandon()
    place = journal.place
    damaged = bytearray(segment_path(tmp_path, 0).read_bytes())
    damaged[300] ^= 1
    segment_path(tmp_path, 0).write_bytes(damaged)
    with pytest.raises(JournalError, match="is damaged"):
        JournalReader(tmp_path).check_before(place, bytes_max=1 << 20)
    assert JournalReader(tmp_path).check_before(place, bytes_max=place.offset)


def test_the_frame_header_is_64_bytes_in_this_order() -> None:
    body = records.as_bytes(some_records(2))
    frame = b"".join(encode_frame(9, body, b'{"row":9}', EMPTY_DIGEST, durable_bytes=640, closed=True))
    assert frame[:4] == b"FRME"
    assert struct.unpack_from("<BBHQII", frame, 4) == (1, FLAG_CLOSED, 1, 9, 2, 10)
    assert frame[24:56].hex() == EMPTY_DIGEST == hashlib.sha256(b"").hexdigest()
    assert struct.unpack_from("<I", frame, 56)[0] == zlib.crc32(frame[:56])
    assert struct.unpack_from("<I", frame, 60)[0] == zlib.crc32(frame[64:], zlib.crc32(frame[:60]))
    assert frame[64:128] == b'{"row":9}'.ljust(64)
    assert frame[128:] == body.tobytes()


def test_a_golden_frame_has_this_checksum() -> None:
    frame = b"".join(encode_frame(1, records.as_bytes(some_records(3)), b"{}", EMPTY_DIGEST, durable_bytes=64))
    assert hashlib.sha256(frame).hexdigest() == "a237dec6a58d84729abcd8e376e0376732d831a2a27d67d957d57b285fbed211"


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    made = some_records(10)
    journal.append(0, records.as_bytes(made[:4]), b'{"row":4}', EMPTY_DIGEST)
    journal.append(4, records.as_bytes(made[4:]), b'{"row":10}', "ab" * 32)
    journal.append(10, records.as_bytes(made[:0]), b'{"row":12}', "cd" * 32)
    journal.close(b'{"row":12}', "ef" * 32)
    reader = JournalReader(tmp_path, setup_digest=SETUP_DIGEST)
    frames = list(reader.frames())
    assert [(frame.first_seq, frame.limit_seq) for frame in frames] == [(0, 4), (4, 10), (10, 10), (10, 10)]
    assert [frame.cursor for frame in frames] == [b'{"row":4}', b'{"row":10}', b'{"row":12}', b'{"row":12}']
    assert [frame.digest_before for frame in frames] == [EMPTY_DIGEST, "ab" * 32, "cd" * 32, "ef" * 32]
    assert [frame.closed for frame in frames] == [False, False, False, True]
    assert np.array_equal(np.concatenate([frame.records for frame in frames]), made)
    assert reader.torn is None
    assert (reader.epoch, reader.segments, reader.next_seq) == (1, 1, 10)


def test_segments_rotate_by_size_and_read_as_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, segment_bytes=1_024)
    made = some_records(40)
    for row in range(0, 40, 4):
        journal.append(row, records.as_bytes(made[row : row + 4]), b"{}", EMPTY_DIGEST)
    journal.close(b"{}", EMPTY_DIGEST)
    reader = JournalReader(tmp_path)
    read = np.concatenate([frame.records for frame in reader.frames()])
    assert np.array_equal(read, made)
    assert reader.segments == journal.counters.segments > 1


def test_records_in_a_file_stand_at_multiples_of_64(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    made = some_records(3)
    journal.append(0, records.as_bytes(made), b'{"partition":"' + b"x" * 100 + b'"}', EMPTY_DIGEST)
    journal.abandon()
    assert segment_path(tmp_path, 0).read_bytes().index(made.tobytes()) % 64 == 0


def test_nothing_is_durable_before_its_commit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST)
    position = journal.append(0, records.as_bytes(some_records(1)), b"{}", EMPTY_DIGEST)
    assert journal.durable < position
    assert journal.commit() == position == journal.durable
    assert journal.counters.durable_seq == 1
    journal.abandon()


def test_a_commit_is_due_by_bytes_and_by_time(tmp_path: Path) -> None:
    body = records.as_bytes(some_records(100))
    by_bytes = Journal(
        tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST, commit_bytes=10_000, commit_every_ns=10**15
    )
    by_bytes.append(0, body, b"{}", EMPTY_DIGEST)
    assert not by_bytes.commit_due()
    by_bytes.append(100, body, b"{}", EMPTY_DIGEST)
    assert by_bytes.commit_due()
    by_bytes.abandon()
    by_time = Journal(tmp_path, segment=1, epoch=2, setup_digest=SETUP_DIGEST, commit_bytes=10**9, commit_every_ns=0)
    assert not by_time.commit_due()
    assert by_time.next_commit_ns() is None
    by_time.append(200, body, b"{}", EMPTY_DIGEST)
    assert by_time.commit_due()
    assert by_time.next_commit_ns() == 0
    by_time.abandon()


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    head = bytearray(encode_segment_header(0, 1, SETUP_DIGEST))
    head[8:12] = struct.pack("<I", 3)
    head[60:64] = struct.pack("<I", zlib.crc32(head[:60]))
    segment_path(tmp_path, 0).write_bytes(head)
    with pytest.raises(JournalError, match="format version 3, this program reads 2"):
        list(JournalReader(tmp_path).frames())


def test_a_journal_of_another_setup_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path, segment=0, epoch=1, setup_digest=SETUP_DIGEST).close(b"{}", EMPTY_DIGEST)
    with pytest.raises(JournalError, match="another setup"):
        list(JournalReader(tmp_path, setup_digest="00" * 32).frames())


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    for segment in range(3):
        Journal(tmp_path, segment=segment, epoch=1, setup_digest=SETUP_DIGEST).abandon()
    segment_path(tmp_path, 1).unlink()
    with pytest.raises(JournalError, match=r"segment 00000001.journal is missing"):
        list(JournalReader(tmp_path).frames())
