"""Ticks made by hand: what iterables and generators give a run, and what tests of strategies are written with.

May not live here: how they become records (replay.feeds.ticks).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

Value = int | float | str | Decimal
"""A price or size: int, text and Decimal are exact; a float stands for its shortest decimal form."""

Time = int | str | datetime
"""ns since the Unix epoch, RFC 3339 text (`2024-01-31T14:30:00Z`), or a datetime that knows its zone."""


class QuoteTick(msgspec.Struct, frozen=True, kw_only=True):
    """The best bid and ask from now on. A side without price and size is absent; without both sizes any size fills.

    time: the venue's time. received: when it was received; by default the same.
    """

    time: Time
    bid: Value | None = None
    ask: Value | None = None
    bid_size: Value | None = None
    ask_size: Value | None = None
    symbol: str | None = None
    received: Time | None = None


class TradeTick(msgspec.Struct, frozen=True, kw_only=True):
    """A print. `side` is the aggressor's; without a size any size fills at the price."""

    time: Time
    price: Value
    size: Value | None = None
    side: Literal["buy", "sell", "none"] = "none"
    id: int = 0
    symbol: str | None = None
    received: Time | None = None


class BarTick(msgspec.Struct, frozen=True, kw_only=True):
    """A bar; `time` is its end."""

    time: Time
    open: Value
    high: Value
    low: Value
    close: Value
    volume: Value | None = None
    symbol: str | None = None
    received: Time | None = None


Tick = QuoteTick | TradeTick | BarTick
"""One tick. `symbol` may be left out where a run has one instrument."""
