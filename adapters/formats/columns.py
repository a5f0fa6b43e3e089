"""Rows that come as columns of numbers, to records: exact scaling, the checks of a row, dead rows with their numbers.

May not live here: where columns come from (arrow, npz, dbn), and text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError
from replay.feeds.feed import DeadLetter
from replay.feeds.format import Scale
from replay.records import FLAG_BAR_LENGTH_MASK, Kind, empty

RAW_MAX = 1 << 60
"""The largest number of a record, as the sequencer has it."""

DECIMALS_MAX = 12
"""More decimals than these are not looked for in numbers that a file holds as floats."""

_EXACT = float(1 << 53)

PRICES = {
    "quote": ("bid", "ask"),
    "trade": ("price",),
    "bar": ("open", "high", "low", "close"),
}
SIZES = {"quote": ("bid_size", "ask_size"), "trade": ("size",), "bar": ("volume",)}
_FIELDS = {
    "quote": {"bid": "a", "ask": "b", "bid_size": "c", "ask_size": "d"},
    "trade": {"price": "a", "size": "b"},
    "bar": {"open": "a", "high": "b", "low": "c", "close": "d", "volume": "e"},
}


class Numbers(NamedTuple):
    """A column: floats (each stands for a decimal), or integers of 10^-decimals.

    decimals: of integers. missing: rows without a value, or None where there are none.
    """

    values: NDArray[Any]
    decimals: int = 0
    missing: NDArray[np.bool_] | None = None

    def part(self, rows: NDArray[np.bool_]) -> Numbers:
        """Return some rows."""
        return Numbers(self.values[rows], self.decimals, None if self.missing is None else self.missing[rows])


class Columns(msgspec.Struct, kw_only=True):
    """Some rows of one kind of records.

    symbols: the index into `names` of each row's symbol; None where all rows are of `names[0]`.
    times_ns, receive_ns: ns, UTC; bars at their end. bad_times: rows whose time cannot be read.
    side: of records, a number of `Side` for each row; of bars, of which price they are.
    """

    kind: str
    names: list[str]
    times_ns: NDArray[np.int64]
    numbers: dict[str, Numbers]
    symbols: NDArray[np.int64] | None = None
    receive_ns: NDArray[np.int64] | None = None
    bad_times: NDArray[np.bool_] | None = None
    ids: NDArray[np.int64] | None = None
    side: NDArray[Any] | int = 0
    bar_index: int = 0


class Made(NamedTuple):
    """What became of columns: records, the rows of each, dead rows with their reason and column, counts."""

    records: NDArray[Any]
    rows: NDArray[np.int64]
    dead: list[tuple[int, str, str]]
    not_named: int
    rounded: int


def make_records(columns: Columns, scales: Mapping[str, Scale], place: str, *, round_excess: bool) -> Made:
    """Make records of rows, in their order; rows of symbols without a scale are left out.

    Raises DataError for a number with more decimals than its instrument has, unless they are rounded.
    """
    count = len(columns.times_ns)
    records = empty(count)
    records["ts_event"] = columns.times_ns
    records["ts_recv"] = columns.times_ns if columns.receive_ns is None else columns.receive_ns
    records["kind"] = Kind[columns.kind.upper()]
    records["side"] = columns.side
    if columns.ids is not None:
        records["c"] = columns.ids
    if columns.kind == "bar":
        records["flags"] = columns.bar_index & FLAG_BAR_LENGTH_MASK
    reasons = _Reasons(count)
    if columns.bad_times is not None:
        reasons.add(columns.bad_times, "bad_time", "time")
    for field, numbers in columns.numbers.items():
        _check_values(numbers, field, reasons)
    is_named = np.zeros(count, dtype=np.bool_)
    rounded = 0
    for number, name in enumerate(columns.names):
        scale = scales.get(name)
        mine = np.ones(count, dtype=np.bool_) if columns.symbols is None else columns.symbols == number
        if scale is None or not mine.any():
            continue
        is_named |= mine
        records["instrument"][mine] = scale.index
        for field, numbers in columns.numbers.items():
            decimals = scale.price_decimals if field in PRICES[columns.kind] else scale.size_decimals
            part = numbers.part(mine)
            raw, excess = scaled(part, decimals)
            if excess.any():
                if not round_excess:
                    raise _excess(part, excess, mine, decimals, name, field, place)
                rounded += int(np.count_nonzero(excess))
            records[_FIELDS[columns.kind][field]][mine] = np.where(np.abs(raw) > RAW_MAX, 0, raw)
            overflows = np.zeros(count, dtype=np.bool_)
            overflows[mine] = np.abs(raw) > RAW_MAX
            reasons.add(overflows, "overflow", field)
        if not scale.allow_negative_price:
            _check_prices(
                columns.kind, records, mine, reasons, has_sizes=bool(set(SIZES[columns.kind]) & set(columns.numbers))
            )
    _check_shape(columns, records, reasons)
    reasons.keep(is_named)
    good = is_named & (reasons.codes == 0)
    return Made(records[good], np.flatnonzero(good), reasons.listed(), count - int(np.count_nonzero(is_named)), rounded)


def scaled(numbers: Numbers, decimals: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return numbers as integers of 10^-decimals, and which of them had to be rounded.

    A float stands for the decimal that is at most one unit of its last binary place away: files carry such noise.
    What does not fit becomes RAW_MAX + 1; NaN and missing values become 0.
    """
    values = numbers.values
    if values.dtype.kind in "iu":
        return _scaled_integers(values, numbers.decimals, decimals)
    is_finite = np.isfinite(values)
    plain = values if is_finite.all() else np.where(is_finite, values, 0.0)
    factor = 10.0**decimals
    with np.errstate(over="ignore"):
        rounded = np.rint(plain * factor)
    is_large = np.abs(rounded) >= _EXACT
    raw = (np.where(is_large, 0.0, rounded) if is_large.any() else rounded).astype(np.int64)
    excess = rounded / factor != plain
    noisy = np.flatnonzero(excess)
    if len(noisy):
        apart = np.abs(rounded[noisy] / factor - plain[noisy])
        excess[noisy] = (apart > np.spacing(np.abs(plain[noisy]))) & ~is_large[noisy]
    for place in np.flatnonzero(is_large):  # beyond 2^53 the product is not exact: by the float's decimal text
        raw[place] = _scaled_text(repr(float(plain[place])), decimals)
    return raw, excess


