"""Statistics against published tables (KNOWN_GOOD P01 to P12) and against empyrical on its own series."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replay import stats

NAN = float("nan")
MIXED = np.array([NAN, 1.0, 10.0, -4.0, 2.0, 3.0, 2.0, 1.0, -10.0]) / 100
BENCH = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]) / 100
POSITIVE = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) / 100
NEGATIVE = np.array([0.0, -6.0, -7.0, -1.0, -9.0, -2.0, -6.0, -8.0, -5.0]) / 100
ALL_NEGATIVE = np.array([-2.0, -6.0, -7.0, -1.0, -9.0, -2.0, -6.0, -8.0, -5.0]) / 100
WEEKLY = np.nan_to_num(MIXED)
EIGHT_DIGITS = 5e-10

Shared = Callable[[str], Path]


def near(value: float) -> Any:
    """Allow half a unit of the tenth digit, as the published values have them."""
    return pytest.approx(value, abs=EIGHT_DIGITS)


def test_p09_excess_sharpe_and_capture() -> None:
    assert stats.excess_sharpe_ratio(MIXED, np.zeros(9)) == near(0.1085930607)
    assert stats.excess_sharpe_ratio(MIXED, np.full(9, 0.01)) == near(-0.0651558364)
    assert stats.capture(ALL_NEGATIVE, MIXED, 252) == near(-0.5225764322)
    assert stats.down_capture(ALL_NEGATIVE, MIXED, 252) == near(0.9995602570)
    assert stats.up_down_capture(POSITIVE, MIXED, 252) == near(-0.0006756053)


def test_the_published_values_of_empyrical() -> None:
    assert stats.calmar_ratio(MIXED, 252) == near(19.135925373194233)
    assert stats.calmar_ratio(WEEKLY, 52) == near(2.4690830513998208)
    assert stats.calmar_ratio(WEEKLY, 12) == near(0.52242061386048144)
    assert stats.omega_ratio(MIXED, 11 ** (1 / 252) - 1) == near(0.83354263497557934)
    assert stats.omega_ratio(MIXED, 0.01) == near(0.8125)
    assert stats.omega_ratio(POSITIVE, 0.011) == near(1.125)
    assert stats.omega_ratio(POSITIVE, 0.02) == 0.0
    assert stats.omega_ratio(POSITIVE, 0.01) is None
    assert stats.sortino_ratio(MIXED, 252) == near(2.605531251673693)
    assert stats.sortino_ratio(MIXED, 252, 0.01) == near(-1.3934779588919977)
    assert stats.sortino_ratio(NEGATIVE, 252) == near(-13.532743075043401)
    assert stats.annualised_downside_risk(MIXED, 252) == near(0.60448325038829653)
    assert stats.annualised_downside_risk(MIXED, 252, 0.1) == near(1.7161730681956295)
    assert stats.annualised_downside_risk(WEEKLY, 52) == near(0.25888650451930134)
    assert stats.annualised_downside_risk(WEEKLY, 12, 0.1) == near(0.37148351242013422)
    assert stats.stability(MIXED) == near(0.1529973665111273)
    assert stats.tail_ratio(MIXED) == pytest.approx(0.9473684210526313, abs=0.05)
    assert stats.beta(MIXED[1:], NEGATIVE[1:]) == near(-0.71296296296296313)
    assert stats.beta(MIXED, MIXED) == near(1.0)
    assert stats.alpha(MIXED, -MIXED, 252) == near(0.0)
    assert stats.annualised_return([0.01], 252) == near(11.274002099240244)


@pytest.fixture(scope="module")
def bacon(shared_data: Shared) -> tuple[list[float], list[float]]:
    with (shared_data("known-good-series/PerformanceAnalytics") / "portfolio_bacon.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    assert len(rows) == 24
    return [float(row[1]) for row in rows], [float(row[2]) for row in rows]


@pytest.mark.data
def test_p12_and_the_other_tables_of_bacon(bacon: tuple[list[float], list[float]]) -> None:
    """Each value is printed beside its function in R's PerformanceAnalytics, to the digits given here."""
    ours, theirs = bacon
    published: list[tuple[float | None, float, float]] = [
        (stats.bernardo_ledoit_ratio(ours), 1.779783, 5e-7),
        (stats.d_ratio(ours), 0.401333, 5e-7),
        (stats.mean_absolute_deviation(ours), 0.031083, 5e-7),
        (stats.excess_kurtosis(ours), -0.57, 5e-3),
        (stats.pain_index(ours), 0.04, 5e-3),
        (stats.martin_ratio(ours, 12), 1.70, 1e-2),
        (stats.upside_deviation(ours, 0.005), 0.02937, 5e-6),
        (stats.upside_potential(ours, 0.005), 0.01771, 5e-6),
        (stats.omega_sharpe_ratio(ours, 0.005), 0.29, 5e-3),
        (stats.kappa_ratio(ours, 0.005, 2), 0.157, 5e-4),
        (stats.volatility_skewness(ours, 0.005), 1.32, 5e-3),
        (stats.skewness_kurtosis_ratio(ours), -0.034, 5e-4),
        (stats.m_squared(ours, theirs, 12), 0.10062, 5e-6),
        (stats.jensen_alpha(ours, theirs, 12), -0.014, 5e-4),
        (stats.specific_risk(ours, theirs, 12), 0.0329, 5e-5),
        (stats.appraisal_ratio(ours, theirs, 12), -0.430, 5e-4),
        (stats.fama_beta(ours, theirs), 1.03, 5e-3),
    ]
    for place, (value, expected, tolerance) in enumerate(published):
        assert value == pytest.approx(expected, abs=tolerance), place


