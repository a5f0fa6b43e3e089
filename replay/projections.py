"""Projections: the tables that a run's event log (fills, orders, positions, trades) and its equity points make.

May not live here: decisions, statistics, files. All of it can be rebuilt from the event log and the run's setup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.events import ABSENT, FLAG_UNSIZED, EventKind, Liquidity, OrderType, TimeInForce
from replay.positions import Position, PositionChange, RoundTrip, half_even
from replay.reasons import reason_name
from replay.records import Side
from replay.tables import ABSENT_INTEGER, Column, Table, Words, boolean, integer, real, text, time

FILLS: tuple[Column, ...] = (
    time("time"),
    text("symbol"),
    text("strategy"),
    integer("order_id"),
    text("side"),
    real("price"),
    real("size"),
    real("fee"),
    text("fee_currency"),
    text("liquidity"),
    boolean("unsized"),
    time("seen_time"),
    integer("tape_seq"),
    integer("event_index"),
    integer("price_raw"),
    integer("size_raw"),
    integer("fee_raw"),
)
"""One row per fill. `time` is the venue's, `seen_time` when the strategy was told. `unsized`: the source has no sizes.
The `_raw` columns are exact: price and size in units of 10^-price_decimals and 10^-size_decimals of the instrument,
the fee in 10^-decimals of its currency (null where it does not fit; the event log always has it)."""

ORDERS: tuple[Column, ...] = (
    integer("order_id"),
    text("strategy"),
    text("symbol"),
    text("type"),
    text("time_in_force"),
    text("side"),
    real("quantity"),
    real("filled"),
    real("limit"),
    real("trigger"),
    time("expire"),
    text("state"),
    text("reason"),
    time("created_time"),
    time("triggered_time"),
    time("ended_time"),
    real("average_price"),
    real("fees"),
    text("fee_currency"),
    integer("fills"),
    integer("quantity_raw"),
    integer("filled_raw"),
    integer("limit_raw"),
    integer("trigger_raw"),
)
"""One row per order, as the venue had it last. In the file, orders stand as they ended and open ones last."""

POSITIONS: tuple[Column, ...] = (
    time("time"),
    text("strategy"),
    text("symbol"),
    real("quantity"),
    real("average_price"),
    real("realised"),
    real("fees"),
    text("currency"),
    integer("order_id"),
    integer("tape_seq"),
    integer("quantity_raw"),
)
"""One row per change of a position of one strategy in one instrument. `quantity` is signed; `realised` (before fees)
and `fees` are totals since the start of the run, in `currency`; a flip makes two rows."""

TRADES: tuple[Column, ...] = (
    text("strategy"),
    text("symbol"),
    text("side"),
    time("entry_time"),
    time("exit_time"),
    real("entry_price"),
    real("exit_price"),
    real("max_size"),
    real("gross"),
    real("fees"),
    real("net"),
    text("currency"),
    integer("fills"),
    integer("first_order_id"),
    integer("last_order_id"),
)
"""One row per round trip: from flat to flat, or to a flip. Prices are averages of the opening and of the closing fills.
`fees` and `net` are absent where the fee is in a currency that the fill's price cannot value."""

EQUITY_POINTS: tuple[Column, ...] = (
    time("time"),
    integer("tape_seq"),
    real("equity"),
    real("cash"),
    real("exposure"),
)
"""One row per equity point, in the account's currency; `exposure` is the gross value of the positions."""

MARKS: tuple[Column, ...] = (time("time"), text("symbol"), real("price"))
"""Sampled marks of the instruments, for plots: a thinned series, not every mark."""

_SIDES = ("none", "buy", "sell")
_LIQUIDITY = ("none", "maker", "taker")
_ORDER_TYPES = ("none", "market", "limit", "stop_market", "stop_limit")
_TIMES_IN_FORCE = ("none", "GTC", "IOC", "FOK", "GTD", "DAY")

