"""W1: a cross of two averages on 1,051,200 minute bars, with a handler per bar and the engine's own indicators.

May not live here: the data and the rule's numbers (workload).

    .venv/bin/python benches/bench_w1.py [--rounds 15]

Beside it in the same run: the same handler in a bare PyO3 loop that keeps the two sums. Fills and P&L are those of the
vectorised reference.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import harness
import workload

from replay import records
from replay.strategy import Strategy

if TYPE_CHECKING:
    from replay import Bar


class SmaFlip(Strategy):
    """W1's rule as a user would write it."""

    def on_start(self) -> None:
        """Subscribe to the bars and two averages of their closes."""
        bars = self.bars("BENCH", "1m")
        self.fast: Any = bars.sma(workload.FAST)
        self.slow: Any = bars.sma(workload.SLOW)
        self.side = 0

    def on_bar(self, bar: Bar) -> None:
        """Turn when the averages have crossed."""
        if self.slow.ready:
            side = 1 if self.fast > self.slow else -1
            if side != self.side:
                self.side = side
                self.target("BENCH", side)


def run_bare(bare_loop: Any, bars: Any) -> int:
    """Run the handler in the bare loop; give how often it turned."""
    unit = 10.0**workload.BAR_PRICE_DECIMALS
    strategy = SmaFlip()
    strategy._desk = desk = harness.StubDesk()  # type: ignore[assignment]
    strategy.fast, strategy.slow = bare_loop.Sma(workload.FAST, unit), bare_loop.Sma(workload.SLOW, unit)
    strategy.side = 0
    bare_loop.bars(records.as_bytes(bars), strategy.on_bar, [strategy.fast, strategy.slow], unit, 1.0)
    return desk.targets


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    bare_loop = harness.build_bare_loop()
    columns = workload.load("w1_minute")
    bars = workload.bar_records(columns)
    setup = harness.setup("bar", workload.BAR_PRICE_DECIMALS, str(workload.BAR_FEE))

    def replay() -> harness.Ran:
        return harness.run_engine(SmaFlip(), setup, bars)

    bare = partial(run_bare, bare_loop, bars)
    fills, pnl = workload.reference_bars(columns)
    ran = replay()
    assert ran.fills == fills and abs(ran.pnl - pnl) < 1e-5, (ran.fills, fills, ran.pnl, pnl)
    # A signal on the last bar has no bar to fill on: the handler turns once more then.
    assert bare() in (fills, fills + 1)
    assert ran.state["balanced"]

    times = harness.interleaved({"replay": replay, "bare loop": bare}, arguments.rounds)
    extra = {"fills": fills, "pnl": ran.pnl, "digest": ran.digest}
    rows = [
        {**harness.seconds("W1, replay", times["replay"]), "at_most": 0.20},
        harness.seconds("W1, bare loop", times["bare loop"]),
        harness.ratio("W1, replay's time / the bare loop's", times["replay"], times["bare loop"], at_most=1.4),
    ]
    return 0 if harness.report("w1", [{**row, **extra} for row in rows]) else 1


if __name__ == "__main__":
    sys.exit(main())
