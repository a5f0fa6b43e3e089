"""Frames that only go on from one another are taken as one piece, and nothing else comes of it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from modes.market import header, market

from replay.adapters.kafka.frames import FrameIntake, IntakeCounters
from replay.adapters.kafka.partitions import PartitionMerge, PartitionPlace
from replay.adapters.kafka.wire import FrameWriter, Place, Table
from replay.config import Instrument
from replay.errors import DataError
from replay.feeds.tape import TapeHeader
from replay.records import as_bytes

ROWS = 200
TAPE = market(ROWS)
WRITER = FrameWriter(Table.of(header()))
INSTRUMENTS = [
    Instrument(symbol=entry.symbol, tick="0.01", lot="0.001", quote="USDT")  # type: ignore[arg-type]
    for entry in header().instruments
]


class Message(NamedTuple):
    offset: int
    value: bytes | None


class Outcome(NamedTuple):
    records: bytes
    dead: list[tuple[str, str]]
    cursor: bytes
    counters: IntakeCounters
    error: str | None


def frame(first: int, limit: int, *, stream: int = 5, with_sequences: bool = False) -> bytes:
    sequences = np.arange(first, limit) if with_sequences else None
    return WRITER.encode(Place(first, limit, 0, stream), TAPE[first:limit], sequences)


def take(messages: list[Message], seq: int | None, cuts: list[int], in_lines: bool) -> Outcome:
    """Take messages in a few polls; with `in_lines` false each by itself."""
    counters = IntakeCounters()
    intake = FrameIntake("topic", header(), INSTRUMENTS, None, counters=counters, seq=seq)
    intake._takes_lines = in_lines
    merge = PartitionMerge("sequence", {0: PartitionPlace(0, None, None)}, seq)
    given, dead, error = b"", [], None
    bounds = [0, *sorted(cut % (len(messages) + 1) for cut in cuts), len(messages)]
    for first, limit in pairwise(bounds):
        try:
            for found in intake.take(0, messages[first:limit], merge.parts[0].watermark):
                merge.push(0, found.piece, found.next_offset, found.watermark)
                dead += [(letter.reason, letter.place) for letter in found.dead]
        except DataError as halt:
            error = str(halt)
            break
        given += as_bytes(merge.take()).tobytes()
    return Outcome(given, dead, merge.cursor(), counters, error)


@st.composite
def topics(draw: st.DrawFn) -> list[Message]:
    """A topic as one publisher leaves it, with whatever may go wrong in between."""
    messages: list[Message] = []
    seq = 0
    while seq < ROWS and len(messages) < 40:
        limit = min(ROWS, seq + draw(st.integers(1, 12)))
        kind = draw(
            st.sampled_from(["plain"] * 8 + ["twice", "gap", "torn", "text", "none", "mark", "sequences", "stream"])
        )
        value: bytes | None = frame(seq, limit)
        if kind == "gap":
            seq, limit = limit, min(ROWS, limit + 3)
            value = frame(seq, limit)
        elif kind == "torn":
            damaged = bytearray(frame(seq, limit))
            damaged[draw(st.integers(0, len(damaged) - 1))] ^= 1 << draw(st.integers(0, 7))
            value = bytes(damaged)
        elif kind == "text":
            value = b"no frame"
        elif kind == "none":
            value = None
        elif kind == "mark":
            value, limit = FrameWriter(WRITER.table).encode(Place(seq, seq, 0, 5), TAPE[:0]), seq
        elif kind == "sequences":
            value = frame(seq, limit, with_sequences=True)
        elif kind == "stream":
            value = frame(seq, limit, stream=6)
        messages.append(Message(2 * len(messages), value))
        if kind == "twice":
            messages.append(Message(2 * len(messages), value))
        seq = limit
    return messages


@given(topics(), st.none() | st.integers(0, ROWS), st.lists(st.integers(0, 60), max_size=4))
def test_frames_in_line_give_what_each_of_them_gives(messages: list[Message], seq: int | None, cuts: list[int]) -> None:
    def outcome(in_lines: bool) -> Outcome:
        return take(messages, seq, cuts, in_lines)

    assert outcome(True) == outcome(False)


def test_a_poll_of_frames_in_line_is_one_piece() -> None:
    messages = [Message(number, frame(10 * number, 10 * number + 10)) for number in range(20)]
    intake = FrameIntake("topic", header(), INSTRUMENTS, None)
    first, rest = intake.take(0, messages, None)
    assert first.piece is not None and rest.piece is not None
    assert (len(first.piece.records), len(rest.piece.records)) == (10, 190)  # the first one tells what the others are
    assert (rest.next_offset, rest.watermark, rest.piece.first_offset, rest.piece.first_key) == (20, 200, 1, 10)
    assert as_bytes(rest.piece.records).tobytes() == as_bytes(TAPE[10:200]).tobytes()
    again = intake.take(0, [Message(20, frame(190, 200))], 200)
    assert [found.piece for found in again] == [None]
    assert intake.counters.duplicates == 10


def test_a_damaged_frame_ends_the_line_and_is_a_dead_letter() -> None:
    damaged = bytearray(frame(30, 40))
    damaged[-1] ^= 1
    messages = [
        *(Message(number, frame(10 * number, 10 * number + 10)) for number in range(3)),
        Message(3, bytes(damaged)),
        *(Message(number, frame(10 * number, 10 * number + 10)) for number in range(4, 6)),
    ]
    intake = FrameIntake("topic", header(), INSTRUMENTS, None)
    found = intake.take(0, messages, None)
    assert [letter.reason for taken in found for letter in taken.dead] == ["bad_checksum"]
    assert [0 if taken.piece is None else len(taken.piece.records) for taken in found] == [10, 20, 0, 10, 10]
    assert intake.counters.gaps == 1


def test_a_table_whose_indexes_are_not_the_runs_is_no_line() -> None:
    other = TapeHeader(one_time=False, instruments=list(reversed(header().instruments)))
    writer = FrameWriter(Table.of(other))
    intake = FrameIntake("topic", other, INSTRUMENTS, None)
    messages = [Message(n, writer.encode(Place(n, n + 1, 0, 5), TAPE[n : n + 1])) for n in range(4)]
    with mock.patch("replay.adapters.kafka.frames.engine", side_effect=AssertionError):
        assert len(intake.take(0, messages, None)) == 4