assert [_SIDES[side].upper() for side in Side] == [side.name for side in Side]
assert [_LIQUIDITY[kind].upper() for kind in Liquidity] == [kind.name for kind in Liquidity]
assert [_ORDER_TYPES[kind].upper() for kind in OrderType] == [kind.name for kind in OrderType]
assert [_TIMES_IN_FORCE[kind] for kind in TimeInForce] == [kind.name for kind in TimeInForce]


# -- the scales of a run


@dataclass(frozen=True)
class InstrumentScale:
    """What a raw price or size of one instrument means."""

    symbol: str
    price_decimals: int
    size_decimals: int
    multiplier: Decimal
    quote: str
    base: str | None
    source: str
    """Which records make its mark: quote+trade, quote, trade, bar."""
    sizes: str
    """full, or none where the feed shows no sizes."""
    bar_length: int | None
    bar_price: str


class RunScales:
    """Names and decimal scales of a run: of its instruments, strategies and currencies."""

    def __init__(self, setup: bytes, ledger_scales: Sequence[int]) -> None:
        """Read the engine's setup; `ledger_scales` gives the decimals of each currency's amounts in the event log."""
        decoded = msgspec.json.decode(setup)
        self.currencies: list[str] = [row["name"] for row in decoded["currencies"]]
        self.currency_decimals: list[int] = [int(row["decimals"]) for row in decoded["currencies"]]
        self.ledger_scales = [int(scale) for scale in ledger_scales]
        if len(self.ledger_scales) != len(self.currencies):
            raise ValueError(f"{len(self.ledger_scales)} ledger scales for {len(self.currencies)} currencies")
        self.strategies: list[str] = [row["name"] for row in decoded["strategies"]]
        self.instruments = [
            InstrumentScale(
                symbol=row["symbol"],
                price_decimals=int(row["price_decimals"]),
                size_decimals=int(row["size_decimals"]),
                multiplier=Decimal(row.get("multiplier") or "1"),
                quote=row["quote"],
                base=row.get("base"),
                source=row.get("source", "quote"),
                sizes=row.get("sizes", "full"),
                bar_length=row.get("bar_length"),
                bar_price=row.get("bar_price", "trade"),
            )
            for row in decoded["instruments"]
        ]
        account = decoded["account"]
        self.account_currency: str = account["currency"]
        self.cash = {name: Decimal(value) for name, value in account.get("cash", {}).items()}
        self.trading_start_ns: int | None = decoded.get("trading_start_ns")
        self.equity_every_ns = int(decoded.get("equity_every_ns") or 60_000_000_000)
        self.symbols = tuple(row.symbol for row in self.instruments)
        self.price_units = np.array([10.0**row.price_decimals for row in self.instruments])
        self.size_units = np.array([10.0**row.size_decimals for row in self.instruments])
        self.ledger_units = np.array([10.0**scale for scale in self.ledger_scales])

    def currency_index(self, name: str) -> int:
        """Give the place of a currency in the run's table."""
        return self.currencies.index(name)

    @property
    def start_equity(self) -> float | None:
        """Equity before the first record: the cash, where all of it is in the account's currency."""
        held = {name for name, amount in self.cash.items() if amount}
        return float(self.cash.get(self.account_currency, Decimal(0))) if held <= {self.account_currency} else None


# -- fills


def fills_table(fills: NDArray[Any], scales: RunScales) -> Table:
    """Make the rows of fill events (kind FILL only), in their order."""
    instrument = fills["instrument"]
    currency = fills["currency"]
    fees = amounts(fills)
    values = {
        "time": fills["venue_time"],
        "symbol": Words(instrument.astype(np.int32), scales.symbols),
        "strategy": Words(fills["strategy"].astype(np.int32), tuple(scales.strategies)),
        "order_id": fills["order_id"],
        "side": Words(fills["side"].astype(np.int32), _SIDES),
        "price": fills["last_price"] / scales.price_units[instrument],
        "size": fills["last_size"] / scales.size_units[instrument],
        "fee": fees.astype(np.float64) / scales.ledger_units[currency],
        "fee_currency": Words(currency.astype(np.int32), tuple(scales.currencies)),
        "liquidity": Words(fills["liquidity"].astype(np.int32), _LIQUIDITY),
        "unsized": (fills["flags"] & FLAG_UNSIZED) != 0,
        "seen_time": fills["answer_time"],
        "tape_seq": fills["tape_seq"],
        "event_index": fills["index"],
        "price_raw": fills["last_price"],
        "size_raw": fills["last_size"],
        "fee_raw": _fees_raw(fees, currency, scales),
    }
    return Table("fills", FILLS, values)


