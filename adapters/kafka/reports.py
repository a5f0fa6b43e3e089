"""Reports: what a session publishes of its event log: orders, fills, positions and its own starts and ends.

May not live here: topics, partitions and when anything is sent. The same events always make the same bytes.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from numpy.typing import NDArray

from replay.events import ABSENT, EVENT, FLAG_UNSIZED, EventKind
from replay.records import Side
from replay.result.positions import Position
from replay.result.projections import LIQUIDITIES, ORDER_TYPES, SIDES, TIMES_IN_FORCE, RunScales, ValueScale
from replay.result.reasons import reason_name

VERSION = 1
"""Version of every schema below; it grows when a field changes its meaning or goes, not when one is added."""

ORDER_EVENTS = {
    EventKind.NEW: "new",
    EventKind.REJECTED: "rejected",
    EventKind.TRIGGERED: "triggered",
    EventKind.REPLACED: "replaced",
    EventKind.CANCELED: "canceled",
    EventKind.EXPIRED: "expired",
    EventKind.CANCEL_REJECTED: "cancel_rejected",
    EventKind.AMEND_REJECTED: "amend_rejected",
}


class Order(msgspec.Struct, frozen=True, kw_only=True, tag="order", tag_field="type"):
    """What happened to an order, fills apart.

    version: of this schema.
    seq: number of the record on the session's tape whose taking decided it.
    index: number of the event among those of that record.
    time_ns: the venue's time, ns since the epoch.
    seen_ns: when the strategy is told.
    strategy: the strategy's name.
    symbol: the instrument.
    order_id: counts the orders of the session.
    event: new, rejected, triggered, replaced, canceled, expired, cancel_rejected or amend_rejected.
    side: buy or sell.
    order_type: market, limit, stop_market or stop_limit.
    time_in_force: GTC, IOC, FOK, GTD or DAY.
    quantity: the order's whole quantity.
    filled: how much of it is filled.
    limit: the limit price, if it has one.
    trigger: the trigger price, if it has one.
    expire_ns: when it expires, if it does.
    reason: why it was rejected, canceled or expired.
    """

    version: int = VERSION
    seq: int
    index: int
    time_ns: int
    seen_ns: int | None
    strategy: str
    symbol: str
    order_id: int
    event: str
    side: str
    order_type: str
    time_in_force: str
    quantity: str
    filled: str
    limit: str | None
    trigger: str | None
    expire_ns: int | None
    reason: str | None


class Fill(msgspec.Struct, frozen=True, kw_only=True, tag="fill", tag_field="type"):
    """One fill of an order.

    version: of this schema.
    seq: number of the record on the session's tape whose taking decided it.
    index: number of the event among those of that record.
    time_ns: the venue's time, ns since the epoch.
    seen_ns: when the strategy is told.
    strategy: the strategy's name.
    symbol: the instrument.
    order_id: the order that is filled.
    side: buy or sell.
    price: the price of this fill.
    size: the size of this fill.
    quantity: the order's whole quantity.
    filled: how much of it is filled now, this fill included.
    fee: what the fill costs; negative for a rebate.
    fee_currency: in which currency.
    liquidity: maker or taker.
    unsized: whether the source shows no sizes.
    """

    version: int = VERSION
    seq: int
    index: int
    time_ns: int
    seen_ns: int | None
    strategy: str
    symbol: str
    order_id: int
    side: str
    price: str
    size: str
    quantity: str
    filled: str
    fee: str
    fee_currency: str
    liquidity: str
    unsized: bool


class PositionReport(msgspec.Struct, frozen=True, kw_only=True, tag="position", tag_field="type"):
    """What a strategy holds of an instrument after a fill.

    version: of this schema.
    seq: number of the record on the session's tape whose taking decided the fill.
    index: number of the fill among the events of that record.
    time_ns: the venue's time of the fill.
    strategy: the strategy's name.
    symbol: the instrument.
    quantity: signed; 0 is flat.
    cost: the whole cost of what is held, whichever side; cost / quantity is the average price (times the multiplier).
    realised: gain of what was closed since the start of the session, before fees.
    fees: paid since the start of the session; absent once one was in a currency that cannot be valued.
    currency: of cost, realised and fees.
    """

    version: int = VERSION
    seq: int
    index: int
    time_ns: int
    strategy: str
    symbol: str
    quantity: str
    cost: str
    realised: str
    fees: str | None
    currency: str


class SessionReport(msgspec.Struct, frozen=True, kw_only=True, tag="session", tag_field="type"):
    """A start, a new connection or an end of the session; in every partition, since it fences an older process off.

    version: of this schema.
    session: the session's id.
    name: the run's name.
    epoch: counts the starts.
    state: started, reconnected or ended.
    time_ns: the publisher's wall clock.
    """

    version: int = VERSION
    session: str
    name: str
    epoch: int
    state: str
    time_ns: int


Report = Order | Fill | PositionReport | SessionReport
"""Any message, for `msgspec.json.decode(value, type=Report)`."""

KIND_OF = {Order: "orders", Fill: "fills", PositionReport: "positions", SessionReport: "session"}
"""The word in `kinds` of [[sink]] for each schema."""


_Event: Any = namedtuple("_Event", list(EVENT.names or ()))  # type: ignore[misc]  # noqa: PYI024 (the layout's own names)
"""One event as Python numbers; reading them from a numpy row one by one would take ten times as long."""


class EventReport(NamedTuple):
    """A report and which event made it: (number of the event in the log, part) grows within every partition."""

    event: int
    part: int
    report: Order | Fill | PositionReport


class Reporter:
    """Makes reports from events in order; keeps the positions that the fills so far have made."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._values = [ValueScale(scales, index) for index in range(len(scales.instruments))]
        self._positions: dict[tuple[int, int], Position] = {}
        self._unvalued: set[tuple[int, int]] = set()

    def reports(self, first_event: int, events: NDArray[Any]) -> Iterator[EventReport]:
        """Give the reports of events; postings have none, a fill has two."""
        for row, values in enumerate(events.tolist()):
            event: Any = _Event._make(values)
            if event.kind == EventKind.POSTING:
                continue
            if event.kind == EventKind.FILL:
                yield EventReport(first_event + row, 0, self._fill(event))
                yield EventReport(first_event + row, 1, self._position(event))
            else:
                yield EventReport(first_event + row, 0, self._order(event))

    def _order(self, event: Any) -> Order:
        scale = self._scales.instruments[event.instrument]
        reason = event.reason
        return Order(
            **self._common(event),
            seen_ns=_present(event.answer_time),
            order_id=event.order_id,
            event=ORDER_EVENTS[EventKind(event.kind)],
            side=SIDES[event.side],
            order_type=ORDER_TYPES[event.order_type],
            time_in_force=TIMES_IN_FORCE[event.time_in_force],
            quantity=decimal_text(event.quantity, scale.size_decimals),
            filled=decimal_text(event.filled, scale.size_decimals),
            limit=_price(event.limit, scale.price_decimals),
            trigger=_price(event.trigger, scale.price_decimals),
            expire_ns=_present(event.expire),
            reason=reason_name(reason) if reason else None,
        )

    def _fill(self, event: Any) -> Fill:
        scales = self._scales
        scale = scales.instruments[event.instrument]
        currency = event.currency
        return Fill(
            **self._common(event),
            seen_ns=_present(event.answer_time),
            order_id=event.order_id,
            side=SIDES[event.side],
            price=decimal_text(event.last_price, scale.price_decimals),
            size=decimal_text(event.last_size, scale.size_decimals),
            quantity=decimal_text(event.quantity, scale.size_decimals),
            filled=decimal_text(event.filled, scale.size_decimals),
            fee=decimal_text(_amount(event), scales.ledger_scales[currency]),
            fee_currency=scales.currencies[currency],
            liquidity=LIQUIDITIES[event.liquidity],
            unsized=bool(event.flags & FLAG_UNSIZED),
        )

    def _position(self, event: Any) -> PositionReport:
        instrument = event.instrument
        key = (event.strategy, instrument)
        value = self._values[instrument]
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = Position(value.factor)
        price = event.last_price
        fee = value.fee(_amount(event), event.currency, price)
        if fee is None:
            self._unvalued.add(key)
        after = position.fill(
            bool(event.side == Side.BUY),
            price,
            event.last_size,
            fee or 0,
            value.given(_amount(event), event.currency),
        )[-1]
        places = len(str(value.unit)) - 1
        return PositionReport(
            **self._common(event),
            quantity=decimal_text(after.quantity, self._scales.instruments[instrument].size_decimals),
            cost=decimal_text(after.cost, places),
            realised=decimal_text(after.realised, places),
            fees=None if key in self._unvalued else decimal_text(after.fees, places),
            currency=self._scales.currencies[value.currency],
        )

    def _common(self, event: Any) -> dict[str, Any]:
        return {
            "seq": event.tape_seq,
            "index": event.index,
            "time_ns": event.venue_time,
            "strategy": self._scales.strategies[event.strategy],
            "symbol": self._scales.symbols[event.instrument],
        }


