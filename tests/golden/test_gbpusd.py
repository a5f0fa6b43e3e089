"""A moving average cross on separate bars of bid and ask, with slippage in depth: KNOWN_GOOD S17 without its rollover.

The rollover interest of the source needs financing, which is not built.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import replay
from replay import Strategy
from replay.records import BarPrice, Kind, empty

pytestmark = pytest.mark.data

FLATTEN = 2
MILLION = 1_000_000
Shared = Callable[[str], Path]


class Flip(Strategy):
    """EMA(10) over EMA(20) of the bid: long or short a million, closing before it opens the other side."""

    def on_start(self) -> None:
        bars = self.bars("GBPUSD", "1m", price="bid")
        self.fast, self.slow = bars.ema(10), bars.ema(20)

    def on_bar(self, bar: Any) -> None:
        if not self.slow.ready or bar.open == bar.high == bar.low == bar.close:
            return
        position = self.position("GBPUSD").quantity
        if self.fast >= self.slow:
            if position < 0:
                self.buy("GBPUSD", MILLION)
            if position <= 0:
                self.buy("GBPUSD", MILLION)
        else:
            if position > 0:
                self.sell("GBPUSD", MILLION)
            if position >= 0:
                self.sell("GBPUSD", MILLION)


def _rows(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.reader(file))[1:]


def raw(text: str) -> int:
    return int(Decimal(text).scaleb(5))


@pytest.fixture(scope="module")
def result(shared_data: Shared) -> replay.Result:
    """When a bid's bar is handled, the market shows the closes of the minute before: the quote comes after the bar."""
    folder = shared_data("fx-bars-fxcm")
    bids, asks = (_rows(folder / f"gbpusd-m1-{side}-2012.csv.gz") for side in ("bid", "ask"))
    assert len(bids) == len(asks) == 30_117 and [row[0] for row in bids] == [row[0] for row in asks]
    tape = empty(2 * len(bids) + 1)
    times = [int(datetime.fromisoformat(row[0]).timestamp()) * 10**9 for row in bids]
    tape["ts_event"][0:-1:2] = tape["ts_event"][1::2] = times
    tape["kind"][0:-1:2], tape["kind"][1::2] = Kind.BAR, Kind.QUOTE
    tape["side"][0:-1:2] = BarPrice.BID
    for field, column in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        tape[field][0:-1:2] = [raw(row[column]) for row in bids]
    tape["a"][1::2], tape["b"][1::2] = [raw(row[4]) for row in bids], [raw(row[4]) for row in asks]
    tape["c"][1::2] = tape["d"][1::2] = 250_000
    tape["kind"][-1], tape["a"][-1], tape["ts_event"][-1] = Kind.COMMAND, FLATTEN, times[-1]
    tape["ts_recv"] = tape["ts_event"]
    return replay.backtest(
        Flip,
        tape,
        instruments={
            "symbol": "GBPUSD",
            "tick": "0.00001",
            "lot": "1",
            "quote": "USD",
            "base": "GBP",
            "source": "quote",
            "bar": "1m",
        },
        feed_options={"records": "bar", "price": "bid"},
        cash={"USD": "1000000"},
        account={"leverage": "50"},
        venue=[
            {
                "name": "venue",
                "fees": {"maker": "0.00002", "taker": "0.00002", "rounding": "fill"},
                "beyond_top": "next_tick",
                "shown_size": "anew",
                "crossed": "match",
                "sizes": "full",
            }
        ],
    )


def test_s17_orders_fees_and_result_are_those_of_the_source(result: replay.Result) -> None:
    assert (result.stats["orders"], result.stats["fills"], result.stats["trades"]) == (2_984, 5_968, 1_492)
    assert result.stats["fees"] == pytest.approx(94_306.88, abs=1e-6)
    assert result.stats["gross_pnl"] == pytest.approx(183_590.00, abs=1e-4)
    # Gross result less fees, to the cent; the source rounds each position's result, and has 0.24 less.
    assert Decimal(result.balances["USD"]) == Decimal("1089283.12")


def test_s17_every_fill_is_that_of_the_source(result: replay.Result, shared_data: Shared) -> None:
    expected = _rows(shared_data("reference-fills/gbpusd_bars_external.csv.gz"))
    fills = result.fills.to_dict()
    assert len(expected) == len(fills["price"])
    ours = zip(fills["time"], fills["side"], fills["size"], fills["price"], fills["fee"], strict=True)
    for row, (time, side, size, price, fee) in zip(expected, ours, strict=True):
        assert (int(row[0]), row[2].lower(), float(row[3]), float(row[4])) == (time, side, size, price)
        assert float(row[5].split()[0]) == pytest.approx(fee, abs=1e-9)
