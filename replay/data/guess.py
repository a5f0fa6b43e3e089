"""What a data file probably is, from its names and its first rows: for commands without a run file.

May not live here: conversion. Every guess is shown to the user, and an option overrules it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from replay.config import DecimalText, FeedSpec, Instrument, SymbolColumn, TimeColumn
from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import Feed
from replay.feeds.tape import load_header
from replay.records import Kind

RowKind = Literal["quote", "trade", "bar"]

_HEAD_BYTES = 1 << 16
_PROBE_DECIMALS = 9
_SIZE_DECIMALS = (9, 6, 3, 0)
"""Tried in this order: sizes with few decimals may be too large for many."""

_STEPS_MAX = 10_000
"""Different steps between two rows that are counted."""

_TIME_NAMES = (
    "ts_event",
    "timestamp",
    "time",
    "datetime",
    "ts",
    "date",
    "t",
    "event_time",
    "transact_time",
    "open_time",
)
_RECEIVE_NAMES = ("ts_recv", "local_timestamp", "local_time", "receive_time", "received")
SYMBOL_NAMES = ("symbol", "instrument", "ticker", "pair")
_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}


class Rows(NamedTuple):
    """The beginning of a text file: its columns and the texts of its first row."""

    columns: list[str]
    first: list[str]

    def named(self, names: Sequence[str]) -> str | None:
        """Return the first column that has one of the names, in any case of letters."""
        for name in names:
            for column in self.columns:
                if column.lower() == name:
                    return column
        return None

    def text(self, column: str) -> str:
        """Return the first row's text in a column."""
        place = self.columns.index(column)
        return self.first[place] if place < len(self.first) else ""


def format_of(path: Path) -> str:
    """Say which format a file has: text that a format of data files knows, by its name, or by its first bytes."""
    registry = import_module("replay.adapters.registry")
    name: str = registry.name_of(FeedSpec(uri=str(path)), Path())
    if name == "csv" and path.is_file():
        known = registry.format_of_file(path)
        name = known.name if known is not None else name
    return name


def is_data_format(name: str) -> bool:
    """Say whether a name is a format of data files, which knows its own columns."""
    return name in import_module("replay.adapters.registry").format_names()


