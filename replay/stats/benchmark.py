"""Buy and hold: what the instruments did by themselves while the strategy traded them.

May not live here: fees and financing; the benchmark has none, and no rebalancing either.
"""

from __future__ import annotations

from collections.abc import Sequence


def buy_and_hold_return(first_mark: float | None, last_mark: float | None) -> float | None:
    """Give last mark / first mark - 1, a fraction; None without marks or where the first is not positive."""
    if first_mark is None or last_mark is None or not first_mark > 0:
        return None
    return last_mark / first_mark - 1.0


def equal_weighted(returns: Sequence[float | None]) -> float | None:
    """Give the return of equal amounts put into each at its first mark and held: the mean; None where none is known."""
    known = [value for value in returns if value is not None]
    return sum(known) / len(known) if known else None
