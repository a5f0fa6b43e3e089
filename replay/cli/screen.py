"""Progress on stderr: rate and remaining time of whatever takes longer than a second.

May not live here: results; those go to stdout by the commands.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from replay.units import format_time

if TYPE_CHECKING:
    from rich.live import Live

QUIET_NS = 1_000_000_000
"""Nothing is shown before this."""
LINE_EVERY_NS = 5_000_000_000
"""Without a terminal, one line per this time."""
_DRAW_EVERY_NS = 100_000_000


class Progress:
    """Shows how far a run is. Call it with records done, records in all (or None) and the tape time of the last."""

    def __init__(self, label: str, *, lines: bool = True) -> None:
        """Take what to call the run; `lines=False` shows nothing where there is no terminal."""
        self.label = label
        self.lines = lines
        self.terminal = sys.stderr.isatty()
        self.begun_ns = time.monotonic_ns()
        self.next_ns = self.begun_ns + QUIET_NS
        self.live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def __call__(self, done: int, total: int | None = None, now_ns: int | None = None) -> None:
        """Take note of `done` records; draws at most ten times a second."""
        clock_ns = time.monotonic_ns()
        if clock_ns < self.next_ns:
            return
        text = f"{self.label}: {progress_text(done, total, now_ns, clock_ns - self.begun_ns)}"
        if not self.terminal:
            self.next_ns = clock_ns + LINE_EVERY_NS
            if self.lines:
                print(text, file=sys.stderr, flush=True)
            return
        self.next_ns = clock_ns + _DRAW_EVERY_NS
        self._draw(text, done, total)

    def _draw(self, text: str, done: int, total: int | None) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        row = Table.grid(padding=(0, 1))
        cells = [text] if not total else [ProgressBar(total=total, completed=done, width=24), text]
        row.add_row(*cells)
        if self.live is None:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self.live.start()
        self.live.update(row, refresh=True)


def progress_text(done: int, total: int | None, now_ns: int | None, elapsed_ns: int) -> str:
    """Write `12,000,000 of 20,000,000 records, 4.1 M/s, 2 s left, at 2024-08-08T00:10:00Z`."""
    rate = done * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0
    parts = [f"{done:,} of {total:,} records" if total else f"{done:,} records", f"{rate_text(rate)}/s"]
    if total and rate > 0:
        parts.append(f"{_seconds_text(max(0, total - done) / rate)} left")
    if now_ns is not None:
        parts.append(f"at {format_time(now_ns - now_ns % 1_000_000_000)}")
    return ", ".join(parts)


def rate_text(rate: float) -> str:
    """Write `8.2 k`."""
    if rate >= 1e6:
        return f"{rate / 1e6:.1f} M"
    return f"{rate / 1e3:.1f} k" if rate >= 1e3 else f"{rate:.0f}"


def _seconds_text(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
