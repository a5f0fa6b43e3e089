"""HistData's ASCII files: ticks as top of book, and one-minute bars; times of New York without summer time.

May not live here: other text (replay.adapters.formats.text).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from replay.adapters.formats.text import TextFormat, TextTable, needed_symbol
from replay.feeds.format import Request, not_of_format

_TICK = re.compile(r"\d{8} \d{9},[\d.]+,[\d.]+,\d+$")
_BAR = re.compile(r"\d{8} \d{6};[\d.]+;[\d.]+;[\d.]+;[\d.]+;\d+$")
_TICK_TIME = re.compile(rb"(?m)^(\d{8} \d\d)(\d\d)(\d\d)(\d{3}),")
_BAR_TIME = re.compile(rb"(?m)^(\d{8} \d\d)(\d\d)(\d\d);")
_NAME = re.compile(r"DAT_ASCII_([A-Z0-9]+)_(?:T|M1)_\d{4}")
_MINUTE_NS = 60_000_000_000


class HistDataOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """zone: of the times; the vendor's own is UTC-5 all year."""

    zone: str = "Etc/GMT+5"


class HistData(TextFormat):
    """`YYYYMMDD HHMMSSmmm,bid,ask,volume` and `YYYYMMDD HHMMSS;open;high;low;close;volume`, without a header.

    The volume is always 0: sizes are none. Bars are of bids, stamped with their start.
    """

    name = "histdata"
    summary = "HistData ASCII: FX ticks (bid, ask) and one-minute bars, UTC-5"
    options = HistDataOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by its first row."""
        line = head.partition(b"\n")[0].decode("ascii", "replace").strip()
        return bool(_TICK.match(line) or _BAR.match(line))

    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Read ticks and bars by their own columns."""
        is_tick = bool(_TICK.match(lines[0].strip()))
        if not is_tick and not _BAR.match(lines[0].strip()):
            raise not_of_format(self.name, f"its first row is {lines[0][:80]!r}", f"{request.path}:1")
        named = _NAME.search(request.path.name)
        symbol = needed_symbol(request, named[1] if named else None)
        if is_tick:
            return TextTable(
                records="quote",
                columns=["time", "bid", "ask", "-"],
                symbol=symbol,
                zone=request.options.zone,
                sizes="none",
                rewrite=lambda data: _TICK_TIME.sub(rb"\1:\2:\3.\4,", data),
            )
        return TextTable(
            records="bar",
            columns=["time", "open", "high", "low", "close", "-"],
            delimiter=";",
            symbol=symbol,
            zone=request.options.zone,
            bar_ns=_MINUTE_NS,
            price="bid" if request.price == "trade" else request.price,  # that is what the vendor's bars are of
            sizes="none",
            rewrite=lambda data: _BAR_TIME.sub(rb"\1:\2:\3;", data),
        )

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say the zone and the missing sizes."""
        return [f"times are of {table.zone} (UTC-5 all year is Etc/GMT+5)", "there are no sizes"]


FORMAT = HistData()
