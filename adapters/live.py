"""What live feeds share: stamping of arrivals, reading of a URI's options, and waiting.

May not live here: where the records come from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from numpy.typing import NDArray

from replay.errors import ConfigError, choose

if TYPE_CHECKING:
    from replay.config import FeedSpec
    from replay.feeds.feed import ReceiveTime


class Stamper:
    """Stamps records with the time of their arrival, which never goes back."""

    def __init__(self) -> None:
        self._last_ns = 0

    def stamp(self, records: NDArray[Any]) -> None:
        """Set ts_recv of all records to now."""
        self._last_ns = max(self._last_ns, time.time_ns())
        records["ts_recv"] = self._last_ns


def receive_time(spec: FeedSpec) -> ReceiveTime:
    """Say what a live feed does with receive times: keeps those that the data have, else stamps."""
    if spec.receive_time is not None:
        return spec.receive_time
    return "stamp" if spec.receive is None else "keep"


def options(spec: FeedSpec, choices: tuple[str, ...], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """Read the options behind the `?` of a URI; raise ConfigError for one that does not exist."""
    query = spec.uri.partition("?")[2]
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in choices and not name.startswith(prefixes or ("\0",)):
            listed = [*choices, *(f"{prefix}SYMBOL" for prefix in prefixes)]
            raise ConfigError(f"{spec.uri!r} has the unknown option {name!r}", remedy=choose(name, listed))
        found[name] = value
    return found


def whole_number(spec: FeedSpec, name: str, text: str, least: int, most: int) -> int:
    """Read an option as an integer; raise ConfigError if it is none, or is out of range."""
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"{spec.uri!r}: {name} must be a whole number, not {text!r}") from None
    if not least <= value <= most:
        raise ConfigError(f"{spec.uri!r}: {name} must be between {least} and {most}, not {value}")
    return value
