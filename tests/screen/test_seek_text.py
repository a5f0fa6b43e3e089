"""What may be typed where a seek asks for a time.

May not live here: the seek itself (tests/modes/test_seeking).
"""

from __future__ import annotations

import pytest

from replay.cli.seek import parse_seek
from replay.units import format_time, parse_time

NOW = "2024-08-08T14:30:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-08-09", "2024-08-09T00:00:00Z"),
        ("2024-08-08T10:00:00Z", "2024-08-08T10:00:00Z"),
        ("2024-08-08T10:00:00+02:00", "2024-08-08T08:00:00Z"),
        ("2024-08-08 10:00", "2024-08-08T10:00:00Z"),
        (" 9:05 ", "2024-08-08T09:05:00Z"),
        ("23:59:59.5", "2024-08-08T23:59:59.500Z"),
        ("+1h", "2024-08-08T15:30:00Z"),
        ("-30m", "2024-08-08T14:00:00Z"),
        ("-1d12h", "2024-08-07T02:30:00Z"),
    ],
)
def test_a_time_a_time_of_day_or_a_step(text: str, expected: str) -> None:
    assert format_time(parse_seek(text, parse_time(NOW))) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "+soon", "2024-13-01", "12"])
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_seek(text, parse_time(NOW))


@pytest.mark.parametrize("text", ["+1h", "14:30"])
def test_before_the_first_record_there_is_no_present_to_step_from(text: str) -> None:
    with pytest.raises(ValueError, match="no record was taken yet"):
        parse_seek(text, None)
    assert parse_seek("2024-08-08", None) == parse_time("2024-08-08")
