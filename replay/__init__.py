"""replay: a streaming engine for trading strategies; one class runs as backtest, replay and paper session.

Nothing but the public names may stand here, and they are loaded when first used: importing replay imports little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replay import showing

__version__ = "0.1.0"

_PUBLIC = {
    "Strategy": "replay.strategy",
    "Parameter": "replay.strategy",
    "Result": "replay.result.result",
    "backtest": "replay.api",
    "backtest_async": "replay.api",
    "play": "replay.api",
    "play_async": "replay.api",
    "paper": "replay.api",
    "paper_async": "replay.api",
    "LiveRun": "replay.live",
    "LivePlay": "replay.live",
    "LivePaper": "replay.live",
    "Glance": "replay.glance",
    "QuoteTick": "replay.ticks",
    "TradeTick": "replay.ticks",
    "BarTick": "replay.ticks",
    "Account": "replay.views",
    "Bar": "replay.views",
    "Fill": "replay.views",
    "Indicator": "replay.views",
    "Order": "replay.views",
    "OrderUpdate": "replay.views",
    "Position": "replay.views",
    "Quote": "replay.views",
    "Random": "replay.views",
    "Series": "replay.views",
    "Trade": "replay.views",
    "ReplayError": "replay.errors",
    "ConfigError": "replay.errors",
    "DataError": "replay.errors",
    "EngineMissing": "replay.errors",
    "HaltError": "replay.errors",
    "JournalError": "replay.errors",
    "StrategyError": "replay.errors",
    "UsageError": "replay.errors",
}

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from replay.api import backtest as backtest
    from replay.api import backtest_async as backtest_async
    from replay.api import paper as paper
    from replay.api import paper_async as paper_async
    from replay.api import play as play
    from replay.api import play_async as play_async
    from replay.errors import ConfigError as ConfigError
    from replay.errors import DataError as DataError
    from replay.errors import EngineMissing as EngineMissing
    from replay.errors import HaltError as HaltError
    from replay.errors import JournalError as JournalError
    from replay.errors import ReplayError as ReplayError
    from replay.errors import StrategyError as StrategyError
    from replay.errors import UsageError as UsageError
    from replay.glance import Glance as Glance
    from replay.live import LivePaper as LivePaper
    from replay.live import LivePlay as LivePlay
    from replay.live import LiveRun as LiveRun
    from replay.result.result import Result as Result
    from replay.strategy import Parameter as Parameter
    from replay.strategy import Strategy as Strategy
    from replay.ticks import BarTick as BarTick
    from replay.ticks import QuoteTick as QuoteTick
    from replay.ticks import TradeTick as TradeTick
    from replay.views import Account as Account
    from replay.views import Bar as Bar
    from replay.views import Fill as Fill
    from replay.views import Indicator as Indicator
    from replay.views import Order as Order
    from replay.views import OrderUpdate as OrderUpdate
    from replay.views import Position as Position
    from replay.views import Quote as Quote
    from replay.views import Random as Random
    from replay.views import Series as Series
    from replay.views import Trade as Trade


showing.shown_by(lambda: import_module("replay.report"))


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'replay' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
