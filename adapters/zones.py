"""Local times of a zone to UTC, as arrays.

May not live here: reading of text, and zones with a fixed offset (the decoders read those).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_STEP_NS = 900_000_000_000
"""Offsets change at quarters of an hour only (as they have since 1900 wherever markets are)."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (a local time, by intent)
_UTC_NAMES = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z", "Zulu", "Universal"})


def is_utc(zone: str) -> bool:
    """Say whether a zone's name means UTC at all times."""
    return zone in _UTC_NAMES


class LocalTimes:
    """Converts the local times of one zone. A time that occurs twice is taken for the first of the two."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._offsets_ns: dict[int, int] = {}

    def to_utc(self, local_ns: NDArray[Any]) -> NDArray[np.int64]:
        """Return ns since the epoch in UTC for ns since the epoch in local time."""
        steps, places = np.unique(local_ns // _STEP_NS, return_inverse=True)
        offsets_ns = np.array([self._offset_ns(int(step)) for step in steps], dtype=np.int64)
        return np.asarray(local_ns - offsets_ns[places], dtype=np.int64)

    def _offset_ns(self, step: int) -> int:
        known = self._offsets_ns.get(step)
        if known is None:
            local = (_EPOCH + timedelta(seconds=step * 900)).replace(tzinfo=self._zone)
            offset = local.utcoffset() or timedelta()
            known = (offset.days * 86_400 + offset.seconds) * 1_000_000_000
            self._offsets_ns[step] = known
        return known
