"""Where a user wants to seek to: what may be typed, as a time on the tape.

May not live here: the prompt that it is typed at, and the seek.
"""

from __future__ import annotations

import re

from replay.units import parse_duration, parse_time

SEEK_HELP = "2024-08-08, 2024-08-08T14:30:00Z, 14:30 (that day, UTC), +1h, -30m"

_DAY_NS = 86_400_000_000_000
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?", re.ASCII)


def parse_seek(text: str, now_ns: int | None) -> int:
    """Read a time, a time of day of the tape's present day (UTC), or a step from the present like `+1h` and `-30m`.

    now_ns: time on the tape, ns; None before its first record. Raises ValueError with what may be typed.
    """
    text = text.strip()
    is_step = text[:1] in ("+", "-")
    if now_ns is None and (is_step or _CLOCK.fullmatch(text)):
        raise ValueError(f"{text!r} needs a present, and no record was taken yet: give a whole time")
    if is_step:
        assert now_ns is not None
        step_ns = parse_duration(text[1:])
        return now_ns + step_ns if text[0] == "+" else now_ns - step_ns
    if _CLOCK.fullmatch(text):
        assert now_ns is not None
        clock = text if text.index(":") == 2 else f"0{text}"
        return now_ns // _DAY_NS * _DAY_NS + parse_time(f"1970-01-01T{clock}Z")
    if not text:
        raise ValueError(f"type a time: {SEEK_HELP}")
    try:
        return parse_time(text)
    except ValueError as error:
        if "names no time zone" in str(error):
            return parse_time(f"{text}Z")
        raise ValueError(f"{text!r} is no time: {SEEK_HELP}") from None
