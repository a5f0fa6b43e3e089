"""Market hours: a rule in a zone's own time gives the sessions of DAY orders in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from replay import config
from replay.config.hours import sessions_of
from replay.config.sections import Hours, Instrument
from replay.errors import ConfigError

from .run_file import RUN_FILE, changed

NEW_YORK = {"zone": "America/New_York", "open": "09:30", "close": "16:00"}


def sessions(**hours: Any) -> list[tuple[str, str]]:
    spec = Instrument(symbol="A", tick="0.01", lot="1", quote="USD", hours=Hours(**hours))  # type: ignore[arg-type]
    found = sessions_of(spec)
    assert found is not None
    return [(_text(opens), _text(closes)) for opens, closes in found]


def _text(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%m-%d %H:%M")


def test_sessions_follow_the_zone_s_summer_time_and_leave_weekends_out() -> None:
    assert sessions(**NEW_YORK, first="2024-03-08", last="2024-03-11") == [
        ("03-08 14:30", "03-08 21:00"),
        ("03-11 13:30", "03-11 20:00"),
    ]


def test_days_may_be_closed_or_end_early() -> None:
    found = sessions(
        **NEW_YORK, first="2024-11-28", last="2024-11-30", closed=["2024-11-28"], early={"2024-11-29": "13:00"}
    )
    assert found == [("11-29 14:30", "11-29 18:00")]


def test_a_session_that_closes_before_it_opens_ends_on_the_next_day() -> None:
    found = sessions(
        zone="America/Chicago", open="17:00", close="16:00", first="2024-01-07", last="2024-01-08", days=["sun", "mon"]
    )
    assert found == [("01-07 23:00", "01-08 22:00"), ("01-08 23:00", "01-09 22:00")]


def test_sessions_that_are_listed_stay_as_they_are() -> None:
    listed = [("2024-01-02T14:30:00Z", "2024-01-02T21:00:00Z")]
    spec = Instrument(symbol="A", tick="0.01", lot="1", quote="USD", sessions=listed)  # type: ignore[arg-type]
    assert sessions_of(spec) == [(1_704_205_800 * 10**9, 1_704_229_200 * 10**9)]
    assert sessions_of(Instrument(symbol="A", tick="0.01", lot="1", quote="USD")) is None  # type: ignore[arg-type]


RULE = 'zone = "Europe/Berlin", open = "09:00", close = "17:30", first = "2024-01-02", last = "2024-01-31"'


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        ("Europe/Berlin", "Europe/Berln", "hours.zone: there is no time zone 'Europe/Berln'"),
        ("09:00", "9", "hours.open: '9' is no time of day"),
        ("17:30", "24:30", "hours.close: '24:30' is no time of day"),
        ("2024-01-31", "2024-02-31", "hours.last: '2024-02-31' is no date"),
        ("2024-01-31", "2024-01-01", "the last day 2024-01-01 is before the first one"),
        ("2024-01-31", "2924-01-31", "more than 40,000 days"),
        ('2024-01-31"', '2024-01-31", closed = ["soon"]', "hours.closed: 'soon' is no date"),
        ('2024-01-31"', '2024-01-31", early = { "2024-01-05" = "08:00" }', "no time of day after the open 09:00"),
        ('2024-01-31"', '2024-01-31", days = []', "hours.days: there is no session"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_key(before: str, after: str, fact: str) -> None:
    text = RUN_FILE.replace('base = "BTC"', f'base = "BTC"\nhours = {{ {RULE.replace(before, after)} }}')
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert fact in str(caught.value)


def test_hours_beside_sessions_are_refused() -> None:
    both = f'base = "BTC"\nhours = {{ {RULE} }}\nsessions = [["2024-01-02T08:00:00Z", "2024-01-02T16:00:00Z"]]'
    with pytest.raises(ConfigError, match="both say when it is open"):
        config.parse(changed('base = "BTC"', both))
