"""Costs: what fees took, in all and against what was traded and earned.

May not live here: what a venue asks for a fill, which is the engine's.

`fees` are in the account's currency, positive for what was paid and negative for a rebate.
"""

from __future__ import annotations

import numpy as np

from replay.stats.series import Series, ratio, some
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


@statistic("money", "fees")
def fees(fees: float) -> float:
    """Give the sum of the fees.

    Source: its definition.
    """
    return fees


@statistic("money", "fees", "fills")
def average_fee(fees: float, fills: int) -> float:
    """Give fees / number of fills.

    Source: its definition.
    """
    return ratio(fees, fills, "no fills")


@statistic("bps", "fees", "traded_value")
def fee_rate(fees: float, traded_value: float) -> float:
    """Give fees / traded value, both ways of a round trip counted.

    Source: its definition.
    """
    return ratio(fees, traded_value, "nothing was traded")


@statistic("percent", "fees", "gross_pnl")
def fee_share(fees: float, gross_pnl: float) -> float:
    """Give fees / profit before fees.

    Source: its definition.
    """
    if gross_pnl <= 0:
        raise Undefined("no profit before fees")
    return fees / gross_pnl


@statistic("percent", "fees", "average_equity")
def cost_drag(fees: float, average_equity: float) -> float:
    """Give fees / average equity over time: what the run would have returned more, about, without them.

    Source: its definition.
    """
    if average_equity <= 0:
        raise Undefined("the average equity is not above 0")
    return fees / average_equity


@statistic("percent", "fees", "average_equity", "years", is_compounded=True)
def annual_cost_drag(fees: float, average_equity: float, years: float) -> float:
    """Give fees / average equity / years.

    Source: its definition.
    """
    if average_equity <= 0:
        raise Undefined("the average equity is not above 0")
    return ratio(fees / average_equity, years, "no time has passed")


@statistic("bps", "gross_pnl", "traded_value")
def break_even_fee_rate(gross_pnl: float, traded_value: float) -> float:
    """Give profit before fees / traded value: the fee rate at which the run would have earned nothing.

    Source: its definition.
    """
    return ratio(gross_pnl, traded_value, "nothing was traded")


@statistic("money", "trade_fees")
def average_trade_fees(trade_fees: Series) -> float:
    """Give the mean over round trips of their fees.

    Source: its definition.
    """
    return float(np.mean(some(trade_fees, "trades")))
