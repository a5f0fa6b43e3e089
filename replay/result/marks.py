"""Marks seen from outside: the first, the last and a thinned series of each instrument's price, read from the tape.

May not live here: the marks that the ledger values positions with; those are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.records import FLAG_BAR_LENGTH_MASK, RECORD, BarPrice, Kind, joined
from replay.result.projections import MARKS, RunScales
from replay.result.tables import Table, Words
from replay.stats.periods import Period

_PIECE_ROWS = 1_024
"""The series is sampled once in so many records of the tape, whatever batches they come in."""
_SAMPLE_ROWS = 16
"""How many records at the end of a piece are looked at for the series."""
_TAIL_ROWS = 256
"""How many records at the end of a batch are looked at first for the last marks."""

SAMPLE = np.dtype([("time", "<i8"), ("price", "<f8"), ("instrument", "<u4"), ("_reserved", "<u4")])
"""One sample of the series as it is kept on disk: 24 bytes, little-endian."""


class SamplerState(msgspec.Struct, frozen=True):
    """What a sampler has seen, to be kept in a snapshot."""

    first: list[float | None]
    last: list[float | None]
    sampled_bucket: list[int]
    latest_ns: int
    gathered: bytes
    """Records that wait for their piece to be full."""
    period: int | None = None
    """The period that is under way."""
    latest_period_ns: int = -(2**62)
    """The time up to which periods have been looked at."""
    latest: list[tuple[int, float] | None] = []
    """The latest mark of each instrument in it."""


class MarkSampler:
    """Reads marks from the records that a run takes; it looks at few of them, so that it costs next to nothing."""

    def __init__(self, scales: RunScales, period: Period | None = None) -> None:
        """Sample the series; with a period, also the last mark of each instrument in each of them."""
        self._scales = scales
        self._closing = None if period is None else ClosingMarks(len(scales.instruments), period)
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
        self._sampled_bucket = np.full(count, -(2**62), dtype=np.int64)
        self._latest_ns = -(2**62)
        self._gathered: list[NDArray[Any]] = []
        self._gathered_rows = 0

    def add(self, records: NDArray[Any]) -> NDArray[Any]:
        """Take further records in tape order; give the samples (dtype SAMPLE) of the pieces that they fill."""
        if not len(self._kind):
            return np.zeros(0, dtype=SAMPLE)
        made = []
        if self._gathered_rows:
            missing = _PIECE_ROWS - self._gathered_rows
            self._gather(records[:missing])
            records = records[missing:]
            if self._gathered_rows == _PIECE_ROWS:
                made.append(self.flush())
        whole = len(records) - len(records) % _PIECE_ROWS
        if whole:
            made.append(self._look_at(records[:whole]))
        self._gather(records[whole:])
        return made[0] if len(made) == 1 else np.concatenate([np.zeros(0, dtype=SAMPLE), *made])

    def flush(self) -> NDArray[Any]:
        """Look at the records of a piece that is not full, at the end of a run; give their samples."""
        if not self._gathered:
            return np.zeros(0, dtype=SAMPLE)
        records = joined(self._gathered)
        self._gathered, self._gathered_rows = [], 0
        return self._look_at(records)

    def mark_rows(self, records: NDArray[Any]) -> NDArray[np.int64]:
        """Give the rows of all records that make a mark of their instrument, in order; nothing is remembered."""
        if not len(self._kind):
            return np.zeros(0, dtype=np.int64)
        return np.asarray(np.flatnonzero(self._makes_mark(records)), dtype=np.int64)

    def table(self, samples: NDArray[Any]) -> Table:
        """Give samples as rows of the table of marks."""
        symbols = Words(samples["instrument"].astype(np.int32), self._scales.symbols)
        return Table("marks", MARKS, {"time": samples["time"], "symbol": symbols, "price": samples["price"]})

    def state(self) -> SamplerState:
        """Give what has been seen so far."""
        gathered = b"".join([piece.tobytes() for piece in self._gathered])
        closing = self._closing
        return SamplerState(
            list(self._first),
            list(self._last),
            self._sampled_bucket.tolist(),
            self._latest_ns,
            gathered,
            None if closing is None else closing.number,
            -(2**62) if closing is None else closing.latest_ns,
            [] if closing is None else list(closing.latest),
        )

    def restore(self, state: SamplerState) -> None:
        """Go on, as a new sampler, from what another one had seen."""
        self._first, self._last = list(state.first), list(state.last)
        self._unseen = np.array([mark is None for mark in self._first], dtype=np.bool_)
        self._sampled_bucket = np.array(state.sampled_bucket, dtype=np.int64)
        self._latest_ns = state.latest_ns
        if self._closing is not None and state.latest:
            self._closing.number, self._closing.latest = state.period, list(state.latest)
            self._closing.latest_ns = state.latest_period_ns
        self._gather(np.frombuffer(state.gathered, dtype=RECORD))

    def _gather(self, records: NDArray[Any]) -> None:
        if len(records):
            self._gathered.append(records.copy())
            self._gathered_rows += len(records)

    def ends(self) -> dict[str, tuple[float | None, float | None]]:
        """Give the first (from the start of trading on) and the last mark of each instrument by symbol."""
        symbols = self._scales.symbols
        return {symbol: (self._first[i], self._last[i]) for i, symbol in enumerate(symbols)}

    def _look_at(self, records: NDArray[Any]) -> NDArray[Any]:
        if np.any(self._unseen):
            self._find_first(records)
        rows = self._find_last(records)
        ends = np.arange(len(records) - 1, -1, -_PIECE_ROWS)[::-1]
        looked_at = (ends[:, None] + np.arange(1 - _SAMPLE_ROWS, 1)).ravel()
        looked_at = looked_at[looked_at >= 0]
        sample = records[looked_at]
        makes_mark = self._makes_mark(sample)
        sample, looked_at = sample[makes_mark], looked_at[makes_mark]
        chosen = self._first_in_bucket(sample)
        sample = sample[chosen]
        made = np.zeros(len(sample), dtype=SAMPLE)
        made["time"], made["instrument"], made["price"] = sample["ts_recv"], sample["instrument"], self._prices(sample)
        if self._closing is None:
            return made
        closes = self._closing.find(
            records, rows, lambda limit: self._rows_before(records, limit), self._makes_mark, self._prices
        )
        whole = np.concatenate((made, closes)) if len(closes) else made
        return whole[np.argsort(whole["time"], kind="stable")] if len(closes) else whole

    def _first_in_bucket(self, sample: NDArray[Any]) -> NDArray[np.int64]:
        """Give the rows that are their instrument's first in a stretch of `equity_every`, in order."""
        if not len(sample):
            return np.zeros(0, dtype=np.int64)
        instrument = sample["instrument"]
        # Times that never fall, so that it does not matter how the tape is cut.
        latest_ns = np.maximum(np.maximum.accumulate(sample["ts_recv"]), self._latest_ns)
        self._latest_ns = int(latest_ns[-1])
        bucket = latest_ns // self._scales.equity_every_ns
        order = np.argsort(instrument, kind="stable")
        is_new = np.ones(len(order), dtype=np.bool_)
        same = (instrument[order][1:] == instrument[order][:-1]) & (bucket[order][1:] == bucket[order][:-1])
        is_new[1:] = ~same
        is_new &= bucket[order] > self._sampled_bucket[instrument[order]]
        self._sampled_bucket[instrument] = bucket
        return np.sort(order[is_new])

    def _find_last(self, records: NDArray[Any]) -> NDArray[np.int64]:
        """Note the last mark of each instrument; give its row, -1 where there is none."""
        rows = self._rows_before(records, len(records))
        found = np.flatnonzero(rows >= 0)
        prices = self._prices(records[rows[found]])
        for instrument, price in zip(found.tolist(), prices.tolist(), strict=True):
            self._last[instrument] = price
        return rows

    def _rows_before(self, records: NDArray[Any], limit: int) -> NDArray[np.int64]:
        """Give the last row of each instrument in ..limit that makes a mark, -1 where there is none."""
        rows = self._last_rows(records, max(0, limit - _TAIL_ROWS), limit)
        return self._last_rows(records, 0, limit) if np.any(rows < 0) else rows

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
            new = np.flatnonzero((found >= 0) & self._unseen)
            for instrument, price in zip(new.tolist(), self._prices(piece[found[new]]).tolist(), strict=True):
                self._first[instrument] = price
            self._unseen[new] = False
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

    def _prices(self, records: NDArray[Any]) -> NDArray[np.float64]:
        unit = self._scales.price_units[records["instrument"]]
        kind = records["kind"]
        mid = (records["a"] + records["b"]) / (2.0 * unit)
        prices: NDArray[np.float64] = np.where(kind == Kind.QUOTE, mid, records["a"] / unit)
        return np.where(kind == Kind.BAR, records["d"] / unit, prices)