def amounts(events: NDArray[Any]) -> NDArray[Any]:
    """Give the 128-bit amounts of events: int64 where all fit, Python integers otherwise."""
    low = events["amount_low"].astype(np.int64)
    high = events["amount_high"]
    if np.array_equal(high, low >> 63):
        return low
    pairs = zip(high.tolist(), events["amount_low"].tolist(), strict=True)
    return np.array([(upper << 64) | lower for upper, lower in pairs], dtype=object)


def _fees_raw(fees: NDArray[Any], currency: NDArray[Any], scales: RunScales) -> NDArray[np.int64]:
    raw = np.full(len(fees), ABSENT_INTEGER, dtype=np.int64)
    for index in np.unique(currency).tolist():
        rows = np.flatnonzero(currency == index)
        surplus = scales.ledger_scales[index] - scales.currency_decimals[index]
        if fees.dtype == np.int64 and 0 <= surplus <= 18:
            whole, rest = np.divmod(fees[rows], 10**surplus)
            raw[rows] = np.where(rest == 0, whole, ABSENT_INTEGER)
            continue
        for row, fee in zip(rows.tolist(), fees[rows].tolist(), strict=True):
            units, rest = divmod(int(fee) * 10 ** max(-surplus, 0), 10 ** max(surplus, 0))
            if rest == 0 and ABSENT_INTEGER < units < 2**63:
                raw[row] = units
    return raw


# -- orders


class _Order:
    """What is known of one order so far."""

    __slots__ = (
        "created_time",
        "ended_time",
        "excess",
        "expire",
        "fee_currency",
        "fees",
        "filled",
        "fills",
        "first_price",
        "instrument",
        "limit",
        "order_id",
        "order_type",
        "quantity",
        "reason",
        "side",
        "state",
        "strategy",
        "time_in_force",
        "trigger",
        "triggered_time",
    )

    def __init__(self, order_id: int, strategy: int, instrument: int, side: int, order_type: int, tif: int) -> None:
        self.order_id = order_id
        self.strategy = strategy
        self.instrument = instrument
        self.side = side
        self.order_type = order_type
        self.time_in_force = tif
        self.state = "new"
        self.reason: str | None = None
        self.created_time = self.triggered_time = self.ended_time = ABSENT
        self.quantity = self.filled = 0
        self.limit = self.trigger = self.expire = ABSENT
        self.fees = 0
        self.fee_currency = -1
        self.fills = 0
        self.first_price = 0
        self.excess = 0


_ENDS = {
    int(EventKind.REJECTED): "rejected",
    int(EventKind.CANCELED): "canceled",
    int(EventKind.EXPIRED): "expired",
}
_ORDER_FIELDS = (
    *("kind", "order_id", "strategy", "instrument", "side", "order_type", "time_in_force", "venue_time", "reason"),
    *("currency", "quantity", "filled", "limit", "trigger", "expire", "last_price", "last_size"),
)


