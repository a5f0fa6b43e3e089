"""Kaiko's CSV files: trades, and bars.

May not live here: other text (replay.adapters.formats.text).
"""

from __future__ import annotations

import re
from pathlib import Path

from replay.adapters.formats.text import TextFormat, TextTable, columns_by_name, header_of, needed_symbol
from replay.feeds.format import Request, not_of_format, one_bar_length

_TRADE = {
    "symbol": "symbol",
    "date": "time",
    "timestamp": "time",
    "price": "price",
    "amount": "size",
    "sell": "side_of_maker",
    "taker_side_sell": "side_of_maker",
}
_BAR = {name: name for name in ("open", "high", "low", "close", "volume")} | {"timestamp": "time", "date": "time"}
_NAME = re.compile(r"^[a-z]{2,6}_([a-z0-9-]{5,20}?)_", re.IGNORECASE)
_LENGTH = re.compile(r"_(\d+)(m|h|d)[_.]")
_UNIT_NS = {"m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


class Kaiko(TextFormat):
    """`id,exchange,symbol,date,price,amount,sell` and `timestamp,open,high,low,close,volume`.

    Times are milliseconds, UTC. `sell` (`taker_side_sell`) says that the taker sold.
    """

    name = "kaiko"
    summary = "Kaiko CSV: trades and bars (OHLCV)"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know a file of trades by its columns; one of bars has common ones, and is named."""
        names = set(header_of(head))
        return {"price", "amount"} <= names and bool({"sell", "taker_side_sell"} & names)

    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Know trades and bars by their columns."""
        names = header_of(lines[0].encode())
        if {"price", "amount"} <= set(names):
            columns = columns_by_name(names, _TRADE)
            return TextTable(
                records="trade",
                columns=columns,
                skip_lines=1,
                symbol=None if "symbol" in columns else needed_symbol(request, _symbol(request.path)),
                unit="ms",
                # In a column that is called after the maker, true means that the taker sold.
                fields={"side": "side_of_maker"} if "side_of_maker" in columns else {},
            )
        if {"open", "high", "low", "close"} <= set(names):
            found = _LENGTH.search(request.path.name)
            length_ns = None if found is None else int(found[1]) * _UNIT_NS[found[2]]
            return TextTable(
                records="bar",
                columns=columns_by_name(names, _BAR),
                skip_lines=1,
                symbol=needed_symbol(request, _symbol(request.path)),
                unit="ms",
                bar_ns=one_bar_length(request, request.bar_ns or length_ns, str(request.path)),
                price=request.price,
                sizes="full" if "volume" in names else "none",
            )
        raise not_of_format(self.name, f"nothing is read from the columns {', '.join(names)}", f"{request.path}:1")

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say where bars stand."""
        return ["a bar's time is its start"] if table.records == "bar" else []


def _symbol(path: Path) -> str | None:
    """Read the pair from a name such as cb_btcusd_trades_2020-01-01.csv.gz."""
    match = _NAME.match(path.name)
    return match[1].upper() if match else None


FORMAT = Kaiko()
