"""The record: the 64-byte form of every tick, bar, clock beat and command, as a numpy dtype.

May not live here: anything that reads files or decides what a record does.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORD: np.dtype[np.void] = np.dtype(
    [
        ("ts_event", "<i8"),
        ("ts_recv", "<i8"),
        ("a", "<i8"),
        ("b", "<i8"),
        ("c", "<i8"),
        ("d", "<i8"),
        ("e", "<i8"),
        ("instrument", "<u4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("flags", "<u2"),
    ]
)
"""One record, little-endian; the layout is the same as `Record` in engine_rs/core."""

RECORD_BYTES = 64

FLAG_BAR_LENGTH_MASK = 0x00FF
FLAG_SNAPSHOT = 0x0100
FLAG_LAST_OF_EVENT = 0x0200
FLAG_CLEAR = 0x0400
FLAG_GAP_BEFORE = 0x0800


class Kind(IntEnum):
    """What a record is; the numbers stand in tapes and journals."""

    QUOTE = 1
    TRADE = 2
    BAR = 3
    BOOK = 4
    ORDER = 5
    FUNDING = 6
    STATUS = 7
    CLOCK = 8
    COMMAND = 9


class Side(IntEnum):
    """Side of an order, or aggressor of a trade."""

    NONE = 0
    BUY = 1
    SELL = 2


class BarPrice(IntEnum):
    """Of which price a bar is made: the `side` field of a Bar record."""

    TRADE = 0
    BID = 1
    ASK = 2
    MID = 3


def empty(count: int) -> NDArray[Any]:
    """Make `count` records of zeros."""
    return np.zeros(count, dtype=RECORD)


def as_bytes(records: NDArray[Any]) -> NDArray[np.uint8]:
    """View contiguous records as bytes, shape (64 * n,), without a copy."""
    return np.ascontiguousarray(records).view(np.uint8).reshape(-1)


def joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put records one after the other; a single piece is not copied.

    As bytes: numpy joins structured arrays field by field, which takes ten times as long.
    """
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([as_bytes(piece) for piece in pieces]).view(RECORD) if pieces else empty(0)


def from_bytes(data: Any) -> NDArray[Any]:
    """View bytes (a multiple of 64) as records, without a copy."""
    return np.frombuffer(data, dtype=RECORD)
