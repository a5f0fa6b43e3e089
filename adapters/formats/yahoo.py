"""Tables of bars as Yahoo, backtrader and their kin write them: a date, OHLC, volume, perhaps an adjusted close.

May not live here: other text (replay.adapters.formats.text).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.rounding import half_even
from replay.adapters.formats.text import TextFormat, TextTable, columns_by_name, header_of, needed_symbol
from replay.errors import ConfigError, DataError
from replay.feeds.format import Piece, Request, Scale, not_of_format, one_bar_length
from replay.units import parse_time

_DAY_NS = 86_400_000_000_000
_KNOWN = {
    "date": "time",
    "datetime": "time",
    "": "time",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "adj close": "adjusted",
}
_MARKS = {"adj close", "openinterest", "dividend", "dividends", "stock splits"}
_NAME = re.compile(r"^([A-Za-z^.=-]+)")


class YahooOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """zone, close: where and when a day's bar ends, as in America/New_York and 16:00; by default at midnight UTC.

    stamp: whether a bar's time is its start or its end; by default days are starts, times of day are ends.
    adjust: close makes all prices adjusted as the column of adjusted closes says.
    """

    zone: str = "UTC"
    close: str = "24:00"
    stamp: Literal["start", "end"] | None = None
    adjust: Literal["none", "close"] = "none"


class Yahoo(TextFormat):
    """`Date[,Time],Open,High,Low,Close[,Adj Close],Volume[,OpenInterest]`, the columns in any order."""

    name = "yahoo"
    summary = "daily (weekly, intraday) bars of Yahoo, yfinance, zipline and backtrader"
    options = YahooOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by its columns."""
        names = {name.lower() for name in header_of(head)}
        return {"open", "high", "low", "close"} <= names and bool(_MARKS & names)

    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Read the columns by their names; a day that is only named is a bar from its midnight."""
        names = [name.lower() for name in header_of(lines[0].encode())]
        columns = columns_by_name(names, _KNOWN)
        missing = {"time", "open", "high", "low", "close"} - set(columns)
        if missing:
            raise not_of_format(self.name, f"it has no column {', '.join(sorted(missing))}", f"{request.path}:1")
        rows = [line.split(",") for line in lines[1:] if line.strip()]
        has_time = "time" in names and "date" in names
        place = columns.index("time")
        if has_time:
            columns[place], columns[names.index("time")] = "date", "time of day"
        is_day = not has_time and bool(rows) and len(rows[0][place]) <= 10
        if is_day and len(rows) > 1 and rows[0][place] > rows[-1][place]:
            raise DataError(
                f"begins with its newest row, {rows[0][place]}",
                reason="backwards",
                place=f"{request.path}:2",
                remedy="turn it around: (head -1 FILE; tail -n +2 FILE | tac) > NEW",
            )
        options: YahooOptions = request.options
        stamp = options.stamp or ("start" if is_day else "end")
        found_ns = request.bar_ns or _length_ns(rows, place, names.index("time") if has_time else None)
        length_ns = one_bar_length(request, found_ns, str(request.path))
        return TextTable(
            records="bar",
            columns=columns,
            skip_lines=1,
            symbol=needed_symbol(request, _symbol(request.path)),
            zone=options.zone,
            bar_ns=length_ns,
            day_ns=(_close_ns(options.close) - (_DAY_NS if stamp == "start" else 0)) if is_day else 0,
            stamp=stamp,
            price=request.price,
            sizes="full" if "volume" in columns else "none",
            fields={"time": "date+time of day"} if has_time else {},
        )

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say where bars stand in time, and whether prices are adjusted."""
        options: YahooOptions = request.options
        notes = [f"a bar's time is its {table.stamp}"]
        if table.bar_ns >= _DAY_NS and table.stamp == "start":
            notes.append(f"a day ends at {options.close} {options.zone}")
        if "adjusted" in table.columns and options.adjust == "none":
            notes.append("prices are as traded; `--option adjust=close` adjusts them")
        return notes

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces, adjusted where that is asked for."""
        pieces = super().read(request, scales)
        options: YahooOptions = request.options
        if options.adjust == "none":
            return pieces
        return self._adjusted(pieces, request, scales)

    def _adjusted(self, pieces: Iterator[Piece], request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        from replay.adapters.formats.text import decoded, first_lines
        from replay.adapters.source import Source

        table = self.table(request, first_lines(request.path))
        if "adjusted" not in table.columns:
            raise ConfigError(
                "has no column 'Adj Close'", place=str(request.path), remedy="leave out the option adjust"
            )
        fields = table.fields | dict.fromkeys(("open", "high", "low", "close"), "adjusted")
        table = msgspec.structs.replace(table, fields=fields, sizes="none")
        with Source(request.path) as source:
            for raw, adjusted in zip(
                pieces, decoded(source.read, table, request, scales, str(request.path)), strict=True
            ):
                keep = np.isin(adjusted.records["ts_event"], raw.records["ts_event"])
                _adjust(raw.records, adjusted.records["d"][keep])
                yield raw


def _adjust(records: NDArray[Any], adjusted: NDArray[np.int64]) -> None:
    """Multiply each bar's prices with adjusted / close, exactly, and round half to even."""
    for place, target in enumerate(adjusted.tolist()):
        close = int(records["d"][place])
        for name in "abcd":
            records[name][place] = half_even(int(records[name][place]) * target, close)


def _length_ns(rows: list[list[str]], date: int, time: int | None) -> int | None:
    """Find the commonest step between rows: days, weeks, or minutes."""
    times_ns: list[int] = []
    for row in rows:
        text = row[date] if time is None else f"{row[date]}T{row[time]}"
        text = text.replace(" ", "T").replace("/", "-")
        try:
            times_ns.append(parse_time(text if len(text) <= 10 or text.endswith("Z") or "+" in text else f"{text}Z"))
        except ValueError:
            continue
    steps = Counter(later - first for first, later in itertools.pairwise(times_ns) if later > first)
    return steps.most_common(1)[0][0] if steps else None


def _close_ns(text: str) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)", text)
    if match is None or not 0 < (minutes := int(match[1]) * 60 + int(match[2])) <= 1440:
        raise ConfigError(f"close = {text!r} is no time of day", remedy='write it as "16:00"')
    return minutes * 60_000_000_000


def _symbol(path: Path) -> str | None:
    named = _NAME.match(path.name.partition(".")[0])
    return named[1].rstrip("-").upper() if named else None


FORMAT = Yahoo()
