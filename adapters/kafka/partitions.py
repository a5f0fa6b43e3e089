"""The order of a topic's records across its partitions: by sequence, by time, or as they come; and the cursor for it.

May not live here: decoding of messages and talk with the broker.

Records have keys that never go down within a partition. Our own frames have the sequence numbers of their publisher,
dense over the whole topic; the messages of others have the largest receive time so far. A partition's watermark says
that no record with a smaller key will follow in it. By time, one that is silent for long is no longer waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError
from replay.records import RECORD, joined

Order = Literal["sequence", "time", "arrival"]

ROWS_MAX = 131_072
"""So many records of a partition may wait for the others; then it is not read on."""


class PartitionPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where one partition stands: next offset, limit of the range (None: live), watermark before that offset."""

    offset: int
    limit: int | None
    watermark: int | None = None


class TopicPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a topic. Of our own frames, records with a sequence below `seq` are taken already."""

    partitions: dict[str, PartitionPlace]
    seq: int | None = None

    @classmethod
    def parse(cls, cursor: bytes, place: str) -> TopicPlace:
        """Read a cursor; raise DataError if it is another feed's."""
        try:
            return msgspec.json.decode(cursor, type=cls)
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a Kafka topic: {error}",
                reason="bad_cursor",
                place=place,
                remedy="go on with the feed that the session began with",
            ) from None


@dataclass
class Piece:
    """Records of one partition that wait for their turn."""

    records: NDArray[Any]
    keys: NDArray[np.int64] | None
    """None: first_key, first_key + 1, ..."""
    offsets: NDArray[np.int64] | None
    """Of the message of each record; None: all of one, or of several that only go on from one another."""
    first_key: int
    first_offset: int
    """Of the message of the first record."""
    watermark: int | None
    """Of the partition before this piece."""

    def all_keys(self) -> NDArray[np.int64]:
        """Give the key of each record."""
        if self.keys is not None:
            return self.keys
        return np.arange(self.first_key, self.first_key + len(self.records), dtype=np.int64)

    def count_below(self, key: int) -> int:
        """Count the records with a smaller key."""
        if self.keys is not None:
            return int(np.searchsorted(self.keys, key, side="left"))
        return min(max(key - self.first_key, 0), len(self.records))

    def without(self, count: int) -> Piece:
        """Leave out the first records."""
        keys = self.keys
        if keys is not None:
            watermark, first_key = int(keys[count - 1]), int(keys[count])
        else:
            watermark, first_key = self.first_key + count, self.first_key + count
        return Piece(
            self.records[count:],
            None if keys is None else keys[count:],
            None if self.offsets is None else self.offsets[count:],
            first_key,
            self.first_offset if self.offsets is None else int(self.offsets[count]),
            self.watermark if self.offsets is None else watermark,
        )


@dataclass
class Partition:
    """One partition: what waits, and where it stands."""

    number: int
    next_offset: int
    limit: int | None
    watermark: int | None
    pieces: deque[Piece] = field(default_factory=deque)
    rows: int = 0
    is_ended: bool = False

    def place(self) -> PartitionPlace:
        """Say where to go on."""
        if self.pieces:
            return PartitionPlace(self.pieces[0].first_offset, self.limit, self.pieces[0].watermark)
        return PartitionPlace(self.next_offset, self.limit, self.watermark)


class PartitionMerge:
    """Puts the records of several partitions in their one order, in bounded memory."""

    def __init__(self, order: Order, places: Mapping[int, PartitionPlace], seq: int | None = None) -> None:
        self.order: Order = order
        self.parts = {
            number: Partition(number, place.offset, place.limit, place.watermark)
            for number, place in sorted(places.items())
        }
        self.next_key = seq
        """Of our own frames: everything below it has been given."""
        self.silent: frozenset[int] = frozenset()
        """Partitions that the others no longer wait for; what they give later may come behind its time."""

    def hungry(self) -> list[int]:
        """List the partitions to read on."""
        return [part.number for part in self.parts.values() if not part.is_ended and part.rows < ROWS_MAX]

    @property
    def is_done(self) -> bool:
        """Say whether all partitions have ended and nothing waits."""
        return all(part.is_ended and not part.pieces for part in self.parts.values())

    def push(self, number: int, piece: Piece | None, next_offset: int, watermark: int | None) -> None:
        """Take what a partition gave; `watermark` is the partition's from now on."""
        part = self.parts[number]
        if piece is not None and len(piece.records):
            part.pieces.append(piece)
            part.rows += len(piece.records)
        part.next_offset, part.watermark = next_offset, watermark

    def end(self, number: int, next_offset: int) -> None:
        """Note that a partition has given all of its range."""
        part = self.parts[number]
        part.is_ended = True
        part.next_offset = max(part.next_offset, next_offset)

    def take(self) -> NDArray[Any]:
        """Give the records whose turn has come: nothing that is still to be read can come before them."""
        holding = [part for part in self.parts.values() if part.pieces]
        if not holding:
            return np.zeros(0, dtype=RECORD)
        if self.order == "arrival" or len(self.parts) == 1:
            return self._take_all(holding)
        safe = self._safe_key()
        pieces = [piece for part in holding for piece in part.pieces]
        keys = np.concatenate([piece.all_keys() for piece in pieces])
        ranks = np.argsort(keys, kind="stable")
        ordered = keys[ranks]
        count = len(ordered) if safe is None else int(np.searchsorted(ordered, safe, side="left"))
        if self.order == "sequence" and self.next_key is not None and count < len(ordered):
            count = max(count, _dense(ordered, self.next_key))
        if not count:
            return np.zeros(0, dtype=RECORD)
        limit = int(ordered[count - 1]) + 1
        if safe is not None:
            limit = max(limit, safe) if self.order == "sequence" else safe
        given = joined([piece.records for piece in pieces])[ranks[:count]]
        self._drop_below(holding, limit)
        self.next_key = limit
        return given

    def cursor(self) -> bytes:
        """Say where to go on after what was given."""
        seq = self.next_key if self.order == "sequence" else None
        places = {str(part.number): part.place() for part in self.parts.values()}
        return msgspec.json.encode(TopicPlace(places, seq))

    def _take_all(self, holding: Sequence[Partition]) -> NDArray[Any]:
        pieces = [piece for part in holding for piece in part.pieces]
        if self.order == "sequence":
            last = pieces[-1]
            self.next_key = last.first_key + len(last.records) if last.keys is None else int(last.keys[-1]) + 1
        for part in holding:
            part.pieces.clear()
            part.rows = 0
        return joined([piece.records for piece in pieces])

    def _safe_key(self) -> int | None:
        """Return the key below which nothing more is waited for; None if nothing more is at all."""
        open_marks = [
            part.watermark for part in self.parts.values() if not part.is_ended and part.number not in self.silent
        ]
        if not open_marks:
            return None
        return min(-(2**63) if mark is None else mark for mark in open_marks)

    def _drop_below(self, holding: Sequence[Partition], key: int) -> None:
        for part in holding:
            while part.pieces:
                count = part.pieces[0].count_below(key)
                part.rows -= count
                if count < len(part.pieces[0].records):
                    if count:
                        part.pieces[0] = part.pieces[0].without(count)
                    break
                part.pieces.popleft()


def _dense(ordered: NDArray[np.int64], next_key: int) -> int:
    """Count the records that follow one another from `next_key` on without a number left out."""
    is_next = ordered == next_key + np.arange(len(ordered))
    return len(ordered) if bool(is_next.all()) else int(np.argmin(is_next))
