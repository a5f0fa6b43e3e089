"""Drawdown: how far, and for how long, equity stood below its highest value so far.

May not live here: how equity becomes returns per period (periods.py). The maximum and the longest drawdown count every
equity point; the others stand on the returns per period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.stats.returns import annual_rate, cumulative_returns, growth
from replay.stats.series import Floats, Series, floats, ratio, some
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


class DrawdownTracker:
    """Keeps the drawdown of equity points that come in pieces; the result is the same however they are cut."""

    def __init__(self, start_ts: int | None = None, start_equity: float | None = None) -> None:
        """Start from the equity before the first point, if it is known."""
        self._peak = -np.inf if start_equity is None else start_equity
        self._peak_ts = start_ts
        self._last_ts = start_ts
        self._is_below = False
        self._worst: float | None = None if start_equity is None else 0.0
        self._longest_ns = 0

    def add(self, ts: NDArray[np.int64], equity: NDArray[np.float64]) -> None:
        """Take further points, times not falling."""
        if not len(ts):
            return
        if self._peak_ts is None:
            self._peak_ts = int(ts[0])
        peaks = np.maximum(np.maximum.accumulate(equity), self._peak)
        with np.errstate(divide="ignore", invalid="ignore"):
            falls = np.where(peaks > 0, equity / peaks - 1.0, 0.0)
        self._worst = min(0.0 if self._worst is None else self._worst, float(np.min(falls)))
        self._take_spells(ts, np.flatnonzero(equity >= peaks))
        self._peak = float(peaks[-1])
        self._last_ts = int(ts[-1])

    def _take_spells(self, ts: NDArray[np.int64], highs: NDArray[np.intp]) -> None:
        """Measure the time between neighbouring highs that have lower points between them."""
        assert self._peak_ts is not None
        if len(highs):
            if self._is_below or highs[0] > 0:
                self._longest_ns = max(self._longest_ns, int(ts[highs[0]]) - self._peak_ts)
            broken = np.flatnonzero(np.diff(highs) > 1)
            if len(broken):
                spells = ts[highs[broken + 1]] - ts[highs[broken]]
                self._longest_ns = max(self._longest_ns, int(np.max(spells)))
            self._peak_ts = int(ts[highs[-1]])
            self._is_below = bool(highs[-1] < len(ts) - 1)
        else:
            self._is_below = True

    @property
    def maximum(self) -> float | None:
        """The deepest fall below the highest equity so far: equity / peak - 1, a fraction <= 0; None without points."""
        return self._worst

    @property
    def longest_ns(self) -> int | None:
        """The longest time from a peak until it was reached again, or until the end; None without points."""
        if self._last_ts is None or self._peak_ts is None:
            return None
        still = self._last_ts - self._peak_ts if self._is_below else 0
        return max(self._longest_ns, still)


@statistic("percent", "equity")
def maximum_drawdown(equity: Series) -> float:
    """Give the deepest fall below the highest equity so far: min over t of equity[t] / max(equity[..t]) - 1.

    Over every equity point, not only the ends of periods. It is 0 below no positive peak.

    Source: empyrical, max_drawdown; Bacon (2008).
    """
    values = some(equity, "equity points")
    tracker = DrawdownTracker()
    tracker.add(np.arange(len(values), dtype=np.int64), values)
    assert tracker.maximum is not None
    return tracker.maximum


@statistic("duration", "equity_ts", "equity")
def longest_drawdown_ns(ts: Series, equity: Series) -> int:
    """Give the longest time that equity stood below a peak, up to its recovery or the end.

    Over every equity point. `ts` are ns.

    Source: Bacon (2008).
    """
    tracker = DrawdownTracker()
    tracker.add(np.asarray(ts, dtype=np.int64), floats(equity))
    if tracker.longest_ns is None:
        raise Undefined("no equity points")
    return tracker.longest_ns


def drawdowns(equity: Series) -> Floats:
    """Give equity / highest so far - 1 at each point (0 where the highest is not positive), for plots."""
    values = floats(equity)
    peaks = np.maximum.accumulate(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(peaks > 0, values / peaks - 1.0, 0.0)


@dataclass(frozen=True)
class Spell:
    """One drawdown of a series of returns: the path stood at its peak at the end of period `start` - 1."""

    start: int
    """The first period below the peak."""
    limit: int
    """The period in which the peak was reached again; the number of periods where it was not."""
    depth: float
    """The deepest point as a fraction of the peak, below 0."""
    lowest: int
    """The period of the deepest point."""
    is_over: bool


def spells(returns: Series) -> list[Spell]:
    """Give the drawdowns of a series of returns, in order; the path starts at a peak of 1."""
    falls = falls_of(returns)
    below = np.concatenate(([False], falls < 0, [False]))
    starts = np.flatnonzero(below[1:] & ~below[:-1])
    limits = np.flatnonzero(~below[1:] & below[:-1])
    found = []
    for start, limit in zip(starts.tolist(), limits.tolist(), strict=True):
        lowest = start + int(np.argmin(falls[start:limit]))
        found.append(Spell(start, limit, float(falls[lowest]), lowest, limit < len(falls)))
    return found


def falls_of(returns: Series) -> Floats:
    """Give the drawdown at the end of each period: wealth / highest wealth so far - 1; wealth starts at 1."""
    path = np.concatenate(([1.0], 1.0 + cumulative_returns(returns)))
    return drawdowns(path)[1:]


def _depths(returns: Series) -> Floats:
    some(returns)
    return np.array([spell.depth for spell in spells(returns)])


# -- of the returns per period


@statistic("percent", "returns")
def average_drawdown(returns: Series) -> float:
    """Give the mean depth of the drawdowns, between the ends of periods.

    Source: Bacon (2008).
    """
    depths = _depths(returns)
    if not len(depths):
        raise Undefined("no drawdown")
    return float(np.mean(depths))


@statistic("count", "returns")
def drawdown_count(returns: Series) -> int:
    """Give how often the ends of periods fell below their highest so far.

    Source: its definition.
    """
    return len(_depths(returns))


@statistic("number", "returns")
def average_drawdown_periods(returns: Series) -> float:
    """Give the mean length of the drawdowns in periods, from the peak to its recovery or the end.

    Source: Bacon (2008).
    """
    some(returns)
    lengths = [spell.limit - spell.start for spell in spells(returns)]
    if not lengths:
        raise Undefined("no drawdown")
    return sum(lengths) / len(lengths)


@statistic("number", "returns")
def average_recovery_periods(returns: Series) -> float:
    """Give the mean number of periods from the lowest point of a drawdown to its recovery, over those that recovered.

    Source: Bacon (2008).
    """
    some(returns)
    lengths = [spell.limit - spell.lowest for spell in spells(returns) if spell.is_over]
    if not lengths:
        raise Undefined("no drawdown has recovered")
    return sum(lengths) / len(lengths)


@statistic("percent", "returns")
def current_drawdown(returns: Series) -> float:
    """Give how far the end stands below the highest end of a period so far.

    Source: its definition.
    """
    some(returns)
    return float(falls_of(returns)[-1])


@statistic("percent", "returns")
def time_under_water(returns: Series) -> float:
    """Give the share of periods that ended below an earlier peak.

    Source: Bacon (2008).
    """
    some(returns)
    return float(np.mean(falls_of(returns) < 0))


@statistic("percent", "returns")
def pain_index(returns: Series) -> float:
    """Give the mean over all periods of the drawdown at their ends, as a positive fraction.

    Source: T. Becker, Zephyr Associates (2006); Bacon (2008).
    """
    some(returns)
    return float(np.mean(np.abs(falls_of(returns))))


@statistic("percent", "returns")
def ulcer_index(returns: Series) -> float:
    """Give the square root of the mean over all periods of the squared drawdown at their ends.

    Source: P. Martin and B. McCann, The Investor's Guide to Fidelity Funds (1989); Bacon (2008).
    """
    some(returns)
    return math.sqrt(float(np.mean(falls_of(returns) ** 2)))


@statistic("percent", "returns")
def conditional_drawdown_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give the mean of the worst floor((n - 1) * 5 %) + 1 drawdowns at the ends of periods.

    Source: A. Chekhlov, S. Uryasev and M. Zabarankin, Drawdown Measure in Portfolio Optimization (2005), discrete.
    """
    some(returns)
    falls = np.sort(falls_of(returns))
    return float(np.mean(falls[: int((len(falls) - 1) * share) + 1]))


