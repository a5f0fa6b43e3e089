"""Values as text: each unit of statistics as people read it.

May not live here: which values are shown, and in which order.
"""

from __future__ import annotations

from itertools import pairwise


def show(value: float | None, kind: str) -> str:
    """Write one value as its kind: percent, ratio, money, times, count, number, duration, bps; `n/a` for None."""
    if value is None:
        return "n/a"
    match kind:
        case "percent":
            return f"{value * 100:,.2f} %"
        case "money" | "number":
            return f"{value:,.2f}"
        case "ratio":
            return f"{value:,.3f}"
        case "times":
            return f"{value:,.2f} x"
        case "bps":
            return f"{value * 10_000:,.2f} bp"
        case "count":
            return f"{value:,}"
        case "duration":
            return show_duration(int(value))
    raise ValueError(f"unknown kind {kind!r}")


def show_duration(nanoseconds: int) -> str:
    """Write a duration with its two largest units: `3 d 4 h`, `12 min 5 s`, `0.250 s`."""
    seconds = nanoseconds // 1_000_000_000
    if seconds < 60:
        return f"{nanoseconds / 1e9:.3f} s"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (unit, name), (smaller, smaller_name) in pairwise(units):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit:,} {name} {rest} {smaller_name}" if rest else f"{seconds // unit:,} {name}"
    raise AssertionError("a minute or more has a unit")
