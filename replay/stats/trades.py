"""Statistics of round trips: results, streaks, how long, long and short, excursions.

May not live here: how round trips are found in fills (roundtrips.py, trade_rows.py).

`net` are results after fees in one currency, one per trade in the order of their ends; a result of exactly 0 is neither
gain nor loss.
"""

from __future__ import annotations

import math

import numpy as np

from replay.stats.series import Floats, Series, floats, ratio, some
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


def _results(net: Series) -> Floats:
    return some(net, "trades")


def _gains(net: Series) -> Floats:
    results = _results(net)
    return some(results[results > 0], "winning trade")


def _losses(net: Series) -> Floats:
    results = _results(net)
    return some(results[results < 0], "losing trade")


# -- results


@statistic("count", "trade_net")
def trades(net: Series) -> int:
    """Give the number of round trips, from flat to flat or to a flip; an open one is not counted.

    Source: its definition.
    """
    results = floats(net)
    return int(np.count_nonzero(~np.isnan(results)))


@statistic("percent", "trade_net")
def win_rate(net: Series) -> float:
    """Give the share of trades with a result above 0 after fees.

    Source: its definition.
    """
    return float(np.mean(_results(net) > 0))


@statistic("percent", "trade_net")
def loss_rate(net: Series) -> float:
    """Give the share of trades with a result below 0 after fees.

    Source: its definition.
    """
    return float(np.mean(_results(net) < 0))


@statistic("ratio", "trade_net")
def profit_factor(net: Series) -> float:
    """Give sum of the gains / sum of the losses, as a positive number.

    Source: R. Vince, Portfolio Management Formulas (1990).
    """
    results = _results(net)
    losses = -float(np.sum(results[results < 0]))
    return ratio(float(np.sum(results[results > 0])), losses, "no losing trade")


@statistic("money", "trade_net")
def average_trade(net: Series) -> float:
    """Give the mean result of a trade after fees, its expectancy.

    Source: its definition.
    """
    return float(np.mean(_results(net)))


@statistic("money", "trade_net")
def median_trade(net: Series) -> float:
    """Give the median result of a trade after fees.

    Source: the median's definition.
    """
    return float(np.median(_results(net)))


@statistic("money", "trade_net")
def best_trade(net: Series) -> float:
    """Give the best result of a trade after fees.

    Source: its definition.
    """
    return float(np.max(_results(net)))


@statistic("money", "trade_net")
def worst_trade(net: Series) -> float:
    """Give the worst result of a trade after fees.

    Source: its definition.
    """
    return float(np.min(_results(net)))


@statistic("money", "trade_net")
def average_win(net: Series) -> float:
    """Give the mean result of the winning trades.

    Source: its definition.
    """
    return float(np.mean(_gains(net)))


@statistic("money", "trade_net")
def average_loss(net: Series) -> float:
    """Give the mean result of the losing trades, below 0.

    Source: its definition.
    """
    return float(np.mean(_losses(net)))


@statistic("ratio", "trade_net")
def payoff_ratio(net: Series) -> float:
    """Give mean of the gains / mean of the losses, as a positive number.

    Source: R. Vince, Portfolio Management Formulas (1990).
    """
    return float(np.mean(_gains(net))) / -float(np.mean(_losses(net)))


@statistic("money", "trade_net")
def trade_deviation(net: Series) -> float:
    """Give the sample standard deviation of the trades' results.

    Source: its definition.
    """
    results = some(net, "trades", 2)
    return 0.0 if np.all(results == results[0]) else float(np.std(results, ddof=1))


@statistic("ratio", "trade_net")
def system_quality_number(net: Series) -> float:
    """Give sqrt(n) * mean / sample standard deviation of the trades' results.

    Source: V. Tharp, The Definitive Guide to Position Sizing (2008); backtesting.py.
    """
    results = some(net, "trades", 2)
    if np.all(results == results[0]):
        raise Undefined("all trades are equal")
    return math.sqrt(len(results)) * float(np.mean(results)) / float(np.std(results, ddof=1))


