"""Statistics of round trips, from their results after fees in the account's currency.

May not live here: how round trips are found in fills (positions.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def win_rate(net: ArrayLike) -> float | None:
    """Give the share of trades with a result above 0; a result of exactly 0 is no win. None without trades."""
    results = np.asarray(net, dtype=np.float64)
    return float(np.mean(results > 0)) if len(results) else None


def profit_factor(net: ArrayLike) -> float | None:
    """Give the sum of the gains / the sum of the losses, a positive number; None without a losing trade."""
    results = np.asarray(net, dtype=np.float64)
    losses = -float(np.sum(results[results < 0]))
    return float(np.sum(results[results > 0])) / losses if losses > 0 else None


def average(net: ArrayLike) -> float | None:
    """Give the mean result of a trade; None without trades."""
    results = np.asarray(net, dtype=np.float64)
    return float(np.mean(results)) if len(results) else None


def best(net: ArrayLike) -> float | None:
    """Give the best result of a trade; None without trades."""
    results = np.asarray(net, dtype=np.float64)
    return float(np.max(results)) if len(results) else None


def worst(net: ArrayLike) -> float | None:
    """Give the worst result of a trade; None without trades."""
    results = np.asarray(net, dtype=np.float64)
    return float(np.min(results)) if len(results) else None