def first_rows(path: Path, format_name: str, delimiter: str) -> Rows:
    """Read the names of the columns and the first row of a CSV or NDJSON file."""
    head: bytes = import_module("replay.adapters.source").Source(path).read(_HEAD_BYTES)
    text = head.decode("utf-8-sig", "replace")
    if not text.strip():
        raise DataError(
            "the file is empty",
            reason="empty",
            place=str(path),
            remedy="name the file that has the data; a text file needs a header and rows",
        )
    if format_name == "ndjson":
        line = next(line for line in text.splitlines() if line.strip())
        try:
            members = msgspec.json.decode(line.encode(), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise DataError(f"its first line is no JSON object: {error}", place=f"{path}:1") from None
        return Rows(list(members), [str(value) for value in members.values()])
    lines = list(csv.reader(text.splitlines()[:2], delimiter=delimiter))
    columns = [name.strip() for name in lines[0]]
    first = [value.strip() for value in lines[1]] if len(lines) > 1 else []
    return Rows(columns, first)


def records_of(rows: Rows, columns: Mapping[str, str], place: str) -> RowKind:
    """Say what each row is, from the names of the columns."""
    names = {name.lower() for name in rows.columns} | set(columns)
    if {"open", "close"} <= names:
        return "bar"
    if {"bid", "ask"} <= names:
        return "quote"
    if "price" in names:
        return "trade"
    raise ConfigError(
        f"the columns {', '.join(rows.columns)} tell neither quotes, trades nor bars",
        place=place,
        remedy='name the kind and its columns, as in records = "trade", columns = { price = "px", size = "qty" }',
    )


def time_of(rows: Rows, place: str) -> str:
    """Name the column of the venue's time; `Date+Time` where it stands in two."""
    date, time = rows.named(("date",)), rows.named(("time",))
    if date is not None and time is not None:
        return f"{date}+{time}"
    found = rows.named(_TIME_NAMES)
    if found is None:
        raise ConfigError(
            f"none of the columns {', '.join(rows.columns)} is known as a time",
            place=place,
            remedy="name it with `time`",
        )
    return found


def receive_of(rows: Rows) -> str | None:
    """Name the column of the receive time, if there is one."""
    return rows.named(_RECEIVE_NAMES)


def symbol_of(rows: Rows, place: str) -> str:
    """Name the column of the symbol."""
    found = rows.named(SYMBOL_NAMES)
    if found is None:
        raise ConfigError(
            "the file does not say whose rows these are", place=place, remedy='give the symbol: "BTCUSDT"'
        )
    return found


def unit_of(rows: Rows, column: str) -> Literal["s", "ms", "us", "ns", "iso"]:
    """Say how a time is written: by the number of its digits, else ISO."""
    text = rows.text(column) if column in rows.columns else ""
    digits = re.match(r"(\d+)(?:\.\d+)?$", text)
    if digits is None or len(digits[1]) == 8:
        return "iso"
    nearest = min(_UNITS, key=lambda length: abs(length - len(digits[1])))
    return _UNITS[nearest]  # type: ignore[return-value]


def symbols_in(path: Path, format_name: str, column: str | None, delimiter: str) -> list[str]:
    """List the symbols of a capture, or in a column of a text file, in the order of their first appearance."""
    source = import_module("replay.adapters.source").Source(path)
    found: dict[str, None] = {}
    if format_name == "binance":
        pattern = re.compile(rb'"s":"([^"]{1,64})"')
    elif format_name == "ndjson":
        pattern = re.compile(rb'"' + re.escape(str(column).encode()) + rb'"\s*:\s*"([^"]{1,64})"')
    else:
        lines = (line.decode("utf-8-sig", "replace") for line in _lines(source.read))
        for row in csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True):
            found.setdefault((row.get(str(column)) or "").strip())
        return [symbol for symbol in found if symbol]
    held = b""
    while data := source.read(1 << 20):
        whole, _, held = (held + data).rpartition(b"\n")
        for symbol in pattern.findall(whole):
            found.setdefault(symbol.decode("utf-8", "replace"))
    for symbol in pattern.findall(held):
        found.setdefault(symbol.decode("utf-8", "replace"))
    return list(found)


def _lines(read: Callable[[int], bytes]) -> Any:
    held = b""
    while data := read(1 << 20):
        *whole, held = (held + data).split(b"\n")
        yield from whole
    if held:
        yield held


def decimals_of(
    open_feed: Callable[[Sequence[Instrument]], Feed],
    symbols: Sequence[str],
    place: str,
    *,
    wants_decimals: bool = True,
) -> tuple[dict[str, tuple[int, int]], int | None]:
    """Read a file once to find the decimals of each symbol's prices and sizes, and the commonest step between two rows.

    Raises DataError for numbers that need more decimals than are probed, if the decimals are wanted.
    """
    for size_decimals in _SIZE_DECIMALS:
        instruments = [plain_instrument(symbol, _PROBE_DECIMALS, size_decimals) for symbol in symbols]
        feed = open_feed(instruments)
        divisors = np.zeros((len(symbols), 2), dtype=np.int64)
        steps_ns: Counter[int] = Counter()
        last_ns: int | None = None
        overflows = False
        for batch in feed.batches():
            overflows = overflows or any(letter.reason == "overflow" for letter in batch.dead)
            records = batch.records
            for index in range(len(symbols)):
                mine = records[records["instrument"] == index]
                for kind, prices, sizes in _NUMBERS:
                    some = mine[mine["kind"] == kind]
                    for name in prices:
                        divisors[index, 0] = np.gcd(divisors[index, 0], np.gcd.reduce(some[name], initial=0))
                    for name in sizes:
                        divisors[index, 1] = np.gcd(divisors[index, 1], np.gcd.reduce(some[name], initial=0))
            times_ns = records["ts_event"]
            steps = np.diff(times_ns if last_ns is None else np.concatenate([[last_ns], times_ns]))
            if len(steps_ns) < _STEPS_MAX:
                for step_ns, count in zip(*np.unique(steps[steps > 0], return_counts=True), strict=True):
                    steps_ns[int(step_ns)] += int(count)
            if len(times_ns):
                last_ns = int(times_ns[-1])
        if wants_decimals and feed.counters().get("rounded", 0):
            raise DataError(
                f"{feed.counters()['rounded']} numbers have more than {_PROBE_DECIMALS} decimals",
                reason="excess_decimals",
                place=place,
                remedy='give the decimals of price and size, and excess_decimals = "round"',
            )
        if not overflows or size_decimals == 0:
            found = {
                symbol: (
                    _decimals(int(divisors[index, 0]), _PROBE_DECIMALS),
                    _decimals(int(divisors[index, 1]), size_decimals),
                )
                for index, symbol in enumerate(symbols)
            }
            return found, steps_ns.most_common(1)[0][0] if steps_ns else None
    raise AssertionError("the last of the sizes' decimals always returns")


