"""The intake of frames: our own messages to records of the run; what came twice is dropped, what is missing is seen.

May not live here: the layout (wire) and the order of partitions (partitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from replay.adapters.engine import engine
from replay.adapters.kafka.partitions import Piece
from replay.adapters.kafka.wire import BadFrame, Frame, Table, decode
from replay.errors import DataError
from replay.feeds.feed import DeadLetter
from replay.feeds.renumbering import Renumbering
from replay.feeds.tape import TapeHeader
from replay.records import FLAG_GAP_BEFORE, RECORD

if TYPE_CHECKING:
    from replay.config import Instrument

RAW_BYTES_MAX = 4_096
"""So much of a dead message is kept."""


@dataclass
class IntakeCounters:
    """What became of messages and their rows."""

    rows: int = 0
    records: int = 0
    dead: int = 0
    rounded: int = 0
    not_named: int = 0
    duplicates: int = 0
    """Records dropped because they had come before."""
    gaps: int = 0

    def rows_of_feed(self) -> dict[str, int]:
        """Give them as `Feed.counters` has them."""
        return {
            "rows": self.rows,
            "records": self.records,
            "dead": self.dead,
            "rounded": self.rounded,
            "ignored_not_named": self.not_named,
            "duplicates": self.duplicates,
            "gaps": self.gaps,
        }


@dataclass(frozen=True)
class Intake:
    """What the messages of one partition gave."""

    piece: Piece | None
    next_offset: int
    watermark: int | None
    dead: list[DeadLetter]
    halt: DataError | None = None
    """What ends the reading, once all of this was given."""


class FrameIntake:
    """Takes frames in. One for each reading; it remembers tables and where each partition's publisher is."""

    def __init__(
        self,
        address: str,
        header: TapeHeader,
        instruments: Sequence[Instrument],
        symbol: str | None,
        *,
        gaps: Literal["mark", "halt"] = "mark",
        counters: IntakeCounters | None = None,
        seq: int | None = None,
        first_ns: int | None = None,
        limit_ns: int | None = None,
    ) -> None:
        """Take the header that the run was set up with; other tables must agree with it."""
        self.counters = counters or IntakeCounters()
        self._address = address
        self._header = header
        self._symbols = {entry.symbol: index for index, entry in enumerate(instruments)}
        if symbol is not None:
            self._symbols = {symbol: self._symbols[symbol]}
        self._gaps = gaps
        self._seq = seq
        self._first_ns, self._limit_ns = first_ns, limit_ns
        self._numbers: dict[bytes, Renumbering] = {}
        self._streams: dict[int, int] = {}
        self._gap_before: set[int] = set()
        self._lines: dict[int, tuple[int, bytes]] = {}
        """By partition, the stream and the table of its last frame, where that table's indexes are the run's."""
        self._takes_lines = first_ns is None and limit_ns is None

    def take(self, partition: int, messages: Sequence[Any], watermark: int | None) -> list[Intake]:
        """Turn messages into pieces: one for each frame, or for frames that only go on from one another."""
        taken: list[Intake] = []
        first = 0
        while first < len(messages):
            found, limit = self._take_line(partition, messages, first, watermark)
            if found is None:
                found, limit = self._take_one(partition, messages[first], watermark), first + 1
            watermark, first = found.watermark, limit
            taken.append(found)
        return taken

    def _take_line(
        self, partition: int, messages: Sequence[Any], first: int, watermark: int | None
    ) -> tuple[Intake | None, int]:
        """Take the frames from the message `first` on that are as most are: next in sequence, and nothing to change.

        The engine proves and copies them without the interpreter's lock. Returns the limit of what was taken.
        """
        line = self._lines.get(partition)
        if line is None or watermark is None or not self._takes_lines or partition in self._gap_before:
            return None, first
        if self._seq is not None and self._seq > watermark:
            return None, first
        values = [message.value for message in messages[first:]]
        count, rows, data = engine().frames_in_line(values, watermark, *line)
        if not count:
            return None, first
        self.counters.rows += rows
        self.counters.records += rows
        limit = first + count
        records = np.frombuffer(data, dtype=RECORD, count=rows)
        piece = Piece(records, None, None, watermark, messages[first].offset, watermark)
        return Intake(piece, messages[limit - 1].offset + 1, watermark + rows, []), limit

    def _take_one(self, partition: int, message: Any, watermark: int | None) -> Intake:
        where = place_of_message(self._address, partition, message.offset)
        try:
            frame = decode(message.value or b"", where)
            numbers = self._numbers_of(frame, where)
        except BadFrame as bad:
            self.counters.dead += 1
            letter = DeadLetter(bad.reason, (message.value or b"")[:RAW_BYTES_MAX], where)
            return Intake(None, message.offset + 1, watermark, [letter])
        self._note_line(partition, frame, numbers)
        self.counters.rows += len(frame.records)
        before = watermark
        self._check_publisher(partition, frame, watermark, where)
        if watermark is not None and frame.place.first_seq > watermark:
            self._note_gap(partition, watermark, frame.place.first_seq, where)
        watermark = frame.place.limit_seq if watermark is None else max(watermark, frame.place.limit_seq)
        records, first, sequences = self._unseen(frame, before)
        records, sequences = self._of_run(records, first, sequences, numbers)
        records, sequences = self._in_time(records, first, sequences)
        if len(records) and partition in self._gap_before:
            self._gap_before.discard(partition)
            records = records.copy()
            records["flags"][0] |= FLAG_GAP_BEFORE
        self.counters.records += len(records)
        piece = Piece(records, sequences, None, first, message.offset, before) if len(records) else None
        return Intake(piece, message.offset + 1, watermark, [])

    def _note_line(self, partition: int, frame: Frame, numbers: Renumbering | None) -> None:
        if numbers is not None and numbers.is_identity:
            self._lines[partition] = (frame.place.stream, frame.table_hash)
        else:
            self._lines.pop(partition, None)

    def _unseen(self, frame: Frame, watermark: int | None) -> tuple[NDArray[Any], int, NDArray[np.int64] | None]:
        """Leave out what came before: in an earlier frame of the partition, or before the cursor."""
        records, first, sequences = frame.records, frame.place.first_seq, frame.sequences
        from_seq = first if watermark is None else max(first, watermark)
        duplicates = _below(from_seq, first, sequences, len(records))
        self.counters.duplicates += duplicates
        skip = (
            max(duplicates, _below(self._seq, first, sequences, len(records))) if self._seq is not None else duplicates
        )
        if not skip:
            return records, first, sequences
        return records[skip:], first + skip, None if sequences is None else sequences[skip:]

    def _of_run(
        self,
        records: NDArray[Any],
        first: int,
        sequences: NDArray[np.int64] | None,
        numbers: Renumbering | None,
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Give the records the run's indexes of instruments; leave out what the run does not name."""
        if numbers is None:
            return records, sequences
        renumbered, kept = numbers.apply(records)
        if kept is None:
            return records, sequences
        self.counters.not_named += len(records) - len(renumbered)
        return renumbered, _kept_sequences(kept, first, sequences)

    def _in_time(
        self, records: NDArray[Any], first: int, sequences: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Leave out what lies outside the times of `from` and `to`."""
        if (self._first_ns is None and self._limit_ns is None) or not len(records):
            return records, sequences
        times_ns = records["ts_recv"]
        kept = np.ones(len(records), dtype=np.bool_)
        if self._first_ns is not None:
            kept &= times_ns >= self._first_ns
        if self._limit_ns is not None:
            kept &= times_ns < self._limit_ns
        if bool(kept.all()):
            return records, sequences
        return records[kept], _kept_sequences(kept, first, sequences)

    def _check_publisher(self, partition: int, frame: Frame, watermark: int | None, where: str) -> None:
        known = self._streams.get(partition)
        place = frame.place
        if known is not None and known != place.stream and watermark is not None and place.first_seq < watermark:
            raise DataError(
                f"the sequences {place.first_seq}..{place.limit_seq} come from another publisher than those before "
                f"{watermark}: two publish to one topic",
                reason="two_publishers",
                place=where,
                remedy="let one publisher write to a topic; start at an offset behind the place where they mix",
            )
        self._streams[partition] = place.stream

    def _note_gap(self, partition: int, watermark: int, first_seq: int, where: str) -> None:
        self.counters.gaps += 1
        self._gap_before.add(partition)
        if self._gaps == "halt":
            raise DataError(
                f"the frames with the sequences {watermark}..{first_seq} are missing",
                reason="gap",
                place=where,
                remedy='publish them again, or set gaps = "mark" on the feed to go on with a mark',
            )

    def _numbers_of(self, frame: Frame, where: str) -> Renumbering | None:
        """Return what a frame's indexes are in the run; None for one that has no table and needs none."""
        if frame.table_hash in self._numbers:
            return self._numbers[frame.table_hash]
        if frame.table_text is None:
            if len(frame.records):
                raise BadFrame("no_table")
            return None
        table = Table.parse(frame.table_text)
        if table.digest != frame.table_hash:
            raise BadFrame("bad_table")
        check_tables(self._header, table.header, list(self._symbols), where)
        symbols = [entry.symbol for entry in table.header.instruments]
        numbers = self._numbers[frame.table_hash] = Renumbering(symbols, self._symbols)
        return numbers


def place_of_message(address: str, partition: int, offset: int) -> str:
    """Name a message."""
    return f"{address}, partition {partition}, offset {offset}"


def check_tables(mine: TapeHeader, theirs: TapeHeader, symbols: Sequence[str], where: str) -> None:
    """Raise DataError where the table of a frame does not agree with the one that the run was set up with."""
    remedy = "end this range before that offset, or begin a new session behind it; nothing of the session was changed"
    if (mine.one_time, mine.bar_lengths_ns) != (theirs.one_time, theirs.bar_lengths_ns):
        raise DataError(
            f"the frame has one_time = {theirs.one_time} and the bar lengths {theirs.bar_lengths_ns} (ns), "
            f"the run was set up with {mine.one_time} and {mine.bar_lengths_ns}",
            reason="other_table",
            place=where,
            remedy=remedy,
        )
    known = {entry.symbol: entry for entry in mine.instruments}
    for entry in theirs.instruments:
        here = known.get(entry.symbol)
        if entry.symbol not in symbols or here is None:
            continue
        ours = (here.price_decimals, here.size_decimals, here.sizes)
        found = (entry.price_decimals, entry.size_decimals, entry.sizes)
        if ours[:2] != found[:2] or (ours[2] == "full" and found[2] == "none"):
            raise DataError(
                f"{entry.symbol!r} has (price_decimals, size_decimals, sizes) = {found} in the frame's instrument "
                f"table and {ours} in that of the run",
                reason="other_table",
                place=where,
                remedy=remedy,
            )


def _below(seq: int, first: int, sequences: NDArray[np.int64] | None, count: int) -> int:
    """Count the records with a smaller sequence."""
    if sequences is not None:
        return int(np.searchsorted(sequences, seq, side="left"))
    return min(max(seq - first, 0), count)


def _kept_sequences(
    kept: NDArray[np.bool_], first: int, sequences: NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """Return the sequences of the records that were kept; None while they still follow one another."""
    if sequences is None:
        if bool(kept.all()):
            return None
        sequences = np.arange(first, first + len(kept), dtype=np.int64)
    kept_only: NDArray[np.int64] = sequences[kept]
    return kept_only