@pytest.mark.data
def test_statistics_agree_with_empyrical_on_its_own_recorded_returns(shared_data: Shared) -> None:
    folder = shared_data("known-good-series/empyrical")
    ours = _columns(folder / "returns.csv.gz", header=False)[0] / 100
    theirs = _columns(folder / "factor_returns.csv.gz", header=True)[0][: len(ours)] / 100
    _agrees_with_empyrical(ours, theirs, 252)


def _columns(path: Path, *, header: bool) -> list[Any]:
    rows = list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))[int(header) :]
    return [np.array([float(row[at]) for row in rows]) for at in range(1, len(rows[0]))]


@given(st.lists(st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)), min_size=30, max_size=80))
def test_statistics_agree_with_empyrical(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = np.array(pairs).T
    assume(float(np.std(ours)) > 1e-3 and float(np.std(theirs)) > 1e-3 and np.min(ours) < -1e-3 < 1e-3 < np.max(ours))
    _agrees_with_empyrical(ours, theirs, 252)


def _agrees_with_empyrical(ours: Any, theirs: Any, per_year: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "calmar_ratio": empyrical.calmar_ratio(ours, annualization=per_year),
            "omega_ratio": empyrical.omega_ratio(ours),
            "annualised_downside_risk": empyrical.downside_risk(ours, annualization=per_year),
            "stability": empyrical.stability_of_timeseries(ours),
            "tail_ratio": empyrical.tail_ratio(ours),
            "value_at_risk": empyrical.value_at_risk(ours),
            "conditional_value_at_risk": empyrical.conditional_value_at_risk(ours),
            "excess_sharpe_ratio": empyrical.excess_sharpe(ours, theirs),
            "beta": empyrical.beta_aligned(ours, theirs),
            "alpha": empyrical.alpha_aligned(ours, theirs, annualization=per_year),
        }
    found = stats.describe(ours, benchmark=theirs, periods_per_year=per_year)
    for name, value in expected.items():
        if np.isfinite(value):
            assert found[name].value == pytest.approx(value, rel=1e-7, abs=1e-9), name
    assert found["correlation"].value == pytest.approx(float(np.corrcoef(ours, theirs)[0, 1]), rel=1e-7, abs=1e-9)


def test_risk_of_a_normal_sample_is_that_of_the_normal_distribution() -> None:
    grid = np.array([NormalDist(0.001, 0.02).inv_cdf((row + 0.5) / 200_000) for row in range(200_000)])
    assert stats.value_at_risk(grid) == pytest.approx(0.001 - 1.6448536 * 0.02, abs=1e-5)
    assert stats.gaussian_value_at_risk(grid) == pytest.approx(0.001 - 1.6448536 * 0.02, abs=1e-5)
    assert stats.modified_value_at_risk(grid) == pytest.approx(0.001 - 1.6448536 * 0.02, abs=1e-4)
    assert stats.gaussian_expected_shortfall(grid) == pytest.approx(0.001 - 2.0627128 * 0.02, abs=1e-5)
    assert stats.conditional_value_at_risk(grid) == pytest.approx(0.001 - 2.0627128 * 0.02, abs=1e-4)
    assert stats.skewness(grid) == pytest.approx(0.0, abs=1e-6)
    assert stats.excess_kurtosis(grid) == pytest.approx(0.0, abs=1e-3)
    assert stats.sharpe_standard_error(grid, 1) == pytest.approx((1 + 0.05**2 / 2) ** 0.5 / 200_000**0.5, rel=1e-4)


def test_trades_by_hand() -> None:
    net = [100.0, -50.0, 200.0, -25.0, 0.0, 75.0]
    assert stats.payoff_ratio(net) == pytest.approx(125 / 37.5)
    assert stats.kelly_fraction(net) == pytest.approx(0.6 - 0.4 / (125 / 37.5))
    assert stats.expectancy_ratio(net) == pytest.approx(50 / 37.5)
    assert stats.system_quality_number(net) == pytest.approx(6**0.5 * 50 / np.std(net, ddof=1))
    assert (stats.longest_win_streak(net), stats.longest_loss_streak(net)) == (1, 1)
    assert stats.median_trade(net) == 37.5 and stats.largest_win_share(net) == pytest.approx(200 / 375)
    assert stats.loss_rate(net) == pytest.approx(2 / 6)
    # Wald and Wolfowitz: 6 wins and 6 losses in 12 runs (strict alternation) against 7 expected.
    assert stats.streak_score([1, -1] * 6) == pytest.approx((12 * 11.5 - 72) / (72 * 60 / 11) ** 0.5)
    assert stats.captured_excursion([50.0, -20.0], [100.0, 0.0]) == pytest.approx(0.3)
    assert stats.edge_ratio([100.0, 20.0], [-30.0, -10.0]) == 3.0


def test_drawdowns_by_hand() -> None:
    returns = [0.1, -0.1, -0.1, 0.5, -0.2, 0.1]
    spells = stats.spells(returns)
    assert [(one.start, one.lowest, one.limit, one.is_over) for one in spells] == [(1, 2, 3, True), (4, 4, 6, False)]
    assert [one.depth for one in spells] == pytest.approx([-0.19, -0.2])
    assert stats.average_drawdown(returns) == pytest.approx(-0.195)
    assert stats.drawdown_count(returns) == 2
    assert stats.average_drawdown_periods(returns) == 2.0
    assert stats.average_recovery_periods(returns) == 1.0
    assert stats.current_drawdown(returns) == pytest.approx(-0.12)
    assert stats.time_under_water(returns) == pytest.approx(4 / 6)
    assert stats.pain_index(returns) == pytest.approx((0.1 + 0.19 + 0.2 + 0.12) / 6)
    assert stats.ulcer_index(returns) == pytest.approx(((0.01 + 0.0361 + 0.04 + 0.0144) / 6) ** 0.5)
    total = 1.1 * 0.9 * 0.9 * 1.5 * 0.8 * 1.1 - 1
    assert stats.burke_ratio(returns, 6) == pytest.approx(total / 0.0761**0.5)
    assert stats.recovery_factor(returns) == pytest.approx(total / 0.2)


def test_costs_and_turnover_by_hand() -> None:
    assert stats.fee_rate(12.0, 12_000.0) == pytest.approx(0.001)
    assert stats.fee_share(10.0, 40.0) == 0.25 and stats.fee_share(10.0, -40.0) is None
    assert stats.cost_drag(10.0, 1_000.0) == 0.01 and stats.annual_cost_drag(10.0, 1_000.0, 0.5) == 0.02
    assert stats.break_even_fee_rate(30.0, 10_000.0) == pytest.approx(0.003)
    assert stats.average_fee(10.0, 0) is None and stats.fee_rate(10.0, 0.0) is None
    assert stats.annual_turnover(500.0, 100.0, 0.5) == 10.0 and stats.annual_turnover(500.0, 100.0, 0.0) is None
    assert stats.orders_per_day(730, 1.0) == 2.0 and stats.fills_per_order(6, 4) == 1.5
    assert stats.return_on_turnover(5.0, 1_000.0) == 0.005


def test_exposure_by_hand() -> None:
    ts, equity, exposure = [0, 60, 100], [100.0, 200.0, 100.0], [50.0, 400.0, 0.0]
    assert stats.average_exposure(ts, equity, exposure) == pytest.approx(0.6 * 50 + 0.4 * 400)
    assert stats.average_leverage(ts, equity, exposure) == pytest.approx(0.6 * 0.5 + 0.4 * 2)
    assert stats.maximum_leverage(ts, equity, exposure) == 2.0
    assert stats.maximum_leverage([0, 1], [1.0, -1.0], [1.0, 1.0]) is None
    assert stats.return_on_exposure(0.1, 0.5) == pytest.approx(0.2)


def test_stability_by_hand() -> None:
    even = np.expm1(np.full(10, 0.01) + np.array([0.001, -0.001] * 5))
    assert stats.stability(even) == pytest.approx(np.corrcoef(np.arange(10), np.cumsum(np.log1p(even)))[0, 1] ** 2)
    assert stats.autocorrelation([1.0, -1.0, 1.0, -1.0]) == pytest.approx(-0.75)
    assert stats.concentration([0.01, 0.01, -0.5]) == pytest.approx(0.0)
    assert stats.concentration([0.01, 0.0, -0.5]) is None
    assert stats.best_periods_share([0.1, 0.1, 0.1, 0.1, 0.1, -0.1]) == pytest.approx(1.25)
    assert (stats.longest_gaining_streak(MIXED), stats.longest_losing_streak(NEGATIVE)) == (4, 8)
    dice = np.random.default_rng(3).normal(size=20_000)
    assert stats.variance_ratio(dice) == pytest.approx(1.0, abs=0.03)
    assert (stats.k_ratio(dice / 100 + 0.001) or 0.0) > 0
