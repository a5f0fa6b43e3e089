"""The snapshot file: what a session's state was between two frames of its journal, proved by checksums.

May not live here: when a snapshot is taken, and what the state means to whoever restores it.

A file starts with 64 bytes; all is little-endian:

     0  magic "RPLYSNAP"                8 s
     8  version                         u32
    12  bytes of the facts              u32
    16  bytes of the parts              u64
    24  SHA-256 of facts and parts      32 s
    56  zero                            u32
    60  CRC-32 of 0..60                 u32

Then come the facts (JSON) and the parts one after the other, as long as the facts say. The file is exactly so long.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from replay.checksum import crc32
from replay.disk import Disk
from replay.pipeline.journal import Place

VERSION = 2
MAGIC = b"RPLYSNAP"
HEADER = struct.Struct("<8sIIQ32sII")
HEADER_BYTES = HEADER.size
_CRC_AT = 60
_NAME = re.compile(r"\d{20}\.snapshot")

KEPT = 2
"""So many snapshots are kept: the newest, and the one before it."""

assert HEADER_BYTES == 64


class SnapshotUnusable(Exception):
    """A snapshot cannot be used; says why."""


class Held(msgspec.Struct, frozen=True):
    """How much of a file beside the journal a snapshot stands on."""

    rows: int
    checksum: int
    """CRC-32 of those rows."""


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a snapshot says of itself."""

    session: str
    setup_digest: str
    build: str
    """Of the engine: its types are those of the parts."""
    python: str
    strategies: dict[str, tuple[str, str]]
    """SHA-256 of the source file and the class, by name of the strategy."""
    created_ns: int
    epoch: int
    segment: int
    offset: int
    seq: int
    """Records on the tape before it."""
    digest: str
    """Of all events before it."""
    events: int
    fills: int
    cursor: str
    """That of the last frame before it."""
    equity: Held
    excursions: Held
    marks: Held
    parts: dict[str, int]
    """Bytes of each part, in order."""

    @property
    def place(self) -> Place:
        """The place in the journal at which it goes on."""
        return Place(self.segment, self.offset, self.seq)


class Snapshot(NamedTuple):
    """A snapshot that was read and proved whole."""

    path: Path
    facts: Facts
    parts: dict[str, bytes]


def encode_snapshot(facts: Facts, parts: Mapping[str, bytes]) -> bytes:
    """Lay out a whole file; `facts.parts` is set from the parts."""
    facts = msgspec.structs.replace(facts, parts={name: len(part) for name, part in parts.items()})
    text = msgspec.json.encode(facts)
    body = b"".join(parts.values())
    digest = hashlib.sha256(text)
    digest.update(body)
    head = HEADER.pack(MAGIC, VERSION, len(text), len(body), digest.digest(), 0, 0)[:_CRC_AT]
    return b"".join((head, struct.pack("<I", crc32(head)), text, body))


def decode_snapshot(data: bytes, path: Path) -> Snapshot:
    """Read a whole file; raise SnapshotUnusable where a single bit of it is not as it was written."""
    if len(data) < HEADER_BYTES:
        raise SnapshotUnusable(f"{len(data)} of {HEADER_BYTES} bytes of its header")
    magic, version, facts_bytes, parts_bytes, digest, _, checksum = HEADER.unpack_from(data)
    if checksum != crc32(data[:_CRC_AT]) or magic != MAGIC:
        raise SnapshotUnusable("its header does not match its checksum")
    if version != VERSION:
        raise SnapshotUnusable(f"it has format version {version}, this program reads {VERSION}")
    if len(data) != HEADER_BYTES + facts_bytes + parts_bytes:
        raise SnapshotUnusable(f"{len(data)} of {HEADER_BYTES + facts_bytes + parts_bytes} bytes")
    if hashlib.sha256(memoryview(data)[HEADER_BYTES:]).digest() != digest:
        raise SnapshotUnusable("it does not match its SHA-256")
    try:
        facts = msgspec.json.decode(data[HEADER_BYTES : HEADER_BYTES + facts_bytes], type=Facts)
    except msgspec.MsgspecError as error:
        raise SnapshotUnusable(f"its facts cannot be read: {error}") from error
    parts: dict[str, bytes] = {}
    offset = HEADER_BYTES + facts_bytes
    for name, size_bytes in facts.parts.items():
        parts[name] = data[offset : offset + size_bytes]
        offset += size_bytes
    if offset != len(data):
        raise SnapshotUnusable("its parts are not as long as its facts say")
    return Snapshot(path, facts, parts)


def snapshot_path(folder: Path, seq: int) -> Path:
    """Name the file of the snapshot before a record."""
    return folder / f"{seq:020d}.snapshot"


def snapshot_paths(folder: Path) -> list[Path]:
    """List the snapshots of a folder, the newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def write_snapshot(folder: Path, facts: Facts, parts: Mapping[str, bytes], disk: Disk) -> int:
    """Write a snapshot whole and durably, then let go of all but the last two; give its length. Raises OSError."""
    data = encode_snapshot(facts, parts)
    disk.replace(snapshot_path(folder, facts.seq), data)
    half_written = sorted(folder.glob("*.snapshot.part"))  # by a start that was killed
    for path in (*snapshot_paths(folder)[KEPT:], *half_written):
        disk.remove(path)
    return len(data)


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot. Raises SnapshotUnusable, also where the file cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SnapshotUnusable(f"it cannot be read: {error.strerror or error}") from error
    return decode_snapshot(data, path)
