"""The helper for tests of strategies: its clocks, its defaults, its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from replay import Strategy, StrategyError
from replay.errors import UsageError
from replay.testing import bars, instrument, quotes, run, trades


class BuysOnce(Strategy):
    """Buys one at the first tick of its symbol."""

    symbol: str
    size: float = 1.0

    def on_quote(self, quote: Any) -> None:
        self._buy(quote)

    def on_trade(self, trade: Any) -> None:
        self._buy(trade)

    def _buy(self, tick: Any) -> None:
        if tick.symbol == self.symbol and not self.position(self.symbol).quantity and not self.orders(self.symbol):
            self.buy(self.symbol, self.size)


def test_ticks_stand_on_a_regular_clock() -> None:
    made = quotes([(1, 2), (1, 2)], start="2024-01-01T00:00:01Z", every="500ms")
    assert [int(tick.time) for tick in made] == [1_704_067_201_000_000_000, 1_704_067_201_500_000_000]  # type: ignore[arg-type]
    assert [int(tick.time) for tick in bars([5], length="1m")] == [1_704_067_260_000_000_000]  # type: ignore[arg-type]
    assert bars([(1, 4, 1, 3)])[0].high == 4


def test_a_run_costs_nothing_and_knows_its_symbol() -> None:
    result = run(BuysOnce, quotes([(10, 11), (12, 13)]))
    assert result.fills["price"].tolist() == [11.0]
    assert result.balances["USD"] == "99989"
    assert result.fills["fee"].tolist() == [0.0]


def test_finer_prices_make_a_finer_tick_size_and_a_size_limits_the_fill() -> None:
    result = run(BuysOnce, quotes([("1.00015", "1.00025")] * 3, size=1), params={"size": 2})
    assert result.fills["price"].tolist() == [1.00025, 1.00026]  # the second fill pays a tick beyond the top
    assert result.fills["size"].tolist() == [1.0, 1.0]


def test_prints_alone_fill_orders_and_several_symbols_are_told_apart() -> None:
    ticks = sorted(trades([5, 6, 7], symbol="A") + trades([50, 60, 70], symbol="B"), key=lambda tick: str(tick.time))
    result = run(BuysOnce, ticks, params={"symbol": "B"})
    assert set(result.fills["symbol"].tolist()) == {"B"}


def test_what_is_wanted_otherwise_can_be_said() -> None:
    result = run(
        BuysOnce,
        quotes([(10, 11)] * 2, symbol="X"),
        instruments=instrument("X", tick="0.5"),
        cash={"USD": 500},
        fees={"maker": "0", "taker": "0.01"},
    )
    assert result.fills["fee"].tolist() == [0.11]


def test_an_error_of_the_strategy_and_a_run_without_ticks_are_told() -> None:
    class Raises(Strategy):
        def on_trade(self, trade: Any) -> None:
            raise ValueError("mine")

    with pytest.raises(StrategyError, match="raised in on_trade at record 0"):
        run(Raises, trades([1]))
    with pytest.raises(UsageError, match="no ticks"):
        run(BuysOnce, [])
