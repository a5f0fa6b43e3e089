"""A small synthetic market, strategies and feeds that the tests of the modes share.

May not live here: assertions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import Strategy, records
from replay.feeds.feed import Batch, DeadLetter, LiveFeed, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.records import Kind, Side

START_NS = 1_700_000_000_000_000_000

INSTRUMENTS = [
    {"symbol": "BTCUSDT", "venue": "one", "tick": "0.01", "lot": "0.001", "quote": "USDT", "base": "BTC"},
    {"symbol": "ETHUSDT", "venue": "two", "tick": "0.01", "lot": "0.001", "quote": "USDT", "base": "ETH"},
]
LATENCY = {"entry": "150ms", "cancel": "100ms", "response": "70ms"}
SETTINGS: dict[str, Any] = {
    "instruments": INSTRUMENTS,
    "cash": {"USDT": "1000000"},
    "account": {"leverage": "10"},
    "fees": {"maker": "0.0001", "taker": "0.0004"},
    "latency": LATENCY,
}


class Busy(Strategy):
    """Trades often, with all that depends on time: latency, timers, resting orders, bars, random numbers."""

    fast: int = 3
    slow: int = 8

    def on_start(self) -> None:
        bars = self.bars("BTCUSDT", "10s")
        self.quick, self.calm = bars.sma(self.fast), bars.sma(self.slow)
        self.every("7s", "clean")
        self.seen = 0

    def on_bar(self, bar: Any) -> None:
        if self.calm.ready:
            self.target("BTCUSDT", 1 if self.quick > self.calm else -1)

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if quote.symbol == "ETHUSDT" and self.seen % 5 == 0:
            side = self.buy if self.rng.random() < 0.5 else self.sell
            price = quote.bid if side == self.buy else quote.ask
            side("ETHUSDT", 0.05, limit=price)

    def on_timer(self, name: str) -> None:
        self.cancel_all("ETHUSDT")


class Raises(Strategy):
    """Buys, then fails."""

    after: int = 100

    def on_start(self) -> None:
        self.left = self.after

    def on_quote(self, quote: Any) -> None:
        self.left -= 1
        if self.left == self.after // 2:
            self.buy("BTCUSDT", 1, limit=1.0)
        if self.left == 0:
            raise RuntimeError("the strategy's own mistake")


def header(rows: int | None = None, *, one_time: bool = False) -> TapeHeader:
    return TapeHeader(
        one_time=one_time,
        instruments=[
            TapeInstrument(symbol="BTCUSDT", price_decimals=2, size_decimals=3, kinds=["quote", "trade"]),
            TapeInstrument(symbol="ETHUSDT", price_decimals=2, size_decimals=3, kinds=["quote", "trade"]),
        ],
        rows=rows,
    )


def market(rows: int, seed: int = 1, *, step_ns: int = 50_000_000) -> NDArray[Any]:
    """Make quotes and trades of two instruments with jittering receive times; a few are late, a few broken."""
    dice = np.random.default_rng(seed)
    made = records.empty(rows)
    arrived = START_NS + np.cumsum(dice.integers(0, 2 * step_ns, rows))
    made["ts_recv"] = arrived
    made["ts_event"] = arrived - dice.integers(0, 40_000_000, rows)
    made["instrument"] = dice.integers(0, 2, rows)
    is_trade = dice.random(rows) < 0.3
    middle = 100_000 + np.cumsum(dice.integers(-15, 16, rows))
    made["kind"] = np.where(is_trade, Kind.TRADE, Kind.QUOTE)
    made["a"] = np.where(is_trade, middle, middle - 3)
    made["b"] = np.where(is_trade, dice.integers(1, 3_000, rows), middle + 3)
    made["c"] = np.where(is_trade, np.arange(rows), dice.integers(1, 5_000, rows))
    made["d"] = np.where(is_trade, 0, dice.integers(1, 5_000, rows))
    made["side"] = np.where(is_trade, dice.integers(1, 3, rows), Side.NONE)
    broken = dice.random(rows) < 0.002
    made["a"][broken] = -5
    return made


class CutFeed(StoredFeed):
    """A tape in batches of given sizes, with dead letters now and then, and perhaps a pause after each batch."""

    def __init__(self, tape: NDArray[Any], sizes: Sequence[int], *, pause_s: float = 0.0, dead_every: int = 0) -> None:
        super().__init__("cut:", header(len(tape)))
        self._tape, self._sizes, self._pause_s, self._dead_every = tape, sizes, pause_s, dead_every

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        row = 0 if cursor is None else int(msgspec.json.decode(cursor)["row"])
        number = 0
        while row < len(self._tape):
            limit = min(row + self._sizes[number % len(self._sizes)], len(self._tape))
            dead: list[DeadLetter] = []
            if self._dead_every:
                marks = range(-(-row // self._dead_every) * self._dead_every, limit, self._dead_every)
                dead = [DeadLetter("unreadable", f"row {mark}".encode(), f"cut:{mark}") for mark in marks]
            yield Batch(self._tape[row:limit], msgspec.json.encode({"row": limit}), dead)
            if self._pause_s:
                time.sleep(self._pause_s)
            row, number = limit, number + 1


class ScriptedFeed(LiveFeed):
    """A live feed that gives the records of a tape after given waits, stamped when they are given."""

    def __init__(self, tape: NDArray[Any], waits_s: Sequence[float]) -> None:
        super().__init__("scripted:", header())
        self._tape, self._waits_s = tape, waits_s

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        row = 0 if cursor is None else int(msgspec.json.decode(cursor)["row"])
        while row < min(len(self._tape), len(self._waits_s)):
            await asyncio.sleep(self._waits_s[row])
            batch = self._tape[row : row + 1].copy()
            batch["ts_recv"] = time.time_ns()
            batch["ts_event"] = batch["ts_recv"] - 5_000_000
            row += 1
            yield Batch(batch, msgspec.json.encode({"row": row}))
