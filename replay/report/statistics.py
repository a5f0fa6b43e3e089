"""The statistics of a run as a report shows them: in groups, each with its value in words, definition and source.

May not live here: how one is computed, or what it is; the registry of replay.stats knows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from replay.stats.statistic import STATISTICS
from replay.stats.summary import BUY_AND_HOLD_PREFIX
from replay.stats.text import show

Values = Mapping[str, float | int | None]

_COUNTED: dict[str, tuple[str, str, str]] = {
    "start_equity": ("Start equity", "money", "Equity before the first record, or at the first equity point."),
    "end_equity": ("End equity", "money", "Equity at the last equity point."),
    "net_pnl": ("Net P&L", "money", "End equity less start equity."),
    "gross_pnl": ("Gross P&L", "money", "Net P&L plus the fees."),
    "buy_and_hold_return": (
        "Buy and hold",
        "percent",
        "Last mark / first mark - 1; of several instruments equal amounts, held. Without fees.",
    ),
    "orders": ("Orders", "count", "Orders that the strategies gave."),
    "fills": ("Fills", "count", "Fills of all orders."),
    "periods": ("Periods", "count", "How many returns the figures per period are made of."),
    "periods_per_year": ("Periods per year", "number", "What annualised figures are annualised by."),
}
"""What a summary has beyond the registered statistics: label, unit, definition."""

MAIN = (
    *("start_equity", "end_equity", "net_pnl", "gross_pnl", "fees", "total_return", "buy_and_hold_return"),
    *("annualised_return", "annualised_volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio"),
    *("maximum_drawdown", "longest_drawdown_ns", "value_at_risk", "conditional_value_at_risk"),
    *("orders", "fills", "trades", "win_rate", "profit_factor", "average_trade", "best_trade", "worst_trade"),
    *("time_in_market", "turnover", "periods", "periods_per_year"),
)
"""What a report shows first."""

_SIGNED = (
    *("net_pnl", "gross_pnl", "total_return", "annualised_return", "sharpe_ratio", "sortino_ratio", "calmar_ratio"),
    *("average_trade", "median_trade", "best_trade", "worst_trade", "maximum_drawdown", "long_result", "short_result"),
)
"""Statistics whose sign is good or bad news."""

_WORDS = {"Ns": "", "Pnl": "P&L", "99": "99 %"}


def statistic_groups(values: Values, reasons: Mapping[str, str], currency: str) -> list[dict[str, Any]]:
    """Give groups of rows, the main ones first, then what is left family by family.

    A row has `key`, `label`, `text` (the value with its unit, or n/a), `reason` where it is n/a, `sign`, `definition`
    and `source`.
    """
    main = [_row(key, values, reasons, currency) for key in MAIN if key in values]
    at = next((place for place, row in enumerate(main, start=1) if row["key"] == "buy_and_hold_return"), len(main))
    main[at:at] = _alone(values)
    groups = [{"title": "Main", "rows": main}]
    for family, entries in groupby(STATISTICS.values(), key=lambda entry: entry.family):
        names = [entry.name for entry in entries if entry.name in values and entry.name not in MAIN]
        if names:
            rows = [_row(name, values, reasons, currency) for name in names]
            groups.append({"title": _label(family), "rows": rows})
    return groups


def label_of(key: str) -> str:
    """Give the name of a statistic, or of what else a summary has, as people read it."""
    return _COUNTED[key][0] if key in _COUNTED else _label(key)


def unit_of(key: str) -> str:
    """Give the unit of a statistic, or of what else a summary has."""
    if key.startswith(BUY_AND_HOLD_PREFIX):
        return "percent"
    if key in _COUNTED:
        return _COUNTED[key][1]
    return STATISTICS[key].unit if key in STATISTICS else "number"


def text_of(key: str, value: float | None, currency: str = "") -> str:
    """Write the value of a statistic, or of what else a summary has, with its unit; n/a for None."""
    unit = unit_of(key)
    text = f"{value:g}" if key == "periods_per_year" and value is not None else show(value, unit)
    return f"{text} {currency}" if unit == "money" and value is not None and currency else text


def _row(key: str, values: Values, reasons: Mapping[str, str], currency: str) -> dict[str, Any]:
    value = values[key]
    entry = STATISTICS.get(key)
    return {
        "key": key,
        "label": label_of(key),
        "text": text_of(key, value, currency),
        "reason": reasons.get(key) if value is None else None,
        "sign": 0 if value is None or key not in _SIGNED else (value > 0) - (value < 0),
        "definition": _COUNTED[key][2] if entry is None else entry.definition,
        "source": None if entry is None else entry.source,
    }


def _alone(values: Values) -> Iterator[dict[str, Any]]:
    """Give a row for what each instrument did by itself, where there are several."""
    for key, value in values.items():
        if key.startswith(BUY_AND_HOLD_PREFIX):
            yield {
                "key": key,
                "label": f"Buy and hold {key.removeprefix(BUY_AND_HOLD_PREFIX)}",
                "text": text_of(key, value),
                "reason": None,
                "sign": 0,
                "definition": "Last mark / first mark - 1 of this instrument. Without fees.",
                "source": None,
            }


def _label(name: str) -> str:
    words = [_WORDS.get(word.capitalize(), word) for word in name.split("_")]
    text = " ".join(word for word in words if word)
    return text[0].upper() + text[1:]
