"""Strategies with every kind of state, feeds that stop or fail where a test wants, and starts of a session.

May not live here: assertions.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import replay
from replay import Strategy
from replay.feeds.feed import Batch
from replay.result.result import Result

_market = import_module("tests.modes.market")  # by name: the type checker knows that folder as another package
SETTINGS: dict[str, Any] = _market.SETTINGS
CutFeed: Any = _market.CutFeed

ROWS = 2_000
OFTEN = {"snapshot_records": 150, "snapshot_every": "0s", "commit_every": "0s"}
NEVER = {"snapshot_records": 0, "snapshot_every": "0s"}


class Mood(enum.Enum):
    CALM = "calm"
    BUSY = "busy"


class Rich(Strategy):
    """Decides by all that a strategy may keep: bars, indicators, timers, random numbers, containers, arrays, views."""

    window: int = 7

    def on_start(self) -> None:
        bars = self.bars("BTCUSDT", "10s")
        self.series = bars
        self.quick, self.calm = bars.sma(3), bars.ema(8)
        self.spread = {"atr": bars.atr(4), "rsi": bars.rsi(5)}
        self.dice = self.rng
        self.held = self.position("BTCUSDT")
        self.money = self.account
        self.every("7s", "clean")
        self.every("11s", "shuffle")
        self.prices: deque[float] = deque(maxlen=self.window)
        self.table = np.zeros(self.window)
        self.half = self.table[: self.window // 2]
        self.orders_by_side: dict[str, list[int]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.levels: OrderedDict[str, Decimal] = OrderedDict()
        self.seen = 0
        self.mood = Mood.CALM
        self.last: Any = None
        self.kept: Any = None
        self.fills: list[Any] = []
        self.shared = self.alias = [0.0]
        self.tags: set[int] = set()

    def on_bar(self, bar: Any) -> None:
        self.kept = bar.copy()
        if self.calm.ready:
            self.target("BTCUSDT", 1 if self.quick > self.calm else -1)

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        self.last = quote
        self.prices.append(quote.mid)
        self.table[self.seen % self.window] = quote.mid
        self.alias[0] += quote.spread
        if quote.symbol != "ETHUSDT" or self.seen % 5:
            return
        self.mood = Mood.BUSY if self.half.sum() > float(np.mean(self.table)) * 3 else Mood.CALM
        rich = self.shared[0] % 2 < 1 or self.mood is Mood.BUSY
        side = self.buy if (self.dice.random() < 0.5) == rich else self.sell
        price = quote.bid if side == self.buy else quote.ask
        name = "buy" if side == self.buy else "sell"
        self.orders_by_side[name].append(side("ETHUSDT", round(0.05 + 0.01 * (self.counts[name] % 3), 3), limit=price))
        self.counts[name] += 1
        self.levels[name] = Decimal(str(price))
        self.levels.move_to_end(name)
        self.tags.add(self.counts[name] % 4)

    def on_fill(self, fill: Any) -> None:
        self.fills = [*self.fills[-4:], fill]

    def on_timer(self, name: str) -> None:
        if name == "clean":
            self.cancel_all("ETHUSDT")
            return
        wish = next(reversed(self.levels), "buy")
        if len(self.tags) > 2 and self.held.quantity <= 0 and self.money.equity is not None:
            (self.buy if wish == "sell" else self.sell)("BTCUSDT", round(0.1 * len(self.fills) + 0.1, 3))
        if self.kept is not None and self.last is not None and self.kept.close > self.last.bid:
            self.sell("ETHUSDT", 0.02)


class Unkept(Rich):
    """As Rich, with something that no snapshot can hold."""

    def on_start(self) -> None:
        super().on_start()
        self.model = object()
        self.cache = {"x": [1, object()]}


class Own(Unkept):
    """As Unkept, with a snapshot of its own."""

    def snapshot(self) -> Any:
        state = super().snapshot()
        del state["model"], state["cache"]
        return {"attributes": state, "version": 1}

    def restore(self, state: Any) -> None:
        super().restore(state["attributes"])
        self.model = object()
        self.cache = {"x": [1, object()]}


class Crash(BaseException):
    """What ends a session without order in these tests."""


class CrashingFeed(CutFeed):  # type: ignore[misc]
    """Fails after so many batches."""

    def __init__(self, tape: Any, sizes: Sequence[int], batches: int) -> None:
        super().__init__(tape, sizes, pause_s=0.004)
        self._batches_left = batches

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        for batch in super().batches(cursor):
            if self._batches_left == 0:
                raise Crash
            self._batches_left -= 1
            yield batch


def tape(seed: int, rows: int = ROWS) -> Any:
    return _market.market(rows, seed)


def run(folder: Path, feed: Any, strategy: type[Strategy] = Rich, options: Any = OFTEN, **changed: Any) -> Result:
    settings = {**SETTINGS, "session_options": options, **changed}
    return replay.paper(strategy, feed, session=folder, metrics={"port": 0}, **settings)


def crash(folder: Path, feed: CrashingFeed, strategy: type[Strategy] = Rich, options: Any = OFTEN) -> bool:
    """Run until the feed fails; False where it ended before."""
    try:
        run(folder, feed, strategy, options)
    except Crash:
        return True
    return False


def undisturbed(seed: int, strategy: type[Strategy] = Rich, rows: int = ROWS) -> Result:
    return replay.backtest(strategy, CutFeed(tape(seed, rows), [rows]), **SETTINGS)
