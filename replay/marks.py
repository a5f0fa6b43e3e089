"""Marks seen from outside: the first, the last and a thinned series of each instrument's price, read from the tape.

May not live here: the marks that the ledger values positions with; those are the engine's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.projections import MARKS, RunScales
from replay.records import FLAG_BAR_LENGTH_MASK, BarPrice, Kind
from replay.tables import Table, Words

_PIECE_ROWS = 4_096
"""One sample of the series at most for so many records."""
_TAIL_ROWS = 256
"""How many records at the end of a piece are looked at first."""
_GATHER_ROWS = 1_024
"""Smaller batches (live feeds) are gathered to this size before they are looked at."""


class MarkSampler:
    """Reads marks from the records that a run takes; it looks at few of them, so that it costs next to nothing."""

    def __init__(self, scales: RunScales) -> None:
        self._scales = scales
        count = len(scales.instruments)
        kinds = [_mark_kind(row.source) for row in scales.instruments]
        self._kind = np.array(kinds, dtype=np.uint8)
        self._bar_length = np.array([row.bar_length or 0 for row in scales.instruments], dtype=np.uint16)
        self._bar_price = np.array([BarPrice[row.bar_price.upper()] for row in scales.instruments], dtype=np.uint8)
        self._is_sized = np.array([row.sizes == "full" for row in scales.instruments], dtype=np.bool_)
        self._has_bars = bool(np.any(self._kind == Kind.BAR))
        self._first: list[float | None] = [None] * count
        self._last: list[float | None] = [None] * count
        self._unseen = np.ones(count, dtype=np.bool_)
        self._sampled_ns = np.full(count, -(2**62), dtype=np.int64)
        self._gathered: list[NDArray[Any]] = []
        self._gathered_rows = 0

    def add(self, records: NDArray[Any]) -> Table:
        """Take further records in tape order; give the samples for the series of marks."""
        if not len(self._kind):
            return Table.empty("marks", MARKS)
        if len(records) < _GATHER_ROWS:
            self._gathered.append(records.copy())
            self._gathered_rows += len(records)
            return self.flush() if self._gathered_rows >= _GATHER_ROWS else Table.empty("marks", MARKS)
        tables = [self.flush(), self._look_at(records)]
        return Table.concatenate(tables)

    def flush(self) -> Table:
        """Look at the records that were gathered; give their samples."""
        if not self._gathered:
            return Table.empty("marks", MARKS)
        records = np.concatenate(self._gathered)
        self._gathered, self._gathered_rows = [], 0
        return self._look_at(records)

    def ends(self) -> dict[str, tuple[float | None, float | None]]:
        """Give the first (from the start of trading on) and the last mark of each instrument by symbol."""
        symbols = self._scales.symbols
        return {symbol: (self._first[i], self._last[i]) for i, symbol in enumerate(symbols)}

    def _look_at(self, records: NDArray[Any]) -> Table:
        if np.any(self._unseen):
            self._find_first(records)
        times: list[int] = []
        instruments: list[int] = []
        prices: list[float] = []
        count = len(records)
        for start in range(0, count, _PIECE_ROWS):
            limit = min(start + _PIECE_ROWS, count)
            rows = self._last_rows(records, max(start, limit - _TAIL_ROWS), limit)
            if limit == count and np.any(rows < 0):
                whole = self._last_rows(records, 0, count)
                rows = np.maximum(rows, whole)
            for instrument in np.flatnonzero(rows >= 0).tolist():
                record = records[rows[instrument]]
                price = self._price(record, instrument)
                self._last[instrument] = price
                now = int(record["ts_recv"])
                if now - self._sampled_ns[instrument] >= self._scales.equity_every_ns:
                    self._sampled_ns[instrument] = now
                    times.append(now)
                    instruments.append(instrument)
                    prices.append(price)
        symbols = Words(np.array(instruments, dtype=np.int32), self._scales.symbols)
        return Table("marks", MARKS, {"time": times, "symbol": symbols, "price": prices})

    def _find_first(self, records: NDArray[Any]) -> None:
        start_ns = self._scales.trading_start_ns
        for start in range(0, len(records), _PIECE_ROWS):
            piece = records[start : start + _PIECE_ROWS]
            makes_mark = self._makes_mark(piece)
            if start_ns is not None:
                makes_mark &= piece["ts_recv"] >= start_ns
            rows = np.flatnonzero(makes_mark)
            found = np.full(len(self._kind), -1, dtype=np.int64)
            found[piece["instrument"][rows][::-1]] = rows[::-1]
            for instrument in np.flatnonzero((found >= 0) & self._unseen).tolist():
                self._first[instrument] = self._price(piece[found[instrument]], instrument)
                self._unseen[instrument] = False
            if not np.any(self._unseen):
                return

    def _last_rows(self, records: NDArray[Any], start: int, limit: int) -> NDArray[np.int64]:
        """Give the last row of each instrument in start..limit that makes a mark, -1 where there is none."""
        piece = records[start:limit]
        rows = np.flatnonzero(self._makes_mark(piece))
        last = np.full(len(self._kind), -1, dtype=np.int64)
        last[piece["instrument"][rows]] = rows + start
        return last

    def _makes_mark(self, piece: NDArray[Any]) -> NDArray[np.bool_]:
        instrument = np.minimum(piece["instrument"], len(self._kind) - 1)
        kind = piece["kind"]
        result: NDArray[np.bool_] = (self._kind[instrument] == kind) & (piece["instrument"] == instrument)
        has_both_sides = ((piece["c"] > 0) & (piece["d"] > 0)) | ~self._is_sized[instrument]
        result &= has_both_sides | (kind != Kind.QUOTE)
        if self._has_bars:
            is_length = (piece["flags"] & FLAG_BAR_LENGTH_MASK) == self._bar_length[instrument]
            is_price = piece["side"] == self._bar_price[instrument]
            result &= (is_length & is_price) | (kind != Kind.BAR)
        return result

    def _price(self, record: Any, instrument: int) -> float:
        unit = float(self._scales.price_units[instrument])
        match int(record["kind"]):
            case Kind.QUOTE:
                return (int(record["a"]) + int(record["b"])) / (2.0 * unit)
            case Kind.BAR:
                return int(record["d"]) / unit
            case _:
                return int(record["a"]) / unit


def _mark_kind(source: str) -> Kind:
    if source.startswith("quote"):
        return Kind.QUOTE
    return Kind.BAR if source == "bar" else Kind.TRADE
