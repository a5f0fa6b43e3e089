"""Statistics take any series of numbers and any table of fills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import nanoarrow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from replay import stats
from replay.result.tables import Table, real

VALUES = [0.01, -0.02, None, 0.03]
SHARPE = stats.sharpe_ratio([0.01, -0.02, float("nan"), 0.03], 252)


@pytest.mark.parametrize(
    "series",
    [
        VALUES,
        tuple(VALUES),
        np.array([0.01, -0.02, np.nan, 0.03]),
        np.array([0.01, -0.02, np.nan, 0.03], dtype=np.float32),
        [Decimal("0.01"), Decimal("-0.02"), None, Decimal("0.03")],
        pd.Series(VALUES),
        pd.Series(VALUES, dtype="Float64"),
        pa.array(VALUES),
        pa.chunked_array([VALUES[:2], VALUES[2:]]),
        nanoarrow.Array(VALUES, nanoarrow.float64()),
        Table("equity", [real("r")], {"r": [0.01, -0.02, float("nan"), 0.03]})["r"],
        (value for value in VALUES),
    ],
    ids=lambda series: type(series).__module__.partition(".")[0] + "." + type(series).__name__,
)
def test_any_series_of_returns_will_do(series: Any) -> None:
    assert stats.sharpe_ratio(series, 252) == pytest.approx(SHARPE, rel=1e-6)


def test_times_become_nanoseconds_and_text_is_refused() -> None:
    assert stats.floats(np.array(["1970-01-01T00:00:01", "NaT"], dtype="datetime64[s]"))[0] == 1e9
    with pytest.raises(ValueError, match="not a series of numbers"):
        stats.floats(["a", "b"])
    with pytest.raises(ValueError, match="one dimension"):
        stats.floats([[1.0], [2.0]])


COLUMNS: dict[str, list[Any]] = {
    "time": [0, 10, 20, 35],
    "side": ["buy", "buy", "sell", "buy"],
    "price": [100.0, 102.0, 105.0, 103.0],
    "size": [0.1, 0.2, 0.5, 0.2],
    "fee": [0.01, 0.02, 0.05, 0.02],
}


@pytest.mark.parametrize(
    "fills",
    [
        COLUMNS,
        pd.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        pd.DataFrame(COLUMNS).convert_dtypes(),
    ],
    ids=["mapping", "pandas", "arrow", "nullable"],
)
def test_any_table_of_fills_will_do(fills: Any) -> None:
    trips = stats.round_trips(fills)
    # 0.1 + 0.2 bought at 30.4 in all, 0.3 of the 0.5 sold close it; the rest is short and closes at 103.
    assert trips.gross == pytest.approx([0.3 * 105 - (10 + 20.4), 0.2 * (105 - 103)])
    assert trips.fees == pytest.approx([0.01 + 0.02 + 0.05 * 0.6, 0.05 * 0.4 + 0.02])
    assert trips.net == pytest.approx(trips.gross - trips.fees)
    assert trips.is_long.tolist() == [True, False]
    assert trips.entry_values == pytest.approx([30.4, 21.0])
    assert trips.durations_ns is not None and trips.durations_ns.tolist() == [20, 15]
    assert trips.fills == 4 and trips.traded_value == pytest.approx(10 + 20.4 + 52.5 + 20.6)


def test_round_trips_are_kept_apart_by_strategy_and_symbol() -> None:
    trips = stats.round_trips(
        {"symbol": ["A", "B", "A", "B"], "size": [1, -1, -1, 1], "price": [1, 10, 2, 8], "strategy": ["s"] * 4}
    )
    assert trips.net.tolist() == [1.0, 2.0] and trips.is_long.tolist() == [True, False]


def test_fills_without_a_price_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="lack the column price"):
        stats.round_trips({"size": [1]})
    with pytest.raises(ValueError, match="must be buy or sell"):
        stats.round_trips({"size": [1], "price": [1], "side": ["long"]})


def test_no_fills_are_no_round_trips() -> None:
    trips = stats.round_trips({"size": [], "price": []})
    assert len(trips.net) == 0 and trips.traded_value == 0.0


def test_a_description_shows_each_statistic_with_its_unit_or_reason() -> None:
    found = stats.describe([0.01, -0.02, 0.03] * 10, periods_per_year=252, fills=COLUMNS)
    assert found["trades"].value == 2 and found.to_dict()["win_rate"] == 1.0
    shown = repr(found)
    assert "total_return" in shown and " %" in shown and "n/a (no benchmark)" in shown
