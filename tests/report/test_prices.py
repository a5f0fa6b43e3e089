"""Price series of the records of a tape: what is kept, what is left out, what thinning may not lose."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import records
from replay.records import Kind
from replay.report.prices import PriceCollector, extreme_rows, series_of_marks
from replay.result.projections import MARKS, RunScales
from replay.result.tables import Table, Words

MINUTE = 60_000_000_000


def scales(source: str, count: int = 1) -> RunScales:
    instrument = {
        "venue": 0, "tick": "0.01", "lot": "1", "price_decimals": 2, "size_decimals": 0, "quote": "USD",
        "source": source, "bar_length": 0 if source == "bar" else None,
    }  # fmt: skip
    setup = {
        "equity_every_ns": MINUTE,
        "trading_start_ns": None,
        "currencies": [{"name": "USD", "decimals": 2}],
        "account": {"kind": "margin", "currency": "USD", "cash": {"USD": "100"}},
        "instruments": [{**instrument, "symbol": f"S{place}"} for place in range(count)],
        "strategies": [{"name": "s"}],
    }
    return RunScales(json.dumps(setup).encode(), [6])


def ticks(kind: Kind, prices: list[int], *, step: int = 10, instrument: int = 0) -> Any:
    rows = records.empty(len(prices))
    rows["kind"], rows["instrument"] = kind, instrument
    rows["ts_event"] = rows["ts_recv"] = step * np.arange(1, len(prices) + 1)
    rows["a"], rows["c"], rows["d"] = prices, 1, 1
    if kind is Kind.QUOTE:
        rows["b"] = rows["a"] + 1
    return rows


def bars(closes: list[int]) -> Any:
    rows = ticks(Kind.BAR, closes, step=MINUTE)
    rows["d"] = rows["a"]
    rows["a"], rows["b"], rows["c"] = rows["d"] - 1, rows["d"] + 5, rows["d"] - 7
    return rows


def test_the_mid_of_quotes_is_exact() -> None:
    collector = PriceCollector(scales("quote"))
    collector.add(ticks(Kind.QUOTE, [10_000, 10_003]))
    (one,) = collector.series()
    assert one.decimals == 3 and one.price.tolist() == [100_005, 100_035]
    assert not one.is_bars and not one.is_thinned and one.records == 2


def test_ticks_that_change_nothing_are_left_out_but_the_last_of_a_batch() -> None:
    collector = PriceCollector(scales("trade"))
    collector.add(ticks(Kind.TRADE, [5, 5, 5, 7, 7, 6, 6, 6]))
    (one,) = collector.series()
    assert one.price.tolist() == [5, 7, 6, 6] and one.time_ns.tolist() == [10, 40, 60, 80] and one.records == 8


def test_bars_keep_their_four_prices() -> None:
    collector = PriceCollector(scales("bar"))
    collector.add(bars([100, 110]))
    (one,) = collector.series()
    assert one.is_bars and one.open is not None and one.high is not None and one.low is not None
    assert (one.price.tolist(), one.open.tolist()) == ([100, 110], [99, 109])
    assert (one.high.tolist(), one.low.tolist()) == ([105, 115], [93, 103])


def test_each_instrument_has_its_own_series_and_one_without_a_mark_has_none() -> None:
    collector = PriceCollector(scales("trade", 3))
    mixed = np.concatenate([ticks(Kind.TRADE, [1, 2]), ticks(Kind.TRADE, [8, 9], instrument=2)])
    collector.add(mixed[[2, 0, 3, 1]])
    assert {one.symbol: one.price.tolist() for one in collector.series()} == {"S0": [1, 2], "S2": [8, 9]}


def test_a_late_record_does_not_turn_time_back() -> None:
    rows = ticks(Kind.TRADE, [1, 2, 3])
    rows["ts_event"][2] = 15
    collector = PriceCollector(scales("trade"))
    collector.add(rows)
    assert collector.series()[0].time_ns.tolist() == [10, 20, 20]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_both_ends_and_the_extremes(values: list[int], count: int) -> None:
    array = np.array(values)
    rows = extreme_rows(array, count)
    assert rows[0] == 0 and rows[-1] == len(values) - 1 and np.all(np.diff(rows) > 0)
    assert array[rows].min() == min(values) and array[rows].max() == max(values)
    assert len(rows) <= max(count, 4) + 4


def test_a_tape_of_any_length_needs_bounded_memory_and_keeps_its_extremes() -> None:
    rng = np.random.default_rng(3)
    collector = PriceCollector(scales("trade"), points_max=1_000)
    prices = (10_000 + np.cumsum(rng.integers(-9, 10, 50_000))).tolist()
    rows = ticks(Kind.TRADE, prices)
    for start in range(0, len(rows), 700):
        collector.add(rows[start : start + 700])
        assert collector._gathered[0]._points <= 2_700
    (one,) = collector.series()
    assert len(one) <= 1_010 and one.is_thinned and one.records == 50_000
    assert (one.price.min(), one.price.max()) == (min(prices), max(prices))
    assert one.time_ns[-1] == rows["ts_event"][-1]


def test_more_bars_than_fit_are_joined_to_longer_ones() -> None:
    closes = list(range(1_000, 6_000))
    collector = PriceCollector(scales("bar"), points_max=1_000)
    collector.add(bars(closes))
    (one,) = collector.series()
    assert (
        len(one) == 1_000 and one.is_thinned and one.open is not None and one.high is not None and one.low is not None
    )
    assert (one.open[0], one.price[0], one.high[0], one.low[0]) == (999, 1_004, 1_009, 993)
    assert one.time_ns[0] == 5 * MINUTE and one.price[-1] == 5_999


def test_sampled_marks_make_series_where_there_is_nothing_better() -> None:
    words = Words(np.array([0, 1, 0], dtype=np.int32), ("X", "Y"))
    marks = Table("marks", MARKS, {"time": [1, 2, 3], "symbol": words, "price": [1.25, 7.0, 1.305]})
    found = {one.symbol: one for one in series_of_marks(marks, {"X": 2, "Y": 0})}
    assert found["X"].price.tolist() == [1250, 1305] and found["X"].decimals == 3 and found["X"].is_thinned
    assert found["Y"].price.tolist() == [70]


@pytest.mark.parametrize("source", ["quote", "trade", "bar"])
def test_no_records_make_no_series(source: str) -> None:
    collector = PriceCollector(scales(source))
    collector.add(records.empty(0))
    assert collector.series() == []
