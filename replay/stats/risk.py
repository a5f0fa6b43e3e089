"""Risk of a single period: value at risk, expected shortfall, tails.

May not live here: drawdowns, which are losses over several periods.

Values at risk are returns of a period, below 0 for a loss, at 95 % unless `share` says otherwise: 0.05 of the periods
are expected to be worse.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from replay.stats.series import Series, ratio, some, standard_deviation, varied
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


@statistic("percent", "returns")
def value_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give the 5 % quantile of the returns, interpolated: one period in twenty was worse.

    Source: empyrical, value_at_risk.
    """
    return float(np.quantile(some(returns), share))


@statistic("percent", "returns")
def value_at_risk_99(returns: Series) -> float:
    """Give the 1 % quantile of the returns, interpolated: one period in a hundred was worse.

    Source: as value_at_risk.
    """
    return float(np.quantile(some(returns), 0.01))


@statistic("percent", "returns")
def conditional_value_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give the mean of the worst floor((n - 1) * 5 %) + 1 returns, the expected shortfall.

    Source: empyrical, conditional_value_at_risk.
    """
    series = np.sort(some(returns))
    return float(np.mean(series[: int((len(series) - 1) * share) + 1]))


@statistic("percent", "returns")
def gaussian_value_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give mean(r) + z * sample standard deviation, z the 5 % quantile of the normal distribution (-1.645).

    Source: J.P. Morgan, RiskMetrics Technical Document (1996).
    """
    return float(np.mean(some(returns))) + NormalDist().inv_cdf(share) * standard_deviation(returns)


@statistic("percent", "returns")
def modified_value_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give mean(r) + z' * population standard deviation, z' the normal quantile corrected for skewness and kurtosis.

    z' = z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36, S skewness and K excess kurtosis
    (Cornish and Fisher).

    Source: L. Favre and J. Galeano, Mean-Modified Value-at-Risk Optimization with Hedge Funds (2002).
    """
    series = varied(returns)
    deviation = float(np.std(series))
    centred = (series - np.mean(series)) / deviation
    skew, kurtosis = float(np.mean(centred**3)), float(np.mean(centred**4)) - 3.0
    z = NormalDist().inv_cdf(share)
    corrected = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    return float(np.mean(series)) + corrected * deviation


@statistic("percent", "returns")
def gaussian_expected_shortfall(returns: Series, share: float = 0.05) -> float:
    """Give mean(r) - sample standard deviation * pdf(z) / 5 %, the normal distribution's mean of the worst 5 %.

    Source: A. McNeil, R. Frey and P. Embrechts, Quantitative Risk Management (2005), example 2.18.
    """
    density = NormalDist().pdf(NormalDist().inv_cdf(share))
    return float(np.mean(some(returns))) - standard_deviation(returns) * density / share


@statistic("ratio", "returns")
def tail_ratio(returns: Series) -> float:
    """Give |95 % quantile| / |5 % quantile| of the returns: above 1, the best periods outweigh the worst.

    Source: empyrical, tail_ratio.
    """
    high, low = np.percentile(some(returns), [95, 5])
    return ratio(abs(float(high)), abs(float(low)), "the 5 % quantile is 0")


@statistic("ratio", "returns")
def common_sense_ratio(returns: Series) -> float:
    """Give tail ratio * sum of the gains / sum of the losses.

    Source: L. Bernut, The Common Sense Ratio (2014).
    """
    series = some(returns)
    high, low = np.percentile(series, [95, 5])
    tails = ratio(abs(float(high)), abs(float(low)), "the 5 % quantile is 0")
    losses = -float(np.sum(series[series < 0]))
    return tails * ratio(float(np.sum(series[series > 0])), losses, "no negative return")


@statistic("ratio", "returns")
def rachev_ratio(returns: Series, share: float = 0.1) -> float:
    """Give mean of the best tenth of the returns / -mean of the worst tenth.

    Source: S. Rachev et al., Desirable Properties of an Ideal Risk Measure in Portfolio Theory (2008).
    """
    series = np.sort(some(returns, least=2))
    count = max(int(len(series) * share), 1)
    worst = -float(np.mean(series[:count]))
    if worst <= 0:
        raise Undefined("the worst tenth lost nothing")
    return float(np.mean(series[-count:])) / worst


@statistic("ratio", "returns")
def outlier_win_ratio(returns: Series) -> float:
    """Give 99 % quantile of the returns / mean of the positive ones: how far the best stand out.

    Source: quantstats, outlier_win_ratio, with the mean of the gains alone.
    """
    series = some(returns)
    gains = series[series > 0]
    if not len(gains):
        raise Undefined("no positive return")
    return float(np.quantile(series, 0.99)) / float(np.mean(gains))


@statistic("ratio", "returns")
def outlier_loss_ratio(returns: Series) -> float:
    """Give 1 % quantile of the returns / mean of the negative ones: how far the worst stand out.

    Source: quantstats, outlier_loss_ratio.
    """
    series = some(returns)
    losses = series[series < 0]
    if not len(losses):
        raise Undefined("no negative return")
    return float(np.quantile(series, 0.01)) / float(np.mean(losses))


@statistic("ratio", "returns")
def return_on_value_at_risk(returns: Series, share: float = 0.05) -> float:
    """Give mean(r) / -value at risk, the reward for each unit of it.

    Source: K. Dowd, Adjusting for Risk: An Improved Sharpe Ratio (2000); Bacon (2008).
    """
    series = some(returns)
    at_risk = -float(np.quantile(series, share))
    if at_risk <= 0:
        raise Undefined("the value at risk is no loss")
    return float(np.mean(series)) / at_risk


@statistic("ratio", "returns")
def conditional_sharpe_ratio(returns: Series, share: float = 0.05) -> float:
    """Give mean(r) / -conditional value at risk.

    Source: V. Agarwal and N. Naik, Risks and Portfolio Decisions Involving Hedge Funds (2004); Bacon (2008).
    """
    series = np.sort(some(returns))
    shortfall = -float(np.mean(series[: int((len(series) - 1) * share) + 1]))
    if shortfall <= 0:
        raise Undefined("the worst returns are no losses")
    return float(np.mean(series)) / shortfall


@statistic("percent", "returns")
def safety_first_bound(returns: Series) -> float:
    """Give Roy's bound on the probability of a loss in one period, variance / (variance + mean^2) for a positive mean.

    It holds for any distribution (Cantelli).

    Source: A. D. Roy, Safety First and the Holding of Assets (1952).
    """
    series = some(returns, least=2)
    mean, deviation = float(np.mean(series)), standard_deviation(series)
    if mean <= 0:
        raise Undefined("the mean return is not above 0")
    return deviation**2 / (deviation**2 + mean**2)


def normal_tail(score: float) -> float:
    """Give the probability that a standard normal variable is above `score`."""
    return 0.5 * math.erfc(score / math.sqrt(2.0))
