"""The summary: the statistics of a run in a fixed order, and the text that a terminal shows of them.

May not live here: how a statistic is computed, or where its inputs come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from replay.stats.benchmark import buy_and_hold_return, equal_weighted
from replay.stats.chart import terminal_chart
from replay.stats.exposure import ExposureTracker
from replay.stats.periods import YEAR_NS, period_of
from replay.stats.returns import Returns
from replay.stats.sample import Sample
from replay.stats.statistic import STATISTICS
from replay.stats.text import show, show_duration
from replay.stats.value import Value

Summary = dict[str, float | int | None]

BUY_AND_HOLD_PREFIX = "buy_and_hold_return."
"""Prefix of the entries for each instrument by itself, where a run has more than one."""

_FIRST = (
    *("total_return", "buy_and_hold_return", "annualised_return", "annualised_volatility"),
    *("sharpe_ratio", "sortino_ratio", "maximum_drawdown", "longest_drawdown_ns", "net_pnl", "gross_pnl", "fees"),
    *("orders", "fills", "trades", "win_rate", "profit_factor", "average_trade", "best_trade", "worst_trade"),
    *("time_in_market", "turnover"),
)
"""What a summary begins with, after its times and equity; the other statistics follow family by family."""


@dataclass(frozen=True)
class TradeColumns:
    """Columns of a run's round trips in the account's currency, one entry each; NaN where a value is absent."""

    net: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Result after fees."""
    gross: NDArray[np.float64] | None = None
    fees: NDArray[np.float64] | None = None
    entry_values: NDArray[np.float64] | None = None
    durations_ns: NDArray[np.float64] | None = None
    is_long: NDArray[np.float64] | None = None
    mae: NDArray[np.float64] | None = None
    mfe: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Figures:
    """What a summary is made of. Money is in the account's currency, times in ns (UTC)."""

    periods_per_year: float
    risk_free: float = 0.0
    """The risk-free return per period."""
    start_ns: int | None = None
    end_ns: int | None = None
    start_equity: float | None = None
    end_equity: float | None = None
    returns: Returns = field(default_factory=lambda: np.zeros(0))
    """One per period, from the equity at the period's end."""
    benchmark: Returns | None = None
    """One per period, beside `returns`."""
    maximum_drawdown: float | None = None
    longest_drawdown_ns: int | None = None
    fees: float | None = 0.0
    """None where some fee was in a currency that could not be valued."""
    orders: int = 0
    fills: int = 0
    trades: TradeColumns = field(default_factory=TradeColumns)
    exposure: ExposureTracker | None = None
    traded_value: float = 0.0
    marks: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    """First and last mark of each instrument."""


@dataclass(frozen=True)
class Summarised:
    """A summary and, for each value that is None, why."""

    values: Summary
    reasons: dict[str, str]


def summary(figures: Figures) -> Summary:
    """Compute every statistic, in a fixed order; what is undefined is None.

    Returns, drawdown, rates and exposure are fractions; `*_ns` are nanoseconds; money is in the account's currency.
    The annualised return needs a month of periods: what a shorter run would come to in a year says nothing.
    """
    return summarise(figures).values


def summarise(figures: Figures) -> Summarised:
    """Compute every statistic as `summary`, and say why those that are undefined are."""
    alone = {symbol: buy_and_hold_return(*marks) for symbol, marks in figures.marks.items()}
    sample = _sample(figures)
    found: dict[str, Value] = {name: entry.evaluate(sample) for name, entry in STATISTICS.items()}
    found["buy_and_hold_return"] = _or(
        equal_weighted(list(alone.values())), "no instrument has a first and a last mark"
    )
    found["net_pnl"] = _or(sample.net_pnl, "no equity points")
    found["gross_pnl"] = _or(sample.gross_pnl, sample.reason_of("gross_pnl"))
    found["orders"], found["fills"] = Value(figures.orders), Value(figures.fills)
    times: dict[str, float | int | None] = {
        "start_ns": figures.start_ns,
        "end_ns": figures.end_ns,
        "start_equity": figures.start_equity,
        "end_equity": figures.end_equity,
    }
    first = {name: found.pop(name) for name in _FIRST}
    values: Summary = {**times, **{name: value.value for name, value in first.items()}}
    values |= {"periods": len(figures.returns), "periods_per_year": figures.periods_per_year}
    values |= {name: value.value for name, value in found.items()}
    reasons = {name: value.reason for name, value in (first | found).items() if value.reason is not None}
    if len(alone) > 1:
        values.update({f"{BUY_AND_HOLD_PREFIX}{symbol}": value for symbol, value in alone.items()})
    return Summarised(values, reasons)


