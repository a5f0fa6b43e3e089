"""Tables for a spreadsheet: fills and round trips as CSV, decimals exact, times in UTC as ISO 8601.

May not live here: what a fill or a round trip is (replay.result).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from replay.errors import UsageError, disk_remedy
from replay.report.excursions import excursions
from replay.report.subject import Subject
from replay.result.tables import ABSENT_INTEGER, Table

FILLS_FILE = "fills.csv"
TRADES_FILE = "trades.csv"

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_tables(subject: Subject, folder: str | Path) -> list[Path]:
    """Write fills.csv and trades.csv into a folder, made if need be; give their paths.

    Raises UsageError where they cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        return [
            _write(place / FILLS_FILE, _fill_rows(subject)),
            _write(place / TRADES_FILE, _trade_rows(subject)),
        ]
    except OSError as error:
        raise UsageError(
            f"cannot write the tables: {error.strerror or error}", place=str(place), remedy=disk_remedy(error, place)
        ) from error


def _write(path: Path, rows: Iterator[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def _fill_rows(subject: Subject) -> Iterator[Sequence[str]]:
    scales = _Scales(subject.result.document)
    names = ("time", "symbol", "strategy", "order_id", "side", "price", "size", "fee", "fee_currency", "liquidity")
    yield (*names, "seen_time", "tape_seq", "event_index")
    fills = subject.result.fills
    table = fills.to_dict()
    times, seen = _times(fills, "time"), _times(fills, "seen_time")
    for row in range(len(fills)):
        symbol, currency = table["symbol"][row], table["fee_currency"][row]
        raw_fee = table["fee_raw"][row]
        # A fee finer than its currency's own decimals is in the event log alone; the float is its nearest.
        fee = _plain(table["fee"][row]) if raw_fee is None else scales.money(raw_fee, currency)
        yield (
            times[row],
            _word(symbol),
            _word(table["strategy"][row]),
            str(table["order_id"][row]),
            table["side"][row],
            scales.price(table["price_raw"][row], symbol),
            scales.size(table["size_raw"][row], symbol),
            fee,
            _word(currency),
            table["liquidity"][row],
            seen[row],
            str(table["tape_seq"][row]),
            str(table["event_index"][row]),
        )


def _trade_rows(subject: Subject) -> Iterator[Sequence[str]]:
    scales = _Scales(subject.result.document)
    names = ("strategy", "symbol", "side", "entry_time", "exit_time", "entry_price", "exit_price", "max_size")
    yield (*names, "gross", "fees", "net", "currency", "fills", "first_order_id", "last_order_id", "mae", "mfe")
    trades = subject.result.trades
    adverse, favourable = excursions(trades)
    excursion_texts = [[_plain(value) for value in np.round(one, 8).tolist()] for one in (adverse, favourable)]
    entries, exits = _times(trades, "entry_time"), _times(trades, "exit_time")
    table = trades.to_dict()
    for row in range(len(trades)):
        symbol, currency = table["symbol"][row], table["currency"][row]
        gross, fees = (_exact(table, name, row, scales.ledger_scale(currency)) for name in ("gross", "fees"))
        yield (
            _word(table["strategy"][row]),
            _word(symbol),
            table["side"][row],
            entries[row],
            exits[row],
            _plain(table["entry_price"][row]),
            _plain(table["exit_price"][row]),
            scales.rounded_size(table["max_size"][row], symbol),
            "" if gross is None else f"{gross:f}",
            "" if fees is None else f"{fees:f}",
            "" if gross is None or fees is None else f"{gross - fees:f}",
            _word(currency),
            *(str(table[name][row]) for name in ("fills", "first_order_id", "last_order_id")),
            *(texts[row] for texts in excursion_texts),
        )


def _exact(table: Mapping[str, Sequence[Any]], name: str, row: int, ledger_scale: int) -> Decimal | None:
    """Give an amount exactly where the table has it so, else its float; None for an absent one."""
    raw, value = table[f"{name}_raw"][row], table[name][row]
    if raw is not None:
        return _short(Decimal(raw).scaleb(-ledger_scale))
    return None if value is None else Decimal(repr(value))


def _short(value: Decimal) -> Decimal:
    """Leave out zeros at the end of a fraction."""
    whole = value.to_integral_value()
    return whole if value == whole else value.normalize()


class _Scales:
    """What raw prices, sizes and amounts mean, by symbol and currency."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._prices = {row["symbol"]: int(row["price_decimals"]) for row in document["instruments"]}
        self._sizes = {row["symbol"]: int(row["size_decimals"]) for row in document["instruments"]}
        self._money = {row["name"]: int(row["decimals"]) for row in document["currencies"]}
        self._ledger = {row["name"]: int(row["ledger_scale"]) for row in document["currencies"]}

    def price(self, raw: int, symbol: str) -> str:
        return f"{Decimal(raw).scaleb(-self._prices[symbol]):f}"

    def size(self, raw: int, symbol: str) -> str:
        return f"{Decimal(raw).scaleb(-self._sizes[symbol]):f}"

    def rounded_size(self, size: float, symbol: str) -> str:
        """Write a size that the table has as a float: it is the nearest one to its decimals."""
        return f"{Decimal(repr(size)).quantize(Decimal(1).scaleb(-self._sizes[symbol])):f}"

    def ledger_scale(self, currency: str) -> int:
        return self._ledger[currency]

    def money(self, raw: int, currency: str) -> str:
        return f"{Decimal(raw).scaleb(-self._money[currency]):f}"


def _times(table: Table, name: str) -> list[str]:
    """Write a column of times to the nanosecond, with a Z."""
    values = table.integers(name)
    texts = np.datetime_as_string(values.view("datetime64[ns]"), unit="ns").tolist()
    return ["" if raw == ABSENT_INTEGER else f"{text}Z" for raw, text in zip(values.tolist(), texts, strict=True)]


def _plain(value: Any) -> str:
    """Write a value without exponent; an absent one is an empty cell."""
    if value is None or value != value:
        return ""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def _word(value: str | None) -> str:
    """Write a word so that no spreadsheet takes it for a formula."""
    if value is None:
        return ""
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
