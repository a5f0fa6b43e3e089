"""Renumbering: records with the indexes of one instrument table get those of the run's; others are left out.

May not live here: whether two tables agree, and where records come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.records import Kind

_NOT_NAMED = -1
_UNKNOWN = 2**32 - 1
"""An index that no table has: the sequencer quarantines it."""


class Renumbering:
    """What the indexes of a table are in the run's."""

    def __init__(self, symbols: Sequence[str], wanted: Mapping[str, int]) -> None:
        """Take the table's symbols in their order, and the run's index of each symbol that it names."""
        numbers = [wanted.get(symbol, _NOT_NAMED) for symbol in symbols]
        self.is_identity = numbers == list(range(len(numbers)))
        """Whether records stay as they are."""
        # One place more than the table has, for indexes beyond it.
        self._numbers = np.array([*numbers, _UNKNOWN], dtype=np.int64)

    def apply(self, records: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Give the records of the run, and which of those given they are; None for all of them, as they are.

        Clocks and commands are of no instrument: they are kept unchanged.
        """
        if self.is_identity or not len(records):
            return records, None
        indexes = self._numbers[np.minimum(records["instrument"], len(self._numbers) - 1)]
        is_of_market = (records["kind"] != Kind.CLOCK) & (records["kind"] != Kind.COMMAND)
        kept: NDArray[np.bool_] = (indexes != _NOT_NAMED) | ~is_of_market
        renumbered: NDArray[Any] = records[kept]
        renumbered["instrument"] = np.where(is_of_market[kept], indexes[kept], renumbered["instrument"])
        return renumbered, kept
