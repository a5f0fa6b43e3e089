"""Statistics of round trips, buy and hold, the summary's order and its text."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from replay import stats
from replay.stats.chart import terminal_chart, thin
from replay.stats.summary import BUY_AND_HOLD_PREFIX, Figures, TradeColumns, render, render_all, summarise, summary
from replay.stats.text import show, show_duration

DAY = 86_400_000_000_000
FIRST = (
    *("total_return", "annualised_return", "annualised_volatility", "sharpe_ratio", "sortino_ratio"),
    *("maximum_drawdown", "longest_drawdown_ns", "fees", "trades", "win_rate", "profit_factor"),
    *("average_trade", "best_trade", "worst_trade", "time_in_market", "turnover"),
)


def test_no_trades_leave_all_rates_undefined() -> None:
    for function in (stats.win_rate, stats.profit_factor, stats.average_trade, stats.best_trade, stats.worst_trade):
        assert function([]) is None


def test_one_trade() -> None:
    assert stats.win_rate([5.0]) == 1.0
    assert stats.profit_factor([5.0]) is None
    assert stats.profit_factor([-5.0]) == 0.0
    assert stats.average_trade([-5.0]) == stats.best_trade([-5.0]) == stats.worst_trade([-5.0]) == -5.0


def test_all_winners_have_no_profit_factor() -> None:
    assert stats.profit_factor([1.0, 2.0]) is None
    assert stats.win_rate([1.0, 2.0]) == 1.0


def test_a_trade_of_zero_is_no_win_and_no_loss() -> None:
    assert stats.win_rate([0.0, 1.0]) == 0.5
    assert stats.profit_factor([0.0, 3.0, -1.5]) == 2.0


def test_buy_and_hold_is_last_over_first() -> None:
    assert stats.buy_and_hold_return(100.0, 150.0) == 0.5
    assert stats.buy_and_hold_return(0.0, 150.0) is None
    assert stats.buy_and_hold_return(None, None) is None
    assert stats.equal_weighted([0.5, None, -0.1]) == pytest.approx(0.2)
    assert stats.equal_weighted([None]) is None


def test_an_empty_run_has_a_summary_without_nan() -> None:
    values = summary(Figures(periods_per_year=365))
    assert values["trades"] == 0 and values["net_pnl"] is None and values["sharpe_ratio"] is None
    assert all(value is None or math.isfinite(value) for value in values.values())
    text = render(values, "USDT")
    assert "n/a" in text and "nan" not in text.lower().replace("annual", "") and "no data" in text


def _exposure() -> stats.ExposureTracker:
    tracker = stats.ExposureTracker()
    tracker.add(np.array([0, 6 * DAY, 8 * DAY]), np.full(3, 101_000.0), np.array([50_500.0, 0.0, 101_000.0]))
    return tracker


def _figures() -> Figures:
    return Figures(
        periods_per_year=252,
        start_ns=0,
        end_ns=9 * DAY,
        start_equity=100_000.0,
        end_equity=103_000.0,
        returns=np.array([0.01, -0.005, 0.02, 0.0049]),
        maximum_drawdown=-0.012,
        longest_drawdown_ns=3 * DAY + 3_600_000_000_000,
        fees=120.5,
        orders=12,
        fills=14,
        trades=TradeColumns(net=np.array([2000.0, -500.0, 1500.0])),
        exposure=_exposure(),
        traded_value=404_000.0,
        marks={"BTCUSDT": (100.0, 110.0), "ETHUSDT": (50.0, 45.0)},
    )


def test_the_summary_has_a_fixed_order() -> None:
    assert list(summary(_figures())) == [
        *("start_ns", "end_ns", "start_equity", "end_equity", "total_return", "buy_and_hold_return"),
        *("annualised_return", "annualised_volatility", "sharpe_ratio", "sortino_ratio"),
        *("maximum_drawdown", "longest_drawdown_ns", "net_pnl", "gross_pnl", "fees", "orders", "fills"),
        *("trades", "win_rate", "profit_factor", "average_trade", "best_trade", "worst_trade"),
        *("time_in_market", "turnover", "periods", "periods_per_year"),
        *(name for name in stats.STATISTICS if name not in FIRST),
        *(f"{BUY_AND_HOLD_PREFIX}BTCUSDT", f"{BUY_AND_HOLD_PREFIX}ETHUSDT"),
    ]
    assert list(summary(Figures(periods_per_year=365))) == list(summary(_figures()))[:-2]


def test_the_summary_computes_what_its_names_say() -> None:
    values = summary(_figures())
    assert values["net_pnl"] == 3000.0 and values["gross_pnl"] == 3120.5
    assert values["total_return"] == pytest.approx(0.03)
    assert values["buy_and_hold_return"] == pytest.approx(0.0)
    assert values["turnover"] == pytest.approx(4.0)
    assert values["win_rate"] == pytest.approx(2 / 3) and values["profit_factor"] == 7.0


def test_a_run_shorter_than_a_month_has_no_annualised_return() -> None:
    shorter, long_enough = (Figures(periods_per_year=252, returns=np.full(days, 0.01)) for days in (20, 21))
    assert summary(shorter)["annualised_return"] is None
    assert summary(long_enough)["annualised_return"] == pytest.approx(1.01**252 - 1)
    assert summary(Figures(periods_per_year=1, returns=np.array([0.1])))["annualised_return"] == pytest.approx(0.1)


def test_every_value_that_is_absent_has_a_reason_and_no_other() -> None:
    for figures in (_figures(), Figures(periods_per_year=365)):
        found = summarise(figures)
        absent = {name for name in (*stats.STATISTICS, "gross_pnl", "net_pnl") if found.values[name] is None}
        assert absent == set(found.reasons) - {"buy_and_hold_return"}
        text = render_all(found.values, found.reasons)
        assert all(f"  {name} " in text for name in stats.STATISTICS)
        assert not re.search(r"\b(nan|inf)\b", text.lower())
    assert found.reasons["win_rate"] == "no trades" and found.reasons["beta"] == "no benchmark"


def test_a_fee_that_cannot_be_valued_leaves_the_gross_undefined() -> None:
    values = summary(Figures(periods_per_year=365, start_equity=1.0, end_equity=2.0, fees=None))
    assert values["net_pnl"] == 1.0 and values["gross_pnl"] is None and values["fees"] is None


def test_the_text_says_how_it_is_annualised() -> None:
    text = render(summary(_figures()), "USDT", [1.0, 2.0, 1.5])
    assert "Annualised by 252 periods a year over 4 returns of 1 session day" in text
    assert "Equity 100,000.00 -> 103,000.00 USDT" in text
    assert "BTCUSDT 10.00 %, ETHUSDT -10.00 %" in text
    assert "3 d 1 h" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_narrow_terminal_gets_one_column_and_a_smaller_chart() -> None:
    values, equity = summary(_figures()), [float(value) for value in range(100)]
    wide = render(values, "USDT", equity)
    assert render(values, "USDT", equity, 80) == wide
    narrow = render(values, "USDT", equity, 40).splitlines()
    table = narrow[3 : narrow.index("", 3)]
    assert len(table) == 20
    chart = narrow[-5:]
    assert max(map(len, table + chart)) <= 40
    assert all(line.split("   ")[0].strip() in wide for line in table)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0.000 s"),
        (250_000_000, "0.250 s"),
        (60_000_000_000, "1 min"),
        (125_000_000_000, "2 min 5 s"),
        (DAY, "1 d"),
        (DAY + 7_200_000_000_000, "1 d 2 h"),
    ],
)
def test_durations_show_two_units(nanoseconds: int, text: str) -> None:
    assert show_duration(nanoseconds) == text


def test_show_refuses_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="colour"):
        show(1.0, "colour")


def test_the_chart_spans_lowest_to_highest() -> None:
    lines = terminal_chart([0.0, 1.0, 2.0, 3.0], height=2, labels=("3", "0")).splitlines()
    assert [line[3] for line in lines] == ["█", "█"]
    assert lines[0][0] == " " and lines[1][0] == "▁"
    assert lines[0].endswith("  3") and lines[1].endswith("  0")


def test_the_chart_of_too_little_is_empty_and_of_a_constant_is_flat() -> None:
    assert terminal_chart([1.0]) == "" and terminal_chart([]) == ""
    assert set(terminal_chart([5.0, 5.0], height=1)) == {"▁"}


def test_thinning_keeps_the_ends() -> None:
    thinned = thin(np.arange(1000.0), 7)
    assert len(thinned) == 7 and thinned[0] == 0.0 and thinned[-1] == 999.0
