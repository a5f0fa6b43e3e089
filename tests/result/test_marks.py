"""Marks read from the tape: the first, the last, a thinned series; the same however records are cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from replay.records import RECORD, Kind
from replay.result.marks import MarkSampler, SamplerState
from replay.result.projections import RunScales

SCALES = [6, 10]
MINUTE = 60_000_000_000


def _quotes(count: int, instrument: int = 0, first_price: int = 10_000) -> Any:
    records = np.zeros(count, dtype=RECORD)
    records["kind"], records["instrument"] = Kind.QUOTE, instrument
    records["ts_event"] = records["ts_recv"] = np.arange(count) * 1_000_000_000
    records["a"] = first_price + np.arange(count)
    records["b"] = records["a"] + 2
    records["c"] = records["d"] = 5
    return records


def _sampler(setup: Callable[..., bytes], **changes: Any) -> MarkSampler:
    return MarkSampler(RunScales(setup(**changes), SCALES))


def test_the_first_and_last_mids_of_every_instrument_are_found(setup: Callable[..., bytes]) -> None:
    records = np.concatenate([_quotes(3, 1, 500), _quotes(20_000, 0)])
    sampler = _sampler(setup)
    sampler.add(records)
    sampler.flush()
    assert sampler.ends() == {"BTCUSDT": (100.01, 300.00), "ETHUSDT": (5.01, 5.03)}


@pytest.mark.parametrize("size", [1, 7, 1_024, 5_000])
def test_first_and_last_do_not_depend_on_how_records_are_cut(setup: Callable[..., bytes], size: int) -> None:
    records = np.concatenate([_quotes(3_000, 0), _quotes(11, 1, 700), _quotes(4_000, 0, 20_000)])
    sampler = _sampler(setup)
    tables = [sampler.add(records[start : start + size]) for start in range(0, len(records), size)]
    tables.append(sampler.flush())
    assert sampler.ends() == {"BTCUSDT": (100.01, 240.0), "ETHUSDT": (7.01, 7.11)}
    whole = _sampler(setup)
    expected = np.concatenate([whole.add(records), whole.flush()])
    assert np.array_equal(np.concatenate(tables), expected)
    assert len(expected) >= 1


@pytest.mark.parametrize("cut", [0, 1, 1_023, 1_024, 1_500, 6_999])
def test_a_sampler_goes_on_from_its_state_as_if_nothing_had_been(setup: Callable[..., bytes], cut: int) -> None:
    records = np.concatenate([_quotes(3_000, 0), _quotes(11, 1, 700), _quotes(4_000, 0, 20_000)])
    records["ts_recv"][2_000:2_100] -= 5 * MINUTE
    whole, before, after = _sampler(setup), _sampler(setup), _sampler(setup)
    expected = [whole.add(records), whole.flush()]
    first = before.add(records[:cut])
    after.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(before.state()), type=SamplerState))
    rest = [after.add(records[cut:]), after.flush()]
    assert np.array_equal(np.concatenate([first, *rest]), np.concatenate(expected))
    assert after.ends() == whole.ends()


def test_a_one_sided_quote_makes_no_mark_where_sizes_are_known(setup: Callable[..., bytes]) -> None:
    records = _quotes(5)
    records["c"][0] = records["d"][4] = 0
    sampler = _sampler(setup)
    sampler.add(records)
    sampler.flush()
    assert sampler.ends()["BTCUSDT"] == (100.02, 100.04)
    document = json.loads(setup())
    document["instruments"][0]["sizes"] = "none"
    unsized = MarkSampler(RunScales(json.dumps(document).encode(), SCALES))
    unsized.add(records)
    unsized.flush()
    assert unsized.ends()["BTCUSDT"] == (100.01, 100.05)


def test_trades_mark_trade_instruments_and_bars_of_the_right_length_bar_instruments(
    setup: Callable[..., bytes],
) -> None:
    document = json.loads(setup())
    document["instruments"][0]["source"] = "trade"
    document["instruments"][1].update(source="bar", bar_length=1, bar_price="mid")
    sampler = MarkSampler(RunScales(json.dumps(document).encode(), SCALES))
    records = np.zeros(6, dtype=RECORD)
    records["kind"] = [Kind.TRADE, Kind.QUOTE, Kind.BAR, Kind.BAR, Kind.BAR, Kind.CLOCK]
    records["instrument"] = [0, 0, 1, 1, 1, 0]
    records["a"], records["d"] = [111, 222, 0, 0, 0, -1], [0, 0, 333, 444, 555, 0]
    records["flags"] = [0, 0, 1, 0, 1, 0]
    records["side"] = [1, 0, 3, 3, 0, 0]
    sampler.add(records)
    sampler.flush()
    assert sampler.ends() == {"BTCUSDT": (1.11, 1.11), "ETHUSDT": (3.33, 3.33)}


def test_the_first_mark_is_that_of_the_start_of_trading(setup: Callable[..., bytes]) -> None:
    sampler = _sampler(setup, trading_start_ns=10 * 1_000_000_000)
    sampler.add(_quotes(2_000))
    assert sampler.ends()["BTCUSDT"][0] == 100.11


def test_the_series_is_thin(setup: Callable[..., bytes]) -> None:
    sampler = _sampler(setup)
    samples = sampler.add(_quotes(50_000))
    assert sampler.table(samples).columns == ["time", "symbol", "price"]
    assert 20 <= len(samples) <= 2 * (50_000 // 1_024 + 1)
    assert np.all(np.diff(samples["time"] // MINUTE) > 0)
    slow = _sampler(setup)
    tables = [slow.add(part) for part in np.array_split(_quotes(3_000), 3_000)]
    assert sum(len(table) for table in tables) <= 4


def test_an_instrument_without_records_has_no_marks(setup: Callable[..., bytes]) -> None:
    assert _sampler(setup).ends() == {"BTCUSDT": (None, None), "ETHUSDT": (None, None)}