@statistic("ratio", "trade_net")
def expectancy_ratio(net: Series) -> float:
    """Give mean result / mean loss: what a trade earns for each unit that it risks.

    Source: V. Tharp, Trade Your Way to Financial Freedom (1998), R-multiples.
    """
    return float(np.mean(_results(net))) / -float(np.mean(_losses(net)))


@statistic("percent", "trade_net")
def kelly_fraction(net: Series) -> float:
    """Give W - (1 - W) / R, W the share of wins among wins and losses and R the payoff ratio; below 0: do not bet.

    Source: J. L. Kelly, A New Interpretation of Information Rate (1956).
    """
    gains, losses = _gains(net), _losses(net)
    wins = len(gains) / (len(gains) + len(losses))
    return wins - (1.0 - wins) / (float(np.mean(gains)) / -float(np.mean(losses)))


@statistic("percent", "trade_net")
def largest_win_share(net: Series) -> float:
    """Give best result / sum of the gains: near 1, one trade made it all.

    Source: its definition.
    """
    gains = _gains(net)
    return float(np.max(gains)) / float(np.sum(gains))


# -- streaks


@statistic("count", "trade_net")
def longest_win_streak(net: Series) -> int:
    """Give the largest number of winning trades in a row.

    Source: its definition.
    """
    return longest_run(_results(net) > 0)


@statistic("count", "trade_net")
def longest_loss_streak(net: Series) -> int:
    """Give the largest number of losing trades in a row.

    Source: its definition.
    """
    return longest_run(_results(net) < 0)


def longest_run(is_member: Series) -> int:
    """Give the length of the longest run of True."""
    edges = np.diff(np.concatenate(([0], np.asarray(is_member, dtype=np.int8), [0])))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    return int(np.max(lengths)) if len(lengths) else 0


@statistic("ratio", "trade_net")
def streak_score(net: Series) -> float:
    """Give the Z score of the runs of wins and losses: below 0 they cluster, above 0 they alternate.

    (N (R - 0.5) - P) / sqrt(P (P - N) / (N - 1)), N trades in R runs, P = 2 * wins * losses; beyond 2 it is no chance.

    Source: A. Wald and J. Wolfowitz (1940); R. Vince, Portfolio Management Formulas (1990).
    """
    results = _results(net)
    is_win = results[results != 0] > 0
    count, wins = len(is_win), int(np.count_nonzero(is_win))
    pairs = 2 * wins * (count - wins)
    if pairs == 0 or pairs <= count:
        raise Undefined("too few wins or losses")
    runs = 1 + int(np.count_nonzero(is_win[1:] != is_win[:-1]))
    return (count * (runs - 0.5) - pairs) / math.sqrt(pairs * (pairs - count) / (count - 1))


# -- how long


@statistic("duration", "trade_durations_ns")
def average_trade_ns(durations_ns: Series) -> int:
    """Give the mean time from the first to the last fill of a round trip.

    Source: its definition.
    """
    return round(float(np.mean(some(durations_ns, "trades"))))


@statistic("duration", "trade_durations_ns")
def longest_trade_ns(durations_ns: Series) -> int:
    """Give the longest time from the first to the last fill of a round trip.

    Source: its definition.
    """
    return round(float(np.max(some(durations_ns, "trades"))))


@statistic("duration", "trade_durations_ns", "trade_net")
def average_win_ns(durations_ns: Series, net: Series) -> int:
    """Give the mean time that winning trades were held.

    Source: its definition.
    """
    return round(float(np.mean(some(floats(durations_ns)[floats(net) > 0], "winning trade"))))


@statistic("duration", "trade_durations_ns", "trade_net")
def average_loss_ns(durations_ns: Series, net: Series) -> int:
    """Give the mean time that losing trades were held.

    Source: its definition.
    """
    return round(float(np.mean(some(floats(durations_ns)[floats(net) < 0], "losing trade"))))


# -- long and short


