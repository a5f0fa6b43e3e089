"""The position: what fills make of one strategy's holding of one instrument, in exact integers.

May not live here: tables, floats, marks and equity. The engine's ledger is what binds; this is its mirror.
"""

from __future__ import annotations

from typing import NamedTuple


def half_even(numerator: int, denominator: int) -> int:
    """Divide whole numbers, ties to the even neighbour; defined for negative numerators, `denominator` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


class PositionChange(NamedTuple):
    """The position after one fill, or after one of the two parts of a fill that flips it."""

    quantity: int
    """Signed, on the instrument's size scale."""
    cost: int
    """Whole cost of what is held, whichever side, on the ledger scale."""
    realised: int
    """Realised so far, before fees, on the ledger scale."""
    fees: int
    """Fees so far, on the ledger scale."""


class Position:
    """A netting position at average cost (SEMANTICS.md, section 5).

    It keeps its whole cost C, exact. Closing q of Q releases half_even(C * q, Q), the last close all of it; a flip is
    one fill and two changes, the fee shared in proportion.
    """

    __slots__ = ("_factor", "cost", "fees", "quantity", "realised")

    def __init__(self, factor: int = 1) -> None:
        """Start flat; raw price times raw size times `factor` is an exact value on the ledger scale."""
        self._factor = factor
        self.quantity = 0
        self.cost = 0
        self.realised = 0
        self.fees = 0

    def fill(self, is_buy: bool, price: int, size: int, fee: int, given: int = 0) -> list[PositionChange]:
        """Apply one fill; give the change that it makes, two for a flip.

        `given` is what leaves the position again to pay a fee in kind, as if sold at the fill's price.
        """
        assert size > 0, f"a fill of size {size}"
        if given:
            changes = self.fill(is_buy, price, size, fee)
            return [*changes[:-1], *self.fill(given < 0, price, abs(given), 0)]
        quantity = self.quantity
        if quantity == 0 or (quantity > 0) == is_buy:
            return [self._open(is_buy, price, size, fee)]
        held = quantity if quantity > 0 else -quantity
        if size <= held:
            return [self._close(price, size, fee)]
        closing_fee = half_even(fee * held, size)
        closed = self._close(price, held, closing_fee)
        return [closed, self._open(is_buy, price, size - held, fee - closing_fee)]

    def _open(self, is_buy: bool, price: int, size: int, fee: int) -> PositionChange:
        self.quantity += size if is_buy else -size
        self.cost += price * size * self._factor
        self.fees += fee
        return PositionChange(self.quantity, self.cost, self.realised, self.fees)

    def _close(self, price: int, size: int, fee: int) -> PositionChange:
        quantity = self.quantity
        is_long = quantity > 0
        held = quantity if is_long else -quantity
        value = price * size * self._factor
        released = self.cost if size == held else half_even(self.cost * size, held)
        self.realised += value - released if is_long else released - value
        self.cost -= released
        self.quantity = quantity - size if is_long else quantity + size
        self.fees += fee
        return PositionChange(self.quantity, self.cost, self.realised, self.fees)
