"""The wish to stop: set by a signal, a key or a program, obeyed between two batches.

May not live here: what stopping means for a journal or a result.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class Stop:
    """A flag that only goes up. Any thread, and any signal handler, may raise it."""

    def __init__(self, parent: Stop | None = None) -> None:
        self._parent = parent
        self._is_requested = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._is_requested or (self._parent is not None and self._parent.requested)

    def request(self) -> None:
        """Ask for the end."""
        self._is_requested = True
        for callback in self._callbacks:
            callback()

    def child(self) -> Stop:
        """Make a flag that goes up with this one, and can go up alone."""
        made = Stop(self)
        self.on_request(made.request)
        return made

    def on_request(self, callback: Callable[[], None]) -> None:
        """Have something called when the end is asked for; it must be quick and safe in a signal handler."""
        self._callbacks.append(callback)

    def event(self, loop: asyncio.AbstractEventLoop) -> asyncio.Event:
        """Make an event of that loop that is set when the end is asked for."""
        event = asyncio.Event()
        if self.requested:
            event.set()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(event.set)

        self.on_request(wake)
        return event


@contextlib.contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask for the end; a second one interrupts at once. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.request()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
