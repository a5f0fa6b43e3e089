"""Nothing that a session keeps grows with its length: what a short one holds beside one several times as long.

May not live here: how long anything takes; the slope of a whole session with Kafka is the soak's (tests/stress).
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import replay
from replay import Strategy, modes, records
from replay.feeds.feed import Batch, DeadLetter, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.pipeline.pipeline import Pipeline
from replay.records import Kind
from replay.strategy import TimerNames
from replay.strategy_state import take_state

START_NS: int = import_module("tests.modes.market").START_NS
ROWS = 1_000
"""Of a batch; each quote makes one order, and most of them two commands."""
STEP_NS = 5_000_000
SHORT, LONG = 15, 75
"""Batches at which sizes are compared."""
FLUSHED = 3
"""Batches between two flushes."""


class Churn(Strategy):
    """Does all that leaves something behind: orders of every end, amends of one that never ends, expiries, timers."""

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if self.seen == 1:
            self.bid, self.offer = self.buy("A", 2, limit=quote.bid - 10), self.sell("A", 2, limit=quote.ask + 10)
            self.last = self.buy("A", 1, limit=quote.bid - 5)
            return
        match self.seen % 6:
            case 0:
                self.target("A", 1 if self.seen % 12 else -1)
            case 1:
                self.last = self.buy("A", 1, limit=quote.bid - 5, tif="GTD", expire=self.now + 10**15)
            case 2:
                self.cancel(self.last)
                self.cancel(self.last)
                self.sell("A", 1, limit=quote.bid - 1, tif="IOC")
            case 3:
                # Filled up to what is shown, and never whole: these two never end.
                for number, price in ((self.bid, quote.ask), (self.offer, quote.bid)):
                    rests = self.order(number)
                    assert rests is not None
                    self.amend(number, quantity=rests.filled + 500, limit=price)
                self.sell("A", 1_000_000)
            case 4:
                self.amend(self.bid, limit=quote.bid - 10 - self.seen % 4)
                self.amend(self.offer, limit=quote.ask + 10 + self.seen % 4)
                self.at(self.now + 3 * STEP_NS, f"timer {self.seen}")
                self.last = self.buy("A", 1, stop=quote.ask + 100)
            case _:
                self.cancel(self.last)

    def on_timer(self, name: str) -> None:
        assert name.startswith("timer ")


@dataclass
class Sizes:
    """What a session holds at some point."""

    orders: int
    engine: dict[str, int]
    snapshot_bytes: int
    traced_bytes: int


class Probing(StoredFeed):
    """Makes quotes as they are asked for, some of them broken; looks at the session between two batches."""

    def __init__(self) -> None:
        instrument = TapeInstrument(symbol="A", price_decimals=0, size_decimals=0, kinds=["quote"])
        super().__init__("probing:", TapeHeader(one_time=True, instruments=[instrument]))
        self.pipeline: Any = None
        self.found: dict[int, Sizes] = {}

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        for number in range(LONG + 1):
            if number % FLUSHED == 0:
                self._flush()
            if number in (SHORT, LONG):
                self.found[number] = self._look()
            made = records.empty(ROWS)
            rows = number * ROWS + np.arange(ROWS)
            made["ts_event"] = made["ts_recv"] = START_NS + rows * STEP_NS
            made["kind"] = Kind.QUOTE
            middle = 1_000 + rows // 3 % 5
            made["a"], made["b"], made["c"], made["d"] = middle - 1, middle + 1, 50, 50
            made["a"][7] = -5
            yield Batch(made, msgspec.json.encode(number), [DeadLetter("unreadable", b"?", f"probing:{number}")])

    def _flush(self) -> None:
        """As a live session does each second: what waits in memory is written."""
        pipeline = self.pipeline
        pipeline.outbox.release(pipeline.journal.commit())
        pipeline.observe()
        pipeline.observer.flush()

    def _look(self) -> Sizes:
        pipeline = self.pipeline
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]
        counters = pipeline.engine.counters()
        (strategy,) = pipeline.snapshots._strategies
        snapshot = len(pipeline.engine.snapshot()) + len(take_state(strategy, pipeline.engine))
        return Sizes(sum(counters["orders"].values()), counters["kept"], snapshot, traced)


def test_what_a_session_keeps_does_not_grow_with_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Probing()

    class Seen(Pipeline):
        def __init__(self, **parts: Any) -> None:
            super().__init__(**parts)
            feed.pipeline = self

    monkeypatch.setattr(modes, "Pipeline", Seen)
    tracemalloc.start()
    try:
        result = replay.paper(
            Churn,
            feed,
            session=tmp_path / "s",
            instruments={"symbol": "A", "tick": "1", "lot": "1", "quote": "USD"},
            cash={"USD": 100_000},
            latency={"entry": "1ms", "cancel": "2ms", "response": "1ms"},
            session_options={"snapshot_every": "0s", "snapshot_records": 10_000, "commit_every": "10ms"},
            metrics={"port": 0},
            log={"level": "error"},
        )
    finally:
        tracemalloc.stop()
    short, long = feed.found[SHORT], feed.found[LONG]
    orders = long.orders - short.orders
    assert short.orders > 10_000 and orders > 40_000, "enough to fill every window, and many more"
    assert result.counts["engine"]["timers_fired"] > 10_000
    assert min(result.counts["engine"]["rejections"][name] for name in ("requested", "insufficient_funds")) > 5_000
    assert long.engine["working"] >= 2, "two orders are amended again and again, and filled, and never end"
    for name, size in long.engine.items():
        assert size <= 1.2 * short.engine[name] + 100, f"{name}: {short.engine} then {long.engine}"
    assert long.snapshot_bytes <= 1.05 * short.snapshot_bytes + 1_000, f"{short} then {long}"
    grown = long.traced_bytes - short.traced_bytes
    assert grown <= orders / 2, f"{grown} bytes of Python's over {orders} orders: {short} then {long}"


def test_the_orders_of_a_result_are_counted_without_keeping_their_ids(tmp_path: Path) -> None:
    from replay.result.order_count import OrderCount

    count = OrderCount()
    ids = np.arange(50_000, dtype=np.uint64)
    for piece in np.array_split(ids, 100):
        count.add(np.repeat(piece[::-1], 3))
    assert (count.count, count.kept) == (50_000, 0)
    count.add(np.array([50_002, 50_001, 7], dtype=np.uint64))
    assert (count.count, count.kept) == (50_002, 2), "50,000 is on its way to its venue"
    count.add(np.array([50_000], dtype=np.uint64))
    assert (count.count, count.kept) == (50_003, 0)


def test_a_timer_name_is_kept_as_long_as_a_timer_goes_by_it() -> None:
    names = TimerNames()
    with names.taken("often") as often:
        pass
    with names.taken("once") as once, names.taken("once") as again:
        assert once == again
    assert names.fired(often, True) == "often"
    assert names.fired(once, False) == "once"
    assert names.fired(once, False) == "once"
    with names.taken("new") as new:
        assert new == once, "its number is free"
    assert len(names) == 2
    other = TimerNames()
    other.restore(names.state())
    assert other.state() == names.state()
    assert other.fired(new, False) == "new"
    assert len(other) == 1


def test_a_timer_that_is_refused_takes_no_name() -> None:
    names = TimerNames()
    with pytest.raises(ValueError, match="before now"), names.taken("past"):
        raise ValueError("timer at 5 ns is before now")
    assert len(names) == 0


def test_a_strategy_that_is_not_told_of_timers_keeps_no_names() -> None:
    class Deaf(Strategy):
        pass

    desk: Any = object()
    names = Deaf()._attach(desk)
    for number in range(100):
        with names.taken(f"timer {number}"):
            pass
    assert len(names) == 0
