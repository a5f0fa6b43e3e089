"""Random sessions: a random tape and strategy give one digest and event log in every mode, however they are cut.

May not live here: kills at points, and power cuts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from modes.market import INSTRUMENTS, market
from numpy.typing import NDArray

import replay
from replay import Strategy
from replay.feeds.feed import Batch, DeadLetter, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.records import Kind
from replay.verify import verify

from .forks import forked
from .proof import Figures, Proof, check
from .watched import KillAt, WatchedDisk
from .world import home, log_of, outside_path, run_session

BAR_NS = 10_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BARUSDT")


class Wanderer(Strategy):
    """Does anything a strategy can do, decided by its own random numbers and a parameter."""

    habit: int = 0

    def on_start(self) -> None:
        self.bars_of = {symbol: self.bars(symbol, "10s") for symbol in SYMBOLS}
        self.averages = [series.sma(2 + self.habit % 3) for series in self.bars_of.values()]
        self.ranges = [series.atr(3) for series in self.bars_of.values()]
        self.speeds = [series.ema(4) for series in self.bars_of.values()] + [self.bars_of["BTCUSDT"].rsi(3)]
        self.every(f"{3 + self.habit % 5}s", "tidy")
        self.every("11s", "flat")
        self.fills = 0

    def on_quote(self, quote: Any) -> None:
        if self.rng.random() < 0.15:
            self._order(quote.symbol, quote.mid)

    def on_trade(self, trade: Any) -> None:
        if self.rng.random() < 0.1:
            self._order(trade.symbol, trade.price)

    def on_bar(self, bar: Any) -> None:
        ready = [value for value in (*self.averages, *self.ranges, *self.speeds) if value.ready]
        if ready and self.rng.random() < 0.5:
            total = sum(value.value for value in ready)
            self.target(bar.symbol, round(total * 1000) % 5 - 2)
        if self.rng.random() < 0.3:
            self._order(bar.symbol, bar.close)

    def on_fill(self, fill: Any) -> None:
        self.fills += 1
        if self.fills % 7 == self.habit % 7:
            self.close(fill.symbol)

    def on_order(self, order: Any) -> None:
        if self.rng.random() < 0.02:
            self.cancel_all(order.symbol)

    def on_timer(self, name: str) -> None:
        if name == "flat":
            self.close(SYMBOLS[self.rng.below(3)])
            self.at(self.now + 1_500_000_000, "later")
            return
        for order in self.orders()[:4]:
            kind = self.rng.below(4)
            if kind == 0:
                self.cancel(order.id)
            elif kind == 1:
                self.amend(order.id, quantity=(1 + self.rng.below(400)) / 1000)

    def _order(self, symbol: str, price: float) -> None:
        side, is_buy = (self.buy, True) if self.rng.random() < 0.5 else (self.sell, False)
        quantity = (1 + self.rng.below(300)) / 1000
        near = round(price + (self.rng.below(7) - 3) * 0.01, 2)
        far = near + (0.05 if is_buy else -0.05)
        kind = self.rng.below(7)
        if kind == 0:
            side(symbol, quantity)
        elif kind == 1:
            side(symbol, quantity, limit=round(near, 2))
        elif kind == 2:
            side(symbol, quantity, stop=round(far, 2))
        elif kind == 3:
            side(symbol, quantity, stop=round(far, 2), limit=round(far + 0.02, 2))
        elif kind == 4:
            side(symbol, quantity, limit=round(near, 2), tif="IOC")
        elif kind == 5:
            side(symbol, quantity, limit=round(near, 2), tif="FOK")
        else:
            side(symbol, quantity, limit=round(near, 2), tif="GTD", expire=self.now + 4_000_000_000)


def random_tape(dice: random.Random) -> NDArray[Any]:
    """Make quotes and trades of two instruments, bars of a third, clock records, late and broken ones among them."""
    tape = market(dice.randrange(150, 600), dice.randrange(1 << 30), step_ns=dice.choice([20_000_000, 90_000_000]))
    price = 50_000
    for row in range(len(tape)):
        kind = dice.random()
        record = tape[row]
        if kind < 0.03:
            close = price + dice.randrange(-40, 41)
            record["a"], record["d"] = price, close
            record["b"], record["c"] = max(price, close) + dice.randrange(9), min(price, close) - dice.randrange(9)
            record["e"], record["instrument"], record["kind"], record["side"] = dice.randrange(9_000), 2, Kind.BAR, 2
            record["side"], record["flags"], price = 0, 0, close
        elif kind < 0.05:
            record["ts_event"] = record["ts_recv"] - 1_000_000_000
            record["kind"], record["side"] = Kind.CLOCK, 0
            record["a"] = dice.randrange(-1, 2)
    return tape


class RandomFeed(StoredFeed):
    """A tape in batches of random sizes, other ones each time, with a dead letter now and then."""

    def __init__(self, tape: NDArray[Any], seed: int) -> None:
        kinds = {"BTCUSDT": ["quote", "trade"], "ETHUSDT": ["quote", "trade"], "BARUSDT": ["bar"]}
        instruments = [
            TapeInstrument(symbol=symbol, price_decimals=2, size_decimals=3, kinds=kinds[symbol]) for symbol in SYMBOLS
        ]
        header = TapeHeader(one_time=False, bar_lengths_ns=[BAR_NS], instruments=instruments, rows=len(tape))
        super().__init__("random:", header)
        self._tape = tape
        self._dice = random.Random(seed)

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        row = 0 if cursor is None else int(msgspec.json.decode(cursor))
        most = self._dice.choice([3, 60, 700])
        while row < len(self._tape):
            limit = min(len(self._tape), row + self._dice.randrange(1, most + 1))
            marks = [mark for mark in range(row, limit) if mark % 89 == 5]
            dead = [DeadLetter("unreadable", f"row {mark}".encode(), f"random:{mark}") for mark in marks]
            yield Batch(self._tape[row:limit], msgspec.json.encode(limit), dead)
            row = limit


def random_settings(dice: random.Random) -> dict[str, Any]:
    """Choose fees, latency and an account."""
    bars = {"symbol": "BARUSDT", "venue": "two", "tick": "0.01", "lot": "0.001", "quote": "USDT", "base": "BAR"}
    slow = {"entry": "150ms", "cancel": "100ms", "response": "70ms"}
    return {
        "instruments": [*INSTRUMENTS, bars],
        "cash": {"USDT": "1000000"},
        "account": {"leverage": dice.choice(["1", "5", "20"])},
        "fees": {"maker": dice.choice(["-0.0001", "0.0001"]), "taker": "0.0004"},
        "latency": dice.choice([slow, {"entry": "1ms", "cancel": "1ms", "response": "1ms"}]),
        "params": {"habit": dice.randrange(1_000)},
        "run": {"seed": dice.randrange(1 << 30)},
    }


class RandomSessions(Proof):
    """A cycle is one tape and strategy: backtest, replay, paper, and paper killed up to three times."""

    name = "sessions"
    holds = "random tapes, strategies, batch sizes and cuts: backtest = replay = paper = recovered paper"
    cycles = 1_000
    small = 100

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        tape, settings = random_tape(dice), random_settings(dice)
        seeds = iter([dice.randrange(1 << 30) for _ in range(20)])

        def feed() -> RandomFeed:
            return RandomFeed(tape, next(seeds))

        backtest = replay.backtest(Wanderer, feed(), **settings)
        played = replay.play(Wanderer, feed(), speed="max", **settings)
        check(played.digest == backtest.digest, "replay decides otherwise than backtest")
        log, digest = scratch / "printed.txt", backtest.digest
        whole = home(scratch / "whole")
        forked(lambda: run_session(whole, feed(), dice, **_arguments(settings)), log).result()
        check(hashlib.sha256(log_of(whole)).hexdigest() == digest, "paper decides otherwise than backtest")
        cut = home(scratch / "cut")
        kills = 0
        for _ in range(dice.randrange(1, 4)):
            point = KillAt(dice.randrange(10, 250))
            disk = WatchedDisk(point, syncs=False)
            one = feed()
            end = forked(lambda: run_session(cut, one, dice, disk=disk, point=point, **_arguments(settings)), log)  # noqa: B023
            kills += end.killed
        last = feed()
        forked(lambda: run_session(cut, last, dice, **_arguments(settings)), log).result()
        check(hashlib.sha256(log_of(cut)).hexdigest() == digest, "a recovered session decides otherwise than backtest")
        check(outside_path(cut).read_bytes() == log_of(cut), "the world was shown something else")
        outcome = verify(cut)
        check(outcome.equal, f"verify finds a difference: {outcome}")
        return {
            "rows": len(tape),
            "events": int(backtest.document["events"]),
            "fills": sum(backtest.counts["engine"]["fills"].values()),
            "kills": kills,
        }


def _arguments(settings: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in settings.items() if key != "params"}
    return {"strategy": Wanderer(**settings["params"]), "settings": rest}
