"""Against a benchmark: buy and hold of the instruments, and how the returns went with those of another series.

May not live here: fees and financing; buy and hold has none, and no rebalancing either.

`benchmark` holds one return per period, beside `returns`; a period in which either has none (NaN) is left out, and
counts as time where figures are annualised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from replay.stats.returns import annual_rate, growth
from replay.stats.series import Floats, Series, floats, ratio, standard_deviation
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


def buy_and_hold_return(first_mark: float | None, last_mark: float | None) -> float | None:
    """Give last mark / first mark - 1, a fraction; None without marks or where the first is not positive."""
    if first_mark is None or last_mark is None or not first_mark > 0:
        return None
    return last_mark / first_mark - 1.0


def equal_weighted(returns: Sequence[float | None]) -> float | None:
    """Give the return of equal amounts put into each at its first mark and held: the mean; None where none is known."""
    known = [value for value in returns if value is not None]
    return sum(known) / len(known) if known else None


# -- pairs of returns


def _both(returns: Series, benchmark: Series, least: int = 2) -> tuple[Floats, Floats]:
    """Give the periods that have both returns; raises ValueError for series of different lengths."""
    ours, theirs = floats(returns), floats(benchmark)
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} returns beside {len(theirs)} of the benchmark: give one for each period")
    known = ~np.isnan(ours) & ~np.isnan(theirs)
    if np.count_nonzero(known) < least:
        raise Undefined(f"fewer than {least} periods with both returns")
    return ours[known], theirs[known]


def _slope(ours: Floats, theirs: Floats) -> float:
    if len(ours) < 2 or np.all(theirs == theirs[0]):
        raise Undefined("the benchmark's returns are all equal")
    centred = theirs - np.mean(theirs)
    return float(np.sum(centred * ours) / np.sum(centred**2))


@statistic("percent", "benchmark")
def benchmark_return(benchmark: Series) -> float:
    """Give prod(1 + b) - 1, the benchmark's total return.

    Source: as total_return.
    """
    series = floats(benchmark)
    if not len(series):
        raise Undefined("no returns")
    return float(np.prod(1.0 + series[~np.isnan(series)]) - 1.0)


@statistic("percent", "returns", "benchmark", "periods_per_year", is_compounded=True)
def active_return(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give annualised return - the benchmark's, the active premium.

    Source: Bacon (2008).
    """
    _both(returns, benchmark, 1)
    return growth(returns, periods_per_year) - growth(benchmark, periods_per_year)