_NUMBERS = (
    (Kind.QUOTE, ("a", "b"), ("c", "d")),
    (Kind.TRADE, ("a",), ("b",)),
    (Kind.BAR, ("a", "b", "c", "d"), ("e",)),
    (Kind.BOOK, ("a",), ("b",)),
)


def _decimals(divisor: int, probed: int) -> int:
    """Count the decimals that numbers with this common divisor need."""
    decimals = probed
    while decimals > 0 and divisor % 10 == 0:
        divisor //= 10
        decimals -= 1
        if divisor == 0:
            return 0
    return decimals


def plain_instrument(symbol: str, price_decimals: int, size_decimals: int) -> Instrument:
    """Make an instrument that is only a name and two scales."""
    return Instrument(
        symbol=symbol,
        tick=DecimalText(_unit(price_decimals)),
        lot=DecimalText(_unit(size_decimals)),
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        quote="-",
    )


def tape_instruments(path: Path) -> list[Instrument]:
    """List the instruments of a tape."""
    return [
        plain_instrument(entry.symbol, entry.price_decimals, entry.size_decimals)
        for entry in load_header(path).instruments
    ]


def time_column(text: str, rows: Rows | None, stamp: Literal["start", "end"] | None = "end") -> TimeColumn:
    """Read `column[,unit[,zone]]`; the unit is guessed from the first row where it is not given.

    A bar that only names its day is stamped with its start: its end is a day later.
    """
    column, *rest = [part.strip() for part in text.split(",")]
    unit = rest[0] if rest and rest[0] else None
    if unit is not None and unit not in ("s", "ms", "us", "ns", "iso"):
        raise ConfigError(f"{unit!r} is no unit of time", remedy=choose(unit, ("s", "ms", "us", "ns", "iso")))
    guessed: Any = unit if unit is not None else (unit_of(rows, column) if rows is not None else "iso")
    if stamp is None:
        is_day = rows is not None and column in rows.columns and len(rows.text(column)) in (8, 10) and guessed == "iso"
        stamp = "start" if is_day else "end"
    return TimeColumn(column=column, unit=guessed, zone=rest[1] if len(rest) > 1 else "UTC", stamp=stamp)


def symbol_choice(symbol: str | None, rows: Rows, place: str) -> str | SymbolColumn:
    """Read a symbol, `{column}` for one that stands in a column, or find that column."""
    if symbol is None:
        return SymbolColumn(column=symbol_of(rows, place))
    if symbol.startswith("{") and symbol.endswith("}"):
        return SymbolColumn(column=symbol[1:-1].strip())
    return symbol


def _unit(decimals: int) -> str:
    return "1" if decimals == 0 else f"0.{'0' * (decimals - 1)}1"
