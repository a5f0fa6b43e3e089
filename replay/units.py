"""Durations, times and decimals as people write them, to exact integers and back.

No float, no clock and no time zone database may appear here: a time states its own offset.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation

NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
"""Nanoseconds of each unit of a duration."""

NS_LIMIT = 2**63
"""Times and durations lie in -NS_LIMIT..NS_LIMIT, as the 64-bit integers that hold them."""

_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h|d|w))+)", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|ms|s|m|h|d|w)", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?([Zz]|[+-]\d{2}:\d{2})?)?",
    re.ASCII,
)
_DECIMAL = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NS_PER_SECOND = 1_000_000_000
_NS_PER_DAY = 86_400_000_000_000


def parse_duration(text: str) -> int:
    """Read `250us`, `1m`, `1h30m`, `0.5s` or `-1200ms` as nanoseconds; raise ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number and one of {', '.join(NS_PER_UNIT)}, as in '30s'")
    total_ns = 0
    for whole, fraction, unit in _DURATION_PART.findall(match[2]):
        unit_ns = NS_PER_UNIT[unit]
        total_ns += int(whole) * unit_ns
        if fraction:
            part_ns, rest = divmod(int(fraction) * unit_ns, 10 ** len(fraction))
            if rest:
                raise ValueError(f"{text!r} is finer than a nanosecond")
            total_ns += part_ns
    if match[1] == "-":
        total_ns = -total_ns
    return _within_limit(total_ns, text)


def format_duration(duration_ns: int) -> str:
    """Write nanoseconds in the largest single unit up to days that is exact: 90 s is `90s`, 120 s is `2m`."""
    if duration_ns == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if duration_ns % NS_PER_UNIT[unit] == 0:
            return f"{duration_ns // NS_PER_UNIT[unit]}{unit}"
    return f"{duration_ns}ns"


def parse_time(text: str) -> int:
    """Read an RFC 3339 time with `Z` or an offset, or a date (its midnight in UTC), as ns since the Unix epoch.

    Raises ValueError for anything else, for a date-time without a zone, and outside 1677-09-21..2262-04-11.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time: write it as '2024-01-31' or '2024-01-31T14:30:00Z'")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: {error}") from None
    if hour is None:
        return _within_limit(days * _NS_PER_DAY, text)
    if zone is None:
        raise ValueError(f"{text!r} names no time zone: end it with Z for UTC, or with an offset like +02:00")
    clock = (int(hour), int(minute), int(second or 0))
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        raise ValueError(f"{text!r} is not a time of day (a leap second cannot be expressed)")
    seconds = days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    if zone not in "Zz":
        offset_hours, offset_minutes = int(zone[1:3]), int(zone[4:6])
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError(f"{text!r} has an impossible offset {zone}")
        offset = offset_hours * 3_600 + offset_minutes * 60
        seconds += offset if zone[0] == "-" else -offset
    return _within_limit(seconds * _NS_PER_SECOND + int((fraction or "").ljust(9, "0")), text)


def format_time(time_ns: int) -> str:
    """Write ns since the epoch as RFC 3339 in UTC, with 0, 3, 6 or 9 digits after the second as needed."""
    seconds, fraction = divmod(time_ns, _NS_PER_SECOND)
    days, second_of_day = divmod(seconds, 86_400)
    day = date.fromordinal(days + _EPOCH_DAY)
    clock = f"{second_of_day // 3_600:02d}:{second_of_day // 60 % 60:02d}:{second_of_day % 60:02d}"
    digits = f"{fraction:09d}"
    for kept in (0, 3, 6, 9):
        if int(digits[kept:] or 0) == 0:
            digits = digits[:kept]
            break
    return f"{day.isoformat()}T{clock}{'.' + digits if digits else ''}Z"


def parse_decimal(text: str) -> Decimal:
    """Read plain decimal text exactly; raise ValueError for exponents, NaN, infinities and anything else."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a decimal number: write it as '0.01'")
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover (the pattern admits nothing that Decimal refuses)
        raise ValueError(f"{text!r} is not a decimal number") from None


def decimal_places(text: str) -> int:
    """Count the digits after the point that matter: `0.010` has 2, `5` has 0."""
    fraction = text.partition(".")[2].rstrip("0")
    return len(fraction)


def scaled(text: str, decimals: int) -> int:
    """Return decimal text as an integer of 10^-decimals; raise ValueError if it is finer than that."""
    parse_decimal(text)
    if decimal_places(text) > decimals:
        raise ValueError(f"{text} has more than {decimals} decimals")
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.lstrip("+-").partition(".")
    return sign * int(whole + fraction[:decimals].ljust(decimals, "0"))


def _within_limit(value_ns: int, text: str) -> int:
    if not -NS_LIMIT < value_ns < NS_LIMIT:
        raise ValueError(f"{text!r} does not fit 64-bit nanoseconds (1677-09-21 to 2262-04-11, or 292 years)")
    return value_ns