@statistic("percent", "returns", "benchmark", "periods_per_year")
def tracking_error(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give the sample standard deviation of r - b * sqrt(periods per year).

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    return standard_deviation(ours - theirs) * math.sqrt(periods_per_year)


@statistic("ratio", "returns", "benchmark", "periods_per_year", is_compounded=True)
def information_ratio(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give active return / tracking error.

    Source: W. F. Sharpe, The Sharpe Ratio (1994); Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    error = standard_deviation(ours - theirs) * math.sqrt(periods_per_year)
    return ratio(growth(returns, periods_per_year) - growth(benchmark, periods_per_year), error, "no tracking error")


@statistic("ratio", "returns", "benchmark")
def excess_sharpe_ratio(returns: Series, benchmark: Series) -> float:
    """Give mean(r - b) / sample standard deviation(r - b), per period.

    Source: empyrical, excess_sharpe.
    """
    ours, theirs = _both(returns, benchmark)
    active = ours - theirs
    return ratio(float(np.mean(active)), standard_deviation(active), "no tracking error")


# -- regression on the benchmark


@statistic("ratio", "returns", "benchmark")
def beta(returns: Series, benchmark: Series) -> float:
    """Give covariance(r, b) / variance(b).

    Source: W. F. Sharpe, Capital Asset Prices (1964); empyrical, beta.
    """
    return _slope(*_both(returns, benchmark))


@statistic("percent", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def alpha(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (1 + mean((r - f) - beta * (b - f)))^(periods per year) - 1.

    Source: empyrical, alpha.
    """
    ours, theirs = _both(returns, benchmark)
    slope = _slope(ours, theirs)
    return float((1.0 + np.mean(ours - risk_free - slope * (theirs - risk_free))) ** periods_per_year - 1.0)


@statistic("percent", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def jensen_alpha(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give annualised return - f - beta * (the benchmark's - f), f the risk-free return of a year.

    Source: M. Jensen, The Performance of Mutual Funds (1968); Bacon (2008).
    """
    slope = _slope(*_both(returns, benchmark))
    free = annual_rate(risk_free, periods_per_year)
    return growth(returns, periods_per_year) - free - slope * (growth(benchmark, periods_per_year) - free)


@statistic("ratio", "returns", "benchmark")
def correlation(returns: Series, benchmark: Series) -> float:
    """Give the correlation of the returns with the benchmark's.

    Source: K. Pearson (1895).
    """
    ours, theirs = _both(returns, benchmark)
    slope = _slope(ours, theirs)
    if np.all(ours == ours[0]):
        raise Undefined("all returns are equal")
    return slope * float(np.std(theirs)) / float(np.std(ours))


@statistic("ratio", "returns", "benchmark")
def r_squared(returns: Series, benchmark: Series) -> float:
    """Give correlation^2: the part of the variance that the benchmark explains.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    slope = _slope(ours, theirs)
    if np.all(ours == ours[0]):
        raise Undefined("all returns are equal")
    return (slope * float(np.std(theirs)) / float(np.std(ours))) ** 2


@statistic("ratio", "returns", "benchmark")
def bull_beta(returns: Series, benchmark: Series) -> float:
    """Give beta over the periods in which the benchmark rose.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    return _slope(ours[theirs > 0], theirs[theirs > 0])


@statistic("ratio", "returns", "benchmark")
def bear_beta(returns: Series, benchmark: Series) -> float:
    """Give beta over the periods in which the benchmark fell.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    return _slope(ours[theirs < 0], theirs[theirs < 0])


@statistic("ratio", "returns", "benchmark")
def timing_ratio(returns: Series, benchmark: Series) -> float:
    """Give bull beta / bear beta: above 1, more of the rises was taken than of the falls.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    bear = _slope(ours[theirs < 0], theirs[theirs < 0])
    return ratio(_slope(ours[theirs > 0], theirs[theirs > 0]), bear, "the bear beta is 0")


@statistic("percent", "returns", "benchmark", "periods_per_year")
def systematic_risk(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give |beta| * population standard deviation of the benchmark * sqrt(periods per year).

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    return abs(_slope(ours, theirs)) * float(np.std(theirs)) * math.sqrt(periods_per_year)


@statistic("percent", "returns", "benchmark", "periods_per_year")
def specific_risk(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give the population standard deviation of r - alpha - beta * b * sqrt(periods per year): what is left.

    Source: Bacon (2008).
    """
    return _specific(*_both(returns, benchmark)) * math.sqrt(periods_per_year)


def _specific(ours: Floats, theirs: Floats) -> float:
    left = ours - _slope(ours, theirs) * theirs
    return 0.0 if np.allclose(left, left[0], rtol=1e-12, atol=1e-15) else float(np.std(left))


@statistic("ratio", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def appraisal_ratio(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give Jensen's alpha / specific risk.

    Source: J. Treynor and F. Black (1973); Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    free = annual_rate(risk_free, periods_per_year)
    rewards = growth(benchmark, periods_per_year) - free
    jensen = growth(returns, periods_per_year) - free - _slope(ours, theirs) * rewards
    return ratio(jensen, _specific(ours, theirs) * math.sqrt(periods_per_year), "no specific risk")


@statistic("ratio", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def treynor_ratio(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (annualised return - f) / beta.

    Source: J. Treynor, How to Rate Management of Investment Funds (1965); Bacon (2008).
    """
    slope = _slope(*_both(returns, benchmark))
    excess = growth(returns, periods_per_year) - annual_rate(risk_free, periods_per_year)
    return ratio(excess, slope, "beta is 0")


@statistic("ratio", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def modified_treynor_ratio(
    returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0
) -> float:
    """Give (annualised return - f) / systematic risk.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    risk = abs(_slope(ours, theirs)) * float(np.std(theirs)) * math.sqrt(periods_per_year)
    excess = growth(returns, periods_per_year) - annual_rate(risk_free, periods_per_year)
    return ratio(excess, risk, "no systematic risk")


@statistic("percent", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def m_squared(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give (annualised return - f) * volatility of the benchmark / own volatility + f: the return at its risk.

    Source: F. Modigliani and L. Modigliani, Risk-Adjusted Performance (1997); Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    free = annual_rate(risk_free, periods_per_year)
    if np.all(ours == ours[0]):
        raise Undefined("all returns are equal")
    return (growth(returns, periods_per_year) - free) * float(np.std(theirs)) / float(np.std(ours)) + free


@statistic("ratio", "returns", "benchmark")
def fama_beta(returns: Series, benchmark: Series) -> float:
    """Give own volatility / the benchmark's: the beta that would justify the total risk.

    Source: E. Fama, Components of Investment Performance (1972); Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    return ratio(standard_deviation(ours), standard_deviation(theirs), "the benchmark's returns are all equal")


@statistic("percent", "returns", "benchmark", "periods_per_year", "risk_free", is_compounded=True)
def net_selectivity(returns: Series, benchmark: Series, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Give Jensen's alpha - (Fama beta - beta) * (the benchmark's annualised return - f).

    Source: E. Fama, Components of Investment Performance (1972); Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark)
    free = annual_rate(risk_free, periods_per_year)
    rewards = growth(benchmark, periods_per_year) - free
    total = ratio(standard_deviation(ours), standard_deviation(theirs), "the benchmark's returns are all equal")
    return growth(returns, periods_per_year) - free - total * rewards


# -- in rising and in falling markets


def _capture(ours: Floats, theirs: Floats, periods_per_year: float) -> float:
    if not len(ours):
        raise Undefined("the benchmark had no such period")
    return ratio(growth(ours, periods_per_year), growth(theirs, periods_per_year), "the benchmark's return is 0")


@statistic("percent", "returns", "benchmark", "periods_per_year", is_compounded=True)
def capture(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give annualised return / the benchmark's.

    Source: empyrical, capture.
    """
    _both(returns, benchmark, 1)
    return _capture(floats(returns), floats(benchmark), periods_per_year)


@statistic("percent", "returns", "benchmark", "periods_per_year", is_compounded=True)
def up_capture(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give annualised return / the benchmark's, over the periods in which it rose.

    Source: empyrical, up_capture; Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark, 1)
    return _capture(ours[theirs > 0], theirs[theirs > 0], periods_per_year)


@statistic("percent", "returns", "benchmark", "periods_per_year", is_compounded=True)
def down_capture(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give annualised return / the benchmark's, over the periods in which it fell: below 0, it was a hedge.

    Source: empyrical, down_capture; Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark, 1)
    return _capture(ours[theirs < 0], theirs[theirs < 0], periods_per_year)


@statistic("ratio", "returns", "benchmark", "periods_per_year", is_compounded=True)
def up_down_capture(returns: Series, benchmark: Series, periods_per_year: float) -> float:
    """Give up capture / down capture.

    Source: empyrical, up_down_capture.
    """
    ours, theirs = _both(returns, benchmark, 1)
    up = _capture(ours[theirs > 0], theirs[theirs > 0], periods_per_year)
    down = _capture(ours[theirs < 0], theirs[theirs < 0], periods_per_year)
    return ratio(up, down, "the down capture is 0")


@statistic("percent", "returns", "benchmark")
def batting_average(returns: Series, benchmark: Series) -> float:
    """Give the share of periods with a return above the benchmark's.

    Source: empyrical, batting_average.
    """
    ours, theirs = _both(returns, benchmark, 1)
    return float(np.mean(ours > theirs))


@statistic("percent", "returns", "benchmark")
def up_number_ratio(returns: Series, benchmark: Series) -> float:
    """Give the share of the benchmark's rising periods in which the return was above 0, too.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark, 1)
    if not np.any(theirs > 0):
        raise Undefined("the benchmark had no such period")
    return float(np.mean(ours[theirs > 0] > 0))


@statistic("percent", "returns", "benchmark")
def down_number_ratio(returns: Series, benchmark: Series) -> float:
    """Give the share of the benchmark's falling periods in which the return was below 0, too.

    Source: Bacon (2008).
    """
    ours, theirs = _both(returns, benchmark, 1)
    if not np.any(theirs < 0):
        raise Undefined("the benchmark had no such period")
    return float(np.mean(ours[theirs < 0] < 0))
