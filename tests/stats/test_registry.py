"""Every statistic is described, documented and defined for every series: a finite number, or a reason why not."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import stats
from replay.stats.reference import statistics_markdown
from replay.stats.statistic import UNITS

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("returns", "risk", "drawdown", "trades", "costs", "exposure", "turnover", "stability", "benchmark")

RETURN = st.one_of(st.floats(-0.5, 0.5), st.sampled_from([0.0, -1.0, 0.01, float("nan")]))
FILL = st.tuples(
    st.sampled_from(["buy", "sell"]), st.integers(1, 1000), st.integers(1, 5), st.integers(-3, 3), st.integers(0, 50)
)


def _fills(rows: list[tuple[str, int, int, int, int]]) -> dict[str, list[object]]:
    side, price, size, fee, step = zip(*rows, strict=True) if rows else ([],) * 5
    return {
        "side": list(side),
        "price": [cents / 100 for cents in price],
        "size": list(size),
        "fee": [cents / 100 for cents in fee],
        "time": list(np.cumsum(np.array(step, dtype=np.int64)).tolist()),
    }


def test_there_are_many_and_each_says_what_it_is() -> None:
    assert len(stats.STATISTICS) >= 90
    assert {entry.family for entry in stats.STATISTICS.values()} == set(FAMILIES)
    for name, entry in stats.STATISTICS.items():
        assert entry.name == name and entry.unit in UNITS
        assert len(entry.definition) > 10 and entry.source.endswith(".")
        assert getattr(stats, name) is entry.function
        assert name in stats.__all__
        taken = list(inspect.signature(entry.function).parameters.values())
        assert len(entry.inputs) <= len(taken)
        assert all(row.default is not row.empty for row in taken[len(entry.inputs) :])
        assert all(field in stats.Sample.__dataclass_fields__ for field in entry.inputs)


def test_the_reference_in_the_documents_is_the_one_in_the_code() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text()
    assert text.partition("a test compares. -->\n\n")[2] == statistics_markdown()


def _is_sound(values: stats.Description) -> None:
    for name, value in values.items():
        assert (value.value is None) != (value.reason is None), name
        assert value.value is None or math.isfinite(value.value), name
    assert not re.search(r"\b(nan|inf)\b", repr(values).lower())


@given(
    st.lists(st.tuples(RETURN, RETURN), max_size=40),
    st.lists(FILL, max_size=20),
    st.sampled_from([1, 12, 252, 365, 8760, 31_536_000]),
    st.sampled_from([0.0, 0.0001]),
)
def test_whatever_the_series_each_is_finite_or_has_a_reason(
    pairs: list[tuple[float, float]], rows: list[tuple[str, int, int, int, int]], per_year: int, risk_free: float
) -> None:
    _is_sound(
        stats.describe(
            [ours for ours, _ in pairs],
            benchmark=[theirs for _, theirs in pairs],
            fills=_fills(rows),
            periods_per_year=per_year,
            risk_free=risk_free,
        )
    )


@pytest.mark.parametrize(
    "returns", [[], [0.01], [0.0] * 30, [0.01] * 400, [-0.01] * 400, [float("nan")] * 30, [-1.0] * 30, [1e300] * 5]
)
def test_degenerate_series_leave_no_nan(returns: list[float]) -> None:
    for benchmark in (returns, [0.0] * len(returns), [0.02 * (-1) ** row for row in range(len(returns))]):
        _is_sound(stats.describe(returns, benchmark=benchmark, periods_per_year=252))


@pytest.mark.parametrize(
    ("net", "name", "reason"),
    [
        ([], "win_rate", "no trades"),
        ([], "system_quality_number", "fewer than 2 trades"),
        ([5.0], "trade_deviation", "fewer than 2 trades"),
        ([5.0, 6.0], "profit_factor", "no losing trade"),
        ([5.0, 6.0], "payoff_ratio", "no losing trade"),
        ([5.0, 6.0], "kelly_fraction", "no losing trade"),
        ([-5.0], "average_win", "no winning trade"),
        ([5.0, 5.0], "system_quality_number", "all trades are equal"),
        ([5.0, 5.0], "streak_score", "too few wins or losses"),
    ],
)
def test_a_statistic_of_trades_says_why_it_is_undefined(net: list[float], name: str, reason: str) -> None:
    sample = stats.Sample(periods_per_year=365, trade_net=np.array(net))
    assert stats.STATISTICS[name].evaluate(sample) == stats.Value(None, reason)


@pytest.mark.parametrize(
    ("returns", "name", "reason"),
    [
        ([], "sharpe_ratio", "fewer than 2 returns"),
        ([0.1], "annualised_volatility", "fewer than 2 returns"),
        ([0.01] * 30, "sharpe_ratio", "all returns are equal"),
        ([0.01] * 30, "sortino_ratio", "no return below the target"),
        ([0.01] * 30, "calmar_ratio", "no drawdown"),
        ([0.01] * 30, "beta", "no benchmark"),
        ([0.01, -0.01], "annualised_return", "shorter than a month"),
        ([-1.5] * 31, "annualised_return", "more than all was lost"),
    ],
)
def test_a_statistic_of_returns_says_why_it_is_undefined(returns: list[float], name: str, reason: str) -> None:
    sample = stats.Sample(periods_per_year=252, returns=np.array(returns))
    assert stats.STATISTICS[name].evaluate(sample) == stats.Value(None, reason)


def test_a_figure_beyond_a_float_is_none() -> None:
    sample = stats.Sample(periods_per_year=300, returns=np.full(30, 1e300))
    assert stats.STATISTICS["total_return"].evaluate(sample) == stats.Value(None, "the figure is beyond a float")


def test_series_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 returns beside 2 of the benchmark"):
        stats.beta([0.1, 0.2, 0.3], [0.1, 0.2])
