"""What it costs a run to be watched: a backtest with glances beside the same one without, in the same process.

May not live here: tests. Run it on a quiet machine: python benches/bench_glance.py [RECORDS].
"""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np
from numpy.typing import NDArray

from replay import Strategy, api, modes, records
from replay.glance import Glances
from replay.records import Kind

ROUNDS = 5
RATIO_MIN = 0.97
"""Of the speed without, at ten glances a second; a look may take 2 % of a run's time."""


class Reverses(Strategy):
    """Goes long and short in turns, every ten seconds."""

    def on_start(self) -> None:
        """Set the timer."""
        self.every("10s", "turn")

    def on_timer(self, name: str) -> None:
        """Turn round."""
        self.target("ABC", 1 if self.position("ABC").quantity <= 0 else -1)


def tape(count: int) -> NDArray[np.void]:
    """Make quotes, a thousand a second."""
    made = records.empty(count)
    made["ts_recv"] = made["ts_event"] = 1_700_000_000_000_000_000 + np.arange(count) * 1_000_000
    made["kind"] = Kind.QUOTE
    made["a"] = 10_000 + np.random.default_rng(1).integers(-2, 3, count).cumsum() % 5_000
    made["b"] = made["a"] + 1
    made["c"] = made["d"] = 5
    return made


def seconds(ticks: NDArray[np.void], glances: Glances | None) -> float:
    """Run once."""
    market = {"symbol": "ABC", "tick": "0.01", "lot": "1", "quote": "USD"}
    plan = api.plan(Reverses, ticks, instruments=market, cash={"USD": 1_000_000})
    result = asyncio.run(modes.backtest_async(plan, glances=glances))
    return result.timings["run"]


def main(count: int) -> int:
    """Measure in turns, print the best of each; 1 where watching costs more than its bound."""
    ticks = tape(count)
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, per_second in (("alone", 0), ("10 glances a second", 10), ("100 glances a second", 100)):
            glances = Glances(per_second) if per_second else None
            best[name] = min(best.get(name, np.inf), seconds(ticks, glances))
    for name, taken in best.items():
        print(f"{name:22} {count / taken / 1e6:6.1f} M records/s  {best['alone'] / taken:.3f}")
    glances = Glances()
    started_s = time.perf_counter()
    seconds(ticks[:1_000], glances)
    print(f"a whole run of 1,000 records, watched: {(time.perf_counter() - started_s) * 1e3:.1f} ms")
    is_kept = best["alone"] / best["10 glances a second"] >= RATIO_MIN
    print(f"bound: {RATIO_MIN} at ten a second: {'kept' if is_kept else 'MISSED'}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 6_000_000))
