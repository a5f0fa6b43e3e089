"""Events and records as a line of text for people: in messages about differences, and where a run is inspected.

May not live here: the meaning of an event for positions or statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from replay.events import ABSENT, AccountKind, EventKind, Liquidity, OrderType, TimeInForce, amount
from replay.records import Kind, Side
from replay.result.reasons import reason_name
from replay.units import format_time


@dataclass(frozen=True)
class Names:
    """Names and scales that turn the integers of events and records into what people read."""

    symbols: Sequence[str] = ()
    price_decimals: Sequence[int] = ()
    size_decimals: Sequence[int] = ()
    strategies: Sequence[str] = ()
    currencies: Sequence[str] = ()
    ledger_scales: Sequence[int] = ()

    @staticmethod
    def of_setup(setup: bytes, ledger_scales: Sequence[int]) -> Names:
        """Read the engine's setup."""
        decoded = msgspec.json.decode(setup)
        return Names(
            symbols=[row["symbol"] for row in decoded["instruments"]],
            price_decimals=[row["price_decimals"] for row in decoded["instruments"]],
            size_decimals=[row["size_decimals"] for row in decoded["instruments"]],
            strategies=[row["name"] for row in decoded["strategies"]],
            currencies=[row["name"] for row in decoded["currencies"]],
            ledger_scales=list(ledger_scales),
        )

    @staticmethod
    def of_result(document: Mapping[str, Any]) -> Names:
        """Read the object of result.json."""
        return Names(
            symbols=[row["symbol"] for row in document["instruments"]],
            price_decimals=[row["price_decimals"] for row in document["instruments"]],
            size_decimals=[row["size_decimals"] for row in document["instruments"]],
            strategies=list(document["strategies"]),
            currencies=[row["name"] for row in document["currencies"]],
            ledger_scales=[row["ledger_scale"] for row in document["currencies"]],
        )

    def symbol(self, index: int) -> str:
        """Name an instrument."""
        return self.symbols[index] if index < len(self.symbols) else f"instrument {index}"

    def price(self, raw: int, index: int) -> str:
        """Write a raw price of an instrument."""
        return _scaled(raw, self.price_decimals, index)

    def size(self, raw: int, index: int) -> str:
        """Write a raw size of an instrument."""
        return _scaled(raw, self.size_decimals, index)

    def money(self, raw: int, currency: int) -> str:
        """Write an amount on a currency's ledger scale."""
        name = self.currencies[currency] if currency < len(self.currencies) else f"currency {currency}"
        return f"{_scaled(raw, self.ledger_scales, currency)} {name}"


def event_text(event: Any, names: Names) -> str:
    """Write one event on one line."""
    kind = _name(EventKind, event["kind"])
    index = int(event["instrument"])
    if event["kind"] == EventKind.POSTING:
        account = _name(AccountKind, event["flags"])
        text = f"posting {names.money(amount(event), int(event['currency']))} to {account}, order {event['order_id']}"
    else:
        order_type, time_in_force = _name(OrderType, event["order_type"]), _name(TimeInForce, event["time_in_force"])
        text = (
            f"{kind} order {event['order_id']}: {order_type} {_name(Side, event['side'])} "
            f"{names.size(int(event['quantity']), index)} {names.symbol(index)} {time_in_force}"
        )
        for label, value in (("limit", event["limit"]), ("trigger", event["trigger"])):
            if value != ABSENT:
                text += f", {label} {names.price(int(value), index)}"
        if event["expire"] != ABSENT:
            text += f", expires {format_time(int(event['expire']))}"
        if event["kind"] == EventKind.FILL:
            text += (
                f", {names.size(int(event['last_size']), index)} at {names.price(int(event['last_price']), index)}, "
                f"{_name(Liquidity, event['liquidity'])}, fee {names.money(amount(event), int(event['currency']))}"
            )
        text += f", filled {names.size(int(event['filled']), index)}"
        if event["reason"]:
            text += f", {reason_name(int(event['reason']))}"
    strategy = int(event["strategy"])
    owner = names.strategies[strategy] if strategy < len(names.strategies) else f"strategy {strategy}"
    seen_ns = int(event["answer_time"])
    seen = f", seen {format_time(seen_ns)}" if seen_ns != event["venue_time"] and seen_ns != ABSENT else ""
    return f"record {event['tape_seq']}.{event['index']} {format_time(int(event['venue_time']))}{seen} [{owner}] {text}"


def record_text(record: Any, names: Names) -> str:
    """Write one record on one line."""
    kind = _name(Kind, record["kind"])
    index = int(record["instrument"])
    a, b, c, d, e = (int(record[field]) for field in "abcde")
    match int(record["kind"]):
        case Kind.QUOTE:
            bid = f"bid {names.price(a, index)} x {names.size(c, index)}"
            text = f"quote {names.symbol(index)} {bid}, ask {names.price(b, index)} x {names.size(d, index)}"
        case Kind.TRADE:
            side = _name(Side, record["side"])
            text = f"trade {names.symbol(index)} {side} {names.size(b, index)} at {names.price(a, index)}, id {c}"
        case Kind.BAR:
            prices = " ".join(names.price(value, index) for value in (a, b, c, d))
            text = f"bar {names.symbol(index)} {prices} volume {names.size(e, index)}"
        case Kind.CLOCK:
            text = "clock of all venues" if a < 0 else f"clock of venue {a}"
        case _:
            text = f"{kind} {a} {b} {c} {d} {e}"
    event_ns, receive_ns = int(record["ts_event"]), int(record["ts_recv"])
    received = f", received {format_time(receive_ns)}" if receive_ns != event_ns else ""
    return f"{format_time(event_ns)}{received} {text}"


def _scaled(raw: int, decimals: Sequence[int], index: int) -> str:
    return f"{Decimal(raw).scaleb(-decimals[index]):f}" if index < len(decimals) else str(raw)


def _name(kind: Any, value: Any) -> str:
    try:
        name = str(kind(int(value)).name)
    except ValueError:
        return f"{kind.__name__} {value}"
    return name if kind is TimeInForce else name.lower().replace("_", " ")
