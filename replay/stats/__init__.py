"""Performance statistics: short functions over plain numpy arrays, and the summary of a run that they make.

May not live here: events, orders, files. What is undefined is None, never NaN or an infinity.
"""

from __future__ import annotations

from replay.stats.benchmark import buy_and_hold_return, equal_weighted
from replay.stats.drawdown import DrawdownTracker, drawdowns, longest_drawdown_ns, maximum_drawdown
from replay.stats.exposure import ExposureTracker, time_in_market, turnover
from replay.stats.periods import Period, PeriodCloses, period_of, period_returns
from replay.stats.returns import (
    annualised_return,
    annualised_volatility,
    cumulative_returns,
    downside_deviation,
    downside_frequency,
    downside_potential,
    returns_of,
    sharpe_ratio,
    sortino_ratio,
    total_return,
)
from replay.stats.summary import Figures, render, summary
from replay.stats.trades import TradeTotals, average, best, profit_factor, win_rate, worst

__all__ = [
    "DrawdownTracker",
    "ExposureTracker",
    "Figures",
    "Period",
    "PeriodCloses",
    "TradeTotals",
    "annualised_return",
    "annualised_volatility",
    "average",
    "best",
    "buy_and_hold_return",
    "cumulative_returns",
    "downside_deviation",
    "downside_frequency",
    "downside_potential",
    "drawdowns",
    "equal_weighted",
    "longest_drawdown_ns",
    "maximum_drawdown",
    "period_of",
    "period_returns",
    "profit_factor",
    "render",
    "returns_of",
    "sharpe_ratio",
    "sortino_ratio",
    "summary",
    "time_in_market",
    "total_return",
    "turnover",
    "win_rate",
    "worst",
]
