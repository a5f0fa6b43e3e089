"""TrueFX's files: top of book of FX pairs in UTC, without sizes.

May not live here: other text (replay.adapters.formats.text).
"""

from __future__ import annotations

import re
from pathlib import Path

from replay.adapters.formats.text import TextFormat, TextTable, header_of, needed_symbol
from replay.feeds.format import Request, not_of_format

_ROW = re.compile(r"([A-Z]{3}/[A-Z]{3}),\d{8} \d\d:\d\d:\d\d\.\d+,[\d.]+,[\d.]+$")
_HEADER = ["timestamp", "bid", "ask"]
_NAME = re.compile(r"^([A-Za-z]{6})[-_]")


class TrueFx(TextFormat):
    """`EUR/USD,YYYYMMDD HH:MM:SS.mmm,bid,ask` without a header, or `timestamp,bid,ask` with one."""

    name = "truefx"
    summary = "TrueFX: FX ticks (bid, ask), UTC"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by its first line."""
        line = head.partition(b"\n")[0].decode("ascii", "replace").strip()
        return bool(_ROW.match(line)) or header_of(head) == _HEADER

    def table(self, request: Request, lines: list[str]) -> TextTable:
        """Read either form."""
        row = _ROW.match(lines[0].strip())
        if row:
            return TextTable(records="quote", columns=["symbol", "time", "bid", "ask"], sizes="none")
        if header_of(lines[0].encode()) != _HEADER:
            raise not_of_format(self.name, f"its first row is {lines[0][:80]!r}", f"{request.path}:1")
        named = _NAME.match(request.path.name)
        return TextTable(
            records="quote",
            columns=["time", "bid", "ask"],
            skip_lines=1,
            symbol=needed_symbol(request, named[1].upper() if named else None),
            sizes="none",
        )

    def notes(self, request: Request, table: TextTable) -> list[str]:
        """Say that there are no sizes."""
        return ["there are no sizes"]


FORMAT = TrueFx()
