"""Stability: whether the result came evenly, whether it hangs on few periods, whether returns follow each other.

May not live here: how large it was.
"""

from __future__ import annotations

import math

import numpy as np

from replay.stats.series import Floats, Series, ratio, some, varied
from replay.stats.statistic import statistic
from replay.stats.trades import longest_run
from replay.stats.value import Undefined


def _log_path(returns: Series) -> Floats:
    series = some(returns, least=2)
    if np.any(series <= -1):
        raise Undefined("a return lost all")
    return np.asarray(np.cumsum(np.log1p(series)))


@statistic("ratio", "returns")
def stability(returns: Series) -> float:
    """Give the R squared of a straight line through the cumulative logarithmic returns: 1 is perfectly even.

    Source: empyrical, stability_of_timeseries.
    """
    path = _log_path(returns)
    if np.all(path == path[0]):
        raise Undefined("the path is flat")
    return float(np.corrcoef(np.arange(len(path)), path)[0, 1]) ** 2


@statistic("ratio", "returns")
def k_ratio(returns: Series) -> float:
    """Give slope of the cumulative logarithmic returns / its standard error / number of returns.

    Source: L. Kestner, Quantitative Trading Strategies (2003).
    """
    path = _log_path(returns)
    count = len(path)
    if count < 3:
        raise Undefined("fewer than 3 returns")
    times = np.arange(count) - (count - 1) / 2.0
    spread = float(np.sum(times**2))
    slope = float(np.sum(times * path)) / spread
    left = path - np.mean(path) - slope * times
    error = math.sqrt(float(np.sum(left**2)) / (count - 2) / spread)
    if error <= 1e-12 * abs(slope):
        raise Undefined("the path is a straight line")
    return slope / error / count


@statistic("ratio", "returns")
def autocorrelation(returns: Series) -> float:
    """Give the correlation of each return with the one before: above 0, moves go on; below 0, they turn back.

    Source: G. Box and G. Jenkins, Time Series Analysis (1970), at lag 1.
    """
    series = varied(returns, least=3)
    centred = series - np.mean(series)
    return float(np.sum(centred[1:] * centred[:-1]) / np.sum(centred**2))


@statistic("ratio", "returns")
def variance_ratio(returns: Series, periods: int = 2) -> float:
    """Give variance of the returns of 2 periods / (2 * variance of those of one): 1 for a random walk.

    Source: A. Lo and A. C. MacKinlay, Stock Market Prices Do Not Follow Random Walks (1988).
    """
    series = varied(returns, least=2 * periods)
    count, mean = len(series), float(np.mean(series))
    single = float(np.sum((series - mean) ** 2)) / (count - 1)
    sums = np.convolve(series, np.ones(periods), mode="valid")
    weight = periods * (count - periods + 1) * (1.0 - periods / count)
    return float(np.sum((sums - periods * mean) ** 2)) / weight / single


@statistic("percent", "returns")
def best_periods_share(returns: Series, count: int = 5) -> float:
    """Give the sum of the 5 best returns / the sum of all: above 1, the rest lost money.

    Source: its definition.
    """
    series = np.sort(some(returns, least=count))
    total = float(np.sum(series))
    if total <= 0:
        raise Undefined("the returns do not sum to a gain")
    return float(np.sum(series[-count:])) / total


@statistic("count", "returns")
def longest_gaining_streak(returns: Series) -> int:
    """Give the largest number of periods in a row with a return above 0.

    Source: its definition.
    """
    return longest_run(some(returns) > 0)


@statistic("count", "returns")
def longest_losing_streak(returns: Series) -> int:
    """Give the largest number of periods in a row with a return below 0.

    Source: its definition.
    """
    return longest_run(some(returns) < 0)


@statistic("ratio", "returns", "periods_per_year")
def halves_sharpe_difference(returns: Series, periods_per_year: float) -> float:
    """Give Sharpe ratio of the second half of the returns - that of the first: far below 0, the edge has gone.

    Source: its definition.
    """
    series = some(returns, least=4)
    middle = len(series) // 2
    first, second = varied(series[:middle]), varied(series[middle:])
    ratios = [float(np.mean(half)) / float(np.std(half, ddof=1)) for half in (first, second)]
    return (ratios[1] - ratios[0]) * math.sqrt(periods_per_year)


@statistic("percent", "returns")
def concentration(returns: Series) -> float:
    """Give the normalised Herfindahl index of the positive returns: 0 all alike, 1 one period made all the gains.

    (sum of w^2 - 1 / n) / (1 - 1 / n) over the n positive returns, w their shares of the sum.

    Source: M. Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 14.
    """
    series = some(returns)
    gains = series[series > 0]
    if len(gains) < 2:
        raise Undefined("fewer than 2 positive returns")
    shares = gains / np.sum(gains)
    return ratio(float(np.sum(shares**2)) - 1.0 / len(gains), 1.0 - 1.0 / len(gains), "one positive return")