@statistic("percent", "trade_is_long")
def long_share(is_long: Series) -> float:
    """Give the share of round trips that were long.

    Source: its definition.
    """
    return float(np.mean(some(is_long, "trades")))


@statistic("percent", "trade_is_long", "trade_net")
def long_win_rate(is_long: Series, net: Series) -> float:
    """Give the share of long trades with a result above 0.

    Source: its definition.
    """
    return float(np.mean(some(floats(net)[floats(is_long) > 0], "long trade") > 0))


@statistic("percent", "trade_is_long", "trade_net")
def short_win_rate(is_long: Series, net: Series) -> float:
    """Give the share of short trades with a result above 0.

    Source: its definition.
    """
    return float(np.mean(some(floats(net)[floats(is_long) == 0], "short trade") > 0))


@statistic("money", "trade_is_long", "trade_net")
def long_result(is_long: Series, net: Series) -> float:
    """Give the sum of the results of the long trades.

    Source: its definition.
    """
    return float(np.sum(some(floats(net)[floats(is_long) > 0], "long trade")))


@statistic("money", "trade_is_long", "trade_net")
def short_result(is_long: Series, net: Series) -> float:
    """Give the sum of the results of the short trades.

    Source: its definition.
    """
    return float(np.sum(some(floats(net)[floats(is_long) == 0], "short trade")))


# -- against what was put in


@statistic("percent", "trade_net", "trade_entry_values")
def average_trade_return(net: Series, entry_values: Series) -> float:
    """Give the mean of result / value of the opening fills.

    Source: its definition.
    """
    return float(np.mean(trade_returns(net, entry_values)))


@statistic("percent", "trade_net", "trade_entry_values")
def best_trade_return(net: Series, entry_values: Series) -> float:
    """Give the largest result / value of the opening fills.

    Source: its definition.
    """
    return float(np.max(trade_returns(net, entry_values)))


@statistic("percent", "trade_net", "trade_entry_values")
def worst_trade_return(net: Series, entry_values: Series) -> float:
    """Give the smallest result / value of the opening fills.

    Source: its definition.
    """
    return float(np.min(trade_returns(net, entry_values)))


def trade_returns(net: Series, entry_values: Series) -> Floats:
    """Give result / |value of the opening fills| of each trade; raises Undefined without trades of a value."""
    results, values = floats(net), np.abs(floats(entry_values))
    return some(results[values > 0] / values[values > 0], "trades")


# -- excursions


@statistic("money", "trade_mae")
def average_adverse_excursion(mae: Series) -> float:
    """Give the mean over trades of their worst unrealised result, 0 or below.

    Source: J. Sweeney, Maximum Adverse Excursion (1997).
    """
    return float(np.mean(some(mae, "trades")))


@statistic("money", "trade_mfe")
def average_favourable_excursion(mfe: Series) -> float:
    """Give the mean over trades of their best unrealised result, 0 or above.

    Source: J. Sweeney, Maximum Adverse Excursion (1997).
    """
    return float(np.mean(some(mfe, "trades")))


@statistic("ratio", "trade_mfe", "trade_mae")
def edge_ratio(mfe: Series, mae: Series) -> float:
    """Give mean favourable excursion / -mean adverse excursion: above 1, trades went further right than wrong.

    Source: C. Faith, Way of the Turtle (2007), E-ratio without its volatility adjustment.
    """
    adverse = -float(np.mean(some(mae, "trades")))
    return ratio(float(np.mean(some(mfe, "trades"))), adverse, "no trade was ever at a loss")


@statistic("percent", "trade_gross", "trade_mfe")
def captured_excursion(gross: Series, mfe: Series) -> float:
    """Give sum of the results before fees / sum of the favourable excursions: how much of the best was kept.

    Source: J. Sweeney, Maximum Adverse Excursion (1997), exit efficiency.
    """
    results, best = floats(gross), floats(mfe)
    both = ~np.isnan(results) & ~np.isnan(best)
    some(best[both], "trades")
    return ratio(float(np.sum(results[both])), float(np.sum(best[both])), "no trade was ever at a gain")
