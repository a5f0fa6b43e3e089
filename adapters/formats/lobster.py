"""LOBSTER's pairs of files: messages of NASDAQ's order book, and the book after each, as trades and quotes.

May not live here: the decoding of text, and books of more than the best level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.text import TextTable, check_kind, day_ns_of, decoded, first_lines, needed_symbol
from replay.adapters.source import Source
from replay.errors import ConfigError, DataError
from replay.feeds.format import Contents, Held, Piece, Request, Scale, not_of_format
from replay.records import Kind, Side, joined

_NAME = re.compile(r"(?:^|_)([A-Z][A-Z0-9.]*)_(\d{4}-\d\d-\d\d)(?:_\d+_\d+)?_(message|orderbook)_\d+\.")
_ROW = re.compile(rb"^\d+\.\d+,[1-7],\d+,\d+,-?\d+,-?1(?:,null)?\r?$")
_HALT_CODES = (b",7,0,0,-1,", b",7,0,0,1,")
"""A halt (and what ends it) has a code where others have a price."""

_MESSAGE = ("time", "type", "order", "size", "price", "direction")
_PRICE_DECIMALS = 4
_VISIBLE, _HIDDEN, _CROSS, _HALT = 4, 5, 6, 7
_NAMES = {1: "orders", 2: "orders", 3: "orders", _HALT: "halts"}
_CHUNK_BYTES = 1 << 20


class LobsterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """date: of files whose name does not say it. zone: of the times, New York as NASDAQ has it."""

    date: str | None = None
    zone: str = "America/New_York"


class Lobster:
    """`.._message_N.csv`, and `.._orderbook_N.csv` beside it where it is there.

    Executions (types 4 and 5) and crosses (6) are trades; the best level after a message, where it changed, a quote.
    """

    name = "lobster"
    summary = "LOBSTER: NASDAQ messages with the book after each, as trades and quotes"
    suffixes: tuple[str, ...] = ()
    options: type[msgspec.Struct] = LobsterOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know a message file by its name and its first row."""
        named = _NAME.search(path.name)
        return bool(named) and bool(_ROW.match(head.partition(b"\n")[0]))

    def contents(self, request: Request) -> Contents:
        """Say what the files hold."""
        symbol, _ = _named(request)
        book = _book_path(request.path)
        kinds = ["trade"] if book is None else ["trade", "quote"]
        check_kind(self.name, request, *kinds)
        used = [request.path.name] if book is None else [request.path.name, book.name]
        return Contents(
            instruments=[Held(symbol=symbol, kinds=[kind for kind in kinds if request.wants(kind)])],
            notes=[
                f"times are of {request.options.zone}, prices stand in the file times 10,000",
                f"read from {' and '.join(used)}" + ("" if book else ": no orderbook file stands beside it"),
            ],
        )

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the messages in pieces: of one message, the trade comes before the quote that it leaves."""
        symbol, date = _named(request)
        book = _book_path(request.path)
        place = str(request.path)
        scale = scales.get(symbol)
        common: dict[str, Any] = {
            "records": "quote",
            "symbol": symbol,
            "unit": "s",
            "day_ns": day_ns_of(date, place),
            "zone": request.options.zone,
            "negative": True,
        }
        # A decoder of quotes reads any four integers: price and direction as prices, size and type as sizes.
        messages = TextTable(
            columns=[*_MESSAGE, "-more"][: _columns(request)],
            fields={"bid": "price", "ask": "direction", "bid_size": "size", "ask_size": "type"},
            scales={"bid": _PRICE_DECIMALS},
            **common,
        )
        asked = msgspec.structs.replace(request, symbol=None)
        first = decoded(_lines(request.path, None), messages, asked, scales, place)
        if book is None or not request.wants("quote"):
            for piece in first:
                yield _trades(piece, scale, request)[0]
            return
        best = TextTable(
            columns=["time", *(f"-{place}" for place in range(1, _columns(request))), *_levels(book)],
            scales={"bid": _PRICE_DECIMALS, "ask": _PRICE_DECIMALS},
            **common,
        )
        levels = _Best()
        for piece, after in zip(
            first, decoded(_lines(request.path, book), best, asked, scales, str(book)), strict=True
        ):
            trades, is_trade = _trades(piece, scale, request)
            if len(piece.records) != len(after.records):
                raise DataError(
                    f"has dead rows among its lines {after.dead[0].place if after.dead else ''}: {len(piece.records)} "
                    f"messages and {len(after.records)} states of the book do not belong together",
                    reason="bad_row",
                    place=str(book),
                )
            quotes, changed = levels.changes(after.records)
            order = np.concatenate([np.flatnonzero(is_trade) * 2, np.flatnonzero(changed) * 2 + 1])
            records = joined([trades.records, quotes])[np.argsort(order, kind="stable")]
            left_out = dict(trades.left_out) | {"unchanged": len(after.records) - len(quotes)}
            yield Piece(records, trades.dead, trades.rows + after.rows, left_out, trades.rounded + after.rounded)


def _named(request: Request) -> tuple[str, str]:
    """Return symbol and day, as asked or as the name says."""
    match = _NAME.search(request.path.name)
    if match is not None and match[3] == "orderbook":
        raise ConfigError(
            "is the book; the messages say what happened",
            place=str(request.path),
            remedy=f"name {request.path.name.replace('orderbook', 'message')}; the book beside it is read, too",
        )
    day = request.options.date or (match[2] if match else None)
    if day is None:
        raise ConfigError(
            "the file's name does not say its day",
            place=str(request.path),
            remedy='give it: options = { date = "2012-06-21" }',
        )
    return needed_symbol(request, match[1] if match else None), day


def _book_path(path: Path) -> Path | None:
    book = path.with_name(path.name.replace("message", "orderbook"))
    return book if book != path and book.exists() else None


def _columns(request: Request) -> int:
    """Count the columns of a message: some files have a seventh, empty but for halts."""
    line = first_lines(request.path, 1)[0]
    count = line.count(",") + 1
    if not _ROW.match(line.encode()):
        raise not_of_format("lobster", f"its first row is {line[:80]!r}", f"{request.path}:1")
    return count


def _levels(book: Path) -> list[str]:
    """Name the columns of a book: four for each level, of which the best is read."""
    count = first_lines(book, 1)[0].count(",") + 1
    return [*("ask", "ask_size", "bid", "bid_size"), *(f"-level {place}" for place in range(4, count))][:count]


def _lines(messages: Path, book: Path | None) -> Any:
    """Give whole lines of the messages; with a book, each followed by its line there."""

    def chunks() -> Iterator[bytes]:
        with Source(messages) as source:
            for lines in _whole_lines(source):
                yield _without_codes(b"\n".join(lines) + b"\n")

    def joined_chunks() -> Iterator[bytes]:
        assert book is not None
        with Source(messages) as source, Source(book) as other:
            rows = (line for lines in _whole_lines(other) for line in lines)
            count = 0
            for lines in _whole_lines(source):
                both = [line.rstrip(b"\r") + b"," + row for line, row in zip(lines, rows, strict=False)]
                count += len(both)
                if len(both) < len(lines):
                    raise DataError(
                        f"ends after {count} lines, before the messages do",
                        reason="truncated",
                        place=str(book),
                        remedy="copy both files again",
                    )
                yield _without_codes(b"\n".join(both) + b"\n")

    parts = chunks() if book is None else joined_chunks()
    return lambda _: next(parts, b"")


def _without_codes(data: bytes) -> bytes:
    for code in _HALT_CODES:
        data = data.replace(code, b",7,0,0,0,")
    return data


def _whole_lines(source: Source) -> Iterator[list[bytes]]:
    held = b""
    while data := source.read(_CHUNK_BYTES):
        *lines, held = (held + data).split(b"\n")
        if lines:
            yield lines
    if held:
        yield [held]


def _trades(piece: Piece, scale: Scale | None, request: Request) -> tuple[Piece, NDArray[np.bool_]]:
    """Make trades of messages that are executions; also say which of the messages they are."""
    rows = piece.records
    if scale is None:
        return piece._replace(records=rows[:0]), np.zeros(len(rows), dtype=np.bool_)
    kinds = rows["d"] // 10**scale.size_decimals
    is_trade = (kinds == _VISIBLE) | (kinds == _HIDDEN) | (kinds == _CROSS)
    if not request.wants("trade"):
        is_trade = np.zeros(len(rows), dtype=np.bool_)
    trades = rows[is_trade].copy()
    trades["kind"] = Kind.TRADE
    trades["b"] = rows["c"][is_trade]
    # The direction is that of the order that rested: an executed buy order was hit by a seller.
    sides = np.where(rows["b"][is_trade] > 0, int(Side.SELL), int(Side.BUY))
    trades["side"] = np.where(kinds[is_trade] == _CROSS, int(Side.NONE), sides)
    trades["c"] = trades["d"] = 0
    left_out = dict(piece.left_out)
    for number, count in zip(*np.unique(kinds[~is_trade], return_counts=True), strict=True):
        name = _NAMES.get(int(number), "executions")
        left_out[name] = left_out.get(name, 0) + int(count)
    return piece._replace(records=trades, left_out=left_out), is_trade


class _Best:
    """The best level so far, so that a book that did not change gives no quote."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None

    def changes(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the rows whose best level differs from the one before, and which they are."""
        rows = rows.copy()
        for price, size in (("a", "c"), ("b", "d")):
            rows[price] = np.where(rows[size] == 0, 0, rows[price])  # an empty level has a price beyond all others
        levels = np.stack([rows[name] for name in "abcd"], axis=1)
        changed = np.ones(len(rows), dtype=np.bool_)
        changed[1:] = (levels[1:] != levels[:-1]).any(axis=1)
        if len(rows):
            changed[0] = self._last is None or tuple(levels[0].tolist()) != self._last
            self._last = tuple(levels[-1].tolist())
        return rows[changed], changed


FORMAT = Lobster()
