"""Market hours as a rule: from a zone's times of day to a table of sessions in UTC.

May not live here: holidays of any exchange; the run file names its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from replay.config.sections import WEEKDAYS, Hours, Instrument

SESSIONS_MAX = 40_000


def sessions_of(spec: Instrument) -> list[tuple[int, int]] | None:
    """Give the opens and closes of an instrument (ns, UTC), in order: as listed, or by its hours; None if neither."""
    if spec.sessions is not None:
        return [(opens.ns, closes.ns) for opens, closes in spec.sessions]
    return None if spec.hours is None else list(_sessions(spec.hours))


def mistake_of(hours: Hours) -> tuple[str, str] | None:
    """Give the key of what is wrong with the hours, and what it is; None where nothing is."""
    try:
        ZoneInfo(hours.zone)
    except (KeyError, ValueError, OSError):
        return "zone", f"there is no time zone {hours.zone!r}: use a name such as 'America/New_York'"
    for key in ("open", "close"):
        if _time(getattr(hours, key)) is None:
            return key, f"{getattr(hours, key)!r} is no time of day: write it as '09:30'"
    for key in ("first", "last"):
        if _date(getattr(hours, key)) is None:
            return key, f"{getattr(hours, key)!r} is no date: write it as '2024-01-31'"
    for day in (*hours.closed, *hours.early):
        if _date(day) is None:
            return "closed" if day in hours.closed else "early", f"{day!r} is no date: write it as '2024-01-31'"
    opens = _time(hours.open)
    for day, close in hours.early.items():
        at = _time(close)
        if at is None or opens is None or at <= opens:
            return "early", f"the close {close!r} on {day} is no time of day after the open {hours.open}"
    if hours.first > hours.last:
        return "last", f"the last day {hours.last} is before the first one {hours.first}"
    first, last = _date(hours.first), _date(hours.last)
    if first is not None and last is not None and (last - first).days > SESSIONS_MAX:
        return "last", f"{hours.first} to {hours.last} are more than {SESSIONS_MAX:,} days"
    if next(iter(_sessions(hours)), None) is None:
        return "days", "there is no session between the first day and the last one"
    return None


def _sessions(hours: Hours) -> Iterator[tuple[int, int]]:
    zone = ZoneInfo(hours.zone)
    opens, closes = _time(hours.open), _time(hours.close)
    day, last = _date(hours.first), _date(hours.last)
    assert opens is not None and closes is not None and day is not None and last is not None, "the hours were checked"
    while day <= last:
        name = day.isoformat()
        if WEEKDAYS[day.weekday()] in hours.days and name not in hours.closed:
            end = _time(hours.early.get(name, "")) or closes
            # A session that ends at or before its open ends on the next day.
            end_day = day if end > opens else day + timedelta(days=1)
            yield _ns(day, opens, zone), _ns(end_day, end, zone)
        day += timedelta(days=1)


def _ns(day: date, at: time, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, at, zone).timestamp()) * 1_000_000_000


def _time(text: str) -> time | None:
    return time.fromisoformat(text) if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", text) else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None
