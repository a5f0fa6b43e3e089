"""Clock beats: the Clock records that a live, stamping feed gets where it is silent or a timer is due.

May not live here: a clock, a loop or a sleep; the time is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay import records
from replay.records import Kind

SILENCE_NS = 100_000_000
"""A venue from which nothing came for so long gets a beat."""

QUIET_NS = 1_000_000_000
"""A beat's ts_event lies so far behind the wall clock: what is older than that has arrived."""

ALL_VENUES = -1

_FEW = 64


class ClockBeats:
    """Knows when each venue was last heard of, and makes the Clock records that are due."""

    def __init__(
        self, venue_of_instrument: Sequence[int], quiet_ns: Sequence[int], *, silence_ns: int = SILENCE_NS
    ) -> None:
        """Take the venue of each instrument and the `quiet` of each venue."""
        self._venue_of_instrument = list(venue_of_instrument)
        self._quiet_ns = list(quiet_ns)
        self._silence_ns = silence_ns
        self._heard_ns: list[int] | None = None
        self._last_timer_ns: int | None = None

    def heard(self, batch: NDArray[Any], wall_ns: int) -> None:
        """Take note of records that came in from a feed: ticks, no beats."""
        heard_ns = self._start(wall_ns)
        instruments = batch["instrument"]
        known = instruments.tolist() if len(batch) <= _FEW else np.unique(instruments).tolist()
        for instrument in set(known):
            if instrument < len(self._venue_of_instrument):
                heard_ns[self._venue_of_instrument[instrument]] = wall_ns

    def due(self, wall_ns: int, timer_ns: int | None) -> NDArray[Any] | None:
        """Give the Clock records that are due now, or None; `timer_ns` is when the engine's next timer is due."""
        heard_ns = self._start(wall_ns)
        made: list[tuple[int, int, int]] = []
        if timer_ns is not None and timer_ns < wall_ns and timer_ns != self._last_timer_ns:
            self._last_timer_ns = timer_ns
            made.append((timer_ns + 1 - max(self._quiet_ns), timer_ns + 1, ALL_VENUES))
        for venue, quiet_ns in enumerate(self._quiet_ns):
            if wall_ns - heard_ns[venue] >= self._silence_ns:
                heard_ns[venue] = wall_ns
                made.append((wall_ns - quiet_ns, wall_ns, venue))
        if not made:
            return None
        batch = records.empty(len(made))
        batch["kind"] = Kind.CLOCK
        for row, (ts_event, ts_recv, venue) in enumerate(made):
            batch[row]["ts_event"], batch[row]["ts_recv"], batch[row]["a"] = ts_event, ts_recv, venue
        return batch

    def next_ns(self, wall_ns: int, timer_ns: int | None) -> int:
        """Give the wall time at which `due` should be asked again."""
        heard_ns = self._start(wall_ns)
        next_ns = min(heard_ns) + self._silence_ns
        if timer_ns is not None and timer_ns != self._last_timer_ns:
            next_ns = min(next_ns, timer_ns + 1)
        return next_ns

    def _start(self, wall_ns: int) -> list[int]:
        if self._heard_ns is None:
            self._heard_ns = [wall_ns] * len(self._quiet_ns)
        return self._heard_ns
