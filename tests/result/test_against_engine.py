"""Tables and statistics of real runs: what they say must be what the engine's own ledger says; the examples trade."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from replay.events import EventKind, from_bytes
from replay.records import Kind, as_bytes, empty
from replay.result.builder import ResultBuilder
from replay.result.result import Result

pytest.importorskip("replay._engine", reason="the engine is not built")

from replay._engine import Engine
from replay.strategies.breakout import Breakout
from replay.strategies.mean_reversion import MeanReversion
from replay.strategies.sma_cross import SmaCross
from replay.strategy import Strategy

from .excursion_search import Filled, search

START = 1_700_000_000_000_000_000
BATCH = 20_000


def _setup(names: list[str], *, multiplier: str = "1", latency_ns: int = 5_000_000, decimals: int = 8) -> bytes:
    instrument = {
        "venue": 0,
        "tick": "0.01",
        "lot": "0.00001",
        "price_decimals": 2,
        "size_decimals": 5,
        "quote": "USDT",
        "base": None,
        "multiplier": multiplier,
        "min_notional": None,
        "allow_negative_price": False,
        "source": "quote+trade",
        "sizes": "full",
        "bar_length": None,
        "bar_price": "trade",
        "kinds": ["quote", "trade"],
        "sessions": None,
    }
    venue = {
        "name": "exchange",
        "fees": {"maker": "-0.00005", "taker": "0.0001", "rounding": "order"},
        "latency_ns": dict.fromkeys(("entry", "cancel", "amend", "response"), latency_ns),
        "beyond_top": "walk",
        "slippage_ticks": 0,
        "print_at_limit": "none",
        "bar_touch": False,
        "bar_path": "nearer",
        "bar_market": "next_open",
        "max_share": "1.0",
        "bar_grace_ns": 0,
    }
    document = {
        "seed": 7,
        "trading_start_ns": None,
        "equity_every_ns": 60_000_000_000,
        "one_clock": True,
        "max_ahead_ns": 10_000_000_000,
        "max_gap_ns": 2_592_000_000_000_000,
        "plausible_from_ns": 0,
        "late": "accept",
        "leap": "halt",
        "gap": "halt",
        "bar_lengths": [60_000_000_000],
        "currencies": [{"name": "USDT", "decimals": decimals}],
        "account": {"kind": "margin", "leverage": "50", "currency": "USDT", "cash": {"USDT": "100000"}},
        "risk": {"max_order_size": None, "max_order_notional": None, "max_position": None},
        "venues": [venue],
        "instruments": [{**instrument, "symbol": "BTCUSDT"}, {**instrument, "symbol": "ETHUSDT"}],
        "strategies": [{"name": name} for name in names],
    }
    return json.dumps(document).encode()


def _market(count: int, seed: int = 3) -> Any:
    """Quotes and trades of two instruments, half a second apart."""
    random = np.random.default_rng(seed)
    records = empty(count)
    records["instrument"] = np.arange(count) % 2
    records["kind"] = Kind.QUOTE
    records["ts_event"] = records["ts_recv"] = START + np.arange(count) * 500_000_000
    for instrument, base in ((0, 6_000_000), (1, 300_000)):
        rows = np.flatnonzero(records["instrument"] == instrument)
        bid = np.floor(base * np.exp(np.cumsum(random.normal(0, 0.0003, len(rows))))).astype(np.int64)
        records["a"][rows] = bid
        records["b"][rows] = bid + random.integers(1, 5, len(rows))
    records["c"], records["d"] = random.integers(1, 500, (2, count)) * 1_000
    trades = np.flatnonzero(random.random(count) < 0.2)
    side = random.integers(1, 3, len(trades))
    price = np.where(side == 1, records["b"][trades], records["a"][trades])
    records["kind"][trades], records["side"][trades], records["a"][trades] = Kind.TRADE, side, price
    records["b"][trades], records["c"][trades], records["d"][trades] = random.integers(1, 5_000, len(trades)), trades, 0
    return records


def _run(
    setup: bytes, strategies: list[Strategy], records: Any, batch: int = BATCH
) -> tuple[Result, dict[str, Any], bytes]:
    engine = Engine(setup, strategies)
    builder = ResultBuilder(setup, engine.ledger_scales(), name="example")
    log = []
    for start in range(0, len(records), batch):
        part = records[start : start + batch]
        engine.run(as_bytes(part).data)
        log.append(engine.take_events())
        builder.add_events(log[-1], engine.take_excursions())
        builder.add_equity(engine.take_equity())
        builder.add_records(part)
    engine.finish()
    state = engine.state()
    result = builder.finish(digest=engine.digest(), state=state, counts=engine.counters())
    return result, state, b"".join(log)


class Restless(Strategy):
    """Sends orders of every type at random, so that every kind of event and of position change comes about."""

    def on_quote(self, quote: Any) -> None:
        """Now and then send, amend or cancel something."""
        draw = self.rng.random()
        if draw > 0.02:
            return
        size = round(0.1 + 4 * self.rng.random(), 2)
        side = self.buy if self.rng.random() < 0.5 else self.sell
        away = round(quote.mid * 0.0005, 2)
        price = round(quote.mid, 2)
        if draw < 0.008:
            side(quote.symbol, size)
        elif draw < 0.012:
            side(quote.symbol, size, limit=round(price + (away if draw < 0.010 else -away), 2))
        elif draw < 0.014:
            up = side == self.buy
            side(quote.symbol, size, stop=round(price + away if up else price - away, 2), limit=price)
        elif draw < 0.016:
            self.cancel_all(quote.symbol)
        elif draw < 0.018:
            for order in self.orders(quote.symbol)[:2]:
                self.amend(order.id, quantity=size)
        else:
            self.close(quote.symbol)


@pytest.mark.parametrize(("multiplier", "decimals"), [("1", 8), ("0.05", 2)])
def test_positions_fees_and_turnover_are_those_of_the_ledger(multiplier: str, decimals: int) -> None:
    setup = _setup(["one", "two"], multiplier=multiplier, decimals=decimals)
    result, state, log = _run(setup, [Restless(), Restless()], _market(40_000))
    kinds = set(from_bytes(log)["kind"].tolist())
    assert kinds >= {EventKind.NEW, EventKind.FILL, EventKind.TRIGGERED, EventKind.CANCELED, EventKind.REPLACED}
    assert hashlib.sha256(log).hexdigest() == result.digest
    positions = result.positions
    assert len(state["positions"]) == 4
    for row in state["positions"]:
        rows = np.flatnonzero((positions["strategy"] == row["strategy"]) & (positions["symbol"] == row["symbol"]))
        last = positions.row(int(rows[-1]))
        assert last["quantity"] == row["quantity"]
        assert last["realised"] == float(Decimal(row["realised"]))
        assert last["fees"] == float(Decimal(row["fees"]))
        assert (last["average_price"] or 0.0) == pytest.approx(row["average_price"], rel=1e-12)
    fees = sum(Decimal(row["fees"]) for row in state["positions"])
    assert result.stats["fees"] == pytest.approx(float(fees), rel=1e-12)
    traded = float(Decimal(state["turnover"]))
    prices, sizes = result.fills["price"], result.fills["size"]
    assert float(np.sum(prices * sizes)) * float(multiplier) == pytest.approx(traded, rel=1e-9)
    assert result.stats["end_equity"] == float(Decimal(state["equity"]))


def test_trades_and_open_positions_make_up_the_whole_result() -> None:
    result, state, _ = _run(_setup(["one"]), [Restless()], _market(30_000, seed=9))
    closed = float(np.sum(result.trades["gross"]))
    realised = sum(float(Decimal(row["realised"])) for row in state["positions"])
    assert result.stats["trades"] == len(result.trades) > 20
    last_trips = 0.0
    for row in state["positions"]:
        marks = float(state["marks"][row["symbol"]][1])
        last_trips += row["quantity"] * (marks - row["average_price"])
    gross = result.stats["gross_pnl"]
    assert gross is not None and gross == pytest.approx(realised + last_trips, abs=1e-6)
    assert abs(closed - realised) < abs(realised) + 1e5


def _marks_of_quotes(records: Any, instrument: int) -> list[tuple[int, Fraction]]:
    """Give the number of each record that makes a mark, and that mark."""
    rows = np.flatnonzero((records["instrument"] == instrument) & (records["kind"] == Kind.QUOTE))
    doubled = (records["a"][rows] + records["b"][rows]).tolist()
    return [(row, Fraction(mark, 200)) for row, mark in zip(rows.tolist(), doubled, strict=True)]


def _prices_of_bars(records: Any, instrument: int) -> list[tuple[int, Fraction]]:
    rows = np.flatnonzero(records["instrument"] == instrument).tolist()
    return [(row, Fraction(int(records[name][row]), 100)) for row in rows for name in "abcd"]


def _searched(
    result: Result, strategy: str, symbol: str, prices: list[tuple[int, Fraction]]
) -> list[tuple[float, float]]:
    """Find the excursions of a position from its fills and every price of the tape.

    A fill comes before what its record brings: orders that arrive between records, and those that a record fills.
    """
    fills = result.fills
    at = np.flatnonzero((fills["strategy"] == strategy) & (fills["symbol"] == symbol))
    numbers = [row for row, _ in prices]
    walked, before = [], 0
    for row in at.tolist():
        limit = bisect_left(numbers, fills["tape_seq"][row])
        between = [price for _, price in prices[before:limit]]
        price, size = Fraction(int(fills["price_raw"][row]), 100), Fraction(int(fills["size_raw"][row]), 10**5)
        walked.append(Filled(fills["side"][row] == "buy", price, size, between))
        before = limit
    return [(float(worst), float(best)) for worst, best in search(walked)]


def _noted(result: Result, strategy: str, symbol: str) -> list[tuple[float, float]]:
    trades = result.trades
    at = (trades["strategy"] == strategy) & (trades["symbol"] == symbol)
    return list(zip(trades["mae"][at].tolist(), trades["mfe"][at].tolist(), strict=True))


@pytest.mark.parametrize("batch", [BATCH, 7])
def test_excursions_are_those_that_a_search_of_the_whole_tape_finds(batch: int) -> None:
    setup, records = _setup(["one", "two"]), _market(20_000, seed=5)
    result, _, _ = _run(setup, [Restless(), Restless()], records, batch)
    assert len(result.trades) > 60 and np.any(result.trades["fills"] > 3)
    for instrument, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        prices = _marks_of_quotes(records, instrument)
        for strategy in ("one", "two"):
            assert _noted(result, strategy, symbol) == _searched(result, strategy, symbol, prices)
    for name in ("average_adverse_excursion", "average_favourable_excursion", "edge_ratio", "captured_excursion"):
        assert result.stats[name] is not None and name not in result.undefined


class AtOpens(Strategy):
    """Trades with market orders only: on bars they fill at the next open."""

    def on_bar(self, bar: Any) -> None:
        """Now and then buy, sell or close."""
        draw = self.rng.random()
        if draw < 0.1:
            self.close(bar.symbol)
        elif draw < 0.4:
            side = self.buy if self.rng.random() < 0.5 else self.sell
            side(bar.symbol, 1 + round(3 * self.rng.random()))


def test_on_bars_the_low_and_the_high_of_every_whole_bar_count() -> None:
    setup = json.loads(_setup(["one", "two"]))
    for row in setup["instruments"]:
        row |= {"source": "bar", "bar_length": 0, "kinds": ["bar"]}
    for venue in setup["venues"]:
        venue["latency_ns"] = dict.fromkeys(venue["latency_ns"], 0)
    random, records = np.random.default_rng(8), empty(4_000)
    records["instrument"] = np.arange(len(records)) % 2
    records["kind"], records["e"] = Kind.BAR, 10**9
    records["ts_event"] = records["ts_recv"] = START + (np.arange(len(records)) // 2) * 60_000_000_000
    around = 600_000 + random.integers(-500, 500, (2, len(records)))
    records["a"], records["d"] = around
    records["b"] = np.max(around, axis=0) + random.integers(0, 300, len(records))
    records["c"] = np.min(around, axis=0) - random.integers(0, 300, len(records))
    result, _, _ = _run(json.dumps(setup).encode(), [AtOpens(), AtOpens()], records)
    assert len(result.trades) > 100
    for instrument, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        prices = _prices_of_bars(records, instrument)
        for strategy in ("one", "two"):
            assert _noted(result, strategy, symbol) == _searched(result, strategy, symbol, prices)


def test_the_table_of_orders_has_the_state_of_every_order() -> None:
    result, state, log = _run(_setup(["one"]), [Restless()], _market(30_000, seed=4))
    events = from_bytes(log)
    orders = result.orders
    named = events[(events["kind"] != EventKind.POSTING)]["order_id"]
    assert orders["order_id"].tolist() == sorted(set(named.tolist()))
    still_open = orders["order_id"][orders.integers("ended_time") == -(2**63)].tolist()
    assert still_open == sorted(row["order_id"] for row in state["open_orders"])
    assert np.all((orders["filled"] == orders["quantity"]) == (orders["state"] == "filled"))
    fills = result.fills
    for order_id in orders["order_id"][orders["fills"] > 1][:20].tolist():
        own = fills["order_id"] == order_id
        at = int(np.flatnonzero(orders["order_id"] == order_id)[0])
        average = float(np.sum(fills["price"][own] * fills["size"][own]) / np.sum(fills["size"][own]))
        assert orders["average_price"][at] == pytest.approx(average, rel=1e-12)
        assert orders["fees"][at] == pytest.approx(float(np.sum(fills["fee"][own])), abs=1e-9)


def test_marks_read_from_the_tape_are_those_of_the_engine() -> None:
    setup, records = _setup(["one"]), _market(10_000)
    engine = Engine(setup, [Restless()])
    engine.run(as_bytes(records).data)
    builder = ResultBuilder(setup, engine.ledger_scales())
    builder.add_records(records)
    builder.flush()
    stats, marks = builder.summary(), engine.state()["marks"]
    for symbol, (first, last) in marks.items():
        assert stats[f"buy_and_hold_return.{symbol}"] == pytest.approx(float(last) / float(first) - 1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("strategy", "fewest", "most"),
    [
        (SmaCross(symbol="BTCUSDT", size=1.0), 20, 200),
        (MeanReversion(symbol="ETHUSDT", size=5.0), 10, 200),
        (Breakout(symbol="BTCUSDT", size=0.5, length="1m", window=30), 10, 200),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Strategy) else str(value),
)
def test_the_examples_trade_at_a_sensible_rate(strategy: Strategy, fewest: int, most: int) -> None:
    result, state, _ = _run(_setup(["example"]), [strategy], _market(200_000))
    assert fewest <= len(result.trades) <= most
    assert state["balanced"] and len(state["in_flight"]) == 0
    assert set(result.orders["state"].tolist()) <= {"filled", "canceled", "new"}


def test_the_breakout_s_position_is_without_its_stop_for_one_bar_at_most() -> None:
    class Watched(Breakout):
        """Notes whenever a bar closes on a position for which no stop of its size waits on the other side."""

        def on_bar(self, bar: Any) -> None:
            """Look before the strategy does."""
            held = self.position(self.symbol).quantity
            away = "sell" if held > 0 else "buy"
            stops = [o.leaves for o in self.orders(self.symbol) if o.stop is not None and o.side == away]
            if held != 0 and max(stops, default=0.0) < abs(held):
                unprotected.append(bar.end)
            super().on_bar(bar)

    unprotected: list[int] = []
    result, _, _ = _run(_setup(["example"]), [Watched(length="1m", window=30)], _market(100_000))
    assert len(result.trades) > 5
    assert len(unprotected) <= 3 and all(after - before > 60_000_000_000 for before, after in pairwise(unprotected))
