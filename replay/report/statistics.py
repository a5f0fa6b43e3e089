"""The statistics of a run as a report shows them: in groups, each with its value in words and its definition.

May not live here: how one is computed (replay.stats).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replay.stats.summary import BUY_AND_HOLD_PREFIX, show

_DEFINITIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Return": {
        "start_equity": ("Start equity", "money", "Equity before the first record, or at the first equity point."),
        "end_equity": ("End equity", "money", "Equity at the last equity point."),
        "net_pnl": ("Net P&L", "money", "End equity less start equity."),
        "gross_pnl": ("Gross P&L", "money", "Net P&L plus the fees."),
        "total_return": ("Total return", "percent", "End equity / start equity - 1."),
        "buy_and_hold_return": (
            "Buy and hold",
            "percent",
            "Last mark / first mark - 1; of several instruments equal amounts, held. Without fees.",
        ),
        "annualised_return": (
            "Annualised return",
            "percent",
            "(1 + total return)^(periods per year / periods) - 1; undefined for a run shorter than a month.",
        ),
    },
    "Risk": {
        "annualised_volatility": (
            "Annualised volatility",
            "percent",
            "Sample standard deviation of the returns x square root of the periods per year.",
        ),
        "sharpe_ratio": (
            "Sharpe ratio",
            "ratio",
            "Mean / sample standard deviation of the returns x square root of the periods per year; no risk-free rate.",
        ),
        "sortino_ratio": (
            "Sortino ratio",
            "ratio",
            "Mean / downside deviation (root of mean(min(r, 0)^2)) of the returns x root of the periods per year.",
        ),
        "maximum_drawdown": (
            "Maximum drawdown",
            "percent",
            "The deepest fall below the highest equity so far, over every equity point.",
        ),
        "longest_drawdown_ns": (
            "Longest drawdown",
            "duration",
            "The longest time from a peak until it was reached again, or to the end.",
        ),
    },
    "Trading": {
        "orders": ("Orders", "count", "Orders that the strategies gave."),
        "fills": ("Fills", "count", "Fills of all orders."),
        "trades": ("Round trips", "count", "From flat to flat or to a flip, per strategy and instrument; closed ones."),
        "win_rate": ("Win rate", "percent", "Share of round trips with a result above 0 after fees."),
        "profit_factor": ("Profit factor", "ratio", "Sum of the gains / sum of the losses of the round trips."),
        "average_trade": ("Average trade", "money", "Mean result of a round trip after fees."),
        "best_trade": ("Best trade", "money", "The best result of a round trip after fees."),
        "worst_trade": ("Worst trade", "money", "The worst result of a round trip after fees."),
    },
    "Exposure and costs": {
        "time_in_market": ("Time in market", "percent", "Share of the time with a position."),
        "turnover": ("Turnover", "times", "Traded value / average equity over time; a round trip of all of it is 2."),
        "fees": ("Fees", "money", "Fees of all fills."),
        "periods": ("Periods", "count", "How many returns the figures are made of."),
        "periods_per_year": ("Periods per year", "count", "What annualised figures are annualised by."),
    },
}


def statistic_groups(values: Mapping[str, float | int | None], currency: str) -> list[dict[str, Any]]:
    """Give groups of rows, each with `key`, `label`, `text` (the value with its unit), `sign` and `definition`."""
    groups = []
    for title, entries in _DEFINITIONS.items():
        rows = [
            _row(key, label, kind, values[key], definition, currency)
            for key, (label, kind, definition) in entries.items()
            if key in values
        ]
        if title == "Return":
            rows += [
                _row(
                    key,
                    f"Buy and hold {key.removeprefix(BUY_AND_HOLD_PREFIX)}",
                    "percent",
                    value,
                    "Last mark / first mark - 1 of this instrument. Without fees.",
                    currency,
                )
                for key, value in values.items()
                if key.startswith(BUY_AND_HOLD_PREFIX)
            ]
        groups.append({"title": title, "rows": rows})
    return groups


def _row(key: str, label: str, kind: str, value: float | None, definition: str, currency: str) -> dict[str, Any]:
    text = show(value, kind)
    if kind == "money" and value is not None and currency:
        text = f"{text} {currency}"
    return {"key": key, "label": label, "text": text, "sign": _sign(key, value), "definition": definition}


_SIGNED = (
    "net_pnl",
    "gross_pnl",
    "total_return",
    "annualised_return",
    "sharpe_ratio",
    "sortino_ratio",
    "average_trade",
    "buy_and_hold_return",
    "maximum_drawdown",
)


def _sign(key: str, value: float | None) -> int:
    """Say whether a value is good (1) or bad (-1) news; 0 where it is neither."""
    if value is None or not key.startswith(_SIGNED) or value == 0:
        return 0
    return 1 if value > 0 else -1
