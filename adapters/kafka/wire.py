"""The frame: many records of one publisher as one Kafka message, with what a reader must know to trust and place them.

May not live here: topics, offsets, and the order of several partitions (merge).

    byte  size  field          little-endian
       0     4  magic          "RPLF"
       4     2  version        1
       6     2  flags          1: sequences follow the table; 2: the table is compressed with zlib
       8     4  count          records
      12     4  table_bytes    length of the table; 0 if there is none (only in frames without records)
      16     8  first_seq      the frame is about the sequence numbers first_seq..limit_seq of its publisher:
      24     8  limit_seq      those of them that belong to its partition are its records, and no others
      32     8  stream_start   sequence of the first record of what is being published (a tape, a feed)
      40     8  stream         which publication that is
      48    16  table_hash     the first bytes of the SHA-256 of the table's JSON
      64     4  crc            CRC-32 of all other bytes
      68     4  zero
      72        table          JSON of a TapeHeader (instruments, decimals, bar lengths), padded to 8 bytes
                sequences      with flag 1: count times 4 bytes, each added to first_seq; padded to 8 bytes
                records        count times 64 bytes

Without flag 1 the records are all of first_seq..limit_seq, so count = limit_seq - first_seq.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.checksum import crc32
from replay.errors import ConfigError, DataError
from replay.feeds.tape import TapeHeader
from replay.records import RECORD, RECORD_BYTES, as_bytes

MAGIC = b"RPLF"
VERSION = 1
HEADER_BYTES = 72
FRAME_BYTES_MAX = 1 << 20
"""A frame is never larger than this, so that brokers as they come (1 MiB and a little) take it."""

_HEADER = struct.Struct("<4sHHIIQQQQ16sII")
_CRC_AT = 64
_FLAG_SEQUENCES = 1
_FLAG_COMPRESSED = 2
_COMPRESS_BYTES = 1_024
_TABLE_BYTES_MAX = 64 << 20


class BadFrame(Exception):
    """A message that is no frame, or is damaged: `reason` is the code in the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Table:
    """What the records of a publication are about, as every frame carries it."""

    header: TapeHeader
    text: bytes
    digest: bytes

    @classmethod
    def of(cls, header: TapeHeader) -> Table:
        """Make the table of a tape or feed; what only a finished tape knows (rows and times) is left out."""
        bare = msgspec.structs.replace(header, rows=None, first_ns=None, last_ns=None)
        text = msgspec.json.encode(bare)
        return cls(bare, text, hashlib.sha256(text).digest()[:16])

    @classmethod
    def parse(cls, text: bytes) -> Table:
        """Read a table; raise BadFrame if it is none."""
        try:
            header = msgspec.json.decode(text, type=TapeHeader)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadFrame("bad_table") from None
        return cls(header, text, hashlib.sha256(text).digest()[:16])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands in what its publisher has sent."""

    first_seq: int
    limit_seq: int
    stream_start: int
    stream: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame; its arrays look into the message."""

    place: Place
    table_hash: bytes
    table_text: bytes | None
    records: NDArray[Any]
    sequences: NDArray[np.int64] | None
    """Of the records, where they are not all of first_seq..limit_seq."""


