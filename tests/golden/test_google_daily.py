"""A moving average cross on daily bars with published statistics: KNOWN_GOOD S22.

The source fills at the next open with as many shares as the cash buys there; so the tape has each day's open as a
trade, and its close as another at the day's end, and the strategy trades at the open.
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
from replay import Strategy, stats
from replay.records import Kind, empty

pytestmark = pytest.mark.data

HOUR_NS = 3_600_000_000_000
Shared = Callable[[str], Path]


class Cross(Strategy):
    """SMA(10) over SMA(30): always in the market from the first cross on."""

    days: int = 0

    def on_start(self) -> None:
        self.closes: list[float] = []
        self.wanted = 0
        self.is_open = False
        self.seen = 0

    def on_trade(self, trade: Any) -> None:
        self.is_open = not self.is_open
        if self.is_open:
            self.seen += 1
            self.trade_at(Decimal(repr(trade.price)))
        else:
            self.closes.append(trade.price)
            self.decide()

    def decide(self) -> None:
        """Look for a cross at the close of a day."""
        self.wanted = 0
        if len(self.closes) < 31:
            return
        before, now = (
            float(np.mean(self.closes[end - 10 : end])) - float(np.mean(self.closes[end - 30 : end]))
            for end in (len(self.closes) - 1, len(self.closes))
        )
        self.wanted = 1 if before < 0 < now else -1 if before > 0 > now else 0

    def trade_at(self, price: Decimal) -> None:
        """Do at the open what the last close decided; the last day's open ends the last trade."""
        held = int(self.position("GOOG").quantity)
        if self.seen == self.days:
            if held:
                self.close("GOOG")
            return
        if self.wanted == 0:
            return
        equity = Decimal(repr(self.account.cash)) + held * price
        size = int(Decimal("0.9999") * equity / price)
        if held:
            self.close("GOOG")
        (self.buy if self.wanted > 0 else self.sell)("GOOG", size)


@pytest.fixture(scope="module")
def rows(shared_data: Shared) -> list[list[str]]:
    with gzip.open(shared_data("backtesting-py") / "GOOG.csv.gz", "rt") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def result(rows: list[list[str]]) -> replay.Result:
    tape = empty(2 * len(rows))
    midnight = [int(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp()) * 10**9 for row in rows]
    tape["kind"] = Kind.TRADE
    tape["ts_event"][0::2] = np.array(midnight) + 9 * HOUR_NS
    tape["ts_event"][1::2] = np.array(midnight) + 16 * HOUR_NS
    tape["a"][0::2] = [int(Decimal(row[1]).scaleb(2)) for row in rows]
    tape["a"][1::2] = [int(Decimal(row[4]).scaleb(2)) for row in rows]
    tape["b"] = 1
    tape["ts_recv"] = tape["ts_event"]
    return replay.backtest(
        Cross,
        tape,
        instruments={"symbol": "GOOG", "tick": "0.01", "lot": "1", "quote": "USD"},
        cash={"USD": "10000"},
        params={"days": len(rows)},
        account={"kind": "margin", "leverage": "10"},
        venue=[{"name": "venue", "sizes": "none"}],
        run={"periods_per_year": 252},
    )


def test_s22_trades_and_equity_are_those_of_the_source(result: replay.Result) -> None:
    trades = result.trades.to_dict()
    assert len(trades["net"]) == 66
    assert float(result.stats["end_equity"] or 0) == pytest.approx(51_422.99, abs=0.005)
    first = list(zip(trades["side"], trades["max_size"], trades["entry_price"], trades["exit_price"], strict=True))[:3]
    assert first == [("short", 55, 180.36, 186.31), ("long", 51, 186.31, 193.69), ("short", 51, 193.69, 196.96)]
    assert [row["quantity"] for row in result.open_positions] == [0]


def test_s22_the_statistics_are_those_of_the_source(result: replay.Result, rows: list[list[str]]) -> None:
    """Its drawdown and returns stand on the equity at each day's close; so ours are taken from the closes, too."""
    found = result.stats
    assert found["total_return"] == pytest.approx(4.142299, abs=5e-7)
    assert found["win_rate"] == pytest.approx(0.469696969697)
    closes = _equity_at_closes(result)
    returns = stats.returns_of(closes[1:], closes[0])
    assert stats.maximum_drawdown(closes) == pytest.approx(-0.479801270501, abs=5e-7)
    assert float(np.max(closes)) == pytest.approx(75_787.44, abs=0.005)
    assert stats.annualised_return(returns, 252) == pytest.approx(0.211910992491)
    trade_returns = stats.trade_returns(result.trades["gross"], result.trades["entry_value"])
    assert stats.best_trade_return(result.trades["gross"], result.trades["entry_value"]) == pytest.approx(
        0.535959522945
    )
    assert stats.worst_trade_return(result.trades["gross"], result.trades["entry_value"]) == pytest.approx(
        -0.183988735384
    )
    # The source's profit factor is of the returns of the trades, its SQN of their results.
    assert stats.profit_factor(trade_returns) == pytest.approx(2.1679459743)
    assert stats.system_quality_number(result.trades["net"]) == pytest.approx(1.0766187357)
    # Buy and hold from the first close that the averages know to the last one.
    first, last = (float(rows[place][4]) for place in (29, -1))
    assert last / first - 1 == pytest.approx(5.220601851852)


def _equity_at_closes(result: replay.Result) -> Any:
    """Give the equity at the end of each day: its last point."""
    days = result.equity["time"].astype("datetime64[D]")
    is_last = np.append(days[1:] != days[:-1], True)
    return result.equity["equity"][is_last]
