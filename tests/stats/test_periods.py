"""How equity points become one return a period."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import stats

DAY = 86_400_000_000_000
HOUR = DAY // 24
MONDAY = int(np.datetime64("2024-01-01", "ns").astype(np.int64))


def test_daily_returns_take_the_last_equity_of_each_utc_day() -> None:
    ts = [MONDAY + HOUR, MONDAY + 23 * HOUR, MONDAY + DAY, MONDAY + DAY + HOUR]
    returns = stats.period_returns(ts, [100.0, 110.0, 50.0, 121.0], 100.0, 365)
    assert returns == pytest.approx([0.10, 0.10])


def test_a_day_without_points_is_a_return_of_zero_in_markets_that_never_close() -> None:
    ts = [MONDAY, MONDAY + 3 * DAY]
    assert stats.period_returns(ts, [100.0, 120.0], 100.0, 365) == pytest.approx([0.0, 0.0, 0.0, 0.2])


def test_a_day_without_points_makes_no_return_where_sessions_are_counted() -> None:
    friday = MONDAY + 4 * DAY
    ts = [friday, friday + 3 * DAY]
    assert stats.period_returns(ts, [100.0, 120.0], 100.0, 252) == pytest.approx([0.0, 0.2])


@pytest.mark.parametrize(
    ("periods_per_year", "name"),
    [
        (365, "1 day"),
        (365.25, "1 day"),
        (252, "1 session day"),
        (52, "1 week"),
        (12, "1 month"),
        (4, "1 quarter"),
        (1, "1 year"),
        (8760, "1 h"),
        (525_600, "1 min"),
        (73, "5 d"),
    ],
)
def test_the_period_that_periods_per_year_stands_for(periods_per_year: float, name: str) -> None:
    assert stats.period_of(periods_per_year).name == name


@pytest.mark.parametrize("bad", [0, -1, float("nan")])
def test_periods_per_year_must_be_positive(bad: float) -> None:
    with pytest.raises(ValueError, match="periods_per_year"):
        stats.period_of(bad)


def test_calendar_periods_begin_where_the_calendar_says() -> None:
    def days(*texts: str) -> list[int]:
        return [int(np.datetime64(text, "ns").astype(np.int64)) for text in texts]

    months = days("2024-01-31", "2024-02-01", "2024-02-29", "2024-03-01")
    assert stats.period_returns(months, [1.0, 2.0, 4.0, 8.0], 1.0, 12) == pytest.approx([0.0, 3.0, 1.0])
    quarters = days("2024-03-31", "2024-04-01", "2024-06-30", "2024-07-01")
    assert stats.period_returns(quarters, [1.0, 2.0, 4.0, 8.0], 1.0, 4) == pytest.approx([0.0, 3.0, 1.0])
    weeks = days("2024-01-07T23:59", "2024-01-08", "2024-01-14")
    assert stats.period_returns(weeks, [1.0, 2.0, 3.0], 1.0, 52) == pytest.approx([0.0, 2.0])


def test_times_before_the_epoch_have_their_period() -> None:
    assert stats.period_returns([-DAY - 1, -DAY, -1, 0], [1.0, 2.0, 3.0, 6.0], 1.0, 365) == pytest.approx([0, 2, 1])


@given(
    st.lists(st.tuples(st.integers(0, 3 * DAY), st.floats(1.0, 1e6)), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
    st.sampled_from([365.0, 252.0, 52.0, 8760.0]),
)
def test_returns_do_not_depend_on_how_the_points_are_cut(
    steps: list[tuple[int, float]], cuts: list[int], periods_per_year: float
) -> None:
    ts = MONDAY + np.cumsum(np.array([step for step, _ in steps], dtype=np.int64))
    equity = np.array([value for _, value in steps])
    whole = stats.period_returns(ts, equity, 1000.0, periods_per_year)
    closes = stats.PeriodCloses(stats.period_of(periods_per_year))
    edges = [0, *sorted(min(cut, len(ts)) for cut in cuts), len(ts)]
    for start, limit in pairwise(edges):
        closes.add(ts[start:limit], equity[start:limit])
    assert closes.returns(1000.0).tolist() == whole.tolist()
    assert np.prod(1.0 + whole) == pytest.approx(equity[-1] / 1000.0, rel=1e-9)
