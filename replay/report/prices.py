"""The price series of a run's instruments, made of the records of its tape: a tick wherever the mark changed, or bars.

May not live here: reading the tape (subject.py), and how a series is packed or drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.records import Kind
from replay.result.marks import MarkSampler
from replay.result.projections import RunScales
from replay.result.tables import Table, Words

Integers = NDArray[np.int64]

POINTS_MAX = 1_500_000
"""Points that are kept of all instruments together; above it, stretches are thinned to their extremes."""


@dataclass(frozen=True)
class PriceSeries:
    """The price of one instrument over the run.

    `time_ns` does not fall (venue time, ns, UTC); prices are integers in units of 10^-decimals. For bars `price` is the
    close, and `open`, `high` and `low` are there; else they are None, and the price holds until the next point.
    """

    symbol: str
    decimals: int
    time_ns: Integers
    price: Integers
    open: Integers | None = None
    high: Integers | None = None
    low: Integers | None = None
    is_thinned: bool = False
    """Whether points were left out: then each stretch has its extremes, or bars were joined to longer ones."""
    records: int = 0
    """Records that made a mark."""

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def is_bars(self) -> bool:
        """Whether the series is one of bars."""
        return self.high is not None

    @property
    def unit(self) -> float:
        """What one is in raw units."""
        return float(10**self.decimals)


class PriceCollector:
    """Takes the records of a tape piece by piece, in bounded memory, and gives a series per instrument."""

    def __init__(self, scales: RunScales, points_max: int = POINTS_MAX) -> None:
        self._rule = MarkSampler(scales)
        share = max(points_max // max(len(scales.instruments), 1), 1_000)
        self._gathered = [_Gathered(_kind(row.source), row.price_decimals, share) for row in scales.instruments]
        self._symbols = scales.symbols

    def add(self, records: NDArray[Any]) -> None:
        """Take further records in tape order."""
        marks = records[self._rule.mark_rows(records)]
        if not len(marks):
            return
        if len(self._gathered) == 1:
            self._gathered[0].add(marks)
            return
        marks = marks[np.argsort(marks["instrument"], kind="stable")]
        instrument = marks["instrument"]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(instrument)) + 1))
        for start, limit in zip(starts.tolist(), [*starts[1:].tolist(), len(marks)], strict=True):
            self._gathered[int(instrument[start])].add(marks[start:limit])

    def series(self) -> list[PriceSeries]:
        """Give the series of the instruments that had a mark, in their order."""
        pairs = zip(self._symbols, self._gathered, strict=True)
        return [gathered.series(symbol) for symbol, gathered in pairs if gathered.records]


def series_of_marks(marks: Table, decimals: dict[str, int]) -> list[PriceSeries]:
    """Make series of the sampled marks that a run keeps: what there is where its tape has gone."""
    symbols = marks.raw("symbol")
    assert isinstance(symbols, Words)
    made = []
    for code, symbol in enumerate(symbols.vocabulary):
        rows = np.flatnonzero(symbols.codes == code)
        if not len(rows):
            continue
        places = decimals.get(symbol, 8) + 1  # the mid of two prices has one digit more
        price = np.rint(marks["price"][rows] * 10**places).astype(np.int64)
        time_ns = np.maximum.accumulate(marks.integers("time")[rows])
        made.append(PriceSeries(symbol, places, time_ns, price, is_thinned=True, records=len(rows)))
    return made


@dataclass
class _Gathered:
    """What was taken of one instrument: columns in pieces, thinned whenever there are twice as many as may stay."""

    kind: Kind
    price_decimals: int
    points_max: int
    records: int = 0
    is_thinned: bool = False
    _pieces: list[tuple[Integers, ...]] = field(default_factory=list)
    _points: int = 0
    _last_price: int | None = None

    def add(self, marks: NDArray[Any]) -> None:
        self.records += len(marks)
        columns = self._bars(marks) if self.kind is Kind.BAR else self._ticks(marks)
        self._pieces.append(columns)
        self._points += len(columns[0])
        if self._points > 2 * self.points_max:
            self._thin()

    def series(self, symbol: str) -> PriceSeries:
        if self._points > self.points_max:
            self._thin()
        time_ns, price, *bars = self._joined()
        time_ns = np.maximum.accumulate(time_ns)  # a late record happened earlier than one that stands before it
        decimals = self.price_decimals + (1 if self.kind is Kind.QUOTE else 0)
        opens, high, low = bars or (None, None, None)
        return PriceSeries(symbol, decimals, time_ns, price, opens, high, low, self.is_thinned, self.records)

    def _bars(self, marks: NDArray[Any]) -> tuple[Integers, ...]:
        return tuple(np.ascontiguousarray(marks[name]) for name in ("ts_event", "d", "a", "b", "c"))

    def _ticks(self, marks: NDArray[Any]) -> tuple[Integers, ...]:
        """Leave out ticks that change nothing, but not the latest one: the series reaches as far as the tape."""
        price = (marks["a"] + marks["b"]) * 5 if self.kind is Kind.QUOTE else np.ascontiguousarray(marks["a"])
        changed = np.ones(len(price), dtype=np.bool_)
        changed[1:] = price[1:] != price[:-1]
        if self._last_price is not None:
            changed[0] = price[0] != self._last_price
        changed[-1] = True
        self._last_price = int(price[-1])
        return np.ascontiguousarray(marks["ts_event"])[changed], price[changed]

    def _joined(self) -> tuple[Integers, ...]:
        columns = tuple(np.concatenate(column) for column in zip(*self._pieces, strict=True))
        self._pieces = [columns]
        return columns

    def _thin(self) -> None:
        columns = self._joined()
        if self.kind is Kind.BAR:
            columns = _join_bars(columns, -(-len(columns[0]) // self.points_max))
        else:
            rows = extreme_rows(columns[1], self.points_max)
            columns = tuple(column[rows] for column in columns)
        self._pieces, self._points, self.is_thinned = [columns], len(columns[0]), True


def extreme_rows(values: NDArray[Any], count: int) -> Integers:
    """Give about `count` rows, in order, that keep the lowest and the highest value of every stretch, and both ends."""
    total = len(values)
    if total <= count or total < 4:
        return np.arange(total, dtype=np.int64)
    length = max(-(-2 * total // max(count, 2)), 2)
    whole = total - total % length
    blocks = values[:whole].reshape(-1, length)
    first = np.arange(0, whole, length)
    rows = [first + np.argmin(blocks, axis=1), first + np.argmax(blocks, axis=1), np.array([0, total - 1])]
    if whole < total:
        rest = values[whole:]
        rows.append(whole + np.array([np.argmin(rest), np.argmax(rest)]))
    return np.unique(np.concatenate(rows)).astype(np.int64)


def _join_bars(columns: Sequence[Integers], length: int) -> tuple[Integers, ...]:
    """Make one bar of every `length`: the first open, the extremes, the last close and its time."""
    time_ns, close, opens, high, low = columns
    starts = np.arange(0, len(time_ns), length)
    ends = np.minimum(starts + length, len(time_ns)) - 1
    return (
        time_ns[ends],
        close[ends],
        opens[starts],
        np.maximum.reduceat(high, starts),
        np.minimum.reduceat(low, starts),
    )


def _kind(source: str) -> Kind:
    if source.startswith("quote"):
        return Kind.QUOTE
    return Kind.BAR if source == "bar" else Kind.TRADE
