"""Statistics of a series of returns: total, annualised, volatility, Sharpe, Sortino, downside and upside, shape.

May not live here: how the returns come about (periods.py), equity, trades.

A return is a fraction (0.01 is one percent) over one period; NaN is a period without a return: it is left out of sums,
yet counts as time. Annualisation is by `periods_per_year`. The conventions are those of empyrical: sample standard
deviation (n - 1), arithmetic means, geometric annualised return. `risk_free` and `target` are returns per period.
"""

from __future__ import annotations

import math

import numpy as np

from replay.stats.series import Floats, Series, floats, ratio, some, standard_deviation, varied
from replay.stats.statistic import statistic
from replay.stats.value import Undefined

Returns = Floats


def returns_of(values: Series, start: float) -> Returns:
    """Give the simple returns v[i] / v[i-1] - 1 of a series of values, the first against `start`.

    A return from a value that is not positive is undefined: NaN.
    """
    after = floats(values)
    before = np.concatenate(([start], after))[: len(after)]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = after / before - 1.0
    steps[~(before > 0)] = np.nan
    return np.asarray(steps, dtype=np.float64)


def cumulative_returns(returns: Series) -> Returns:
    """Give the path prod(1 + r) - 1 after each period; a NaN keeps the level before it."""
    series = floats(returns)
    steps = 1.0 + np.where(np.isnan(series), 0.0, series)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.cumprod(steps) - 1.0, dtype=np.float64)


def growth(returns: Series, periods_per_year: float) -> float:
    """Give the annualised return to a statistic that rests on it; raises Undefined as that does."""
    path = cumulative_returns(returns)
    if not len(path):
        raise Undefined("no returns")
    total = float(path[-1])
    if total < -1.0:
        raise Undefined("more than all was lost")
    return float((1.0 + total) ** (periods_per_year / len(path)) - 1.0)


def annual_rate(rate: float, periods_per_year: float) -> float:
    """Give what a return per period comes to in a year."""
    return float((1.0 + rate) ** periods_per_year - 1.0) if rate else 0.0


# -- how much


@statistic("percent", "returns")
def total_return(returns: Series) -> float:
    """Give prod(1 + r) - 1.

    Source: empyrical, cum_returns_final.
    """
    path = cumulative_returns(returns)
    if not len(path):
        raise Undefined("no returns")
    return float(path[-1])


@statistic("percent", "returns", "periods_per_year", is_compounded=True)
def annualised_return(returns: Series, periods_per_year: float) -> float:
    """Give (1 + total)^(periods per year / periods) - 1, the compound annual growth.

    All periods count, those without a return as well. Undefined where more than all is lost.

    Source: empyrical, annual_return.
    """
    return growth(returns, periods_per_year)


@statistic("percent", "returns")
def mean_return(returns: Series) -> float:
    """Give the arithmetic mean of the returns, per period.

    Source: Bacon (2008).
    """
    return float(np.mean(some(returns)))


@statistic("percent", "returns")
def geometric_mean_return(returns: Series) -> float:
    """Give prod(1 + r)^(1 / n) - 1, per period.

    Source: Bacon (2008).
    """
    series = some(returns)
    grown = float(np.prod(1.0 + series))
    if grown < 0:
        raise Undefined("more than all was lost")
    return float(grown ** (1.0 / len(series)) - 1.0)


@statistic("percent", "returns")
def median_return(returns: Series) -> float:
    """Give the median of the returns, per period.

    Source: the median's definition.
    """
    return float(np.median(some(returns)))


@statistic("percent", "returns")
def best_return(returns: Series) -> float:
    """Give the best return of one period.

    Source: its definition.
    """
    return float(np.max(some(returns)))


@statistic("percent", "returns")
def worst_return(returns: Series) -> float:
    """Give the worst return of one period.

    Source: its definition.
    """
    return float(np.min(some(returns)))


@statistic("percent", "returns")
def positive_periods(returns: Series) -> float:
    """Give the share of periods with a return above 0.

    Source: its definition.
    """
    return float(np.mean(some(returns) > 0))


