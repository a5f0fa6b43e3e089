"""Factor files as LEAN has them: what prices of the past are multiplied with, so that splits and dividends are none.

May not live here: reading of prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from replay.adapters.formats.rounding import times
from replay.adapters.formats.text import day_ns_of
from replay.errors import DataError
from replay.feeds.format import Scale
from replay.feeds.tape import missing_file
from replay.records import Kind

_DAY_NS = 86_400_000_000_000
_FILE_DECIMALS = 4
_PRICES = {int(Kind.QUOTE): "ab", int(Kind.TRADE): "a", int(Kind.BAR): "abcd"}
_SIZES = {int(Kind.QUOTE): "cd", int(Kind.TRADE): "b", int(Kind.BAR): "e"}


class Factor(NamedTuple):
    """What holds for all days up to one, that one included: of prices, and of splits."""

    day_ns: int
    price: Fraction
    split: Fraction


class Factors:
    """The factors of one instrument, in the order of their days."""

    def __init__(self, factors: list[Factor]) -> None:
        self._factors = factors
        self._days_ns = np.array([factor.day_ns for factor in factors], dtype=np.int64)

    def of_day(self, day_ns: int) -> Factor:
        """Return the factor of a day: the first row whose date is not before it."""
        place = int(np.searchsorted(self._days_ns, day_ns))
        return self._factors[place] if place < len(self._factors) else Factor(day_ns, Fraction(1), Fraction(1))

    def adjust(self, records: NDArray[Any], local_ns: NDArray[np.int64], scales: Mapping[int, Scale]) -> None:
        """Multiply prices (of 4 decimals) with price and split factor, divide sizes by the split factor.

        Exact, then rounded half to even to the decimals of each instrument.
        """
        days_ns = local_ns - local_ns % _DAY_NS
        places = np.searchsorted(self._days_ns, days_ns)
        for place in np.unique(places).tolist():
            mine = places == place
            factor = self.of_day(int(days_ns[mine][0]))
            for kind in np.unique(records["kind"][mine]).tolist():
                for index in np.unique(records["instrument"][mine]).tolist():
                    part = mine & (records["kind"] == kind) & (records["instrument"] == index)
                    decimals = scales[index].price_decimals
                    ratio = factor.price * factor.split * Fraction(10) ** (decimals - _FILE_DECIMALS)
                    for name in _PRICES.get(kind, ""):
                        records[name][part] = times(records[name][part], ratio)
                    if factor.split != 1:
                        for name in _SIZES.get(kind, ""):
                            records[name][part] = times(records[name][part], 1 / factor.split)


def read_factors(path: Path) -> Factors:
    """Read `YYYYMMDD,price factor,split factor[,reference price]`. Raises DataError with the line of what is wrong."""
    if not path.exists():
        raise missing_file(path)
    factors: list[Factor] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split(",")
        try:
            factors.append(Factor(day_ns_of(fields[0], str(path)), Fraction(fields[1]), Fraction(fields[2])))
        except (IndexError, ValueError, ZeroDivisionError):
            raise DataError(
                f"{line!r} is no row of a factor file",
                reason="wrong_format",
                place=f"{path}:{number}",
                remedy="a row is date,price factor,split factor,reference price",
            ) from None
    return Factors(sorted(factors))
