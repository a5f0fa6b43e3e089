"""Ticks made by hand: what iterables and generators give a run, and what tests of strategies are written with.

May not live here: how they become records (replay.feeds.ticks).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from replay.errors import UsageError, choose

Value = int | float | str | Decimal
"""A price or size: int, text and Decimal are exact; a float stands for its shortest decimal form."""

Time = int | str | datetime
"""ns since the Unix epoch, RFC 3339 text (`2024-01-31T14:30:00Z`), or a datetime that knows its zone."""


class _TickType(msgspec.StructMeta):
    """Makes ticks, and says clearly which of their members is unknown or missing."""

    def __call__(cls, *args: Any, **members: Any) -> Any:
        try:
            return super().__call__(*args, **members)
        except TypeError:
            raise _mistake(cls, args, members) from None


def _mistake(kind: Any, args: tuple[Any, ...], members: dict[str, Any]) -> UsageError:
    known = kind.__struct_fields__
    if args:
        example = f"{kind.__name__}({known[0]}=.., {known[1]}=..)"
        return UsageError(f"{kind.__name__} takes its members by name, not {args[0]!r}", remedy=f"write {example}")
    for name in members:
        if name not in known:
            return UsageError(f"{kind.__name__} has no member {name!r}", remedy=choose(name, known))
    missing = next(field.name for field in msgspec.structs.fields(kind) if field.required and field.name not in members)
    return UsageError(f"{kind.__name__} lacks its member {missing!r}", remedy=f"add {missing}=..")


class QuoteTick(msgspec.Struct, frozen=True, kw_only=True, metaclass=_TickType):
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


class TradeTick(msgspec.Struct, frozen=True, kw_only=True, metaclass=_TickType):
    """A print. `side` is the aggressor's; without a size any size fills at the price."""

    time: Time
    price: Value
    size: Value | None = None
    side: Literal["buy", "sell", "none"] = "none"
    id: int = 0
    symbol: str | None = None
    received: Time | None = None


class BarTick(msgspec.Struct, frozen=True, kw_only=True, metaclass=_TickType):
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
