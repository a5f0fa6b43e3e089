"""Bars of every rule and every indicator as a strategy sees them; saved in the middle and restored they go on alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay
from replay import Strategy, StrategyError, TradeTick
from replay.testing import bars, instrument, quotes, run, trades

PRICES = [100 + 7 * ((row * row) % 11) / 4 + row / 8 for row in range(120)]


class Watches(Strategy):
    """Notes every bar of the series that a test asks for."""

    rule: str = "ticks"
    number: str = "3"

    def on_start(self) -> None:
        self.seen: list[tuple[float, ...]] = []
        rule: dict[str, Any] = {self.rule: int(self.number) if self.rule == "ticks" else self.number}
        self.series = self.bars("TEST", **rule)

    def on_bar(self, bar: Any) -> None:
        self.seen.append((bar.open, bar.high, bar.low, bar.close, bar.volume, bar.ticks))


def seen(ticks: Any, rule: str, number: str) -> list[tuple[float, ...]]:
    strategy = Watches(rule=rule, number=number)
    run(strategy, ticks, instruments=instrument(tick="0.01"))
    return strategy.seen


def test_bars_of_ticks_volume_and_value() -> None:
    ticks = trades([10, 12, 11, 15, 14, 11], size=2)
    assert seen(ticks, "ticks", "3") == [(10, 12, 10, 11, 6, 3), (15, 15, 11, 11, 6, 3)]
    assert seen(ticks, "volume", "3.5") == [(10, 12, 10, 12, 4, 2), (11, 15, 11, 15, 4, 2), (14, 14, 11, 11, 4, 2)]
    assert seen(ticks, "value", "66.00") == [(10, 12, 10, 11, 6, 3), (15, 15, 11, 11, 6, 3)]


def test_bars_of_a_range_and_bricks_which_may_end_several_at_once() -> None:
    ticks = trades([100, 101, 103.5, 98, 98], size=1)
    assert seen(ticks, "range", "3") == [(100, 103.5, 100, 103.5, 3, 3)]
    assert [row[:4] for row in seen(ticks, "renko", "1")] == [
        (100, 101, 100, 101),
        (101, 102, 101, 102),
        (102, 103, 102, 103),
        (102, 102, 101, 101),
        (101, 101, 100, 100),
        (100, 100, 99, 99),
        (99, 99, 98, 98),
    ]


def test_bars_of_quotes_are_of_their_mids() -> None:
    assert seen(quotes([(10, 11), (10, 12), (11, 13)]), "ticks", "2") == [(10.5, 11, 10.5, 11, 0, 2)]


@pytest.mark.parametrize(
    ("rule", "number", "message"),
    [
        ("ticks", "0", "must be above 0"),
        ("volume", "1", "bars of volume or value are of trades with their sizes"),
        ("range", "0.001", "more decimals"),
    ],
)
def test_what_no_bar_can_end_by_is_refused(rule: str, number: str, message: str) -> None:
    with pytest.raises(StrategyError) as raised:
        seen(quotes([(10, 11)] * 3), rule, number)
    assert message in str(raised.value.__cause__)


def test_bars_end_by_exactly_one_rule() -> None:
    class Wrong(Strategy):
        def on_start(self) -> None:
            self.bars("TEST", "1m", ticks=3)

    with pytest.raises(StrategyError) as raised:
        run(Wrong, trades([1, 2]))
    assert "exactly one of length, ticks, volume, value, range, renko; given: length, ticks" in str(
        raised.value.__cause__
    )


LINES = {
    "wma": ("value",),
    "vwap": ("value",),
    "day": ("value",),
    "momentum": ("value",),
    "sar": ("value",),
    "highest": ("value",),
    "lowest": ("value",),
    "macd": ("macd", "signal", "histogram"),
    "bands": ("middle", "upper", "lower"),
    "channel": ("middle", "upper", "lower"),
    "adx": ("adx", "plus_di", "minus_di"),
    "stochastic": ("k", "d"),
}


class Everything(Strategy):
    """Keeps every indicator and notes what each says after each bar."""

    def on_start(self) -> None:
        series = self.bars("TEST", "1m")
        self.wma = series.wma(5)
        self.vwap = series.vwap(5)
        self.day = series.vwap(reset_ns=600_000_000_000, price="ohlc")
        self.momentum = series.momentum(5)
        self.sar = series.sar()
        self.highest, self.lowest = series.highest(5), series.lowest(5)
        self.macd = series.macd(3, 6, 4)
        self.bands = series.bollinger(5, 2.5, sample=True)
        self.channel = series.donchian(5)
        self.adx = series.adx(5)
        self.stochastic = series.stochastic(5, 2, 3)
        self.upper = self.bands.upper
        self.notes: list[list[float]] = []

    def on_bar(self, bar: Any) -> None:
        row = []
        for name, lines in LINES.items():
            handle = getattr(self, name)
            for line in lines:
                indicator = handle if line == "value" else getattr(handle, line)
                row.append(float(indicator) if handle.ready else -1.0)
        self.notes.append(row)
        if self.bands.ready:
            assert self.upper == self.bands.upper
            self.target("TEST", 1 if bar.close > self.upper else 0)


def some_bars() -> list[Any]:
    return bars([(p, p + 1.5, p - 1.25, p + 0.5) for p in PRICES], volume=10)


def test_every_indicator_is_what_its_formula_says() -> None:
    strategy = Everything()
    run(strategy, some_bars())
    notes = np.array(strategy.notes)
    names = [(name, line) for name, lines in LINES.items() for line in lines]
    column = {key: notes[:, place] for place, key in enumerate(names)}
    close, high, low = np.array(PRICES) + 0.5, np.array(PRICES) + 1.5, np.array(PRICES) - 1.25
    last = slice(-5, None)
    assert column["wma", "value"][-1] == pytest.approx((close[last] * np.arange(1, 6)).sum() / 15)
    assert column["vwap", "value"][-1] == pytest.approx(((close + high + low) / 3)[last].mean())
    assert column["momentum", "value"][-1] == pytest.approx(close[-1] - close[-6])
    assert column["highest", "value"][-1] == column["channel", "upper"][-1] == high[last].max()
    assert column["lowest", "value"][-1] == column["channel", "lower"][-1] == low[last].min()
    assert column["bands", "middle"][-1] == pytest.approx(close[last].mean())
    assert column["bands", "upper"][-1] == pytest.approx(close[last].mean() + 2.5 * close[last].std(ddof=1))
    assert column["macd", "histogram"][-1] == pytest.approx(column["macd", "macd"][-1] - column["macd", "signal"][-1])
    assert 0 <= column["stochastic", "k"][-1] <= 100
    assert 0 < column["adx", "adx"][-1] < 100
    assert np.isfinite(notes).all()


def test_saved_in_the_middle_and_restored_every_indicator_goes_on_alike(tmp_path: Path) -> None:
    ticks = some_bars()
    settings: dict[str, Any] = {
        "instruments": instrument(tick="0.005", bar="1m"),
        "cash": {"USD": 100_000},
        "feed_options": {"records": "bar", "receive_time": "keep"},
        "metrics": {"port": 0},
    }

    def first(count: int) -> Any:
        async def live() -> Any:
            for tick in ticks[:count]:
                yield tick

        return live

    options: dict[str, Any] = {"session_options": {"snapshot_records": 10}}
    replay.paper(Everything, first(50), session=tmp_path / "s", **settings, **options)
    strategy = Everything()
    result = replay.paper(strategy, first(120), session=tmp_path / "s", **settings, **options)
    whole = Everything()
    expected = run(whole, ticks, instruments=instrument(tick="0.005", bar="1m"))
    assert result.digest == expected.digest
    assert strategy.notes == whole.notes
    assert list((tmp_path / "s").rglob("*snapshot*"))


def test_a_line_that_does_not_exist_and_periods_out_of_range_are_refused() -> None:
    class Wrong(Strategy):
        what: str = "macd"

        def on_start(self) -> None:
            series = self.bars("TEST", "1m")
            if self.what == "macd":
                series.macd(26, 12)
            elif self.what == "stochastic":
                series.stochastic(14, 2000)
            else:
                series.vwap()

    for what, message in (
        ("macd", "the fast period 26 must be shorter than the slow one, 12"),
        ("stochastic", "a smoothing over 2000 values is too long"),
        ("vwap", "a VWAP has a period, or a time at which it begins anew"),
    ):
        with pytest.raises(StrategyError) as raised:
            run(Wrong, some_bars(), params={"what": what})
        assert message in str(raised.value.__cause__)


def test_ticks_given_by_hand_fill_every_rule_alike_at_any_batch_size() -> None:
    ticks = [
        TradeTick(time=10**18 + row, price=f"{price:.3f}", size=1, symbol="TEST") for row, price in enumerate(PRICES)
    ]
    whole = Watches(rule="renko", number="0.5")
    pieces = Watches(rule="renko", number="0.5")
    run(whole, ticks, instruments=instrument(tick="0.001"))
    replay.backtest(pieces, iter(ticks), instruments=instrument(tick="0.001"), cash={"USD": 100_000})
    assert whole.seen == pieces.seen
    assert len(whole.seen) > 50
