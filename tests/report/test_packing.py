"""Columns that are packed for a page come back as they were."""

from __future__ import annotations

import base64
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.report.packing import Packed, decimals_for, pack_bytes, pack_floats, pack_integers

INTEGERS = st.lists(st.integers(-(2**52) + 1, 2**52 - 1), max_size=60)


def unpack(packed: Packed) -> list[int]:
    """Undo packing in exact integers, as page/packing.js does it in doubles."""
    planes = zlib.decompress(base64.b64decode(packed.text), -zlib.MAX_WBITS)
    assert len(planes) == packed.count * packed.width
    values = [sum(planes[p * packed.count + i] << (8 * p) for p in range(packed.width)) for i in range(packed.count)]
    values = [value >> 1 if value % 2 == 0 else -(value >> 1) - 1 for value in values]
    for _ in range(packed.order):
        for i in range(1, packed.count):
            values[i] += values[i - 1]
    return values


@given(INTEGERS)
def test_integers_come_back_exactly(values: list[int]) -> None:
    assert unpack(pack_integers(values)) == values


@given(INTEGERS)
def test_every_step_of_unpacking_is_exact_in_a_double(values: list[int]) -> None:
    packed = pack_integers(values)
    planes = zlib.decompress(base64.b64decode(packed.text), -zlib.MAX_WBITS)
    coded = [sum(planes[p * packed.count + i] << (8 * p) for p in range(packed.width)) for i in range(packed.count)]
    assert all(float(value) == value and value < 2**53 for value in coded)


def test_evenly_spaced_times_cost_next_to_nothing() -> None:
    packed = pack_integers(1_700_000_000_000_000 + 60_000_000 * np.arange(100_000))
    assert packed.order == 2 and len(packed.text) < 4_000


def test_an_integer_that_a_page_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\^52"):
        pack_integers([2**52])


def test_floats_are_rounded_to_their_decimals_and_absent_ones_are_null() -> None:
    packed = pack_floats([1.25, math.nan, -3.5, 0.004], 2)
    assert packed.to_builtins()["nullable"] is True
    assert unpack(packed) == [125, -351, -350, 0]
    assert "nullable" not in pack_floats([1.0, 2.0], 2).to_builtins()


def test_large_floats_lose_decimals_rather_than_their_head() -> None:
    packed = pack_floats([1e14, 2e14], 8)
    assert packed.decimals < 8
    assert [value / 10**packed.decimals for value in unpack(packed)] == [1e14, 2e14]


def test_an_empty_column_is_packed() -> None:
    assert unpack(pack_integers([])) == [] and unpack(pack_floats([], 3)) == []


@pytest.mark.parametrize(("values", "decimals"), [([1_000_000.0], 2), ([0.05], 8), ([0.0], 2), ([1e12], 0)])
def test_decimals_follow_the_size_of_the_values(values: list[float], decimals: int) -> None:
    assert decimals_for(values, 8) == decimals


def test_bytes_come_back() -> None:
    assert zlib.decompress(base64.b64decode(pack_bytes(b"code" * 100)), -zlib.MAX_WBITS) == b"code" * 100