class OrderProjection:
    """Follows every order from its first event to its end; keeps only those that are open."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._open: dict[int, _Order] = {}
        self.count = 0
        """Orders seen so far."""

    def add(self, events: NDArray[Any]) -> Table:
        """Take events in order; give the rows of the orders that they end."""
        events = events[events["kind"] < EventKind.POSTING]
        if not len(events):
            return Table.empty("orders", ORDERS)
        columns = [events[name].tolist() for name in _ORDER_FIELDS]
        ended: list[_Order] = []
        orders = self._open
        for (
            kind,
            order_id,
            strategy,
            instrument,
            side,
            order_type,
            tif,
            venue_time,
            reason,
            currency,
            quantity,
            filled,
            limit,
            trigger,
            expire,
            last_price,
            last_size,
            fee,
        ) in zip(*columns, amounts(events).tolist(), strict=True):
            if kind in (EventKind.CANCEL_REJECTED, EventKind.AMEND_REJECTED):
                continue
            order = orders.get(order_id)
            if order is None:
                order = orders[order_id] = _Order(order_id, strategy, instrument, side, order_type, tif)
                order.created_time = venue_time
                self.count += 1
                order.quantity, order.limit, order.trigger, order.expire = quantity, limit, trigger, expire
            if kind == EventKind.FILL:
                if order.fills == 0:
                    order.first_price = last_price
                order.excess += (last_price - order.first_price) * last_size
                order.fills += 1
                order.filled = filled
                order.fees += fee
                order.fee_currency = currency
                order.state = "partially_filled"
                if filled >= order.quantity:
                    order.state = "filled"
            elif kind == EventKind.TRIGGERED:
                order.state = "triggered"
                order.triggered_time = venue_time
            elif kind == EventKind.REPLACED:
                order.quantity, order.limit, order.trigger, order.expire = quantity, limit, trigger, expire
            elif kind in _ENDS:
                order.state = _ENDS[kind]
                order.reason = reason_name(reason) if reason else None
            if order.state in _ENDED:
                order.ended_time = venue_time
                ended.append(orders.pop(order_id))
        return self._table(ended)

    def still_open(self) -> Table:
        """Give the rows of the orders that have not ended, by id."""
        return self._table([self._open[order_id] for order_id in sorted(self._open)])

    def _table(self, orders: Sequence[_Order]) -> Table:
        scales = self._scales
        price = [10 ** scales.instruments[order.instrument].price_decimals for order in orders]
        size = [10 ** scales.instruments[order.instrument].size_decimals for order in orders]
        ledger = [10 ** scales.ledger_scales[max(order.fee_currency, 0)] for order in orders]
        limits = [order.limit for order in orders]
        triggers = [order.trigger for order in orders]
        values = {
            "order_id": [order.order_id for order in orders],
            "strategy": _words((order.strategy for order in orders), scales.strategies),
            "symbol": _words((order.instrument for order in orders), scales.symbols),
            "type": _words((order.order_type for order in orders), _ORDER_TYPES),
            "time_in_force": _words((order.time_in_force for order in orders), _TIMES_IN_FORCE),
            "side": _words((order.side for order in orders), _SIDES),
            "quantity": [order.quantity / unit for order, unit in zip(orders, size, strict=True)],
            "filled": [order.filled / unit for order, unit in zip(orders, size, strict=True)],
            "limit": [_real(raw, unit) for raw, unit in zip(limits, price, strict=True)],
            "trigger": [_real(raw, unit) for raw, unit in zip(triggers, price, strict=True)],
            "expire": [order.expire for order in orders],
            "state": Words.of([order.state for order in orders]),
            "reason": Words.of([order.reason for order in orders]),
            "created_time": [order.created_time for order in orders],
            "triggered_time": [order.triggered_time for order in orders],
            "ended_time": [order.ended_time for order in orders],
            "average_price": [
                (order.first_price * order.filled + order.excess) / (order.filled * unit) if order.fills else np.nan
                for order, unit in zip(orders, price, strict=True)
            ],
            "fees": [order.fees / unit for order, unit in zip(orders, ledger, strict=True)],
            "fee_currency": _words((order.fee_currency for order in orders), scales.currencies),
            "fills": [order.fills for order in orders],
            "quantity_raw": [order.quantity for order in orders],
            "filled_raw": [order.filled for order in orders],
            "limit_raw": limits,
            "trigger_raw": triggers,
        }
        return Table("orders", ORDERS, values)


_ENDED = frozenset(("filled", *_ENDS.values()))


def _real(raw: int, unit: int) -> float:
    return np.nan if raw == ABSENT else raw / unit


def _words(codes: Iterable[int], vocabulary: Sequence[str]) -> Words:
    return Words(np.fromiter(codes, dtype=np.int32), tuple(vocabulary))


# -- positions and trades


class _Holding:
    """A position of one strategy in one instrument, with what turns its integers into numbers."""

    def __init__(self, scales: RunScales, strategy: int, instrument: int) -> None:
        scale = scales.instruments[instrument]
        self.strategy = strategy
        self.instrument = instrument
        self.scale = scale
        sign, digits, exponent = scale.multiplier.as_tuple()
        assert sign == 0 and isinstance(exponent, int), f"multiplier {scale.multiplier}"
        self.multiplier: int = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
        self.multiplier_unit: int = 10 ** max(-exponent, 0)
        quote = scales.currency_index(scale.quote)
        needed = scale.price_decimals + scale.size_decimals + max(-exponent, 0)
        self.ledger_unit: int = 10 ** max(scales.ledger_scales[quote], needed)
        self.fee_factor: int = self.ledger_unit // 10 ** scales.ledger_scales[quote]
        self.size_unit: int = 10**scale.size_decimals
        factor, rest = divmod(
            self.multiplier * self.ledger_unit,
            10**scale.price_decimals * self.size_unit * self.multiplier_unit,
        )
        assert rest == 0, "the ledger scale holds price x size x multiplier"
        self.factor = factor
        self.position = Position(lambda price, size: price * size * factor)
        self.base = scales.currency_index(scale.base) if scale.base in scales.currencies else -1
        self.quote = quote
        self.traded = 0

    def fee_in_quote(self, fee: int, currency: int, price: int, scales: RunScales) -> int | None:
        """Value a fee in the quote currency on this holding's scale: in the base coin, at the fill's price."""
        if fee == 0 or currency == self.quote:
            return fee * self.fee_factor
        if currency == self.base:
            exact: int = fee * price * self.ledger_unit
            unit: int = 10 ** (scales.ledger_scales[currency] + self.scale.price_decimals)
            return half_even(exact, unit)
        return None

    def row(
        self, change: PositionChange, venue_time: int, order_id: int, tape_seq: int, is_known: bool
    ) -> tuple[Any, ...]:
        """Give one row of POSITIONS, words still as indices."""
        return (
            venue_time,
            self.strategy,
            self.instrument,
            change.quantity / self.size_unit,
            self.average_price(change.cost, abs(change.quantity)),
            change.realised / self.ledger_unit,
            change.fees / self.ledger_unit if is_known else np.nan,
            self.quote,
            order_id,
            tape_seq,
            change.quantity,
        )

    def average_price(self, value: int, size: int) -> float:
        """Give the price at which `size` has this value; nan for none."""
        if size == 0:
            return float("nan")
        return value * self.size_unit * self.multiplier_unit / (size * self.multiplier * self.ledger_unit)


_FILL_FIELDS = (
    *("order_id", "strategy", "instrument", "side", "venue_time", "tape_seq", "currency", "last_price", "last_size"),
)


class PositionProjection:
    """Follows the position of every strategy in every instrument, and the round trips that it makes."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        self._holdings: dict[tuple[int, int], _Holding] = {}
        self._unvalued: set[tuple[int, int]] = set()

    def add(self, fills: NDArray[Any]) -> tuple[Table, Table]:
        """Take fill events in order; give the rows of positions and of trades that they make."""
        scales = self._scales
        rows: list[tuple[Any, ...]] = []
        trips: list[tuple[_Holding, RoundTrip, bool]] = []
        columns = [fills[name].tolist() for name in _FILL_FIELDS]
        for order_id, strategy, instrument, side, venue_time, tape_seq, currency, price, size, fee in zip(
            *columns, amounts(fills).tolist(), strict=True
        ):
            key = (strategy, instrument)
            holding = self._holdings.get(key)
            if holding is None:
                holding = self._holdings[key] = _Holding(scales, strategy, instrument)
            quote_fee = holding.fee_in_quote(fee, currency, price, scales)
            if quote_fee is None:
                self._unvalued.add(key)
            is_known = key not in self._unvalued
            changes, trip = holding.position.fill(side == Side.BUY, price, size, quote_fee or 0, venue_time, order_id)
            holding.traded += abs(price) * size * holding.factor
            rows.extend(holding.row(change, venue_time, order_id, tape_seq, is_known) for change in changes)
            if trip is not None:
                trips.append((holding, trip, is_known))
        return self._positions(rows), self._trades(trips)

    def fees(self) -> dict[str, float | None]:
        """Give the fees so far by quote currency; None where some could not be valued in it."""
        totals: dict[str, float | None] = {}
        for key, holding in self._holdings.items():
            name = holding.scale.quote
            so_far = totals.get(name, 0.0)
            is_known = so_far is not None and key not in self._unvalued
            totals[name] = (
                so_far + holding.position.fees / holding.ledger_unit if is_known and so_far is not None else None
            )
        return totals

    def traded(self) -> dict[str, float]:
        """Give the value traded so far by currency."""
        totals: dict[str, float] = {}
        for holding in self._holdings.values():
            name = holding.scale.quote
            totals[name] = totals.get(name, 0.0) + holding.traded / holding.ledger_unit
        return totals

    def _positions(self, rows: list[tuple[Any, ...]]) -> Table:
        scales = self._scales
        if not rows:
            return Table.empty("positions", POSITIONS)
        columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
        columns[1] = _words(columns[1], scales.strategies)
        columns[2] = _words(columns[2], scales.symbols)
        columns[7] = _words(columns[7], scales.currencies)
        return Table("positions", POSITIONS, dict(zip((c.name for c in POSITIONS), columns, strict=True)))

    def _trades(self, trips: Sequence[tuple[_Holding, RoundTrip, bool]]) -> Table:
        scales = self._scales
        values = {
            "strategy": _words((holding.strategy for holding, _, _ in trips), scales.strategies),
            "symbol": _words((holding.instrument for holding, _, _ in trips), scales.symbols),
            "side": Words.of(["long" if trip.is_long else "short" for _, trip, _ in trips]),
            "entry_time": [trip.entry_time for _, trip, _ in trips],
            "exit_time": [trip.exit_time for _, trip, _ in trips],
            "entry_price": [h.average_price(trip.entry_value, trip.entry_size) for h, trip, _ in trips],
            "exit_price": [h.average_price(trip.exit_value, trip.exit_size) for h, trip, _ in trips],
            "max_size": [trip.max_size / holding.size_unit for holding, trip, _ in trips],
            "gross": [trip.gross / holding.ledger_unit for holding, trip, _ in trips],
            "fees": [trip.fees / h.ledger_unit if is_known else np.nan for h, trip, is_known in trips],
            "net": [(trip.gross - trip.fees) / h.ledger_unit if is_known else np.nan for h, trip, is_known in trips],
            "currency": _words((holding.quote for holding, _, _ in trips), scales.currencies),
            "fills": [trip.fills for _, trip, _ in trips],
            "first_order_id": [trip.first_order_id for _, trip, _ in trips],
            "last_order_id": [trip.last_order_id for _, trip, _ in trips],
        }
        return Table("trades", TRADES, values)


# -- equity


def equity_table(points: NDArray[Any]) -> Table:
    """Make the rows of equity points."""
    values = {
        "time": points["ts"],
        "tape_seq": points["tape_seq"],
        "equity": points["equity"],
        "cash": points["cash"],
        "exposure": points["exposure"],
    }
    return Table("equity", EQUITY_POINTS, values)
