"""Whole strategies with published results: KNOWN_GOOD S15, S19, S21 and S23; the others have files of their own.

May not live here: a branch of the product for one of them; where a source's convention differs, the tape says it.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay
from replay import Strategy
from replay.records import BarPrice, Kind, empty

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
FLATTEN = 2
Shared = Callable[[str], Path]


def _rows(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.reader(file))[1:]


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000


def _raw(text: str, decimals: int) -> int:
    return int(Decimal(text).scaleb(decimals))


class EmaFlip(Strategy):
    """EMA(10) over EMA(20) of one-minute bid bars: long or short 0.001, closing before it opens the other side."""

    def on_start(self) -> None:
        bars = self.bars("BTCUSDT", "1m", price="bid")
        self.fast, self.slow = bars.ema(10), bars.ema(20)

    def on_bar(self, bar: Any) -> None:
        if not self.slow.ready or bar.open == bar.high == bar.low == bar.close:
            return
        position = self.position("BTCUSDT").quantity
        if self.fast >= self.slow:
            if position < 0:
                self.buy("BTCUSDT", Decimal("0.001"))
            if position <= 0:
                self.buy("BTCUSDT", Decimal("0.001"))
        else:
            if position > 0:
                self.sell("BTCUSDT", Decimal("0.001"))
            if position >= 0:
                self.sell("BTCUSDT", Decimal("0.001"))


@pytest.fixture(scope="module")
def s15_tape(shared_data: Shared) -> Any:
    """10,000 bars as four quotes each; the source counts the tick at the minute to the bar that ends there.

    Ours counts it to the next one. So it stands 1 ns before, and a Clock record at the minute closes the bar.
    """
    rows = _rows(shared_data("crypto-minute-bars/btc-perp-20211231-20220201_1m.csv.gz"))[:10_000]
    tape = empty(5 * len(rows) + 1)
    for index, row in enumerate(rows):
        time = _ns(row[0])
        for step, (offset, column) in enumerate([(-300_000_000, 1), (-200_000_000, 2), (-100_000_000, 3), (-1, 4)]):
            record = tape[5 * index + step]
            record["ts_event"] = time + offset
            record["a"] = record["b"] = _raw(row[column], 2)
            record["kind"] = Kind.QUOTE
        tape[5 * index + 4]["ts_event"] = time
        tape[5 * index + 4]["kind"] = Kind.CLOCK
        tape[5 * index + 4]["a"] = -1
    tape[-1]["ts_event"] = tape[-2]["ts_event"]
    tape[-1]["kind"] = Kind.COMMAND
    tape[-1]["a"] = FLATTEN
    tape["ts_recv"] = tape["ts_event"]
    return tape


@pytest.fixture(scope="module")
def s15(s15_tape: Any) -> replay.Result:
    return replay.backtest(
        EmaFlip,
        s15_tape,
        instruments={
            "symbol": "BTCUSDT",
            "tick": "0.01",
            "lot": "0.001",
            "quote": "USDT",
            "base": "BTC",
        },
        feed_options={"sizes": "none"},
        cash={"USDT": "10000000", "BTC": "10"},
        account={"kind": "cash"},
        fees={"maker": "0.001", "taker": "0.001"},
    )


def test_s15_ema_cross_on_ticks_made_from_bars(s15: replay.Result) -> None:
    assert s15.counts["engine"]["records"]["quote"] == 40_000
    assert s15.counts["engine"]["events"]["fill"] == 902
    balances = s15.balances
    assert Decimal(balances["USDT"]) == Decimal("9999954.943133")
    assert Decimal(balances["BTC"]) + _position(s15, "BTCUSDT") == 10
    assert s15.stats["fees"] == pytest.approx(41.115867, abs=1e-9)


def test_s15_every_fill_is_that_of_the_source(s15: replay.Result, shared_data: Shared) -> None:
    expected = _rows(shared_data("reference-fills/btcusdt_ema_ticks.csv.gz"))
    fills = s15.fills.to_dict()
    assert len(expected) == len(fills["order_id"])
    ours = zip(fills["time"], fills["side"], fills["price"], fills["fee"], strict=True)
    for row, (time, side, price, fee) in zip(expected, ours, strict=True):
        assert (int(row[0]), row[2].lower(), float(row[4])) == (_as_ns(time), side, price)
        assert float(row[5].split()[0]) == pytest.approx(fee, abs=1e-9)


def _as_ns(time: Any) -> int:
    return int(time) if isinstance(time, int) else int(np.datetime64(time, "ns").astype("int64"))


def _position(result: replay.Result, symbol: str) -> Decimal:
    return sum((Decimal(str(row["quantity"])) for row in result.open_positions if row["symbol"] == symbol), Decimal())


class RoundTrip(Strategy):
    """Buys 100,000 at the second quote, sells at the fourth."""

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if self.seen == 2:
            self.buy("AUDUSD", 100_000)
        if self.seen == 4:
            self.sell("AUDUSD", 100_000)


def test_s19_five_quotes_one_round_trip_on_margin() -> None:
    tape = empty(5)
    tape["ts_event"] = tape["ts_recv"] = _ns("2020-01-01T00:00:00") + MINUTE_NS * np.arange(5)
    tape["a"] = tape["b"] = [70_000, 70_000, 70_010, 70_020, 70_020]
    tape["c"] = tape["d"] = 1_000_000
    tape["kind"] = Kind.QUOTE
    result = replay.backtest(
        RoundTrip,
        tape,
        instruments={"symbol": "AUDUSD", "tick": "0.00001", "lot": "1", "quote": "USD", "base": "AUD"},
        cash={"USD": "1000000"},
        account={"kind": "margin", "leverage": "1"},
        fees={"maker": "0.00002", "taker": "0.00002"},
    )
    fills = result.fills.to_dict()
    assert result.balances["USD"] == "1000017.2"
    assert fills["fee"] == [pytest.approx(1.40), pytest.approx(1.40)]
    assert result.counts["engine"]["events"]["new"] == 2
    assert result.stats["net_pnl"] == pytest.approx(17.20)


class TenCoins(Strategy):
    """Buys 10 at the first bar of bids, sells them at the eleventh."""

    def on_start(self) -> None:
        self.bars("BTCUSDT", "1m", price="bid")
        self.seen = 0

    def on_bar(self, bar: Any) -> None:
        self.seen += 1
        if self.seen == 1:
            self.buy("BTCUSDT", 10)
        if self.seen == 11:
            self.sell("BTCUSDT", 10)


def test_s21_ten_coins_of_a_linear_perpetual_and_back(s15_tape: Any) -> None:
    """The locked (maintenance) margin of the source is not built; its totals are."""
    result = replay.backtest(
        TenCoins,
        s15_tape[: 5 * 15],
        instruments={"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.001", "quote": "USDT"},
        feed_options={"sizes": "none"},
        cash={"USDT": "1000000"},
        account={"kind": "margin", "leverage": "10"},
        fees={"maker": "0.0005", "taker": "0.0005"},
    )
    bought, sold = result.fills.rows()
    assert (bought["price"], bought["fee"], sold["price"]) == (46_377.0, 231.885, 46_448.0)
    assert Decimal(1000000) - Decimal(str(bought["fee"])) == Decimal("999768.115")
    assert Decimal(result.balances["USDT"]) == Decimal("1000245.875")
    assert result.counts["engine"]["events"]["new"] == 2


class CloseCross(Strategy):
    """Close crosses above SMA(15): buy 1; when long and it crosses below: sell."""

    def on_start(self) -> None:
        self.average = self.bars("INDEX", "1d").sma(15)
        self.last_difference = 0.0

    def on_bar(self, bar: Any) -> None:
        if not self.average.ready:
            return
        difference = bar.close - self.average
        before, self.last_difference = self.last_difference, difference or self.last_difference
        position = self.position("INDEX").quantity
        if before < 0 < difference and position == 0:
            self.buy("INDEX", 1)
        if before > 0 > difference and position > 0:
            self.sell("INDEX", 1)


def test_s23_sma_15_close_cross_on_daily_bars(shared_data: Shared) -> None:
    rows = _rows(shared_data("backtrader-datas/2006-day-001.txt.gz"))
    tape = empty(len(rows))
    tape["ts_event"] = tape["ts_recv"] = [_ns(row[0]) + DAY_NS for row in rows]
    for field, column in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        tape[field] = [_raw(row[column], 2) for row in rows]
    tape["kind"] = Kind.BAR
    tape["side"] = BarPrice.TRADE
    result = replay.backtest(
        CloseCross,
        tape,
        instruments={"symbol": "INDEX", "tick": "0.01", "lot": "1", "quote": "EUR", "bar": "1d"},
        feed_options={"sizes": "none"},
        cash={"EUR": "10000"},
        account={"kind": "cash"},
    )
    fills = result.fills.to_dict()
    bought = [price for price, side in zip(fills["price"], fills["side"], strict=True) if side == "buy"]
    sold = [price for price, side in zip(fills["price"], fills["side"], strict=True) if side == "sell"]
    assert bought == [
        3643.35, 3801.03, 3872.37, 3863.57, 3845.32, 3656.43, 3542.65, 3639.65, 3799.86, 3840.20, 4047.63, 4052.55,
    ]  # fmt: skip
    assert sold == [
        3763.95, 3811.85, 3822.35, 3822.57, 3829.82, 3598.58, 3545.92, 3766.80, 3782.15, 3979.73, 4045.05,
    ]  # fmt: skip
    assert result.balances["EUR"] == "6164.16"
    assert result.stats["end_equity"] == pytest.approx(10_284.10)