# -- return per drawdown


@statistic("ratio", "returns", "periods_per_year", is_compounded=True)
def calmar_ratio(returns: Series, periods_per_year: float) -> float:
    """Give annualised return / |maximum drawdown|, both of the ends of periods.

    Source: T. Young, Calmar Ratio: A Smoother Tool (1991); empyrical, calmar_ratio.
    """
    some(returns)
    return ratio(growth(returns, periods_per_year), -float(np.min(falls_of(returns))), "no drawdown")


@statistic("ratio", "returns", "periods_per_year", is_compounded=True)
def sterling_ratio(returns: Series, periods_per_year: float) -> float:
    """Give annualised return / (|maximum drawdown| + 10 %).

    Source: D. Kestner, Getting a Handle on True Performance (1996); Bacon (2008).
    """
    some(returns)
    return growth(returns, periods_per_year) / (0.1 - float(np.min(falls_of(returns))))


@statistic("ratio", "returns", "periods_per_year", "risk_free", is_compounded=True)
def burke_ratio(returns: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (annualised return - risk-free) / sqrt(sum of the squared depths of the drawdowns).

    Source: G. Burke, A Sharper Sharpe Ratio (1994); Bacon (2008).
    """
    depths = _depths(returns)
    excess = growth(returns, periods_per_year) - annual_rate(risk_free, periods_per_year)
    return ratio(excess, math.sqrt(float(np.sum(depths**2))), "no drawdown")


@statistic("ratio", "returns", "periods_per_year", "risk_free", is_compounded=True)
def pain_ratio(returns: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (annualised return - risk-free) / pain index.

    Source: T. Becker, Zephyr Associates (2006); Bacon (2008).
    """
    some(returns)
    excess = growth(returns, periods_per_year) - annual_rate(risk_free, periods_per_year)
    return ratio(excess, float(np.mean(np.abs(falls_of(returns)))), "no drawdown")


@statistic("ratio", "returns", "periods_per_year", "risk_free", is_compounded=True)
def martin_ratio(returns: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (annualised return - risk-free) / ulcer index.

    Source: P. Martin and B. McCann (1989); Bacon (2008).
    """
    some(returns)
    excess = growth(returns, periods_per_year) - annual_rate(risk_free, periods_per_year)
    return ratio(excess, math.sqrt(float(np.mean(falls_of(returns) ** 2))), "no drawdown")


@statistic("ratio", "returns")
def recovery_factor(returns: Series) -> float:
    """Give total return / |maximum drawdown|, both of the ends of periods.

    Source: its definition; also called RoMaD.
    """
    some(returns)
    return ratio(float(cumulative_returns(returns)[-1]), -float(np.min(falls_of(returns))), "no drawdown")