def decimals_of(columns: list[Numbers]) -> int | None:
    """Count the decimals that all of these numbers need; None where some need more than are looked for."""
    needed = 0
    for numbers in columns:
        values = numbers.values
        if values.dtype.kind in "iu":
            needed = max(needed, _integer_decimals(values, numbers.decimals))
            continue
        left = np.unique(values[np.isfinite(values)])
        decimals = 0
        while len(left):
            _, excess = scaled(Numbers(left), decimals)
            left = left[excess]
            if len(left):
                decimals += 1
            if decimals > DECIMALS_MAX:
                return None
        needed = max(needed, decimals)
    return needed


def dead_letters(made: Made, place: str, first_row: int, text_of: Callable[[int], str]) -> list[DeadLetter]:
    """Write dead rows as letters; `text_of` gives a row's values as text, rows of the file are counted from 1."""
    return [
        DeadLetter(reason, text_of(row).encode(), f"{place}:{first_row + row + 1}, column {field!r}")
        for row, reason, field in made.dead
    ]


def _scaled_integers(values: NDArray[Any], have: int, decimals: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    raw = values.astype(np.int64)
    if decimals >= have:
        factor = 10 ** (decimals - have)
        too_large = np.abs(raw) > RAW_MAX // factor
        return np.where(too_large, RAW_MAX + 1, np.where(too_large, 0, raw) * factor), np.zeros(len(raw), np.bool_)
    divisor = 10 ** (have - decimals)
    quotient, rest = np.divmod(raw, divisor)
    half = rest * 2
    quotient += (half > divisor) | ((half == divisor) & (quotient % 2 == 1))
    return quotient, rest != 0


def _scaled_text(text: str, decimals: int) -> int:
    whole = Decimal(text).scaleb(decimals).to_integral_value(ROUND_HALF_EVEN)
    return int(whole) if abs(whole) <= RAW_MAX else RAW_MAX + 1


def _integer_decimals(values: NDArray[Any], have: int) -> int:
    divisor = int(np.gcd.reduce(values.astype(np.int64), initial=0))
    while have > 0 and divisor % 10 == 0:
        divisor, have = divisor // 10, have - 1
        if divisor == 0:
            return 0
    return have


class _Reasons:
    """The first reason of each row that is dead."""

    def __init__(self, count: int) -> None:
        self.codes = np.zeros(count, dtype=np.int64)
        self._names: list[tuple[str, str]] = [("", "")]

    def add(self, rows: NDArray[np.bool_], reason: str, field: str) -> None:
        """Give rows that have none yet a reason."""
        if rows.any():
            self._names.append((reason, field))
            self.codes = np.where((self.codes == 0) & rows, len(self._names) - 1, self.codes)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget the reasons of all other rows."""
        self.codes = np.where(rows, self.codes, 0)

    def listed(self) -> list[tuple[int, str, str]]:
        """List row, reason and field."""
        return [(int(row), *self._names[self.codes[row]]) for row in np.flatnonzero(self.codes)]


def _check_values(numbers: Numbers, field: str, reasons: _Reasons) -> None:
    if numbers.missing is not None:
        reasons.add(numbers.missing, "missing_field", field)
    if numbers.values.dtype.kind == "f":
        is_absent = np.zeros(len(numbers.values), np.bool_) if numbers.missing is None else numbers.missing
        reasons.add(~np.isfinite(numbers.values) & ~is_absent, "not_finite", field)


def _check_prices(
    kind: str, records: NDArray[Any], mine: NDArray[np.bool_], reasons: _Reasons, *, has_sizes: bool
) -> None:
    """Refuse prices at or below zero; a side of a quote without a size has no price to refuse."""
    if kind == "quote":
        for price, size, field in (("a", "c", "bid"), ("b", "d", "ask")):
            is_there = records[size] != 0 if has_sizes else np.ones(len(records), np.bool_)
            reasons.add(mine & is_there & (records[price] <= 0), "bad_price", field)
        return
    price, field = ("a", "price") if kind == "trade" else ("c", "low")
    reasons.add(mine & (records[price] <= 0), "bad_price", field)


def _check_shape(columns: Columns, records: NDArray[Any], reasons: _Reasons) -> None:
    """Refuse negative sizes, trades of nothing, and bars whose extremes do not enclose open and close."""
    for field in SIZES[columns.kind]:
        if field in columns.numbers:
            size = records[_FIELDS[columns.kind][field]]
            reasons.add(size < 0, "bad_size", field)
            if columns.kind == "trade":
                reasons.add(size == 0, "bad_size", field)
    if columns.kind == "bar":
        opens, highs, lows, closes = (records[name] for name in "abcd")
        reasons.add(lows > np.minimum(opens, closes), "bad_bar", "low")
        reasons.add(highs < np.maximum(opens, closes), "bad_bar", "high")


def _excess(
    part: Numbers, excess: NDArray[np.bool_], mine: NDArray[np.bool_], decimals: int, name: str, field: str, place: str
) -> DataError:
    first = int(np.flatnonzero(excess)[0])
    row = int(np.flatnonzero(mine)[first])
    value = part.values[first]
    text = repr(float(value)) if part.values.dtype.kind == "f" else str(Decimal(int(value)).scaleb(-part.decimals))
    return DataError(
        f"{text} has more than the {decimals} decimals of {name}",
        reason="excess_decimals",
        place=f"{place}, row {row + 1} of its part, column {field!r}",
        remedy='set price_decimals or size_decimals of the instrument, or excess_decimals = "round" for the feed',
    )
