"""The views: what handlers are called with, and what a strategy reads; the seam where an engine provides them.

May not live here: how they read their engine. The plain-Python engine will offer the same names from here.
"""

from __future__ import annotations

try:
    from replay._engine import (
        Account,
        Adx,
        Bar,
        Bollinger,
        Donchian,
        Fill,
        Indicator,
        Macd,
        Order,
        OrderUpdate,
        Position,
        Quote,
        Random,
        Series,
        Stochastic,
        Trade,
    )
except ImportError as error:
    from replay.errors import EngineMissing

    raise EngineMissing(str(error)) from error

__all__ = [
    "Account",
    "Adx",
    "Bar",
    "Bollinger",
    "Donchian",
    "Fill",
    "Indicator",
    "Macd",
    "Order",
    "OrderUpdate",
    "Position",
    "Quote",
    "Random",
    "Series",
    "Stochastic",
    "Trade",
]
