"""The engine's own cost per record: a record with an empty handler, less the bare vectorcall of that handler.

May not live here: what handlers do.

    .venv/bin/python benches/bench_handler_cost.py [--rounds 15]

For each kind of record: sequencer, engine, view and call, batch by batch, as a session runs them; beside it in the same
round as many calls of the same empty handler from a bare PyO3 loop.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import workload
from numpy.typing import NDArray

from replay.records import Kind, Side
from replay.strategy import Strategy

if TYPE_CHECKING:
    from replay import Bar, Quote, Trade

COUNT = 1_000_000


class Empty(Strategy):
    """Has every handler of records, and does nothing in them."""

    def on_quote(self, quote: Quote) -> None:
        pass

    def on_trade(self, trade: Trade) -> None:
        pass

    def on_bar(self, bar: Bar) -> None:
        pass


def trades_of(quotes: NDArray[Any]) -> NDArray[Any]:
    """Turn quotes into prints at the bid or the ask."""
    trades = quotes.copy()
    is_buy = np.arange(len(trades)) % 2 == 0
    trades["kind"] = Kind.TRADE
    trades["side"] = np.where(is_buy, Side.BUY, Side.SELL)
    trades["a"] = np.where(is_buy, quotes["b"], quotes["a"])
    trades["b"] = quotes["c"]
    trades["c"] = np.arange(len(trades))
    trades["d"] = 0
    return trades


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    bare_loop = harness.build_bare_loop()
    columns = {name: values[:COUNT] for name, values in workload.load("w2_quotes").items()}
    quotes = workload.quote_records(columns)
    bars = workload.bar_records({name: values[:COUNT] for name, values in workload.load("w1_minute").items()})
    tapes = {
        "quote": (quotes, harness.setup("quote", workload.QUOTE_PRICE_DECIMALS, "0.0001"), "on_quote"),
        "trade": (trades_of(quotes), harness.setup("trade", workload.QUOTE_PRICE_DECIMALS, "0.0001"), "on_trade"),
        "bar": (bars, harness.setup("bar", workload.BAR_PRICE_DECIMALS, "0.0005"), "on_bar"),
    }
    rows: list[harness.Result] = []
    for kind, (records, setup, handler) in tapes.items():
        ran = harness.run_engine(Empty(), setup, records)
        assert ran.counters["handlers"]["bench"] == len(records), ran.counters["handlers"]
        times = harness.interleaved(
            {
                "replay": partial(harness.run_engine, Empty(), setup, records),
                "calls": partial(bare_loop.calls, getattr(Empty(), handler), None, len(records)),
            },
            arguments.rounds,
        )
        whole = [seconds / len(records) * 1e9 for seconds in times["replay"]]
        calls = [seconds / len(records) * 1e9 for seconds in times["calls"]]
        own = [a - b for a, b in zip(whole, calls, strict=True)]
        common = {"unit": "CPU ns", "rounds": arguments.rounds}
        for what, values in ((f"{kind}, empty handler", whole), (f"{kind}, bare vectorcall", calls)):
            rows.append(
                {"what": what, "figure": round(statistics.median(values), 1), "best": round(min(values), 1), **common}
            )
        figure, best = round(statistics.median(own), 1), round(min(whole) - min(calls), 1)
        rows.append({"what": f"{kind}, own cost", "figure": figure, "best": best, **common, "at_most": 60})
    return 0 if harness.report("handler cost", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
