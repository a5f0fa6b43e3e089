"""The summary: the statistics of a run in a fixed order, and the text that a terminal shows of them.

May not live here: how a statistic is computed, or where its inputs come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from replay.stats.benchmark import buy_and_hold_return, equal_weighted
from replay.stats.chart import terminal_chart
from replay.stats.exposure import turnover
from replay.stats.periods import period_of
from replay.stats.returns import (
    Returns,
    annualised_return,
    annualised_volatility,
    sharpe_ratio,
    sortino_ratio,
)
from replay.stats.trades import TradeTotals

Summary = dict[str, float | int | None]

SHORTEST_ANNUALISED_YEARS = 1 / 12
"""A run shorter than this has no annualised return."""

BUY_AND_HOLD_PREFIX = "buy_and_hold_return."
"""Prefix of the entries for each instrument by itself, where a run has more than one."""


@dataclass(frozen=True)
class Figures:
    """What a summary is made of. Money is in the account's currency, times in ns (UTC)."""

    periods_per_year: float
    start_ns: int | None = None
    end_ns: int | None = None
    start_equity: float | None = None
    end_equity: float | None = None
    returns: Returns = field(default_factory=lambda: np.zeros(0))
    """One per period, from the equity at the period's end."""
    maximum_drawdown: float | None = None
    longest_drawdown_ns: int | None = None
    fees: float | None = 0.0
    """None where some fee was in a currency that could not be valued."""
    orders: int = 0
    fills: int = 0
    trades: TradeTotals = field(default_factory=TradeTotals)
    """Results of the round trips after fees."""
    time_in_market: float | None = None
    average_equity: float | None = None
    traded_value: float = 0.0
    marks: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """First and last mark of each instrument."""


def summary(figures: Figures) -> Summary:
    """Compute every statistic, in a fixed order; what is undefined is None.

    Returns, drawdown, rates and exposure are fractions; `*_ns` are nanoseconds; money is in the account's currency.
    The annualised return needs a month of periods: what a shorter run would come to in a year says nothing.
    """
    per_year = figures.periods_per_year
    returns = figures.returns
    trades = figures.trades
    net = _difference(figures.end_equity, figures.start_equity)
    spans_a_month = len(returns) >= per_year * SHORTEST_ANNUALISED_YEARS
    alone = {symbol: buy_and_hold_return(*marks) for symbol, marks in figures.marks.items()}
    values: Summary = {
        "start_ns": figures.start_ns,
        "end_ns": figures.end_ns,
        "start_equity": figures.start_equity,
        "end_equity": figures.end_equity,
        "total_return": buy_and_hold_return(figures.start_equity, figures.end_equity),
        "buy_and_hold_return": equal_weighted(list(alone.values())),
        "annualised_return": annualised_return(returns, per_year) if spans_a_month else None,
        "annualised_volatility": annualised_volatility(returns, per_year),
        "sharpe_ratio": sharpe_ratio(returns, per_year),
        "sortino_ratio": sortino_ratio(returns, per_year),
        "maximum_drawdown": figures.maximum_drawdown,
        "longest_drawdown_ns": figures.longest_drawdown_ns,
        "net_pnl": net,
        "gross_pnl": None if net is None or figures.fees is None else net + figures.fees,
        "fees": figures.fees,
        "orders": figures.orders,
        "fills": figures.fills,
        "trades": trades.count,
        "win_rate": trades.win_rate,
        "profit_factor": trades.profit_factor,
        "average_trade": trades.average,
        "best_trade": trades.best,
        "worst_trade": trades.worst,
        "time_in_market": figures.time_in_market,
        "turnover": turnover(figures.traded_value, figures.average_equity),
        "periods": len(returns),
        "periods_per_year": per_year,
    }
    if len(alone) > 1:
        values.update({f"{BUY_AND_HOLD_PREFIX}{symbol}": value for symbol, value in alone.items()})
    return values


