"""Drawdown, its duration, time in the market and turnover, whole and in pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import stats

POINTS = st.lists(
    st.tuples(st.integers(0, 50), st.floats(1.0, 1000.0).map(round), st.sampled_from([0.0, 5.0])),
    min_size=1,
    max_size=60,
)


def test_drawdown_is_measured_from_the_highest_value_so_far() -> None:
    assert stats.maximum_drawdown([100, 120, 90, 130, 104, 140]) == pytest.approx(90 / 120 - 1)
    assert stats.drawdowns([100, 120, 90, 130]) == pytest.approx([0, 0, -0.25, 0])


def test_no_points_have_no_drawdown() -> None:
    assert stats.maximum_drawdown([]) is None
    assert stats.longest_drawdown_ns([], []) is None


def test_rising_equity_has_none() -> None:
    assert stats.maximum_drawdown([1, 2, 2, 3]) == 0.0
    assert stats.longest_drawdown_ns([0, 10, 20, 30], [1, 2, 2, 3]) == 0


def test_the_longest_drawdown_ends_where_the_peak_is_reached_again() -> None:
    assert stats.longest_drawdown_ns([0, 10, 20, 35, 40], [5, 4, 4, 5, 6]) == 35


def test_a_drawdown_that_lasts_counts_up_to_the_end() -> None:
    assert stats.longest_drawdown_ns([0, 10, 20, 70], [5, 6, 5, 4]) == 60


def test_equity_that_is_never_positive_has_no_fraction() -> None:
    assert stats.maximum_drawdown([-5.0, -6.0]) == 0.0


def test_the_start_equity_counts_as_a_peak() -> None:
    tracker = stats.DrawdownTracker(start_ts=0, start_equity=100.0)
    tracker.add(np.array([10, 20]), np.array([99.0, 98.0]))
    assert tracker.maximum == pytest.approx(-0.02)
    assert tracker.longest_ns == 20


@given(POINTS, st.lists(st.integers(0, 60), max_size=6))
def test_trackers_do_not_depend_on_how_the_points_are_cut(
    points: list[tuple[int, float, float]], cuts: list[int]
) -> None:
    ts = np.cumsum(np.array([step for step, _, _ in points], dtype=np.int64))
    equity = np.array([value for _, value, _ in points], dtype=np.float64)
    exposure = np.array([value for _, _, value in points])
    drawdown, held = stats.DrawdownTracker(), stats.ExposureTracker()
    edges = [0, *sorted(min(cut, len(ts)) for cut in cuts), len(ts)]
    for start, limit in pairwise(edges):
        drawdown.add(ts[start:limit], equity[start:limit])
        held.add(ts[start:limit], equity[start:limit], exposure[start:limit])
    assert drawdown.maximum == stats.maximum_drawdown(equity)
    assert drawdown.longest_ns == stats.longest_drawdown_ns(ts, equity) == _longest_by_hand(ts, equity)
    assert held.share == stats.time_in_market(ts, exposure)


def _longest_by_hand(ts: np.ndarray, equity: np.ndarray) -> int:
    peak, peak_ts, is_below, longest = equity[0], ts[0], False, 0
    for now, value in zip(ts, equity, strict=True):
        if value >= peak:
            if is_below:
                longest = max(longest, now - peak_ts)
            peak, peak_ts, is_below = value, now, False
        else:
            is_below = True
            longest = max(longest, now - peak_ts)
    return int(longest)


def test_time_in_market_is_weighed_by_time() -> None:
    assert stats.time_in_market([0, 10, 40, 50], [0.0, 7.0, 0.0, 0.0]) == pytest.approx(0.6)


def test_time_in_market_of_a_moment_is_undefined() -> None:
    assert stats.time_in_market([], []) is None
    assert stats.time_in_market([5], [1.0]) is None
    assert stats.time_in_market([5, 5], [1.0, 0.0]) is None


def test_average_equity_is_weighed_by_time() -> None:
    tracker = stats.ExposureTracker()
    tracker.add(np.array([0, 90, 100]), np.array([100.0, 200.0, 999.0]), np.zeros(3))
    assert tracker.average_equity == pytest.approx(110.0)


def test_average_equity_of_one_point_is_its_value() -> None:
    tracker = stats.ExposureTracker()
    assert tracker.average_equity is None
    tracker.add(np.array([7]), np.array([100.0]), np.zeros(1))
    assert tracker.average_equity == 100.0


def test_turnover() -> None:
    assert stats.turnover(250.0, 100.0) == 2.5
    assert stats.turnover(250.0, 0.0) is None
    assert stats.turnover(250.0, -1.0) is None


def test_the_average_equity_is_the_same_to_the_last_bit_however_the_points_are_cut() -> None:
    dice = np.random.default_rng(4)
    ts = np.cumsum(dice.integers(1, 10**9, 500))
    equity = 1e6 + np.cumsum(dice.normal(size=500))
    averages = set()
    for size in (1, 7, 64, 129, 500):
        tracker = stats.exposure.ExposureTracker()
        for first in range(0, 500, size):
            piece = slice(first, first + size)
            tracker.add(ts[piece], equity[piece], np.ones(len(ts[piece])))
        averages.add(tracker.average_equity)
    assert len(averages) == 1
