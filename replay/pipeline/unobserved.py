"""What went by and no observer has looked at yet: small batches to be seen as one, large ones without a copy.

May not live here: what an observer looks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay import records
from replay.records import RECORD_BYTES

SMALL_ROWS = 2_048
"""Shorter pieces are joined: looking at one costs more than copying it."""


class Unobserved:
    """Pieces of the tape in order, each a part of the bytes of some batch."""

    def __init__(self) -> None:
        self.rows = 0
        self._pieces: list[tuple[NDArray[np.uint8], int, int]] = []

    def add(self, admitted: NDArray[np.uint8], first: int, limit: int) -> None:
        """Add the records first..limit of a batch; where they follow the last ones, they become one piece."""
        self.rows += limit - first
        if self._pieces and self._pieces[-1][0] is admitted and self._pieces[-1][2] == first:
            first = self._pieces.pop()[1]
        self._pieces.append((admitted, first, limit))

    def take(self) -> list[NDArray[Any]]:
        """Give all that waits as records."""
        pieces, self._pieces, self.rows = self._pieces, [], 0
        given: list[NDArray[Any]] = []
        small: list[NDArray[Any]] = []
        for admitted, first, limit in pieces:
            piece = records.from_bytes(admitted[first * RECORD_BYTES : limit * RECORD_BYTES])
            if limit - first < SMALL_ROWS:
                small.append(piece)
                continue
            if small:
                given.append(records.joined(small))
                small = []
            given.append(piece)
        return [*given, records.joined(small)] if small else given