_LEFT = (
    ("Total return", "total_return", "percent"),
    ("Buy and hold", "buy_and_hold_return", "percent"),
    ("Annualised return", "annualised_return", "percent"),
    ("Annualised volatility", "annualised_volatility", "percent"),
    ("Sharpe ratio", "sharpe_ratio", "ratio"),
    ("Sortino ratio", "sortino_ratio", "ratio"),
    ("Maximum drawdown", "maximum_drawdown", "percent"),
    ("Longest drawdown", "longest_drawdown_ns", "duration"),
    ("Time in market", "time_in_market", "percent"),
    ("Turnover", "turnover", "times"),
)
_RIGHT = (
    ("Net P&L", "net_pnl", "money"),
    ("Gross P&L", "gross_pnl", "money"),
    ("Fees", "fees", "money"),
    ("Orders / fills", ("orders", "fills"), "count"),
    ("Trades", "trades", "count"),
    ("Win rate", "win_rate", "percent"),
    ("Profit factor", "profit_factor", "ratio"),
    ("Average trade", "average_trade", "money"),
    ("Best trade", "best_trade", "money"),
    ("Worst trade", "worst_trade", "money"),
)


def render(values: Mapping[str, float | int | None], currency: str = "", equity: ArrayLike | None = None) -> str:
    """Give the summary as lines for a terminal, with a small chart of the equity where one is given."""
    lines = [f"{_time(values['start_ns'])} to {_time(values['end_ns'])} UTC ({_span(values)})"]
    start, end = (show(values[key], "money") for key in ("start_equity", "end_equity"))
    lines.append(f"Equity {start} -> {end} {currency}".rstrip())
    lines.append("")
    left = [(label, show(values[key], kind)) for label, key, kind in _LEFT]
    right = [(label, _show_all(values, key, kind)) for label, key, kind in _RIGHT]
    widths = [max(len(cell) for _, cell in side) for side in (left, right)]
    for (name_a, cell_a), (name_b, cell_b) in zip(left, right, strict=True):
        lines.append(f"{name_a:<22} {cell_a:>{widths[0]}}     {name_b:<15} {cell_b:>{widths[1]}}")
    alone = {key: value for key, value in values.items() if key.startswith(BUY_AND_HOLD_PREFIX)}
    lines.append("")
    lines.append(_annualisation(values))
    if alone:
        parts = [f"{key.removeprefix(BUY_AND_HOLD_PREFIX)} {show(value, 'percent')}" for key, value in alone.items()]
        lines.append(
            f"Buy and hold: {', '.join(parts)}; equal amounts {show(values['buy_and_hold_return'], 'percent')}."
        )
    if equity is not None:
        series = np.asarray(equity, dtype=np.float64)
        if len(series) > 1:
            labels = [show(float(extreme), "money") for extreme in (np.max(series), np.min(series))]
            lines += ["", terminal_chart(series, labels=labels)]
    return "\n".join(lines)


def _annualisation(values: Mapping[str, float | int | None]) -> str:
    per_year = values["periods_per_year"]
    assert per_year is not None
    period = period_of(per_year)
    counted = f"{values['periods']:,} returns of {period.name}"
    return f"Annualised by {per_year:g} periods a year over {counted}."


def show(value: float | None, kind: str) -> str:
    """Write one value as its kind: percent, ratio, money, times, count, duration; `n/a` for None."""
    if value is None:
        return "n/a"
    match kind:
        case "percent":
            return f"{value * 100:,.2f} %"
        case "money":
            return f"{value:,.2f}"
        case "ratio":
            return f"{value:,.3f}"
        case "times":
            return f"{value:,.2f} x"
        case "count":
            return f"{value:,}"
        case "duration":
            return show_duration(int(value))
    raise ValueError(f"unknown kind {kind!r}")


def show_duration(nanoseconds: int) -> str:
    """Write a duration with its two largest units: `3 d 4 h`, `12 min 5 s`, `0.250 s`."""
    seconds = nanoseconds // 1_000_000_000
    if seconds < 60:
        return f"{nanoseconds / 1e9:.3f} s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (unit, name), (smaller, smaller_name) in pairwise(units):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit:,} {name} {rest} {smaller_name}" if rest else f"{seconds // unit:,} {name}"
    raise AssertionError("a minute or more has a unit")


def _show_all(values: Mapping[str, float | int | None], keys: str | tuple[str, ...], kind: str) -> str:
    if isinstance(keys, str):
        return show(values[keys], kind)
    return " / ".join(show(values[key], kind) for key in keys)


def _time(value: float | None) -> str:
    if value is None:
        return "n/a"
    return str(np.datetime_as_string(np.datetime64(int(value), "ns"), unit="s")).replace("T", " ")


def _span(values: Mapping[str, float | int | None]) -> str:
    start, end = values["start_ns"], values["end_ns"]
    return "no data" if start is None or end is None else show_duration(int(end) - int(start))


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
