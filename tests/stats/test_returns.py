"""Return statistics against published values (KNOWN_GOOD P01, P02, P03, P05, P10) and empyrical."""

from __future__ import annotations

import csv
from pathlib import Path

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import stats

NAN = float("nan")
MIXED = np.array([NAN, 1.0, 10.0, -4.0, 2.0, 3.0, 2.0, 1.0, -10.0]) / 100
BENCH = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]) / 100
POSITIVE = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) / 100
NEGATIVE = np.array([0.0, -6.0, -7.0, -1.0, -9.0, -2.0, -6.0, -8.0, -5.0]) / 100
WEEKLY = np.nan_to_num(MIXED)
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EIGHT_DIGITS = 5e-10


def test_p01_cumulative_return() -> None:
    assert stats.total_return(MIXED) == pytest.approx(0.0389310917, abs=EIGHT_DIGITS)
    assert stats.total_return(NEGATIVE) == pytest.approx(-0.3659073035, abs=EIGHT_DIGITS)
    path = [0.0, 0.01, 0.111, 0.066559, 0.08789, 0.12052, 0.14293, 0.15436, 0.03893]
    assert stats.cumulative_returns(MIXED) == pytest.approx(path, abs=1e-5)


def test_p02_annualised_return_counts_the_periods_without_a_return() -> None:
    assert stats.annualised_return(MIXED, 252) == pytest.approx(1.9135925373, abs=EIGHT_DIGITS)
    assert stats.annualised_return(WEEKLY, 52) == pytest.approx(0.2469083051, abs=EIGHT_DIGITS)
    assert stats.annualised_return(WEEKLY, 12) == pytest.approx(0.0522420614, abs=EIGHT_DIGITS)


def test_p02_annualised_volatility_is_of_the_sample() -> None:
    assert stats.annualised_volatility(MIXED, 252) == pytest.approx(0.9136465400, abs=EIGHT_DIGITS)
    assert stats.annualised_volatility(WEEKLY, 52) == pytest.approx(0.3885156939, abs=EIGHT_DIGITS)
    assert stats.annualised_volatility(WEEKLY, 12) == pytest.approx(0.1866369024, abs=EIGHT_DIGITS)


def test_p03_sharpe_ratio() -> None:
    assert stats.sharpe_ratio(MIXED, 252) == pytest.approx(1.7238613962, abs=EIGHT_DIGITS)
    assert stats.sharpe_ratio(MIXED, 252, BENCH) == pytest.approx(0.3411141144, abs=EIGHT_DIGITS)
    assert stats.sharpe_ratio(POSITIVE, 252) == pytest.approx(52.9150262213, abs=EIGHT_DIGITS)
    assert stats.sharpe_ratio(NEGATIVE, 252) == pytest.approx(-24.4068086339, abs=EIGHT_DIGITS)


def test_p05_maximum_drawdown_of_the_equity_that_returns_make() -> None:
    for returns, expected in (
        (MIXED, -0.1),
        (POSITIVE, 0.0),
        (NEGATIVE, -0.3659073035),
        (np.array([0.10, -0.10, 0.10]), -0.10),
    ):
        equity = np.concatenate(([1.0], 1.0 + stats.cumulative_returns(returns)))
        assert stats.maximum_drawdown(equity) == pytest.approx(expected, abs=EIGHT_DIGITS)


@pytest.mark.data
def test_p10_downside_statistics_of_bacon() -> None:
    file = SHARED_DATA / "known-good-series" / "PerformanceAnalytics" / "portfolio_bacon.csv"
    if not file.exists():
        pytest.skip(f"{file} is absent")
    with file.open(newline="") as lines:
        returns = [float(row[1]) for row in list(csv.reader(lines))[1:]]
    assert len(returns) == 24
    assert stats.downside_deviation(returns, 0.005) == pytest.approx(0.025537, abs=5e-7)
    assert stats.downside_potential(returns, 0.005) == pytest.approx(0.013708, abs=5e-7)
    assert stats.downside_frequency(returns, 0.005) == pytest.approx(0.458333, abs=5e-7)


@given(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=60), st.sampled_from([252, 365, 52, 12]))
def test_functions_agree_with_empyrical(values: list[float], periods: int) -> None:
    returns = np.array(values)
    assert stats.total_return(returns) == pytest.approx(empyrical.cum_returns_final(returns), abs=1e-12)
    ours = stats.annualised_return(returns, periods)
    assert ours is None or ours == pytest.approx(empyrical.annual_return(returns, annualization=periods), rel=1e-9)
    volatility = empyrical.annual_volatility(returns, annualization=periods)
    assert stats.annualised_volatility(returns, periods) == pytest.approx(volatility, rel=1e-9, abs=1e-12)
    if float(np.std(returns)) > 1e-9:
        sharpe = empyrical.sharpe_ratio(returns, annualization=periods)
        assert stats.sharpe_ratio(returns, periods) == pytest.approx(sharpe, rel=1e-9, abs=1e-9)
    if float(np.min(returns)) < -1e-6:
        sortino = empyrical.sortino_ratio(returns, annualization=periods)
        assert stats.sortino_ratio(returns, periods) == pytest.approx(sortino, rel=1e-9, abs=1e-9)
    equity = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    assert stats.maximum_drawdown(equity) == pytest.approx(empyrical.max_drawdown(returns), abs=1e-12)


def test_no_returns_leave_everything_undefined() -> None:
    for nothing in ([], [NAN]):
        assert stats.annualised_volatility(nothing, 252) is None
        assert stats.sharpe_ratio(nothing, 252) is None
        assert stats.sortino_ratio(nothing, 252) is None
        assert stats.downside_deviation(nothing) is None
        assert stats.downside_potential(nothing) is None
        assert stats.downside_frequency(nothing) is None
    assert stats.total_return([]) is None
    assert stats.annualised_return([], 252) is None


def test_one_return_has_no_variance() -> None:
    assert stats.total_return([0.1]) == pytest.approx(0.1)
    assert stats.annualised_volatility([0.1], 252) is None
    assert stats.sharpe_ratio([0.1], 252) is None
    assert stats.sortino_ratio([-0.1], 252) is None


def test_constant_returns_have_no_sharpe_ratio() -> None:
    assert stats.sharpe_ratio([0.01] * 50, 252) is None
    assert stats.sharpe_ratio([0.0] * 50, 252) is None
    assert stats.annualised_volatility([0.0] * 50, 252) == 0.0


def test_only_gains_have_no_sortino_ratio() -> None:
    assert stats.sortino_ratio(POSITIVE, 252) is None


def test_more_than_all_lost_has_no_annualised_return() -> None:
    assert stats.annualised_return([-1.5], 252) is None
    assert stats.annualised_return([-1.0], 252) == -1.0


def test_an_annualised_return_beyond_a_float_is_undefined() -> None:
    assert stats.annualised_return([9.0], 31_536_000) is None


def test_a_return_from_nothing_is_undefined() -> None:
    assert np.isnan(stats.returns_of([1.0, -1.0, 5.0], 0.0)).tolist() == [True, False, True]
