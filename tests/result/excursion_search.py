"""Excursions by their definition, slowly: each price, one after the other, on average cost; exact in fractions.

May not live here: assertions.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


class Filled(NamedTuple):
    """One fill of a position: `prices` are those that came since the fill before it."""

    is_buy: bool
    price: Fraction
    size: Fraction
    prices: Iterable[Fraction]


def search(fills: Iterable[Filled]) -> list[tuple[Fraction, Fraction]]:
    """Give the worst and the best open result of each round trip of a position, in the order of their ends."""
    trips = []
    held = average = realised = worst = best = Fraction(0)
    for fill in fills:
        if held:
            for price in (*fill.prices, fill.price):
                result = realised + held * (price - average)
                worst, best = min(worst, result), max(best, result)
        change = fill.size if fill.is_buy else -fill.size
        if held * change >= 0:
            average = (average * held + fill.price * change) / (held + change)
            held += change
            continue
        closed = min(abs(held), abs(change))
        realised += closed * (fill.price - average) * (1 if held > 0 else -1)
        held, rest = held + change, fill.size - closed
        if rest or not held:
            trips.append((worst, best))
            realised = worst = best = Fraction(0)
            average = fill.price
    return trips
