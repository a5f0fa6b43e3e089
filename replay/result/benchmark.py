"""The benchmark of a run as one return a period: the instruments bought and held, one of them, or a series from a file.

May not live here: how returns are compared (replay.stats.benchmark), or where marks come from (marks.py).
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError
from replay.stats.periods import Period, PeriodCloses

BUY_AND_HOLD = "buy_and_hold"


class HeldMarks:
    """Follows the marks of instruments at the ends of periods: what they did by themselves."""

    def __init__(self, symbols: tuple[str, ...], period: Period, only: str | None = None) -> None:
        """Take all instruments in equal amounts, or `only` one."""
        self._closes = {
            place: PeriodCloses(period) for place, symbol in enumerate(symbols) if only is None or symbol == only
        }
        self._latest = dict.fromkeys(self._closes, -(2**62))
        self._symbols = symbols

    def add(self, samples: NDArray[Any]) -> None:
        """Take samples (dtype replay.result.marks.SAMPLE), times not falling."""
        for place, closes in self._closes.items():
            own = samples[samples["instrument"] == place]
            # Receive times may fall a little where they were raised; the series of closes never goes back.
            times = np.maximum.accumulate(np.append(self._latest[place], own["time"]))
            self._latest[place] = int(times[-1])
            closes.add(times[1:], np.ascontiguousarray(own["price"]))

    def path(
        self, periods: NDArray[np.int64], marks: Mapping[str, tuple[float | None, float | None]]
    ) -> NDArray[np.float64]:
        """Give the worth at the end of each of the run's periods of 1 put in at the first marks; NaN where unknown."""
        worths = []
        for place, closes in self._closes.items():
            first, last = marks.get(self._symbols[place], (None, None))
            if first is None or last is None or not first > 0 or not len(periods):
                continue
            known, values = closes.indexed()
            worth = _as_of(periods, known, values, before=first)
            worth[-1] = last
            worths.append(worth / first)
        return np.mean(worths, axis=0) if worths else np.full(len(periods), np.nan)


class Levels:
    """A series of levels from a file: an index, a fund."""

    def __init__(self, ts: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take times (ns, rising) and values above 0."""
        self._ts = ts
        self._values = values

    @staticmethod
    def read(path: Path) -> Levels:
        """Read a CSV file (also .gz) with a header: a time (RFC 3339, or integer ns) and a value above 0 in each row.

        Raises DataError, naming the row, where one has neither or times do not rise.
        """
        try:
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot read the benchmark: {error}", place=str(path)) from error
        times: list[int] = []
        values: list[float] = []
        for number, row in enumerate(rows, start=2):
            place = f"{path}:{number}"
            try:
                time, value = _time_ns(row[0]), float(row[1])
            except (ValueError, IndexError) as error:
                raise DataError(
                    f"no time and value in {','.join(row)!r}",
                    place=place,
                    remedy='write rows such as "2024-01-31,4845.65"',
                ) from error
            if not 0 < value < float("inf"):
                raise DataError(f"a level of the benchmark is {row[1]}: it must be above 0", place=place)
            if times and time <= times[-1]:
                raise DataError(f"{row[0]} is not after the row ahead of it", place=place, remedy="sort the rows")
            times.append(time)
            values.append(value)
        if not times:
            raise DataError("the benchmark has no row after its header", place=str(path))
        return Levels(np.array(times, dtype=np.int64), np.array(values))

    def path(self, period: Period, periods: NDArray[np.int64], start_ns: int | None) -> NDArray[np.float64]:
        """Give the level at the end of each of the run's periods, by that at its start; NaN where unknown."""
        index = period.index(self._ts)
        is_last = np.append(index[1:] != index[:-1], True)
        before = self._values[self._ts <= (start_ns if start_ns is not None else 0)]
        first = float(before[-1]) if len(before) else float(self._values[0])
        return _as_of(periods, index[is_last], self._values[is_last], before=np.nan) / first


def returns_of_path(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give one return per period of worths that begin at 1; NaN where either end is unknown."""
    before = np.concatenate(([1.0], path))[: len(path)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(path / before - 1.0, dtype=np.float64)


def _as_of(
    periods: NDArray[np.int64], known: NDArray[np.int64], values: NDArray[np.float64], *, before: float
) -> NDArray[np.float64]:
    """Give the last value known at the end of each period; `before` where there is none yet."""
    places = np.searchsorted(known, periods, side="right") - 1
    padded = np.concatenate(([before], values))
    return padded[places + 1]


def _time_ns(text: str) -> int:
    if text.strip().lstrip("-").isdigit() and len(text.strip()) > 8:
        return int(text)
    moment = datetime.fromisoformat(text.strip())
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
