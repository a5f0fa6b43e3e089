"""The event: one decision of the engine in its pinned 128-byte form, as a numpy dtype.

May not live here: tables, statistics or anything that interprets a run of events.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENT: np.dtype[np.void] = np.dtype(
    [
        ("tape_seq", "<u8"),
        ("index", "<u4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("order_id", "<u8"),
        ("strategy", "<u4"),
        ("instrument", "<u4"),
        ("venue_time", "<i8"),
        ("answer_time", "<i8"),
        ("reason", "<u2"),
        ("liquidity", "u1"),
        ("flags", "u1"),
        ("currency", "<u4"),
        ("quantity", "<i8"),
        ("filled", "<i8"),
        ("limit", "<i8"),
        ("trigger", "<i8"),
        ("expire", "<i8"),
        ("last_price", "<i8"),
        ("last_size", "<i8"),
        ("amount_low", "<u8"),
        ("amount_high", "<i8"),
    ]
)
"""One event, little-endian; the layout is the same as `Event` in engine_rs/core."""

EVENT_BYTES = 128
ABSENT = -(2**63)
"""An absent price or time in an event."""

EQUITY: np.dtype[np.void] = np.dtype(
    [("ts", "<i8"), ("tape_seq", "<u8"), ("equity", "<f8"), ("cash", "<f8"), ("exposure", "<f8")]
)
"""One equity point: exact inside the engine, floats here; not covered by the digest."""

EXCURSION: np.dtype[np.void] = np.dtype([("low", "<i8"), ("high", "<i8")])
"""What a fill ends: the lowest and the highest mark since the fill before it of the same strategy in the same
instrument, raw and doubled (a mid may end in a half); `ABSENT` where nothing was held or no mark came. There is one for
each fill, in their order; not covered by the digest."""


class EventKind(IntEnum):
    """What was decided."""

    NEW = 1
    REJECTED = 2
    TRIGGERED = 3
    REPLACED = 4
    CANCELED = 5
    EXPIRED = 6
    CANCEL_REJECTED = 7
    AMEND_REJECTED = 8
    FILL = 9
    POSTING = 10


class OrderType(IntEnum):
    """How an order meets the market."""

    MARKET = 1
    LIMIT = 2
    STOP_MARKET = 3
    STOP_LIMIT = 4


class TimeInForce(IntEnum):
    """How long an order lives."""

    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4
    DAY = 5


class Liquidity(IntEnum):
    """Whether a fill made or took liquidity."""

    NONE = 0
    MAKER = 1
    TAKER = 2


class AccountKind(IntEnum):
    """The ledger account of a posting (its `flags`)."""

    CASH = 1
    INVENTORY = 2
    PNL = 3
    FEES = 4
    ROUNDING = 5


FLAG_UNSIZED = 1


def amount(event: Any) -> int:
    """Give the fee of a fill, or the amount of a posting, on the currency's ledger scale."""
    return (int(event["amount_high"]) << 64) | int(event["amount_low"])


def from_bytes(data: Any) -> NDArray[Any]:
    """View bytes (a multiple of 128) as events, without a copy."""
    return np.frombuffer(data, dtype=EVENT)
