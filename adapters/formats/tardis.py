"""Tardis' CSV files: trades, quotes, book snapshots (their best level) and changes of an L2 book; two times each.

May not live here: other text (replay.adapters.formats.text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.text import TextFormat, TextTable, columns_by_name, header_of
from replay.feeds.format import Contents, Piece, Request, Scale, not_of_format
from replay.records import FLAG_CLEAR, FLAG_LAST_OF_EVENT, FLAG_SNAPSHOT, Kind, Side, joined

_COMMON = {"symbol": "symbol", "timestamp": "time", "local_timestamp": "receive"}
_TRADE = _COMMON | {"side": "side", "price": "price", "amount": "size"}  # ids are mostly no numbers: not read
_QUOTE = _COMMON | {"bid_price": "bid", "bid_amount": "bid_size", "ask_price": "ask", "ask_amount": "ask_size"}
_SNAPSHOT = _COMMON | {
    "bids[0].price": "bid",
    "bids[0].amount": "bid_size",
    "asks[0].price": "ask",
    "asks[0].amount": "ask_size",
}
_CODES = {
    (b"false", b"bid"): 1,
    (b"false", b"ask"): 2,
    (b"true", b"bid"): 3,
    (b"true", b"ask"): 4,
}
"""Snapshot and side of a change of the book as one number, that a decoder of numbers can read."""


class Tardis(TextFormat):
    """Files with the columns `exchange,symbol,timestamp,local_timestamp,..`, times in microseconds, UTC.

    A row is received at local_timestamp. Amounts are in the exchange's units (contracts where it trades contracts).
    """

    name = "tardis"
    summary = "Tardis CSV: trades, quotes, book_snapshot_N (best level), incremental_book_L2"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by the columns that all of them begin with."""
        return header_of(head)[:4] == ["exchange", "symbol", "timestamp", "local_timestamp"]

    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Know the kind of the file by its header."""
        names = header_of(lines[0].encode())
        unit = _unit(names, lines)
        if {"side", "price", "amount", "is_snapshot"} <= set(names):
            columns = ["-", "symbol", "time", "receive", "code", "price", "amount"]
            fields = {"bid": "price", "ask": "price", "bid_size": "amount", "ask_size": "code"}
            return TextTable(
                records="quote", columns=columns, fields=fields, skip_lines=1, unit=unit, receive_unit=unit,
                rewrite=_coded,
            )  # fmt: skip
        for kind, known in (("trade", _TRADE), ("quote", _QUOTE), ("quote", _SNAPSHOT)):
            if set(known) <= set(names):
                return TextTable(
                    records="trade" if kind == "trade" else "quote",
                    columns=columns_by_name(names, known),
                    skip_lines=1,
                    unit=unit,
                    receive_unit=unit,
                )
        raise not_of_format(self.name, f"nothing is read from the columns {', '.join(names)}", f"{request.path}:1")

    def contents(self, request: Request) -> Contents:
        """Say what the file holds; changes of a book are records of that kind."""
        contents = super().contents(request)
        if self._is_book(request):
            for held in contents.instruments:
                held.kinds[:] = ["book"]
        return contents

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces."""
        pieces = super().read(request, scales)
        return _book_changes(pieces, scales) if self._is_book(request) else pieces

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say the unit, where it is not the vendor's own."""
        return [] if table.unit == "us" else [f"times are in {table.unit}"]

    def _is_book(self, request: Request) -> bool:
        from replay.adapters.formats.text import first_lines

        return "is_snapshot" in header_of(first_lines(request.path, 1)[0].encode())


def _unit(names: list[str], lines: list[str]) -> Literal["us", "ns"]:
    fields = lines[1].split(",") if len(lines) > 1 else []
    place = names.index("timestamp") if "timestamp" in names else len(fields)
    return "ns" if place < len(fields) and len(fields[place]) == 19 else "us"


def _coded(data: bytes) -> bytes:
    for (snapshot, side), code in _CODES.items():
        data = data.replace(b",%s,%s," % (snapshot, side), b",%d," % code)
    return data


def _book_changes(pieces: Iterator[Piece], scales: Mapping[str, Scale]) -> Iterator[Piece]:
    """Make changes of a book of decoded rows; the last of each message (one receive time) is marked as its last."""
    units = np.ones(max((scale.index for scale in scales.values()), default=0) + 1, dtype=np.int64)
    for scale in scales.values():
        units[scale.index] = 10**scale.size_decimals
    held: Piece | None = None
    was_snapshot = False
    for piece in pieces:
        records, was_snapshot = _changes(piece.records, units, was_snapshot)
        if held is not None and len(records) == 0:
            held = held._replace(
                dead=[*held.dead, *piece.dead],
                rows=held.rows + piece.rows,
                left_out=_sum(held.left_out, piece.left_out),
            )
            continue
        if held is not None:
            _mark_last(held.records, int(records["ts_recv"][0]))
            yield held
        held = piece._replace(records=records)
    if held is not None:
        _mark_last(held.records, None)
        yield held


def _changes(rows: NDArray[Any], units: NDArray[np.int64], was_snapshot: bool) -> tuple[NDArray[Any], bool]:
    if not len(rows):
        return rows, was_snapshot
    records = joined([rows]).copy()
    code = rows["d"] // units[rows["instrument"]]
    records["kind"] = Kind.BOOK
    records["a"], records["b"] = rows["a"], rows["c"]
    records["c"] = records["d"] = 0
    records["side"] = np.where(code % 2 == 1, int(Side.BUY), int(Side.SELL))
    is_snapshot = code > 2
    begins = is_snapshot & ~np.concatenate([[was_snapshot], is_snapshot[:-1]])
    records["flags"] = is_snapshot * FLAG_SNAPSHOT + begins * FLAG_CLEAR
    return records, bool(is_snapshot[-1])


def _mark_last(records: NDArray[Any], next_ns: int | None) -> None:
    if not len(records):
        return
    times_ns = records["ts_recv"]
    is_last = np.append(times_ns[1:] != times_ns[:-1], next_ns is None or next_ns != int(times_ns[-1]))
    records["flags"] |= (is_last * FLAG_LAST_OF_EVENT).astype(np.uint16)


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in [*first, *second]}


FORMAT = Tardis()
