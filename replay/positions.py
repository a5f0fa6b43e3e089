"""Positions and round trips: what fills make of one strategy's holding of one instrument, in exact integers.

May not live here: tables, floats, marks and equity. The engine's ledger is what binds; this is its mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def half_even(numerator: int, denominator: int) -> int:
    """Divide whole numbers, ties to the even neighbour; defined for negative numerators, `denominator` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


@dataclass(frozen=True)
class PositionChange:
    """The position after one fill, or after one of the two parts of a fill that flips it."""

    quantity: int
    """Signed, on the instrument's size scale."""
    cost: int
    """Whole cost of what is held, unsigned side, on the ledger scale."""
    realised: int
    """Realised so far, before fees, on the ledger scale."""
    fees: int
    """Fees so far, on the ledger scale of the fee's currency."""


@dataclass(frozen=True)
class RoundTrip:
    """From flat to flat, or to the flip: one trade. Amounts on the ledger scale, sizes on the instrument's."""

    is_long: bool
    entry_time: int
    exit_time: int
    max_size: int
    entry_size: int
    entry_value: int
    exit_size: int
    exit_value: int
    gross: int
    fees: int
    fills: int
    first_order_id: int
    last_order_id: int


class Position:
    """A netting position at average cost (SEMANTICS.md, section 5).

    It keeps its whole cost C, exact. Closing q of Q releases half_even(C * q, Q), the last close all of it; a flip is
    one fill and two changes, the fee shared in proportion.
    """

    __slots__ = (
        "_entry_size",
        "_entry_time",
        "_entry_value",
        "_exit_size",
        "_exit_value",
        "_fills",
        "_first_order_id",
        "_max_size",
        "_start_fees",
        "_start_realised",
        "_value",
        "cost",
        "fees",
        "quantity",
        "realised",
    )

    def __init__(self, value: Callable[[int, int], int]) -> None:
        """Start flat; `value(price, size)` gives the exact value of raw price and size on the ledger scale."""
        self._value = value
        self.quantity = 0
        self.cost = 0
        self.realised = 0
        self.fees = 0
        self._begin(0, 0)

    def fill(
        self, is_buy: bool, price: int, size: int, fee: int, time: int, order_id: int
    ) -> tuple[list[PositionChange], RoundTrip | None]:
        """Apply one fill; give the changes that it makes (two for a flip) and the round trip that it ends, if any."""
        assert size > 0, f"a fill of size {size}"
        held = abs(self.quantity)
        opens_side = held == 0 or (self.quantity > 0) == is_buy
        if opens_side:
            if held == 0:
                self._begin(time, order_id)
            self._open(is_buy, price, size, fee)
            return [self._change()], None
        closing = min(size, held)
        closing_fee = fee if closing == size else half_even(fee * closing, size)
        trip = self._close(price, closing, closing_fee, time, order_id)
        changes = [self._change()]
        if size > closing:
            self._begin(time, order_id)
            self._open(is_buy, price, size - closing, fee - closing_fee)
            changes.append(self._change())
        return changes, trip

    def _begin(self, time: int, order_id: int) -> None:
        self._entry_time = time
        self._first_order_id = order_id
        self._max_size = 0
        self._entry_size = self._entry_value = 0
        self._exit_size = self._exit_value = 0
        self._start_realised = self.realised
        self._start_fees = self.fees
        self._fills = 0

    def _open(self, is_buy: bool, price: int, size: int, fee: int) -> None:
        value = self._value(price, size)
        self.quantity += size if is_buy else -size
        self.cost += value
        self.fees += fee
        self._fills += 1
        self._entry_size += size
        self._entry_value += value
        self._max_size = max(self._max_size, abs(self.quantity))

    def _close(self, price: int, size: int, fee: int, time: int, order_id: int) -> RoundTrip | None:
        held = abs(self.quantity)
        is_long = self.quantity > 0
        value = self._value(price, size)
        released = self.cost if size == held else half_even(self.cost * size, held)
        self.realised += value - released if is_long else released - value
        self.cost -= released
        self.quantity -= size if is_long else -size
        self.fees += fee
        self._fills += 1
        self._exit_size += size
        self._exit_value += value
        if self.quantity:
            return None
        return RoundTrip(
            is_long=is_long,
            entry_time=self._entry_time,
            exit_time=time,
            max_size=self._max_size,
            entry_size=self._entry_size,
            entry_value=self._entry_value,
            exit_size=self._exit_size,
            exit_value=self._exit_value,
            gross=self.realised - self._start_realised,
            fees=self.fees - self._start_fees,
            fills=self._fills,
            first_order_id=self._first_order_id,
            last_order_id=order_id,
        )

    def _change(self) -> PositionChange:
        return PositionChange(self.quantity, self.cost, self.realised, self.fees)
