"""Single keys from the terminal, without blocking and without Enter; the terminal is always put back as it was.

May not live here: what a key means.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_POLL_S = 0.1


class Keys:
    """Calls `on_key` with each key from a thread of its own, and `on_tick` ten times a second, while it is entered.

    Without a terminal on stdin no key ever comes; `on_tick` is called all the same.
    """

    def __init__(self, on_key: Callable[[str], None], on_tick: Callable[[], None]) -> None:
        self.on_key = on_key
        self.on_tick = on_tick
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="replay-keys", daemon=True)
        self.descriptor = sys.stdin.fileno() if _is_terminal() else None
        self.saved: list[object] | None = None

    def __enter__(self) -> Self:
        if self.descriptor is not None:
            import termios
            import tty

            self.saved = termios.tcgetattr(self.descriptor)
            tty.setcbreak(self.descriptor)  # keys come at once; Ctrl-C still interrupts
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        try:
            self.thread.join(timeout=1.0)
        finally:
            if self.descriptor is not None and self.saved is not None:
                import termios

                termios.tcsetattr(self.descriptor, termios.TCSANOW, self.saved)  # type: ignore[arg-type]
                self.saved = None

    def _watch(self) -> None:
        listening = self.descriptor is not None
        while not self.stopped.is_set():
            if listening:
                listening = self._listen()
            else:
                self.stopped.wait(_POLL_S)
            self.on_tick()

    def _listen(self) -> bool:
        """Wait for keys a moment and hand them on; return whether more can come."""
        assert self.descriptor is not None
        ready, _, _ = select.select([self.descriptor], [], [], _POLL_S)
        if not ready:
            return True
        data = os.read(self.descriptor, 64)
        for key in data.decode("utf-8", "ignore"):
            self.on_key(key)
        return bool(data)


def _is_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # closed or replaced
        return False
