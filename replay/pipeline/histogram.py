"""A histogram of durations: fixed bounds, plain integers, cheap enough for once per batch.

May not live here: its name and labels as a metric.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BATCH_SECONDS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Bounds for what a batch takes."""

DISK_SECONDS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Bounds for what a commit takes."""

LOOP_SECONDS = (1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.3, 1.0)
"""Bounds for how late the event loop comes."""


class Histogram:
    """Counts observations by upper bounds, as Prometheus wants them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Give (upper bound as text, observations up to it), the last one +Inf."""
        texts = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        rows: list[tuple[str, float]] = []
        running = 0
        for text, count in zip(texts, self.counts, strict=True):
            running += count
            rows.append((text, float(running)))
        return rows
