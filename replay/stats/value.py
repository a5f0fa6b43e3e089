"""The value: what a statistic came to, or why it has none.

May not live here: statistics, and what they are computed of.
"""

from __future__ import annotations

from dataclasses import dataclass


class Undefined(Exception):
    """A statistic has no value for these figures; the message says why, in a few words without a full stop."""


@dataclass(frozen=True)
class Value:
    """What a statistic came to: a finite number, or None with the reason."""

    value: float | int | None
    reason: str | None = None
