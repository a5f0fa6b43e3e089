"""Excursions of round trips: worked by hand, and against a slow search that follows their definition."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.events import ABSENT, EXCURSION, EventKind
from replay.result.builder import ResultBuilder
from replay.result.projections import RunScales
from replay.result.tables import Table
from replay.result.trade_rows import TradeProjection

from .excursion_search import Filled, search

BUY, SELL = 1, 2
SCALES = [6, 10]
NONE = (None, None)


@pytest.fixture
def scales(setup: Callable[..., bytes]) -> RunScales:
    return RunScales(setup(), SCALES)


def noted(*pairs: tuple[float | None, float | None]) -> Any:
    """Make rows of (low, high) as prices with two decimals."""
    rows = [tuple(ABSENT if price is None else round(price * 200) for price in pair) for pair in pairs]
    return np.array(rows, dtype=EXCURSION)


def found(log: Any, excursions: Any, scales: RunScales) -> list[tuple[float, float]]:
    """Give (mae, mfe) of each round trip."""
    events = log.array()
    trades = TradeProjection(scales).add(events[events["kind"] == EventKind.FILL], excursions)
    return list(zip(trades["mae"].tolist(), trades["mfe"].tolist(), strict=True))


@pytest.mark.parametrize(("sides", "expected"), [((BUY, SELL), (-3.0, 5.0)), ((SELL, BUY), (-5.0, 3.0))])
def test_a_round_trip_has_the_worst_and_the_best_that_it_came_to_in_between(
    log: Any, scales: RunScales, sides: tuple[int, int], expected: tuple[float, float]
) -> None:
    log.market(1, sides[0], 10_000, 1_000, 50_000).market(2, sides[1], 10_200, 1_000, 50_000)
    assert found(log, noted(NONE, (97, 105)), scales) == [expected]


@pytest.mark.parametrize(("price", "expected"), [(9_600, (-4.0, 0.0)), (10_400, (0.0, 4.0)), (10_000, (0.0, 0.0))])
def test_the_prices_of_entry_and_exit_count(
    log: Any, scales: RunScales, price: int, expected: tuple[float, float]
) -> None:
    log.market(1, BUY, 10_000, 1_000).market(2, SELL, price, 1_000)
    assert found(log, noted(NONE, NONE), scales) == [expected]


def test_what_was_realised_so_far_counts_and_the_rest_at_its_average_cost(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 2_000).market(2, SELL, 10_800, 1_000).market(3, SELL, 10_000, 1_000)
    assert found(log, noted(NONE, (90, 110), (95, 120)), scales) == [(-20.0, 28.0)]
    log.rows.clear()
    log.market(1, BUY, 10_000, 1_000).market(2, BUY, 9_500, 1_000).market(3, SELL, 10_000, 2_000)
    assert found(log, noted(NONE, (95, 100), (90, 110)), scales) == [(-15.0, 25.0)]


def test_scaling_in_and_out_comes_to_the_sum_of_the_published_lots(setup: Callable[..., bytes], log: Any) -> None:
    # KNOWN_GOOD A05 matches lots first in, first out: MAE -5 and -30 at one mark, MFE 30 and 40 at another one.
    document = json.loads(setup())
    document["instruments"][0].update(price_decimals=3, size_decimals=0)
    for number, (side, price, size) in enumerate(
        [(BUY, 1_070, 1_000), (BUY, 1_080, 2_000), (SELL, 1_090, 1_000), (BUY, 1_080, 1_000), (SELL, 1_090, 3_000)]
    ):
        log.market(number, side, price, size)
    rows = [(ABSENT, ABSENT), (2_150, 2_150), (2_130, 2_200), (ABSENT, ABSENT), (ABSENT, ABSENT)]
    excursions = np.array(rows, dtype=EXCURSION)
    assert found(log, excursions, RunScales(json.dumps(document).encode(), SCALES)) == [(-5.0 - 30.0, 30.0 + 40.0)]


def test_a_flip_ends_one_round_trip_and_begins_one(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 1_000).market(2, SELL, 10_100, 3_000).market(3, BUY, 10_000, 2_000)
    assert found(log, noted(NONE, (98, 103), (99, 104)), scales) == [(-2.0, 3.0), (-6.0, 4.0)]


def test_strategies_in_one_instrument_have_their_own(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 1_000).market(2, SELL, 10_000, 1_000, strategy=1)
    log.market(3, BUY, 9_900, 1_000, strategy=1).market(4, SELL, 10_000, 1_000)
    assert found(log, noted(NONE, NONE, (98, 103), (90, 103)), scales) == [(-3.0, 2.0), (-10.0, 3.0)]


def test_coins_that_pay_a_fee_leave_at_the_fill_s_price(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 1_000, 10_000_000, currency=1).market(2, SELL, 11_000, 999)
    ((worst, best),) = found(log, noted(NONE, (90, 120)), scales)
    assert (worst, best) == pytest.approx((-9.99, 19.98), abs=1e-12)


def test_half_ticks_multipliers_and_prices_below_0_are_exact(setup: Callable[..., bytes], log: Any) -> None:
    document = json.loads(setup())
    document["instruments"][0]["multiplier"] = "0.05"
    scales = RunScales(json.dumps(document).encode(), [7, 10])
    log.market(1, BUY, -100, 2_000).market(2, SELL, 100, 2_000)
    assert found(log, noted(NONE, (-1.005, 0.995)), scales) == [(2 * 0.05 * -0.005, 2 * 0.05 * 2.0)]


def test_values_beyond_64_bits_stay_exact(log: Any, scales: RunScales) -> None:
    log.fill(1, BUY, 4 * 10**12, 3 * 10**9).fill(2, SELL, 4 * 10**12 + 7, 3 * 10**9)
    rows = np.array([(ABSENT, ABSENT), (8 * 10**12 - 1, 8 * 10**12 + 15)], dtype=EXCURSION)
    assert found(log, rows, scales) == [(-3 * 10**9 / 2e5, 15 * 3 * 10**9 / 2e5)]


def test_without_excursions_they_are_absent_and_the_statistics_say_so(setup: Callable[..., bytes], log: Any) -> None:
    log.market(1, BUY, 10_000, 1_000).market(2, SELL, 10_200, 1_000)
    builder = ResultBuilder(setup(), SCALES)
    builder.add_events(log.to_bytes())
    result = builder.finish(digest="")
    assert result.trades.to_dict()["mae"] == result.trades.to_dict()["mfe"] == [None]
    assert result.undefined["average_adverse_excursion"] == result.undefined["edge_ratio"] == "no excursions"


def test_statistics_are_made_of_them(setup: Callable[..., bytes], log: Any) -> None:
    log.market(1, BUY, 10_000, 1_000).market(2, SELL, 10_200, 1_000)
    log.market(3, SELL, 10_000, 1_000).market(4, BUY, 10_100, 1_000)
    builder = ResultBuilder(setup(), SCALES)
    builder.add_events(log.to_bytes(), noted(NONE, (97, 105), NONE, (98, 104)).tobytes())
    stats = builder.finish(digest="").stats
    assert (stats["average_adverse_excursion"], stats["average_favourable_excursion"]) == (-3.5, 3.5)
    assert stats["edge_ratio"] == 1.0 and stats["captured_excursion"] == pytest.approx((2.0 - 1.0) / 7.0)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(BUY, SELL),
        st.integers(-50, 150),
        st.integers(1, 9),
        st.one_of(st.none(), st.lists(st.integers(-120, 320), min_size=1, max_size=4)),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_they_are_what_a_search_by_the_definition_finds_however_the_fills_are_cut(
    rows: list[Any], cuts: list[int], log: Any, scales: RunScales
) -> None:
    log.rows.clear()
    for number, (strategy, instrument, side, price, size, _) in enumerate(rows):
        log.fill(number, side, price, size, strategy=strategy, instrument=instrument)
    marks = [row[5] for row in rows]
    excursions = np.array([(min(m), max(m)) if m else (ABSENT, ABSENT) for m in marks], dtype=EXCURSION)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    projection, fills = TradeProjection(scales), log.array()
    tables = [projection.add(fills[start:limit], excursions[start:limit]) for start, limit in pairwise(edges)]
    trades = Table.concatenate(tables)
    strategies, symbols = trades["strategy"], trades["symbol"]
    for strategy, name in enumerate(scales.strategies):
        for instrument, symbol in enumerate(scales.symbols):
            own = [row for row in rows if row[:2] == (strategy, instrument)]
            expected = search(
                Filled(side == BUY, Fraction(price, 100), Fraction(size, 1000), [Fraction(m, 200) for m in marks or ()])
                for _, _, side, price, size, marks in own
            )
            at = np.flatnonzero((strategies == name) & (symbols == symbol))
            seen = list(zip(trades["mae"][at].tolist(), trades["mfe"][at].tolist(), strict=True))
            assert seen == [(float(worst), float(best)) for worst, best in expected]
