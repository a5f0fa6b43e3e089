"""Netting positions at average cost: KNOWN_GOOD A01 and A03, rounding of the released cost, flips."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.result.positions import Position, half_even


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (5, 10, 0),
        (15, 10, 2),
        (25, 10, 2),
        (-5, 10, 0),
        (-15, 10, -2),
        (-25, 10, -2),
        (16, 10, 2),
        (-16, 10, -2),
        (14, 10, 1),
        (-14, 10, -1),
        (7, 1, 7),
        (1, 3, 0),
        (2, 3, 1),
        (-2, 3, -1),
    ],
)
def test_half_even_rounds_ties_to_the_even_neighbour(numerator: int, denominator: int, expected: int) -> None:
    assert half_even(numerator, denominator) == expected


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_half_even_is_what_exact_fractions_round_to(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_a01_average_price_and_realised_of_five_fills() -> None:
    # Amounts in units of 1e-8; the fee is 0.01 % of the notional and counts in the published P&L.
    unit = 10**8
    position = Position(unit)
    published = []
    for is_buy, size, price in [(True, 12, 100), (True, 17, 99), (False, 9, 101), (False, 4, 105), (True, 3, 103)]:
        fee = price * size * unit // 10_000
        (change,) = position.fill(is_buy, price, size, fee)
        net = (change.realised - change.fees) / unit
        published.append((change.quantity, change.cost / unit / change.quantity, net))
    assert published[1] == pytest.approx((29, 99.41379310344827, -0.28830000), rel=1e-12)
    assert published[2][0] == 20 and published[2][2] == pytest.approx(13.89666207, abs=5e-9)
    assert published[3][0] == 16 and published[3][2] == pytest.approx(36.19948966, abs=5e-9)
    assert published[4][0] == 19
    assert published[4][1] == pytest.approx(99.98003629764065, rel=1e-9)
    assert published[4][2] == pytest.approx(36.16858966, abs=5e-9)


def test_a03_a_flip_is_one_fill_two_changes_with_the_fee_shared_in_proportion() -> None:
    # Prices in 1e-5, amounts in 1e-7 (so that 2.2506 is exact). The source books the whole fee of the flipping fill on
    # both parts (16.25 and -2.25); here it is shared by size: 100,000 of 150,000.
    position = Position(100)
    position.fill(True, 75_000, 100_000, 15_000_000)
    closed, opened = position.fill(False, 75_020, 150_000, 22_506_000)
    assert (closed.quantity, opened.quantity) == (0, -50_000)
    assert closed.realised == 200_000_000 and closed.fees == 15_000_000 + 15_004_000
    assert opened.realised == 200_000_000 and opened.fees == 15_000_000 + 22_506_000
    (change,) = position.fill(True, 75_030, 50_000, 7_503_000)
    assert change.realised == 200_000_000 - 50_000_000 and change.quantity == 0


def test_closing_a_part_releases_the_cost_half_even_and_the_last_close_all_of_it() -> None:
    position = Position()
    for price, size in ((1, 1), (2, 1), (2, 2)):
        position.fill(True, price, size, 0)
    assert position.cost == 7
    (change,) = position.fill(False, 10, 2, 0)
    assert change.cost == 7 - 4 and change.realised == 20 - 4  # 3.5 rounds to 4
    (change,) = position.fill(False, 10, 2, 0)
    assert change.cost == 0 and change.realised == 40 - 7


FILLS = st.lists(st.tuples(st.booleans(), st.integers(1, 500), st.integers(1, 9), st.integers(-3, 20)), max_size=60)


@given(FILLS)
def test_realised_and_cost_always_add_up_to_the_cash_that_flowed(fills: list[tuple[bool, int, int, int]]) -> None:
    position = Position()
    cash = fees = quantity = 0
    for is_buy, price, size, fee in fills:
        changes = position.fill(is_buy, price, size, fee)
        cash += -price * size if is_buy else price * size
        quantity += size if is_buy else -size
        fees += fee
        assert changes[-1] == (quantity, position.cost, position.realised, fees)
        assert len(changes) == 1 or (len(changes) == 2 and changes[0].quantity == 0)
        signed_cost = position.cost if quantity > 0 else -position.cost
        assert position.realised - signed_cost == cash
