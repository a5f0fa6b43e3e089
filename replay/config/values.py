"""The exact values of a run file that TOML has no type for: decimals, durations, times, kept as checked text.

No section of the run file is named here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Self

from replay import units

_SIZE_UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(_SIZE_UNITS)})")


class Text(str):
    """Text that was checked when it was read and that stands for an exact value."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a value from TOML or Python; raise ValueError with the remedy."""
        raise NotImplementedError


class DecimalText(Text):
    """A decimal number: TOML text or integer, never a float."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text, int or Decimal; a float has already lost its exact value and is refused."""
        if isinstance(value, float):
            raise ValueError(f'must be exact, but {value!r} is a binary float: quote it, as in "{value!r}"')
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            value = f"{value:f}" if isinstance(value, Decimal) else str(value)
        if not isinstance(value, str):
            raise ValueError(f'must be a decimal number in quotes, as in "0.01", not {kind_of(value)}')
        units.parse_decimal(value)
        return cls(value)

    @property
    def value(self) -> Decimal:
        """The exact value."""
        return Decimal(str(self))


class ShareText(Text):
    """A part of a whole in percent, such as `10%` or `0.5%`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text with its percent sign: a bare number would not say of what it is."""
        if not isinstance(value, str) or not value.endswith("%"):
            raise ValueError(f'must be a percentage in quotes, as in "10%", not {value!r}')
        share = units.parse_decimal(value[:-1].strip())
        if not 0 < share <= 100:
            raise ValueError(f"must be above 0% and at most 100%, not {value!r}")
        if units.decimal_places(str(share)) > 4:
            raise ValueError(f"must have at most 4 decimals, not {value!r}")
        return cls(value)

    @property
    def value(self) -> Decimal:
        """The part as a number: 10% is 0.1."""
        return units.parse_decimal(str(self)[:-1].strip()) / 100


class SizeText(Text):
    """A number of bytes with its unit, such as `500MB` or `2GiB`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text only: a bare number would not say its unit."""
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f'must be a size with its unit in quotes, as in "2GiB" or "500MB", not {value!r}')
        return cls(value)

    @property
    def bytes(self) -> int:
        """The size in bytes."""
        match = _SIZE.fullmatch(str(self))
        assert match is not None, "it was checked when it was read"
        return int(Decimal(match[1]) * _SIZE_UNITS[match[2]])


class DurationText(Text):
    """A duration such as `250us`, `30s`, `1d`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text only: a bare number would not say its unit."""
        if not isinstance(value, str):
            raise ValueError(f'must be a duration with its unit in quotes, as in "30s", not {kind_of(value)}')
        units.parse_duration(value)
        return cls(value)

    @property
    def ns(self) -> int:
        """The duration in nanoseconds."""
        return units.parse_duration(str(self))


class TimeText(Text):
    """A time in RFC 3339 with its zone, or a date in UTC."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text: an unquoted TOML time is cut at the microsecond before it gets here, so it is refused."""
        if not isinstance(value, str):
            raise ValueError(f'must be a time in quotes, as in "2024-01-31T14:30:00Z", not {kind_of(value)}')
        units.parse_time(value)
        return cls(value)

    @property
    def ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return units.parse_time(str(self))


def kind_of(value: object) -> str:
    """Name the kind of a TOML value in words."""
    for kinds, name in (
        ((bool,), "true or false"),
        ((int,), "an integer"),
        ((float,), "a float"),
        ((str,), "text"),
        ((Mapping,), "a table"),
        ((list, tuple), "a list"),
    ):
        if isinstance(value, kinds):
            return name
    return "an unquoted time" if hasattr(value, "isoformat") else type(value).__name__
