"""The golden run: one tape and one strategy in integers, the same in engine_rs/core/tests/golden_digest.rs.

May not live here: assertions; run as a script it prints its digest, for the tests that vary what is around it.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from replay import Strategy
from replay.records import Kind, as_bytes, empty

RECORDS = 20_000
T0_NS = 1_700_000_000_000_000_000
MASK = 2**64 - 1


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & MASK


def random_words(seed: int, count: int) -> list[int]:
    """xoshiro256**, seeded by splitmix64: as published, and as the engine's `rng` is on stream 0."""
    state = []
    for _ in range(4):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        state.append(mixed ^ (mixed >> 31))
    words = []
    for _ in range(count):
        words.append((_rotate((state[1] * 5) & MASK, 7) * 9) & MASK)
        shifted = (state[1] << 17) & MASK
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = _rotate(state[3], 45)
    return words


def tape() -> Any:
    """Quotes and trades of two instruments on two venues, with delays, late and one-sided ones among them."""
    records = empty(RECORDS)
    mids = [10_000, 5_000]
    for index, word in enumerate(random_words(7, RECORDS)):
        which = (word >> 48) % 2
        mids[which] = min(max(mids[which] + (word >> 8) % 5 - 2, 3_000), 20_000)
        record = records[index]
        record["instrument"] = which
        record["ts_event"] = T0_NS + index * 1_000_000 - ((word >> 32) % 3) * 700_000
        record["ts_recv"] = max(int(record["ts_event"]), T0_NS + index * 1_000_000) + (word >> 40) % 3_000_000
        if word % 4 == 0:
            record["kind"] = Kind.TRADE
            record["a"] = mids[which] + (word >> 16) % 3
            record["b"] = 1 + (word >> 24) % 20
            record["side"] = (word >> 50) % 3
        else:
            record["kind"] = Kind.QUOTE
            record["a"] = mids[which]
            record["b"] = mids[which] + 1 + (word >> 16) % 3
            record["c"] = (word >> 24) % 30
            record["d"] = 1 + (word >> 29) % 30
    return records


def setup(one_clock: bool = False) -> bytes:
    """Write the setup; the Rust twin holds the same."""
    venue = {
        "fees": {"maker": "-0.0001", "taker": "0.00035"},
        "latency_ns": {"entry": 2_000_000, "cancel": 1_000_000, "amend": 3_000_000, "response": 1_500_000},
        "slippage_ticks": 1,
    }
    instrument = {"tick": "0.01", "lot": "1", "price_decimals": 2, "size_decimals": 0, "quote": "USD"}
    return msgspec.json.encode(
        {
            "seed": 7,
            "equity_every_ns": 1_000_000_000,
            "one_clock": one_clock,
            "bar_lengths": [],
            "currencies": [{"name": "USD", "decimals": 2}],
            "account": {"kind": "margin", "leverage": "4", "currency": "USD", "cash": {"USD": "100000"}},
            "venues": [{"name": "one", **venue}, {"name": "two", **venue}],
            "instruments": [
                {"symbol": "A", "venue": 0, "source": "quote+trade", "kinds": ["quote", "trade"], **instrument},
                {"symbol": "B", "venue": 1, "source": "quote", "kinds": ["quote", "trade"], **instrument},
            ],
            "strategies": [{"name": "golden"}],
        }
    )


class Golden(Strategy):
    """Sends every kind of order by a count of quotes, bars and timers."""

    def on_start(self) -> None:
        self.quotes = 0
        self.average = self.bars("A", "1s").sma(3)
        self.every("3s", "flat")

    def on_quote(self, quote: Any) -> None:
        self.quotes += 1
        count, symbol = self.quotes, quote.symbol
        bid, ask = round(quote.bid * 100), round(quote.ask * 100)
        if count % 50 == 0:
            (self.buy if count % 100 == 0 else self.sell)(symbol, 3)
        if count % 70 == 0:
            self.buy(symbol, 5, limit=(bid - 2) / 100)
        if count % 90 == 0:
            self.sell(symbol, 2, stop=(bid - 5) / 100)
        if count % 110 == 0:
            self.buy(symbol, 4, stop=(ask + 4) / 100, limit=(ask + 6) / 100, tif="IOC" if count % 220 == 0 else "GTC")
        if count % 130 == 0:
            for order in self.orders(symbol)[:1]:
                self.amend(order.id, quantity=9)
        if count % 300 == 0:
            self.cancel_all()

    def on_bar(self, bar: Any) -> None:
        if self.average.ready:
            self.target("A", 2 if bar.close > self.average else -2)

    def on_timer(self, name: str) -> None:
        self.close("B")

    def on_fill(self, fill: Any) -> None:
        if fill.size == 4.0:
            self.sell(fill.symbol, 1, limit=round(fill.price * 100 + 20) / 100)


def run(records: Any, batch: int = 4_096) -> Any:
    """Run the golden strategy over the records, through the sequencer, in batches of so many."""
    from replay._engine import Engine, Sequencer

    engine, sequencer = Engine(setup(), [Golden()]), Sequencer(setup())
    data = as_bytes(records)
    for first in range(0, len(records), batch):
        admitted, rejected = sequencer.admit(data[first * 64 : (first + batch) * 64])
        assert not rejected
        engine.run(admitted)
    engine.finish()
    return engine


if __name__ == "__main__":
    sys.stdout.write(run(tape()).digest())
