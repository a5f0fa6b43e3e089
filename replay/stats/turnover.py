"""Turnover: how much was traded, how often, in how many orders.

May not live here: what was held; exposure.py has that.
"""

from __future__ import annotations

from replay.stats.series import ratio
from replay.stats.statistic import statistic
from replay.stats.value import Undefined


def _per_equity(traded_value: float, average_equity: float) -> float:
    if average_equity <= 0:
        raise Undefined("the average equity is not above 0")
    return traded_value / average_equity


@statistic("times", "traded_value", "average_equity")
def turnover(traded_value: float, average_equity: float) -> float:
    """Give traded value / average equity over time, both ways counted: 2 is one round trip of the whole account.

    Source: its definition.
    """
    return _per_equity(traded_value, average_equity)


@statistic("times", "traded_value", "average_equity", "years")
def annual_turnover(traded_value: float, average_equity: float, years: float) -> float:
    """Give traded value / average equity / years, both ways counted.

    Source: its definition.
    """
    return ratio(_per_equity(traded_value, average_equity), years, "no time has passed")


@statistic("money", "traded_value")
def traded_value(traded_value: float) -> float:
    """Give the sum of |price * size * multiplier| over all fills.

    Source: its definition.
    """
    return traded_value


@statistic("money", "traded_value", "fills")
def average_fill_value(traded_value: float, fills: int) -> float:
    """Give traded value / number of fills.

    Source: its definition.
    """
    return ratio(traded_value, fills, "no fills")


@statistic("number", "fills", "orders")
def fills_per_order(fills: int, orders: int) -> float:
    """Give number of fills / number of orders.

    Source: its definition.
    """
    return ratio(fills, orders, "no orders")


@statistic("number", "orders", "years")
def orders_per_day(orders: int, years: float) -> float:
    """Give number of orders / days of 24 hours.

    Source: its definition.
    """
    return ratio(orders, years * 365.0, "no time has passed")


@statistic("number", "trade_count", "years")
def trades_per_day(trade_count: int, years: float) -> float:
    """Give number of round trips / days of 24 hours.

    Source: its definition.
    """
    return ratio(trade_count, years * 365.0, "no time has passed")


@statistic("bps", "net_pnl", "traded_value")
def return_on_turnover(net_pnl: float, traded_value: float) -> float:
    """Give profit after fees / traded value: what a unit of trading earned.

    Source: its definition.
    """
    return ratio(net_pnl, traded_value, "nothing was traded")
