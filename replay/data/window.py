"""The part of a source that a sample takes, by numbers of records and by times.

May not live here: reading and writing.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import UsageError
from replay.units import parse_time


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a source that a sample takes: records first..limit of the merged sources, received from..until."""

    first: int = 0
    limit: int | None = None
    from_ns: int | None = None
    until_ns: int | None = None

    def part(self, records: NDArray[Any], begin: int) -> NDArray[Any]:
        """Return the records in the window; `begin` is the number of the first of them."""
        end = len(records) if self.limit is None else max(0, min(len(records), self.limit - begin))
        part = records[max(0, min(len(records), self.first - begin)) : end]
        if self.from_ns is None and self.until_ns is None:
            return part
        times_ns = part["ts_recv"]
        inside = np.ones(len(part), dtype=np.bool_)
        if self.from_ns is not None:
            inside &= times_ns >= self.from_ns
        if self.until_ns is not None:
            inside &= times_ns < self.until_ns
        selected: NDArray[Any] = part[inside]
        return selected

    def is_past(self, count: int) -> bool:
        """Say whether no record after so many is in the window."""
        return self.limit is not None and count >= self.limit


def window_of(rows: str | None, first: str | None, until: str | None) -> Window:
    """Read a window from texts: `100:200` of records, RFC 3339 times or dates. Raises UsageError for what is none."""
    if rows is None and first is None and until is None:
        raise UsageError("a sample of everything is a conversion", remedy="give rows, from or until")
    begin, limit = (0, None) if rows is None else _row_range(rows)
    return Window(first=begin, limit=limit, from_ns=_time_ns("from", first), until_ns=_time_ns("until", until))


def _row_range(text: str) -> tuple[int, int | None]:
    begin, colon, end = text.partition(":")
    if not colon or not (begin or end) or not all(part.isdecimal() for part in (begin, end) if part):
        raise UsageError(f"rows {text!r} is no range", remedy="write it as 100:200, :50 or 1000:")
    first, limit = int(begin or 0), int(end) if end else None
    if limit is not None and limit <= first:
        raise UsageError(f"rows {text!r} holds no record", remedy="write the smaller number first, as in 100:200")
    return first, limit


def _time_ns(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
