"""Feather and Arrow IPC files: candles and trades of freqtrade, and any other table with a time and prices.

May not live here: which column is what (replay.adapters.formats.arrow).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from replay.adapters.formats.arrow import ArrowOptions, ArrowTable, pyarrow
from replay.feeds.format import Contents, Piece, Request, Scale, not_of_format

_BATCH_ROWS = 1 << 16


class Feather:
    """Arrow files (Feather version 2), compressed or not."""

    name = "feather"
    summary = "Feather/Arrow IPC: freqtrade candles and trades, and other tables"
    suffixes = (".feather", ".arrow")
    options: type[msgspec.Struct] = ArrowOptions

    def sniff(self, path: Path, head: bytes) -> bool:
        """Know the file by its magic number."""
        return head.startswith(b"ARROW1")

    def contents(self, request: Request) -> Contents:
        """Say what the file holds."""
        file = _open(request)
        table = ArrowTable(request, file.schema.names)
        return table.contents(_batches(file, table), sum(batch.num_rows for batch in _batches(file, table)))

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give the rows in pieces."""
        file = _open(request)
        table = ArrowTable(request, file.schema.names)
        return table.pieces(_batches(file, table), scales)


def _open(request: Request) -> Any:
    arrow = pyarrow()
    try:
        return import_module("pyarrow.ipc").open_file(arrow.memory_map(str(request.path)))
    except (arrow.ArrowInvalid, OSError) as error:
        raise not_of_format("feather", str(error).splitlines()[0], str(request.path)) from None


def _batches(file: Any, table: ArrowTable) -> Iterator[Any]:
    for number in range(file.num_record_batches):
        batch = file.get_batch(number).select(table.used)
        for first in range(0, batch.num_rows, _BATCH_ROWS):
            yield batch.slice(first, _BATCH_ROWS)


FORMAT = Feather()
