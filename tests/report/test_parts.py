"""The parts of a report: excursions, calendar returns, roles of fills, costs; each against a case worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from replay.report.calendar import daily_returns, monthly_returns
from replay.report.costs import costs
from replay.report.excursions import excursions
from replay.report.roles import ENTRY, EXIT, FLIP, roles
from replay.result.projections import EQUITY_POINTS, FILLS, TRADES
from replay.result.tables import ColumnKind, Table
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


def test_excursions_are_shares_of_what_the_opening_fills_were_worth() -> None:
    long = {**trade("long", (10, 100.0), (40, 102.0)), "entry_value": 200.0, "mae": -3.0, "mfe": 5.0}
    free = {**trade("long", (10, 0.0), (40, 1.0)), "entry_value": 0.0, "mae": 0.0, "mfe": 1.0}
    older = {**trade("short", (10, 100.0), (40, 102.0)), "entry_value": 200.0, "mae": np.nan, "mfe": np.nan}
    adverse, favourable = excursions(table("trades", TRADES, [long, free, older]))
    assert adverse == pytest.approx([-0.015, np.nan, np.nan], nan_ok=True)
    assert favourable == pytest.approx([0.025, np.nan, np.nan], nan_ok=True)


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
