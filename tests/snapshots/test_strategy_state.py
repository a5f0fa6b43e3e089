"""A strategy's state as bytes: bit for bit, in order, with what is shared shared, and what cannot be kept named."""

from __future__ import annotations

import collections
import enum
import math
import struct
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replay.strategy_state import UnsupportedState, decode, encode


class Side(enum.Enum):
    LONG = 1
    SHORT = "s"


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: float


Bare = collections.namedtuple("Bare", "a b")  # noqa: PYI024


def again(value: Any) -> Any:
    return decode(encode(value, module=__name__), module=__name__)


def same(left: Any, right: Any) -> bool:
    """Compare as a strategy could: types, bits of floats, order, dtype."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    if isinstance(left, np.ndarray):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same(a, b) and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(left, list | tuple | deque):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Decimal):
        return bool(left.as_tuple() == right.as_tuple())
    return bool(left == right)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
    | st.text()
    | st.text(st.characters(categories=["Cs", "L"]))
    | st.binary()
    | st.decimals(allow_nan=True)
    | st.sampled_from([*Side, Level.LOW, Level.LOW | Level.HIGH])
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.sampled_from(list(Side)) | st.booleans()
ARRAYS = hnp.arrays(
    dtype=hnp.scalar_dtypes() | hnp.array_dtypes(allow_subarrays=False),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(KEYS, inner, max_size=6).map(OrderedDict)
        | st.tuples(st.none() | st.integers(0, 9), st.lists(inner, max_size=9)).map(
            lambda pair: deque(pair[1], maxlen=pair[0])
        )
        | st.frozensets(KEYS, max_size=5)
        | st.sets(KEYS, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_is_supported_comes_back_as_it_was(value: Any) -> None:
    assert same(again(value), value)


@given(VALUES)
def test_the_same_value_gives_the_same_bytes_again(value: Any) -> None:
    data = encode(value, module=__name__)
    assert encode(value, module=__name__) == data


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_and_never_run(data: bytes) -> None:
    try:
        decode(data)
    except UnsupportedState:
        return
    # What happens to be readable is a plain value.


@pytest.mark.parametrize("limit", [None, 0, 3, 20])
def test_a_deque_keeps_its_limit(limit: int | None) -> None:
    made = again(deque(range(10), maxlen=limit))
    assert made.maxlen == limit
    assert list(made) == list(deque(range(10), maxlen=limit))


def test_nan_payloads_signed_zeros_and_infinities_are_kept_to_the_bit() -> None:
    odd = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8DEADBEEF0001, 0xFFF0000000000001, 1)]
    odd += [-0.0, math.inf, -math.inf, 5e-324]
    for values in (odd, odd * 5):
        assert [struct.pack("<d", value) for value in again(values)] == [struct.pack("<d", value) for value in values]


def test_bool_and_int_do_not_become_each_other_in_long_lists() -> None:
    values = [True, 1, 0, False] * 5
    assert [type(value) for value in again(values)] == [type(value) for value in values]


def test_long_lists_of_ints_beyond_64_bits_are_kept() -> None:
    values = [2**63, -(2**63), 2**200, -(2**200), *range(20)]
    assert again(values) == values


def test_a_list_with_two_names_is_one_list_again() -> None:
    inner: list[int] = [1]
    made = again({"a": inner, "b": inner, "c": [1]})
    assert made["a"] is made["b"]
    assert made["c"] is not made["a"]


def test_a_container_may_hold_itself() -> None:
    loop: dict[str, Any] = {"items": []}
    loop["items"].append(loop)
    made = again(loop)
    assert made["items"][0] is made


def test_a_tuple_that_holds_itself_is_refused_by_name() -> None:
    inside: list[Any] = []
    loop = (inside,)
    inside.append(loop)
    with pytest.raises(UnsupportedState, match=r"value\[0\]\[0\] is a tuple that holds itself"):
        encode(loop)


def test_views_of_one_array_share_its_memory_again() -> None:
    buffer = np.arange(24.0)
    state = {"buffer": buffer, "window": buffer[4:20:2], "grid": buffer.reshape(4, 6).T, "back": buffer[::-1]}
    made = again(state)
    made["buffer"][4] = -1.0
    assert made["window"][0] == -1.0
    assert made["grid"][4, 0] == -1.0
    assert made["back"][19] == -1.0
    assert np.array_equal(made["window"], np.array([-1.0, *buffer[6:20:2]]))
    assert made["grid"].strides == state["grid"].strides


def test_the_layout_of_an_array_in_memory_is_kept() -> None:
    for array in (
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2).copy("K"),
    ):
        made = again(array)
        assert made.strides == array.strides
        assert np.array_equal(made, array)


def test_a_read_only_array_stays_read_only() -> None:
    array = np.arange(3)
    array.flags.writeable = False
    assert not again(array).flags.writeable
    assert again(np.arange(3)).flags.writeable


def test_numpy_scalars_keep_their_type() -> None:
    for value in (
        np.float64(0.1),
        np.float32("nan"),
        np.int8(-3),
        np.bool_(True),
        np.datetime64(5, "ns"),
        np.str_("x"),
    ):
        made = again(value)
        assert type(made) is type(value)
        assert made.tobytes() == value.tobytes()


def test_named_tuples_and_enums_keep_their_class() -> None:
    made = again([Point(1, 2.5), Bare(1, [2]), Side.SHORT, Level.LOW | Level.HIGH])
    assert made == [Point(1, 2.5), Bare(1, [2]), Side.SHORT, Level.LOW | Level.HIGH]
    assert [type(value) for value in made] == [Point, Bare, Side, Level]


def test_counters_and_default_dicts_go_on_as_they_were() -> None:
    counter, table = again([Counter("abca"), defaultdict(list, {"x": [1]})])
    assert type(counter) is Counter
    assert counter["missing"] == 0
    table["new"].append(2)
    assert table == {"x": [1], "new": [2]}


class Model:
    pass


class OwnList(list[int]):
    pass


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"x": [0, Model()]}, r"value\['x'\]\[1\] is a .*Model"),
        (OwnList([1]), r"value is a .*OwnList"),
        (defaultdict(lambda: 3), "only plain types are kept"),
        (np.array([object()]), "array of Python objects"),
        (threading.Lock(), "value is a _thread.lock"),
        (lambda: 1, "value is a function"),
        ({(1, Model()): 2}, "a key of value"),
        (np.frombuffer(bytearray(8), dtype=np.uint8), "in the memory of a memoryview"),
        (1j, "value is a complex"),
    ],
)
def test_other_types_are_refused_with_the_place_and_the_type(value: Any, named: str) -> None:
    with pytest.raises(UnsupportedState, match=named):
        encode(value)


def test_nesting_has_a_limit() -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value]
    with pytest.raises(UnsupportedState, match="more than 100 containers deep"):
        encode(value)


def test_a_class_that_is_not_loaded_is_not_loaded_by_a_snapshot() -> None:
    data = encode(Point(1, 2.0), module=__name__)
    with pytest.raises(UnsupportedState, match="there is no class Point"):
        decode(data, module="tests")
