"""Statistics of round trips, from their results after fees in the account's currency.

May not live here: how round trips are found in fills (positions.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TradeTotals:
    """Sums up results of round trips that come in pieces; the same however they are cut, and in constant memory."""

    def __init__(self) -> None:
        self.count = 0
        """Trades so far."""
        self.wins = 0
        """Those with a result above 0."""
        self._gains = 0.0
        self._losses = 0.0
        self._sum = 0.0
        self._best = -np.inf
        self._worst = np.inf

    @classmethod
    def of(cls, net: ArrayLike) -> TradeTotals:
        """Sum up a whole series of results."""
        totals = cls()
        totals.add(np.asarray(net, dtype=np.float64))
        return totals

    def add(self, net: NDArray[np.float64]) -> None:
        """Take further results, in the order in which the trades ended."""
        if not len(net):
            return
        self.count += len(net)
        self.wins += int(np.count_nonzero(net > 0))
        self._gains = _added(self._gains, net[net > 0])
        self._losses = _added(self._losses, -net[net < 0])
        self._sum = _added(self._sum, net)
        self._best = max(self._best, float(np.max(net)))
        self._worst = min(self._worst, float(np.min(net)))

    @property
    def win_rate(self) -> float | None:
        """The share of trades with a result above 0; a result of exactly 0 is no win. None without trades."""
        return self.wins / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """The sum of the gains / the sum of the losses, a positive number; None without a losing trade."""
        return self._gains / self._losses if self._losses > 0 else None

    @property
    def average(self) -> float | None:
        """The mean result of a trade; None without trades."""
        return self._sum / self.count if self.count else None

    @property
    def best(self) -> float | None:
        """The best result of a trade; None without trades."""
        return self._best if self.count else None

    @property
    def worst(self) -> float | None:
        """The worst result of a trade; None without trades."""
        return self._worst if self.count else None


def win_rate(net: ArrayLike) -> float | None:
    """Give the share of trades with a result above 0; a result of exactly 0 is no win. None without trades."""
    return TradeTotals.of(net).win_rate


def profit_factor(net: ArrayLike) -> float | None:
    """Give the sum of the gains / the sum of the losses, a positive number; None without a losing trade."""
    return TradeTotals.of(net).profit_factor


def average(net: ArrayLike) -> float | None:
    """Give the mean result of a trade; None without trades."""
    return TradeTotals.of(net).average


def best(net: ArrayLike) -> float | None:
    """Give the best result of a trade; None without trades."""
    return TradeTotals.of(net).best


def worst(net: ArrayLike) -> float | None:
    """Give the worst result of a trade; None without trades."""
    return TradeTotals.of(net).worst


def _added(total: float, values: NDArray[np.float64]) -> float:
    """Add one after the other, as np.sum does not: its pairs, and so the last bit, depend on how they are cut."""
    return float(np.cumsum(np.concatenate(([total], values)))[-1])