def decimal_text(raw: int, decimals: int) -> str:
    """Write raw / 10^decimals exactly, with all its decimals."""
    digits = f"{abs(raw):0{decimals + 1}d}"
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"-{text}" if raw < 0 else text


def schemas_markdown() -> str:
    """Write the reference table of the schemas from their docstrings."""
    parts: list[str] = []
    for schema in (Order, Fill, PositionReport, SessionReport):
        head, _, rest = (schema.__doc__ or "").partition("\n")
        notes = dict(line.strip().split(": ", 1) for line in rest.splitlines() if ": " in line)
        parts += [
            f"### `{schema.__struct_config__.tag}` ({KIND_OF[schema]})",
            "",
            head,
            "",
            "| field | type | what it is |",
        ]
        parts.append("|---|---|---|")
        for info in msgspec.structs.fields(schema):
            parts.append(f"| `{info.name}` | {_type_name(info.type)} | {notes[info.name]} |")
        parts.append("")
    return "\n".join(parts)


def _type_name(kind: Any) -> str:
    names = {int: "integer", str: "text", bool: "true or false"}
    if kind in names:
        return names[kind]
    return " or ".join(names.get(part, "null") for part in kind.__args__)


def _amount(event: Any) -> int:
    return int((event.amount_high << 64) | event.amount_low)


def _present(value: Any) -> int | None:
    return None if int(value) == ABSENT else int(value)


def _price(raw: Any, decimals: int) -> str | None:
    return None if int(raw) == ABSENT else decimal_text(int(raw), decimals)
