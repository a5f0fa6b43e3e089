"""The parts of a report: excursions, calendar returns, roles of fills, costs; each against a case worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from replay.report.calendar import daily_returns, monthly_returns
from replay.report.costs import costs
from replay.report.excursions import excursions
from replay.report.prices import PriceSeries
from replay.report.roles import ENTRY, EXIT, FLIP, roles
from replay.result.projections import EQUITY_POINTS, FILLS, TRADES
from replay.result.tables import ColumnKind, Table, real
from replay.units import parse_time


def table(name: str, columns: Any, rows: list[dict[str, Any]]) -> Table:
    """Make a table of rows that name only some of its columns."""
    empty = {ColumnKind.TEXT: None, ColumnKind.FLOAT: 0.0, ColumnKind.BOOLEAN: False}
    values = {c.name: [row.get(c.name, empty.get(c.kind, 0)) for row in rows] for c in columns}
    return Table(name, columns, values)


def trade(side: str, entry: tuple[int, float], leave: tuple[int, float], symbol: str = "X") -> dict[str, Any]:
    return {
        "symbol": symbol, "side": side, "entry_time": entry[0], "entry_price": entry[1], "exit_time": leave[0],
        "exit_price": leave[1],
    }  # fmt: skip


def ints(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


SERIES = PriceSeries("X", 1, ints(10, 20, 30, 40, 50), ints(1000, 1100, 950, 1020, 1300))


def test_excursions_are_the_extremes_between_entry_and_exit() -> None:
    trades = table(
        "trades", TRADES, [trade("long", (10, 100.0), (40, 102.0)), trade("short", (10, 100.0), (40, 102.0))]
    )
    adverse, favourable = excursions(trades, [SERIES])
    assert adverse == pytest.approx([-0.05, -0.10]) and favourable == pytest.approx([0.10, 0.05])


def test_the_prices_of_entry_and_exit_count() -> None:
    trades = table("trades", TRADES, [trade("long", (41, 102.0), (49, 99.0)), trade("long", (41, 102.0), (49, 104.0))])
    adverse, favourable = excursions(trades, [SERIES])
    assert adverse == pytest.approx([99 / 102 - 1, 0.0]) and favourable == pytest.approx([0.0, 104 / 102 - 1])


def test_of_bars_the_high_and_the_low_count_once_the_entry_is_past() -> None:
    series = PriceSeries(
        "X", 0, ints(10, 20, 30), ints(100, 100, 100), ints(100, 100, 100), ints(190, 120, 110), ints(1, 95, 90)
    )
    trades = table("trades", TRADES, [trade("long", (10, 100.0), (30, 100.0))])
    adverse, favourable = excursions(trades, [series])
    assert adverse == pytest.approx([-0.10]) and favourable == pytest.approx([0.20])


def test_excursions_that_the_run_noted_itself_are_taken_from_its_table() -> None:
    row = {**trade("long", (10, 100.0), (40, 102.0)), "entry_value": 200.0, "mae": -3.0, "mfe": 5.0}
    columns = [column for column in TRADES if column.name not in ("mae", "mfe")]
    trades = table("trades", [*columns, real("mae"), real("mfe")], [row])
    adverse, favourable = excursions(trades, [])
    assert adverse == pytest.approx([-0.015]) and favourable == pytest.approx([0.025])


def test_without_a_price_series_an_excursion_is_not_known() -> None:
    trades = table("trades", TRADES, [trade("long", (10, 100.0), (30, 100.0), "Y")])
    adverse, favourable = excursions(trades, [SERIES])
    assert np.isnan(adverse).all() and np.isnan(favourable).all()


def test_excursions_agree_with_a_plain_search() -> None:
    rng = np.random.default_rng(1)
    series = PriceSeries("X", 0, np.sort(rng.integers(0, 5_000, 800)), rng.integers(50, 150, 800))
    begins = np.sort(rng.integers(0, 4_900, 60))
    rows = [
        trade(
            str(rng.choice(["long", "short"])),
            (int(b), float(rng.integers(60, 140))),
            (int(b + rng.integers(0, 90)), 100.0),
        )
        for b in begins
    ]
    adverse, favourable = excursions(table("trades", TRADES, rows), [series])
    for row, low, high in zip(rows, adverse, favourable, strict=True):
        inside = (series.time_ns > row["entry_time"]) & (series.time_ns <= row["exit_time"])
        moves = np.append(series.price[inside], [100.0, row["entry_price"]]) / row["entry_price"] - 1
        moves = moves if row["side"] == "long" else -moves
        assert (low, high) == pytest.approx((moves.min(), moves.max()))


def equity(*points: tuple[str, float]) -> Table:
    return table("equity", EQUITY_POINTS, [{"time": parse_time(time), "equity": value} for time, value in points])


def test_returns_by_day_and_month_are_from_end_to_end() -> None:
    points = equity(
        ("2024-01-30T10:00:00Z", 101.0), ("2024-01-30T23:00:00Z", 110.0), ("2024-01-31T12:00:00Z", 99.0),
        ("2024-02-02T12:00:00Z", 198.0),
    )  # fmt: skip
    days = daily_returns(points, 100.0, None)
    assert np.datetime_as_string(days.period.astype("datetime64[D]")).tolist() == [
        "2024-01-30",
        "2024-01-31",
        "2024-02-02",
    ]
    assert days.value == pytest.approx([0.10, -0.10, 1.0])
    months = monthly_returns(points, 100.0, None)
    assert months.period.tolist() == [54 * 12, 54 * 12 + 1] and months.value == pytest.approx([-0.01, 1.0])


def test_what_lies_before_trading_makes_no_return() -> None:
    points = equity(("2024-01-01T00:00:00Z", 100.0), ("2024-01-02T00:00:00Z", 100.0))
    assert len(daily_returns(points, 100.0, parse_time("2024-01-02")).value) == 1
    assert len(daily_returns(points, 100.0, parse_time("2025-01-01")).value) == 0
    assert len(daily_returns(points, None, None).value) == 0


def fill(symbol: str, strategy: str, side: str, raw: int, **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "strategy": strategy, "side": side, "size_raw": raw, **more}


def test_a_fill_enters_leaves_or_turns_the_position_of_its_strategy_in_its_instrument() -> None:
    fills = table(
        "fills", FILLS,
        [
            fill("X", "s", "buy", 2), fill("Y", "s", "sell", 9), fill("X", "s", "sell", 1), fill("X", "t", "sell", 1),
            fill("X", "s", "sell", 3), fill("X", "s", "buy", 2), fill("Y", "s", "buy", 9), fill("Y", "s", "buy", 1),
        ],
    )  # fmt: skip
    assert roles(fills).tolist() == [ENTRY, ENTRY, EXIT, ENTRY, FLIP, EXIT, EXIT, ENTRY]


def test_costs_are_summed_by_instrument_liquidity_and_currency() -> None:
    def one(
        symbol: str, liquidity: str, price: float, size: float, fee: float, currency: str = "USD"
    ) -> dict[str, Any]:
        return fill(symbol, "s", "buy", 1, liquidity=liquidity, price=price, size=size, fee=fee, fee_currency=currency)

    fills = table(
        "fills", FILLS,
        [
            one("Y", "taker", 10.0, 2.0, 0.2), one("X", "maker", 5.0, 1.0, -0.1), one("Y", "taker", 20.0, 1.0, 0.2),
            one("X", "taker", 5.0, 1.0, 0.01, "X"),
        ],
    )  # fmt: skip
    rows = costs(fills, {"Y": 10.0}, {"X": "USD", "Y": "USD"})
    assert [(row.symbol, row.liquidity, row.fills, row.traded, row.fee_currency) for row in rows] == [
        ("Y", "taker", 2, 400.0, "USD"), ("X", "maker", 1, 5.0, "USD"), ("X", "taker", 1, 5.0, "X"),
    ]  # fmt: skip
    assert [row.rate for row in rows] == [pytest.approx(0.001), pytest.approx(-0.02), None]