class FrameWriter:
    """Encodes frames with one table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        text = table.text
        self._flags = 0
        if len(text) > _COMPRESS_BYTES:
            text, self._flags = zlib.compress(text), _FLAG_COMPRESSED
        self._table_bytes = len(text)
        self._table = _padded(text)
        self.overhead_bytes = HEADER_BYTES + len(self._table)
        """What a frame weighs beside its records and sequences."""
        if self.overhead_bytes + RECORD_BYTES + 8 > FRAME_BYTES_MAX:
            raise ConfigError(
                f"the table of {len(table.header.instruments)} instruments does not fit a message of "
                f"{FRAME_BYTES_MAX} bytes",
                remedy="publish fewer instruments to one topic",
            )

    @property
    def records_max(self) -> int:
        """How many records a frame can take, with their sequences."""
        return (FRAME_BYTES_MAX - self.overhead_bytes - 8) // (RECORD_BYTES + 4)

    def encode(self, place: Place, records: NDArray[Any], sequences: NDArray[np.int64] | None = None) -> bytes:
        """Write a frame. `sequences` (of each record) may be None only if the records are all of the place's range."""
        assert sequences is not None or len(records) == place.limit_seq - place.first_seq
        flags = self._flags
        parts = [self._table]
        if sequences is not None:
            assert len(sequences) == len(records)
            offsets = (np.asarray(sequences, dtype=np.int64) - place.first_seq).astype("<u4")
            flags |= _FLAG_SEQUENCES
            parts.append(_padded(offsets.tobytes()))
        body: list[Any] = [*parts, as_bytes(records).data] if len(records) else [*parts]
        head = _HEADER.pack(
            *(MAGIC, VERSION, flags, len(records), self._table_bytes, place.first_seq, place.limit_seq),
            *(place.stream_start, place.stream, self.table.digest, 0, 0),
        )
        crc = crc32(head[_CRC_AT + 4 :], crc32(head[:_CRC_AT]))
        for part in body:
            crc = crc32(part, crc)
        head = head[:_CRC_AT] + struct.pack("<I", crc) + head[_CRC_AT + 4 :]
        return b"".join([head, *body])


def decode(data: bytes, where: str) -> Frame:
    """Read a frame; its records and sequences are views of `data`.

    Raises BadFrame for what is no frame or is damaged, DataError for a frame of another version of this format.
    """
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        raise BadFrame("not_a_frame")
    _, version, flags, count, table_bytes, first, limit, start, stream, digest, crc, zero = _HEADER.unpack_from(data)
    if version != VERSION:
        raise DataError(
            f"the frame has version {version} of its format, and this replay reads version {VERSION}",
            reason="unknown_version",
            place=where,
            remedy="read it with the version of replay that published it, or publish again; nothing was changed",
        )
    view = memoryview(data)
    if crc32(view[_CRC_AT + 4 :], crc32(view[:_CRC_AT])) != crc:
        raise BadFrame("bad_checksum")
    has_sequences = bool(flags & _FLAG_SEQUENCES)
    sequences_at = HEADER_BYTES + table_bytes + -table_bytes % 8
    sequence_bytes = (4 * count + 4 * (count % 2)) if has_sequences else 0
    records_at = sequences_at + sequence_bytes
    if zero or first > limit or limit >= 2**63 or len(data) != records_at + RECORD_BYTES * count:
        raise BadFrame("bad_frame")
    sequences = None
    if has_sequences:
        sequences = np.frombuffer(data, dtype="<u4", count=count, offset=sequences_at).astype(np.int64) + first
        if count and (bool((np.diff(sequences) <= 0).any()) or int(sequences[-1]) >= limit):
            raise BadFrame("bad_frame")
    elif count != limit - first:
        raise BadFrame("bad_frame")
    return Frame(
        place=Place(first, limit, start, stream),
        table_hash=digest,
        table_text=_table_text(data, table_bytes, flags) if table_bytes else None,
        records=np.frombuffer(data, dtype=RECORD, count=count, offset=records_at),
        sequences=sequences,
    )


def is_frame(data: bytes | None) -> bool:
    """Say whether a message begins as a frame does."""
    return data is not None and data[:4] == MAGIC


def place_of(data: bytes) -> Place | None:
    """Read only the place of a frame; None for another message or version."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        return None
    fields = _HEADER.unpack_from(data)
    return Place(fields[5], fields[6], fields[7], fields[8]) if fields[1] == VERSION else None


def _table_text(data: bytes, table_bytes: int, flags: int) -> bytes:
    text = data[HEADER_BYTES : HEADER_BYTES + table_bytes]
    if not flags & _FLAG_COMPRESSED:
        return text
    try:
        inflater = zlib.decompressobj()
        return inflater.decompress(text, _TABLE_BYTES_MAX)
    except zlib.error:
        raise BadFrame("bad_table") from None


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