# -- how wide


@statistic("percent", "returns", "periods_per_year")
def annualised_volatility(returns: Series, periods_per_year: float) -> float:
    """Give the sample standard deviation of the returns * sqrt(periods per year).

    Source: empyrical, annual_volatility.
    """
    return standard_deviation(returns) * math.sqrt(periods_per_year)


@statistic("percent", "returns")
def mean_absolute_deviation(returns: Series) -> float:
    """Give mean(|r - mean(r)|), per period.

    Source: Bacon (2008).
    """
    series = some(returns)
    return float(np.mean(np.abs(series - np.mean(series))))


@statistic("ratio", "returns")
def skewness(returns: Series) -> float:
    """Give the third central moment / (population standard deviation)^3: below 0, large losses outweigh large gains.

    Source: Bacon (2008).
    """
    return _moment(varied(returns), 3)


@statistic("ratio", "returns")
def excess_kurtosis(returns: Series) -> float:
    """Give the fourth central moment / (population standard deviation)^4 - 3: above 0, the tails are fat.

    Source: Bacon (2008).
    """
    return _moment(varied(returns), 4) - 3.0


def _moment(series: Returns, order: int) -> float:
    centred = (series - np.mean(series)) / np.std(series)
    return float(np.mean(centred**order))


# -- below and above a target


@statistic("percent", "returns")
def downside_deviation(returns: Series, target: float = 0.0) -> float:
    """Give sqrt(mean(min(r - target, 0)^2)) over all returns, per period; the target is 0.

    Source: Bacon (2008).
    """
    return math.sqrt(float(np.mean(np.minimum(some(returns) - target, 0.0) ** 2)))


@statistic("percent", "returns")
def downside_potential(returns: Series, target: float = 0.0) -> float:
    """Give -mean(min(r - target, 0)), per period; the target is 0.

    Source: Bacon (2008).
    """
    return 0.0 - float(np.mean(np.minimum(some(returns) - target, 0.0)))


@statistic("percent", "returns")
def downside_frequency(returns: Series, target: float = 0.0) -> float:
    """Give the share of returns below the target, 0.

    Source: Bacon (2008).
    """
    return float(np.mean(some(returns) < target))


@statistic("percent", "returns", "periods_per_year")
def annualised_downside_risk(returns: Series, periods_per_year: float, target: float = 0.0) -> float:
    """Give downside deviation * sqrt(periods per year); the target is 0.

    Source: empyrical, downside_risk.
    """
    below = np.minimum(some(returns) - target, 0.0)
    return math.sqrt(float(np.mean(below**2)) * periods_per_year)


@statistic("percent", "returns")
def upside_deviation(returns: Series, target: float = 0.0) -> float:
    """Give sqrt(mean(max(r - target, 0)^2)) over all returns, per period; the target is 0.

    Source: Bacon (2008), upside risk.
    """
    return math.sqrt(float(np.mean(np.maximum(some(returns) - target, 0.0) ** 2)))


@statistic("percent", "returns")
def upside_potential(returns: Series, target: float = 0.0) -> float:
    """Give mean(max(r - target, 0)), per period; the target is 0.

    Source: Bacon (2008).
    """
    return float(np.mean(np.maximum(some(returns) - target, 0.0)))


# -- return per risk


@statistic("ratio", "returns", "periods_per_year", "risk_free")
def sharpe_ratio(returns: Series, periods_per_year: float, risk_free: Series = 0.0) -> float:
    """Give mean(r - f) / sample standard deviation(r - f) * sqrt(periods per year), f the risk-free return.

    `risk_free` is a return per period, one for all or one for each.

    Source: W. F. Sharpe, The Sharpe Ratio (1994); empyrical, sharpe_ratio.
    """
    excess = varied(floats(returns) - _rate(risk_free))
    return float(np.mean(excess)) / float(np.std(excess, ddof=1)) * math.sqrt(periods_per_year)