def _sample(figures: Figures) -> Sample:
    net = _difference(figures.end_equity, figures.start_equity)
    total = buy_and_hold_return(figures.start_equity, figures.end_equity)
    tracker, trades = figures.exposure or ExposureTracker(), figures.trades
    years = _difference(figures.end_ns, figures.start_ns)
    no_time = "no time has passed"
    solvent = "no time has passed, or equity was not always above 0"
    return Sample(
        periods_per_year=figures.periods_per_year,
        risk_free=figures.risk_free,
        returns=figures.returns,
        benchmark=figures.benchmark,
        trade_net=trades.net,
        trade_gross=trades.gross,
        trade_fees=trades.fees,
        trade_durations_ns=trades.durations_ns,
        trade_is_long=trades.is_long,
        trade_entry_values=trades.entry_values,
        trade_mae=trades.mae,
        trade_mfe=trades.mfe,
        trade_count=len(trades.net),
        fees=figures.fees,
        net_pnl=net,
        gross_pnl=None if net is None or figures.fees is None else net + figures.fees,
        traded_value=figures.traded_value,
        orders=figures.orders,
        fills=figures.fills,
        average_equity=tracker.average_equity,
        years=None if years is None else years / YEAR_NS,
        total_return=total,
        time_share=tracker.share,
        known={
            "total_return": _or(total, "the start equity is not above 0"),
            "maximum_drawdown": _or(figures.maximum_drawdown, "no equity points"),
            "longest_drawdown_ns": _or(figures.longest_drawdown_ns, "no equity points"),
            "time_in_market": _or(tracker.share, no_time),
            "average_equity": _or(tracker.average_equity, "no equity points"),
            "average_exposure": _or(tracker.average_exposure, no_time),
            "average_leverage": _or(tracker.average_leverage, solvent),
            "maximum_leverage": _or(tracker.maximum_leverage, solvent),
        },
    )


def _or(value: float | None, reason: str) -> Value:
    return Value(value) if value is not None else Value(None, reason)


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


_AGAINST = (
    ("beta", "beta", "ratio"),
    ("alpha", "alpha", "percent"),
    ("information ratio", "information_ratio", "ratio"),
)


def render(
    values: Mapping[str, float | int | None],
    currency: str = "",
    equity: ArrayLike | None = None,
    width: int | None = None,
) -> str:
    """Give the summary as lines for a terminal, with a small chart of the equity where one is given.

    width: of the terminal, in characters; where two columns do not fit into it there is one, and a smaller chart.
    """
    lines = [f"{_time(values['start_ns'])} to {_time(values['end_ns'])} UTC ({_span(values)})"]
    start, end = (show(values[key], "money") for key in ("start_equity", "end_equity"))
    lines.append(f"Equity {start} -> {end} {currency}".rstrip())
    lines.append("")
    left = [(label, show(values[key], kind)) for label, key, kind in _LEFT]
    right = [(label, _show_all(values, key, kind)) for label, key, kind in _RIGHT]
    widths = [max(len(cell) for _, cell in side) for side in (left, right)]
    if width is not None and width < 43 + sum(widths):
        lines += [f"{name:<21} {cell:>{max(widths)}}" for name, cell in (*left, *right)]
    else:
        for (name_a, cell_a), (name_b, cell_b) in zip(left, right, strict=True):
            lines.append(f"{name_a:<22} {cell_a:>{widths[0]}}     {name_b:<15} {cell_b:>{widths[1]}}")
    alone = {key: value for key, value in values.items() if key.startswith(BUY_AND_HOLD_PREFIX)}
    lines.append("")
    lines.append(_annualisation(values))
    if values.get("beta") is not None:
        shown = [f"{label} {show(values[name], kind)}" for label, name, kind in _AGAINST]
        lines.append(f"Against the benchmark: {', '.join(shown)}.")
    if alone:
        parts = [f"{key.removeprefix(BUY_AND_HOLD_PREFIX)} {show(value, 'percent')}" for key, value in alone.items()]
        lines.append(
            f"Buy and hold: {', '.join(parts)}; equal amounts {show(values['buy_and_hold_return'], 'percent')}."
        )
    if equity is not None:
        series = np.asarray(equity, dtype=np.float64)
        if len(series) > 1:
            labels = [show(float(extreme), "money") for extreme in (np.max(series), np.min(series))]
            room = 60 if width is None else min(60, max(8, width - 2 - max(map(len, labels))))
            lines += ["", terminal_chart(series, room, labels=labels)]
    return "\n".join(lines)


def render_all(values: Mapping[str, float | int | None], reasons: Mapping[str, str] | None = None) -> str:
    """Give every statistic as a line, family by family; what is undefined is `n/a` with its reason."""
    width = max(map(len, STATISTICS))
    lines: list[str] = []
    for family, entries in groupby(STATISTICS.values(), key=lambda entry: entry.family):
        lines += ["", family.capitalize()]
        for entry in entries:
            if entry.name not in values:
                continue
            shown = show(values[entry.name], entry.unit)
            reason = (reasons or {}).get(entry.name)
            lines.append(f"  {entry.name:<{width}}  {shown}{f' ({reason})' if reason else ''}")
    return "\n".join(lines[1:])


def _annualisation(values: Mapping[str, float | int | None]) -> str:
    per_year = values["periods_per_year"]
    assert per_year is not None
    period = period_of(per_year)
    counted = f"{values['periods']:,} return{'' if values['periods'] == 1 else 's'} of {period.name}"
    return f"Annualised by {per_year:g} periods a year over {counted}."


def _show_all(values: Mapping[str, float | int | None], keys: str | tuple[str, ...], kind: str) -> str:
    if isinstance(keys, str):
        return show(values[keys], kind)
    return " / ".join(show(values[key], kind) for key in keys)


def _time(value: float | None) -> str:
    if value is None or np.isnat(np.datetime64(int(value), "ns")):  # the time of a run without a record
        return "n/a"
    return str(np.datetime_as_string(np.datetime64(int(value), "ns"), unit="s")).replace("T", " ")


def _span(values: Mapping[str, float | int | None]) -> str:
    start, end = values["start_ns"], values["end_ns"]
    return "no data" if start is None or end is None else show_duration(int(end) - int(start))


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
