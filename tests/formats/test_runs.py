"""Runs on files of formats decide what runs on their tapes decide, and what the sources of the data published.

May not live here: how a format is read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import replay
from replay import Strategy
from replay.data import convert as data

Find = Callable[[str], Path]


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


@pytest.mark.data
def test_s23_runs_on_the_file_itself(shared_data: Find) -> None:
    result = replay.backtest(
        CloseCross,
        shared_data("backtrader-datas/2006-day-001.txt.gz"),
        instruments={"symbol": "INDEX", "tick": "0.01", "lot": "1", "quote": "EUR", "bar": "1d"},
        feed_options={"format": "yahoo", "symbol": "INDEX", "sizes": "none"},
        cash={"EUR": "10000"},
        account={"kind": "cash"},
    )
    assert result.balances["EUR"] == "6164.16"
    assert result.stats["end_equity"] == pytest.approx(10_284.10)


class BuyOnce(Strategy):
    """Buys at the first bar, and holds."""

    bought = False

    def on_bar(self, bar: Any) -> None:
        if not self.bought:
            self.bought = True
            self.buy("SPY", 688)


@pytest.mark.data
def test_s01_fills_at_the_published_price_on_leans_own_folder(shared_data: Find) -> None:
    # KNOWN_GOOD S01: 688 shares at 144.78172417 (adjusted). Its fee per share is not built, so the end is not compared.
    factors = shared_data("lean-reference/equity/usa/factor_files/spy.csv")
    result = replay.backtest(
        BuyOnce,
        shared_data("lean-equity-bars/equity/usa/minute/spy"),
        instruments={"symbol": "SPY", "tick": "0.00000001", "lot": "1", "quote": "USD"},
        feed_options={"format": "lean", "options": {"factors": str(factors), "hours": "09:30-16:00"}},
        run={"from": "2013-10-07"},
        venue=[{"name": "venue", "sizes": "none"}],
        cash={"USD": "100000"},
    )
    fills = result.fills.to_dict()
    assert fills["price"] == [pytest.approx(144.78172417, abs=1e-9)]
    assert fills["size"] == [688]


class Turning(Strategy):
    """Turns around at every tenth quote."""

    seen = 0

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if self.seen % 10 == 0:
            self.target("EURUSD", 1 if self.seen % 20 else -1)


@pytest.mark.data
def test_a_file_its_tape_and_its_parquet_give_one_digest(shared_data: Find, tmp_path: Path) -> None:
    source = shared_data("fx-ticks-truefx-histdata/quote_tick_data.csv.gz")
    data.convert([source], tmp_path / "t.npy", symbol="EURUSD")
    digests = []
    feeds: list[tuple[Path, dict[str, Any]]] = [
        (source, {"format": "histdata", "symbol": "EURUSD"}),
        (tmp_path / "t.npy", {}),
    ]
    if pytest.importorskip("pyarrow"):
        data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
        feeds.append((tmp_path / "t.parquet", {}))
    for feed, options in feeds:
        result = replay.backtest(
            Turning,
            feed,
            instruments={
                "symbol": "EURUSD", "tick": "0.00001", "lot": "1", "quote": "USD", "price_decimals": 5,
                "size_decimals": 0,
            },
            feed_options=options,
            cash={"USD": "1000"},
        )  # fmt: skip
        digests.append(result.digest)
        assert len(result.fills.to_dict()["price"]) > 100
    assert len(set(digests)) == 1