class ClosingMarks:
    """The last mark of each instrument in each period; it looks at all of a piece only where a period ends there.

    The time of a piece is that of its last record, so that periods end at the same records however the tape is cut.
    """

    def __init__(self, count: int, period: Period) -> None:
        self._period = period
        self.number: int | None = None
        """The period that is under way."""
        self.latest_ns = -(2**62)
        """The time of the last piece."""
        self.latest: list[tuple[int, float] | None] = [None] * count
        """Time and price of the latest mark of each instrument in it."""

    def find(
        self,
        records: NDArray[Any],
        last_rows: NDArray[np.int64],
        last_rows_before: Callable[[int], NDArray[np.int64]],
        makes_mark: Callable[[NDArray[Any]], NDArray[np.bool_]],
        prices: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> NDArray[Any]:
        """Take whole pieces of records; give the closing marks (dtype SAMPLE) of the periods that end in them."""
        limits = np.append(np.arange(_PIECE_ROWS, len(records), _PIECE_ROWS), len(records))
        times = np.maximum.accumulate(np.maximum(records["ts_recv"][limits - 1], self.latest_ns))
        numbers = self._period.index(times)
        before = np.concatenate(([-1 if self.number is None else self.number], numbers[:-1]))
        found = [np.zeros(0, dtype=SAMPLE)]
        for piece in np.flatnonzero(numbers != before).tolist():
            start, limit = int(limits[piece - 1]) if piece else 0, int(limits[piece])
            if start:
                self._note(records, last_rows_before(start), int(times[piece - 1]), prices)
            found.append(self._ended(records[start:limit], int(times[piece]), makes_mark, prices))
        self._note(records, last_rows, int(times[-1]), prices)
        return np.concatenate(found)

    def _ended(
        self,
        records: NDArray[Any],
        end_ns: int,
        makes_mark: Callable[[NDArray[Any]], NDArray[np.bool_]],
        prices: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> NDArray[Any]:
        """Give the last marks of the periods that are under way or end within a piece."""
        times = np.minimum(np.maximum(np.maximum.accumulate(records["ts_recv"]), self.latest_ns), end_ns)
        numbers = self._period.index(times)
        rows = np.flatnonzero(makes_mark(records))[::-1]
        key = (numbers[rows] - numbers[0]) * len(self.latest) + records["instrument"][rows]
        rows = rows[np.sort(np.unique(key, return_index=True)[1])][::-1]
        rows = rows[numbers[rows] < numbers[-1]]
        made = np.zeros(len(rows), dtype=SAMPLE)
        made["time"], made["instrument"] = times[rows], records["instrument"][rows]
        made["price"] = prices(records[rows])
        closed_here = set(records["instrument"][rows[numbers[rows] == self.number]].tolist())
        earlier = [
            (mark[0], mark[1], place, 0)
            for place, mark in enumerate(self.latest)
            if mark is not None and place not in closed_here
        ]
        self.latest = [None] * len(self.latest)
        self.number, self.latest_ns = int(numbers[-1]), end_ns
        return np.concatenate((np.array(earlier, dtype=SAMPLE), made))

    def _note(
        self,
        records: NDArray[Any],
        rows: NDArray[np.int64],
        end_ns: int,
        prices: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        """Keep the latest marks of the period under way, which the pieces up to this time belong to."""
        found = np.flatnonzero(rows >= 0)
        times = np.minimum(records["ts_recv"][rows[found]], end_ns).tolist()
        self.latest_ns = end_ns
        for place, time, price in zip(found.tolist(), times, prices(records[rows[found]]).tolist(), strict=True):
            if int(self._period.index(np.array([time]))[0]) == self.number:
                self.latest[place] = (time, price)


def _mark_kind(source: str) -> Kind:
    if source.startswith("quote"):
        return Kind.QUOTE
    return Kind.BAR if source == "bar" else Kind.TRADE
