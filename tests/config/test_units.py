"""Durations, times and decimals: exact in both directions, and every malformed text refused.

No run file is read here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import units

NS_VALUES = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("0ms", 0),
        ("0s", 0),
        ("2h", 7_200_000_000_000),
        ("1m", 60_000_000_000),
        ("30s", 30_000_000_000),
        ("1d", 86_400_000_000_000),
        ("1w", 7 * 86_400_000_000_000),
        ("250us", 250_000),
        ("1ns", 1),
        ("1h30m", 5_400_000_000_000),
        ("0.5s", 500_000_000),
        ("1.000000001s", 1_000_000_001),
        ("-1200ms", -1_200_000_000),
        ("+5s", 5_000_000_000),
        (" 5s ", 5_000_000_000),
    ],
)
def test_a_duration_is_read_exactly(text: str, expected_ns: int) -> None:
    assert units.parse_duration(text) == expected_ns


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "5x", "1.5", "0.5ns", "1.0000000001s", "--5s", "5s-", "1e3s", "٣s", "300000d", "nan"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|nanosecond"):
        units.parse_duration(text)


@given(NS_VALUES)
def test_a_duration_survives_being_written_and_read(duration_ns: int) -> None:
    assert units.parse_duration(units.format_duration(duration_ns)) == duration_ns


@pytest.mark.parametrize(
    ("duration_ns", "text"), [(0, "0s"), (90_000_000_000, "90s"), (120_000_000_000, "2m"), (1, "1ns")]
)
def test_a_duration_is_written_in_its_largest_exact_unit(duration_ns: int, text: str) -> None:
    assert units.format_duration(duration_ns) == text


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("2022-01-01T00:00:00Z", 1_640_995_200_000_000_000),
        ("2022-01-01t00:00:00z", 1_640_995_200_000_000_000),
        ("2022-01-01 00:00:00Z", 1_640_995_200_000_000_000),
        ("2022-01-01T02:00:00+02:00", 1_640_995_200_000_000_000),
        ("2021-12-31T18:30:00-05:30", 1_640_995_200_000_000_000),
        ("2024-08-08T14:30:00.123456789Z", 1_723_127_400_123_456_789),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2024-02-29T12:00Z", 1_709_208_000_000_000_000),
    ],
)
def test_a_time_is_read_exactly(text: str, expected_ns: int) -> None:
    assert units.parse_time(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2022",
        "2022-13-01",
        "2023-02-29",
        "2022-01-01T25:00:00Z",
        "2022-01-01T23:60:00Z",
        "2016-12-31T23:59:60Z",
        "2022-01-01T00:00:00",
        "2022-01-01T00:00:00.1234567891Z",
        "2022-01-01T00:00:00+25:00",
        "2300-01-01",
        "1600-01-01",
        "01/02/2022",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        units.parse_time(text)


@given(NS_VALUES)
def test_a_time_survives_being_written_and_read(time_ns: int) -> None:
    assert units.parse_time(units.format_time(time_ns)) == time_ns


@given(
    st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2250, 1, 1)),  # noqa: DTZ001 (the zone is drawn)
    st.integers(min_value=-23 * 60, max_value=23 * 60),
)
def test_times_agree_with_the_standard_library(moment: datetime, offset_minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    since_epoch = aware - datetime(1970, 1, 1, tzinfo=UTC)
    expected_ns = (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000_000 + since_epoch.microseconds * 1_000
    assert units.parse_time(aware.isoformat()) == expected_ns


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_a_decimal_scales_exactly(value: Decimal) -> None:
    text = f"{value:f}"
    assert units.scaled(text, 8) == int(value * 10**8)
    assert units.parse_decimal(text) == value


@pytest.mark.parametrize("text", ["", "1e3", "nan", "inf", "-", ".5", "5.", "1,000", "0x1", " 1", "1_000", "٣"])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        units.parse_decimal(text)


def test_a_decimal_finer_than_its_scale_is_refused() -> None:
    assert units.scaled("0.010", 2) == 1
    assert units.scaled("-0.01", 2) == -1
    with pytest.raises(ValueError, match="more than 2 decimals"):
        units.scaled("0.001", 2)


@pytest.mark.parametrize(("text", "places"), [("5", 0), ("0.01", 2), ("0.010", 2), ("1.0", 0), ("0.00001", 5)])
def test_decimal_places_ignore_trailing_zeros(text: str, places: int) -> None:
    assert units.decimal_places(text) == places
