"""The order count: how many orders a run has sent, from the ids that its events name.

May not live here: what became of them (order_rows.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class OrderCount:
    """Counts the orders that events name: ids are one counter a run, so that all below some id have been seen."""

    def __init__(self) -> None:
        self._first_unseen = 0
        """Every order below has been seen."""
        self._seen: set[int] = set()
        """Orders above that have been seen; those between are on their way to their venue."""

    @property
    def count(self) -> int:
        """Orders seen so far."""
        return self._first_unseen + len(self._seen)

    @property
    def kept(self) -> int:
        """Ids that are kept one by one."""
        return len(self._seen)

    def add(self, order_ids: NDArray[np.uint64]) -> None:
        """Take the orders of further events."""
        self._seen.update(np.unique(order_ids[order_ids >= self._first_unseen]).tolist())
        while self._first_unseen in self._seen:
            self._seen.remove(self._first_unseen)
            self._first_unseen += 1