@statistic("ratio", "returns", "periods_per_year")
def sortino_ratio(returns: Series, periods_per_year: float, target: float = 0.0) -> float:
    """Give mean(r - target) / downside deviation * sqrt(periods per year); the target is 0.

    The downside deviation is over all returns.

    Source: F. A. Sortino and R. van der Meer, Downside Risk (1991); empyrical, sortino_ratio.
    """
    series = some(returns, least=2)
    downside = ratio_of_downside(series, target)
    return float(np.mean(series - target)) / downside * math.sqrt(periods_per_year)


def ratio_of_downside(series: Returns, target: float) -> float:
    """Give the downside deviation as a divisor; raises Undefined where nothing is below the target."""
    downside = math.sqrt(float(np.mean(np.minimum(series - target, 0.0) ** 2)))
    if downside == 0:
        raise Undefined("no return below the target")
    return downside


@statistic("ratio", "returns", "periods_per_year", "risk_free", is_compounded=True)
def adjusted_sharpe_ratio(returns: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give S * (1 + skewness / 6 * S - excess kurtosis / 24 * S^2), S = (annualised return - risk-free) / volatility.

    Source: J. Pezier and A. White (2006); Bacon (2008).
    """
    series = varied(returns)
    annual = growth(series, periods_per_year) - annual_rate(risk_free, periods_per_year)
    sharpe = annual / (float(np.std(series, ddof=1)) * math.sqrt(periods_per_year))
    skew, kurtosis = _moment(series, 3), _moment(series, 4) - 3.0
    return sharpe * (1.0 + skew / 6.0 * sharpe - kurtosis / 24.0 * sharpe**2)


@statistic("percent", "returns")
def probabilistic_sharpe_ratio(returns: Series, threshold: float = 0.0) -> float:
    """Give the probability that the true Sharpe ratio is above 0, from its estimate, skewness and kurtosis.

    Normal cdf of (S - threshold) * sqrt(n - 1) / sqrt(1 - skewness * S + (kurtosis - 1) / 4 * S^2), with S per period.

    Source: D. Bailey and M. Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012).
    """
    series = varied(returns, least=3)
    sharpe = float(np.mean(series)) / float(np.std(series, ddof=1))
    width = 1.0 - _moment(series, 3) * sharpe + (_moment(series, 4) - 1.0) / 4.0 * sharpe**2
    if width <= 0:
        raise Undefined("its standard error is not positive")
    score = (sharpe - threshold) * math.sqrt(len(series) - 1) / math.sqrt(width)
    return 0.5 * math.erfc(-score / math.sqrt(2.0))


@statistic("ratio", "returns", "periods_per_year")
def sharpe_standard_error(returns: Series, periods_per_year: float) -> float:
    """Give sqrt((1 + S^2 / 2) / n) * sqrt(periods per year), the standard error of the Sharpe ratio; S is per period.

    Source: A. W. Lo, The Statistics of Sharpe Ratios (2002), for independent returns.
    """
    series = varied(returns)
    sharpe = float(np.mean(series)) / float(np.std(series, ddof=1))
    return math.sqrt((1.0 + sharpe**2 / 2.0) / len(series) * periods_per_year)


@statistic("ratio", "returns")
def omega_ratio(returns: Series, threshold: float = 0.0) -> float:
    """Give sum(max(r - threshold, 0)) / sum(max(threshold - r, 0)); the threshold is 0 per period.

    Source: C. Keating and W. Shadwick, A Universal Performance Measure (2002); empyrical, omega_ratio.
    """
    excess = some(returns, least=2) - threshold
    losses = -float(np.sum(excess[excess < 0]))
    return ratio(float(np.sum(excess[excess > 0])), losses, "no return below the threshold")


@statistic("ratio", "returns")
def bernardo_ledoit_ratio(returns: Series) -> float:
    """Give sum of the positive returns / sum of the negative ones, as a positive number.

    Source: A. Bernardo and O. Ledoit (1996); Bacon (2008).
    """
    series = some(returns)
    losses = -float(np.sum(series[series < 0]))
    return ratio(float(np.sum(series[series > 0])), losses, "no negative return")


@statistic("ratio", "returns")
def d_ratio(returns: Series) -> float:
    """Give (number of losses * sum of losses) / (number of gains * sum of gains): 0 is best.

    Source: Bacon (2008).
    """
    series = some(returns)
    gains, losses = series[series > 0], series[series < 0]
    return ratio(-float(np.sum(losses)) * len(losses), float(np.sum(gains)) * len(gains), "no positive return")


@statistic("ratio", "returns")
def gain_to_pain_ratio(returns: Series) -> float:
    """Give sum of all returns / sum of the negative ones, as a positive number.

    Source: J. Schwager, Hedge Fund Market Wizards (2012).
    """
    series = some(returns)
    losses = -float(np.sum(series[series < 0]))
    return ratio(float(np.sum(series)), losses, "no negative return")


@statistic("ratio", "returns")
def kappa_ratio(returns: Series, target: float = 0.0, order: int = 3) -> float:
    """Give (mean(r) - target) / (mean(max(target - r, 0)^3))^(1/3), per period; the target is 0.

    Source: P. Kaplan and J. Knowles, Kappa (2004); Bacon (2008).
    """
    series = some(returns)
    below = float(np.mean(np.maximum(target - series, 0.0) ** order)) ** (1.0 / order)
    return ratio(float(np.mean(series)) - target, below, "no return below the target")


@statistic("ratio", "returns")
def upside_potential_ratio(returns: Series, target: float = 0.0) -> float:
    """Give mean(max(r - target, 0)) / downside deviation, per period; the target is 0.

    Source: F. Sortino, R. van der Meer and A. Plantinga (1999); Bacon (2008).
    """
    series = some(returns)
    return float(np.mean(np.maximum(series - target, 0.0))) / ratio_of_downside(series, target)


@statistic("ratio", "returns")
def omega_sharpe_ratio(returns: Series, target: float = 0.0) -> float:
    """Give (mean(r) - target) / downside potential; the target is 0.

    Source: Bacon (2008).
    """
    series = some(returns)
    below = -float(np.mean(np.minimum(series - target, 0.0)))
    return ratio(float(np.mean(series)) - target, below, "no return below the target")


@statistic("ratio", "returns")
def volatility_skewness(returns: Series, target: float = 0.0) -> float:
    """Give mean(max(r - target, 0)^2) / mean(min(r - target, 0)^2), upside / downside variance; the target is 0.

    Source: Bacon (2008).
    """
    series = some(returns)
    above = float(np.mean(np.maximum(series - target, 0.0) ** 2))
    return above / ratio_of_downside(series, target) ** 2


@statistic("ratio", "returns")
def prospect_ratio(returns: Series, target: float = 0.0) -> float:
    """Give (mean(max(r, 0) + 2.25 * min(r, 0)) - target) / downside deviation; losses weigh 2.25 times.

    The target is 0.

    Source: Y. Watanabe (2006); Bacon (2008).
    """
    series = some(returns)
    felt = float(np.mean(np.maximum(series, 0.0) + 2.25 * np.minimum(series, 0.0)))
    return (felt - target) / ratio_of_downside(series, target)


@statistic("ratio", "returns")
def skewness_kurtosis_ratio(returns: Series) -> float:
    """Give skewness / kurtosis, both of the population: high for large gains and thin tails.

    Source: Bacon (2008).
    """
    series = varied(returns)
    return _moment(series, 3) / _moment(series, 4)


@statistic("times", "returns", "risk_free")
def kelly_leverage(returns: Series, risk_free: float = 0.0) -> float:
    """Give mean(r - f) / variance(r), the leverage that would have made the fortune grow fastest.

    Source: E. O. Thorp, The Kelly Criterion in Blackjack, Sports Betting and the Stock Market (1997).
    """
    series = varied(returns)
    return (float(np.mean(series)) - risk_free) / float(np.var(series, ddof=1))


# -- shared


def _rate(risk_free: Series) -> Returns | float:
    return float(risk_free) if isinstance(risk_free, int | float) else floats(risk_free)
