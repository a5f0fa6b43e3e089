"""The document of a report: everything that its page shows of a run, as plain values and packed columns.

May not live here: HTML, and where the run was found (subject.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from replay.report.calendar import CalendarReturns, daily_returns, monthly_returns
from replay.report.costs import costs
from replay.report.excursions import excursions
from replay.report.packing import Packed, decimals_for, pack_floats, pack_integers
from replay.report.prices import Integers, PriceSeries, extreme_rows
from replay.report.roles import roles
from replay.report.statistics import statistic_groups
from replay.report.subject import Subject
from replay.result.tables import ABSENT_INTEGER, Table, Words

EQUITY_POINTS_MAX = 1_500_000
PAGE_BYTES_MAX = 10_000_000
"""Opens, highs and lows of bars are left out of a page that would be larger with them; the closes are always there."""
_LIBRARY_BYTES = 2_000_000
_TIME_UNIT_NS = 1_000
_RATIO_DECIMALS = 6


@dataclass
class Document:
    """What a page shows: `head` is plain values, `columns` are packed by their names, as `fills.price`."""

    head: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Packed] = field(default_factory=dict)


def document_of(subject: Subject) -> Document:
    """Gather what the report of a run shows."""
    result, document = subject.result, Document()
    series = subject.prices
    fills, trades, equity = (subject.optional(name) for name in ("fills", "trades", "equity"))
    stats = result.stats
    start_equity, start_ns = stats.get("start_equity"), stats.get("start_ns")
    instruments = result.document["instruments"]
    document.head = {
        "name": result.name,
        "place": subject.name,
        "digest": result.digest,
        "currency": result.currency,
        "interrupted": result.interrupted,
        "failure": result.document.get("failure"),
        "start_ns": _text_ns(start_ns),
        "end_ns": _text_ns(stats.get("end_ns")),
        "versions": result.document.get("versions", {}),
        "mode": result.document.get("mode"),
        "counts": result.counts,
        "open_positions": [_open_position(row) for row in result.open_positions],
        "open_orders": len(result.open_orders),
        "configuration": subject.configuration,
        "statistics": statistic_groups(stats, result.undefined, result.currency),
        "prices": [_add_prices(document, place, one) for place, one in enumerate(series)],
        "instruments": [row["symbol"] for row in instruments],
        "price_decimals": {row["symbol"]: int(row["price_decimals"]) for row in instruments},
        "size_decimals": {row["symbol"]: int(row["size_decimals"]) for row in instruments},
        "tables": {},
        "costs": [],
        "days": [],
        "months": [],
    }
    if fills is not None:
        _add_fills(document, fills)
        multipliers = {row["symbol"]: float(row.get("multiplier", 1)) for row in instruments}
        quotes = {row["symbol"]: row["quote"] for row in instruments if "quote" in row}
        document.head["costs"] = [row.to_builtins() for row in costs(fills, multipliers, quotes)]
    if trades is not None:
        _add_trades(document, trades)
    if equity is not None:
        start = None if start_equity is None else float(start_equity)
        first_ns = None if start_ns is None else int(start_ns)
        document.head["days"] = _calendar(daily_returns(equity, start, first_ns), "D")
        document.head["months"] = _calendar(monthly_returns(equity, start, first_ns), "M")
        add_equity(document, equity, currency_decimals(result.document, result.currency))
    for place, one in enumerate(series):
        if one.is_bars:
            _add_bars(document, place, one)
    document.head["notes"] = [*subject.notes, *result.notes()]
    return document


def add_equity(document: Document, equity: Table, decimals: int, prefix: str = "equity") -> None:
    """Pack the equity points."""
    rows = extreme_rows(equity["equity"], EQUITY_POINTS_MAX)
    table = equity.slice(rows) if len(rows) < len(equity) else equity
    _add_times(document, f"{prefix}.time", table.integers("time"))
    for name in ("equity", "exposure"):
        values = table[name]
        document.columns[f"{prefix}.{name}"] = pack_floats(values, decimals_for(values, decimals))
    document.head["tables"][prefix] = {"rows": len(table), "of": len(equity)}


def _add_prices(document: Document, place: int, series: PriceSeries) -> dict[str, Any]:
    prefix = f"prices.{place}"
    _add_times(document, f"{prefix}.time", series.time_ns)
    document.columns[f"{prefix}.price"] = pack_integers(series.price, series.decimals)
    return {
        "symbol": series.symbol,
        "points": len(series),
        "records": series.records,
        "thinned": series.is_thinned,
        "bars": False,
        "steps": not series.is_bars,
        "decimals": series.decimals,
    }


def _add_bars(document: Document, place: int, series: PriceSeries) -> None:
    """Pack opens, highs and lows as what differs from the closes: small numbers, in few bytes."""
    assert series.open is not None and series.high is not None and series.low is not None
    before = np.concatenate((series.open[:1], series.price[:-1]))
    top, bottom = np.maximum(series.open, series.price), np.minimum(series.open, series.price)
    values = {"gap": series.open - before, "above": series.high - top, "below": bottom - series.low}
    packed = {f"prices.{place}.{name}": pack_integers(column, series.decimals) for name, column in values.items()}
    size = sum(len(column.text) for column in (*document.columns.values(), *packed.values()))
    if size + _LIBRARY_BYTES <= PAGE_BYTES_MAX:
        document.columns.update(packed)
        about = document.head["prices"][place]
        about["bars"], about["first_open"] = True, int(series.open[0]) / series.unit


def _add_fills(document: Document, fills: Table) -> None:
    columns = document.columns
    _add_times(document, "fills.time", fills.integers("time"))
    columns["fills.price"] = _money(fills["price"])
    columns["fills.size"] = _money(fills["size"])
    columns["fills.fee"] = _money(fills["fee"])
    columns["fills.order"] = pack_integers(fills.integers("order_id"))
    columns["fills.role"] = pack_integers(roles(fills))
    words = _add_words(document, "fills", fills, ("symbol", "strategy", "side", "liquidity", "fee_currency"))
    document.head["tables"]["fills"] = {"rows": len(fills), "words": words}


def _add_trades(document: Document, trades: Table) -> None:
    columns = document.columns
    _add_times(document, "trades.entry_time", trades.integers("entry_time"))
    _add_times(document, "trades.exit_time", trades.integers("exit_time"))
    for name in ("entry_price", "exit_price", "max_size", "gross", "fees", "net"):
        columns[f"trades.{name}"] = _money(trades[name])
    adverse, favourable = excursions(trades)
    columns["trades.mae"] = pack_floats(adverse, _RATIO_DECIMALS)
    columns["trades.mfe"] = pack_floats(favourable, _RATIO_DECIMALS)
    columns["trades.fills"] = pack_integers(trades.integers("fills"))
    words = _add_words(document, "trades", trades, ("symbol", "strategy", "side", "currency"))
    document.head["tables"]["trades"] = {"rows": len(trades), "words": words}


def _add_times(document: Document, name: str, time_ns: Integers) -> None:
    """Pack times in microseconds: what a page can place, and a number of JavaScript holds."""
    is_known = time_ns != ABSENT_INTEGER
    document.columns[name] = pack_integers(np.where(is_known, time_ns, 0) // _TIME_UNIT_NS)


def _add_words(document: Document, prefix: str, table: Table, names: tuple[str, ...]) -> dict[str, list[str]]:
    vocabularies = {}
    for name in names:
        words = table.raw(name)
        assert isinstance(words, Words)
        document.columns[f"{prefix}.{name}"] = pack_integers(words.codes)
        vocabularies[name] = list(words.vocabulary)
    return vocabularies


def _money(values: Any) -> Packed:
    return pack_floats(values, decimals_for(values, 10))


def _calendar(returns: CalendarReturns, unit: str) -> list[list[Any]]:
    """Give [period as text, return or null] rows."""
    names = np.datetime_as_string(returns.period.astype(f"datetime64[{unit}]")).tolist()
    values = [None if value != value else round(value, 8) for value in returns.value.tolist()]
    return [[name, value] for name, value in zip(names, values, strict=True)]


def currency_decimals(document: Mapping[str, Any], currency: str) -> int:
    """Give how many decimals a currency of the run has."""
    for row in document["currencies"]:
        if row["name"] == currency:
            return int(row["decimals"])
    return 8


def _open_position(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give a position of the engine's last state, numbers as numbers."""
    price = row.get("average_price")
    return {
        "strategy": str(row["strategy"]),
        "symbol": str(row["symbol"]),
        "quantity": float(row["quantity"]),
        "average_price": None if price is None else float(price),
    }


def _text_ns(value: float | None) -> str | None:
    """Write ns as text: JavaScript's numbers would round them."""
    return None if value is None else str(int(value))
