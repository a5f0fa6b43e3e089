"""Statistics of a series of returns: total, annualised, volatility, Sharpe, Sortino, downside.

May not live here: how the returns come about (periods.py), equity, trades.

A return is a fraction (0.01 is one percent) over one period; NaN is a period without a return: it is left out of sums,
yet counts as time. Annualisation is by `periods_per_year`. The conventions are those of empyrical: sample standard
deviation (n - 1), arithmetic means, geometric annualised return.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Returns = NDArray[np.float64]


def returns_of(values: ArrayLike, start: float) -> Returns:
    """Give the simple returns v[i] / v[i-1] - 1 of a series of values, the first against `start`.

    A return from a value that is not positive is undefined: NaN.
    """
    after = np.asarray(values, dtype=np.float64)
    before = np.concatenate(([start], after))[: len(after)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = after / before - 1.0
    ratio[~(before > 0)] = np.nan
    return np.asarray(ratio, dtype=np.float64)


def cumulative_returns(returns: ArrayLike) -> Returns:
    """Give the path prod(1 + r) - 1 after each period; a NaN keeps the level before it."""
    series = np.asarray(returns, dtype=np.float64)
    steps = 1.0 + np.where(np.isnan(series), 0.0, series)
    return np.asarray(np.cumprod(steps) - 1.0, dtype=np.float64)


def total_return(returns: ArrayLike) -> float | None:
    """Give prod(1 + r) - 1, a fraction; None without returns."""
    path = cumulative_returns(returns)
    return float(path[-1]) if len(path) else None


def annualised_return(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Give (1 + total)^(periods_per_year / n) - 1, a fraction a year (compound annual growth).

    n counts all periods, those without a return as well. None without returns, where more than all is lost, or
    where the figure is beyond a float.
    """
    series = np.asarray(returns, dtype=np.float64)
    total = total_return(series)
    if total is None or total < -1.0:
        return None
    try:
        return float((1.0 + total) ** (periods_per_year / len(series)) - 1.0)
    except OverflowError:
        return None


def annualised_volatility(returns: ArrayLike, periods_per_year: float) -> float | None:
    """Give sample standard deviation * sqrt(periods_per_year), a fraction; None for less than two returns."""
    series = _present(returns)
    return float(np.std(series, ddof=1)) * math.sqrt(periods_per_year) if len(series) > 1 else None


def sharpe_ratio(returns: ArrayLike, periods_per_year: float, risk_free: ArrayLike = 0.0) -> float | None:
    """Give mean(r - f) / sd(r - f) * sqrt(periods_per_year), after W. F. Sharpe (1994); sd is the sample's.

    `risk_free` is a return per period, one for all or one for each. None below two returns or without variance.
    """
    excess = _present(np.asarray(returns, dtype=np.float64) - np.asarray(risk_free, dtype=np.float64))
    if len(excess) < 2 or np.all(excess == excess[0]):
        return None
    return _finite(float(np.mean(excess)) / float(np.std(excess, ddof=1)) * math.sqrt(periods_per_year))


def sortino_ratio(returns: ArrayLike, periods_per_year: float, target: float = 0.0) -> float | None:
    """Give mean(r - target) / downside deviation * sqrt(periods_per_year).

    After F. A. Sortino and R. van der Meer, Downside Risk (1991); the downside deviation is over all returns. None for
    fewer than two returns or where none is below the target.
    """
    series = _present(returns)
    downside = downside_deviation(series, target)
    if len(series) < 2 or not downside:
        return None
    return _finite(float(np.mean(series - target)) / downside * math.sqrt(periods_per_year))


def downside_deviation(returns: ArrayLike, target: float = 0.0) -> float | None:
    """Give sqrt(mean(min(r - target, 0)^2)) over all returns, per period; None without returns.

    C. Bacon, Practical Portfolio Performance Measurement and Attribution, 2nd edition.
    """
    series = _present(returns)
    return math.sqrt(float(np.mean(np.minimum(series - target, 0.0) ** 2))) if len(series) else None


def downside_potential(returns: ArrayLike, target: float = 0.0) -> float | None:
    """Give -mean(min(r - target, 0)), per period (Bacon, as above); None without returns."""
    series = _present(returns)
    return -float(np.mean(np.minimum(series - target, 0.0))) if len(series) else None


def downside_frequency(returns: ArrayLike, target: float = 0.0) -> float | None:
    """Give the share of returns below the target (Bacon, as above); None without returns."""
    series = _present(returns)
    return float(np.mean(series < target)) if len(series) else None


def _present(returns: ArrayLike) -> Returns:
    series = np.asarray(returns, dtype=np.float64)
    return series[~np.isnan(series)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
