"""The columns of a run's tables, what its raw numbers mean, and the rows of fills and equity points.

May not live here: decisions, statistics, files; what needs memory of earlier events (order_rows.py, position_rows.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.events import FLAG_UNSIZED, Liquidity, OrderType, TimeInForce
from replay.records import Side
from replay.result.positions import half_even
from replay.result.tables import ABSENT_INTEGER, Column, Table, Words, boolean, integer, real, text, time

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
    real("entry_value"),
    integer("gross_raw"),
    integer("fees_raw"),
    real("mae", is_newer=True),
    real("mfe", is_newer=True),
)
"""One row per round trip: from flat to flat, or to a flip. Prices are averages of the opening and of the closing fills.
`entry_value` is the value of the opening fills, in `currency`; `fees` and `net` are absent where the fee is in a
currency that the fill's price cannot value. The `_raw` columns are exact: in units of 10^-ledger_scale of the currency
(null where they do not fit). `mae` and `mfe` (maximum adverse and favourable excursion) are the worst and the best
result before fees that it had while it was open, in `currency`: at most 0, and at least 0."""

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

SCHEMAS: dict[str, tuple[Column, ...]] = {
    "fills": FILLS,
    "orders": ORDERS,
    "positions": POSITIONS,
    "trades": TRADES,
    "equity": EQUITY_POINTS,
    "marks": MARKS,
}
"""The tables of a run; each is the file NAME.arrow of the run folder."""

SIDES = ("none", "buy", "sell")
LIQUIDITIES = ("none", "maker", "taker")
ORDER_TYPES = ("none", "market", "limit", "stop_market", "stop_limit")
TIMES_IN_FORCE = ("none", "GTC", "IOC", "FOK", "GTD", "DAY")

assert [SIDES[side].upper() for side in Side] == [side.name for side in Side]
assert [LIQUIDITIES[kind].upper() for kind in Liquidity] == [kind.name for kind in Liquidity]
assert [ORDER_TYPES[kind].upper() for kind in OrderType] == [kind.name for kind in OrderType]
assert [TIMES_IN_FORCE[kind] for kind in TimeInForce] == [kind.name for kind in TimeInForce]


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


class ValueScale:
    """What values of fills of one instrument mean: raw price x raw size x `factor` is exact in units of 1/`unit`."""

    def __init__(self, scales: RunScales, instrument: int) -> None:
        scale = scales.instruments[instrument]
        sign, digits, exponent = scale.multiplier.as_tuple()
        assert sign == 0 and isinstance(exponent, int), f"multiplier {scale.multiplier}"
        multiplier: int = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
        multiplier_unit: int = 10 ** max(-exponent, 0)
        price_unit: int = 10**scale.price_decimals
        size_unit: int = 10**scale.size_decimals
        self.currency = scales.currency_index(scale.quote)
        """Index of the quote currency."""
        ledger_scale = scales.ledger_scales[self.currency]
        self.unit: int = 10 ** max(ledger_scale, scale.price_decimals + scale.size_decimals + max(-exponent, 0))
        self.factor, rest = divmod(multiplier * self.unit, price_unit * size_unit * multiplier_unit)
        assert rest == 0, "the ledger scale holds price x size x multiplier"
        self._fee_factor: int = self.unit // 10**ledger_scale
        self._base = scales.currency_index(scale.base) if scale.base in scales.currencies else -1
        self._base_unit: int = 10 ** scales.ledger_scales[self._base] * price_unit
        self._coin_unit: int = 10 ** scales.ledger_scales[self._base] // size_unit if self._base >= 0 else 1
        self._average = (size_unit * multiplier_unit, multiplier * self.unit)

    def average_price(self, value: int, size: int) -> float:
        """Give the price at which the raw size has this value; nan for no size."""
        times, by = self._average
        return value * times / (size * by) if size else float("nan")

    def raw(self, value: int) -> int:
        """Give a value in 10^-ledger_scale of the quote currency; absent where it is finer, or fits no int64."""
        whole, rest = divmod(value, self._fee_factor)
        return whole if rest == 0 and abs(whole) < -ABSENT_INTEGER else ABSENT_INTEGER

    def fee(self, fee: int, currency: int, price: int) -> int | None:
        """Value a fee in the quote currency: one in the base coin at the fill's price; None for a third currency."""
        if fee == 0 or currency == self.currency:
            return fee * self._fee_factor
        if currency == self._base:
            return half_even(fee * price * self.unit, self._base_unit)
        return None

    def given(self, fee: int, currency: int) -> int:
        """Give the raw size that leaves the position to pay a fee in the base coin; 0 for other fees.

        Only whole raw sizes can leave it: the fee rounded up.
        """
        if currency == self.currency or currency != self._base:
            return 0
        return -(-fee // self._coin_unit)

    def all_given(self, fills: NDArray[Any]) -> NDArray[np.int64]:
        """Give the same of fills of this instrument."""
        if np.all(fills["currency"] == self.currency):
            return np.zeros(len(fills), dtype=np.int64)
        pairs = zip(amounts(fills).tolist(), fills["currency"].tolist(), strict=True)
        return np.array([self.given(fee, currency) for fee, currency in pairs], dtype=np.int64)

    def fees(self, fills: NDArray[Any]) -> list[int | None]:
        """Value the fees of fills of this instrument; None for those that cannot be."""
        exact: list[int | None] = amounts(fills).tolist()
        if self._fee_factor == 1 and np.all(fills["currency"] == self.currency):
            return exact
        columns = (amounts(fills).tolist(), fills["currency"].tolist(), fills["last_price"].tolist())
        return [self.fee(fee, currency, price) for fee, currency, price in zip(*columns, strict=True)]


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
        "side": Words(fills["side"].astype(np.int32), SIDES),
        "price": fills["last_price"] / scales.price_units[instrument],
        "size": fills["last_size"] / scales.size_units[instrument],
        "fee": fees.astype(np.float64) / scales.ledger_units[currency],
        "fee_currency": Words(currency.astype(np.int32), tuple(scales.currencies)),
        "liquidity": Words(fills["liquidity"].astype(np.int32), LIQUIDITIES),
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
