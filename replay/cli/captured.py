"""What is printed and logged while a screen has the terminal: kept, shown on it, and written where it belongs after it.

May not live here: the screen.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import TextIO

LINES_KEPT = 1_000
"""More lines than these are forgotten, the oldest first, and counted."""


class Captured:
    """Stands for stdout and stderr until it is released; then it writes what it kept, and passes on what comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[TextIO, str]] = deque()
        self._forgotten = 0
        self._partial: dict[TextIO, str] = {}
        self._is_released = False
        self.lines = 0
        """Counts the lines that came."""

    def last(self, count: int) -> list[str]:
        """Give the last lines, the newest last."""
        with self._lock:
            return [line for _, line in list(self._kept)[-count:]]

    def write(self, target: TextIO, text: str) -> None:
        """Take what was meant for a stream. From any thread."""
        with self._lock:
            if self._is_released:
                target.write(text)
                return
            *whole, rest = (self._partial.get(target, "") + text).split("\n")
            self._partial[target] = rest
            for line in whole:
                self.lines += 1
                self._kept.append((target, line))
                if len(self._kept) > LINES_KEPT:
                    self._kept.popleft()
                    self._forgotten += 1

    def release(self) -> None:
        """Write what was kept to the streams that it was meant for. May be called again."""
        with self._lock:
            if self._is_released:
                return
            self._is_released = True
            if self._forgotten:
                sys.__stderr__ and print(f"... {self._forgotten:,} lines more", file=sys.__stderr__)
            for target, line in self._kept:
                target.write(f"{line}\n")
            for target, rest in self._partial.items():
                target.write(rest)
                target.flush()
            self._kept.clear()


class _Stream(io.TextIOBase):
    """One of the two streams while they are captured."""

    def __init__(self, captured: Captured, target: TextIO) -> None:
        super().__init__()
        self._captured = captured
        self._target = target

    def write(self, text: str) -> int:
        self._captured.write(self._target, text)
        return len(text)

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._target.encoding


@contextlib.contextmanager
def captured_output() -> Iterator[Captured]:
    """Capture sys.stdout and sys.stderr of the whole process; at the end they are put back and have what came."""
    captured = Captured()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Stream(captured, before[0]), _Stream(captured, before[1])
    try:
        yield captured
    finally:
        sys.stdout, sys.stderr = before
        captured.release()
