"""The flusher: a thread that makes files durable whenever it is asked, and tells the loop at once when it has.

May not live here: what is flushed, when, and what is done with what became durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Flusher:
    """Runs one flush at a time on a thread of its own.

    One queue there and one call back: an executor's futures take three times as long, and an order waits for each step.
    """

    def __init__(self, flush: Callable[[], int], on_end: Callable[[], object]) -> None:
        """Take the work, which gives the position that it made durable, and what the loop calls when it is done."""
        self._flush = flush
        self._on_end = on_end
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._is_asked = False
        self._position: int | None = None
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a flush was asked for whose end nobody has taken yet."""
        return self._is_asked

    def start(self) -> None:
        """Start the thread; its calls come on the loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="replay-commit", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have what there is by now flushed; the flush before must have been taken."""
        assert self._thread is not None and not self._is_asked, "one flush at a time"
        self._is_asked = True
        self._requests.put(True)

    def take(self) -> int | None:
        """Give the position that became durable; None while the disk is at work. Raises what the flush raised."""
        if self._error is not None:
            error, self._error, self._is_asked = self._error, None, False
            raise error
        position = self._position
        if position is not None:
            self._position, self._is_asked = None, False
        return position

    async def wait(self) -> None:
        """Wait until nothing is being flushed."""
        if self._is_asked and self._position is None and self._error is None:
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended

    def close(self) -> None:
        """End the thread, after the flush that is under way. May be called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._requests.put(False)
            thread.join()

    def _work(self) -> None:
        assert self._loop is not None
        while self._requests.get():
            try:
                self._position = self._flush()
            except BaseException as error:  # noqa: BLE001 - raised by `take`, on the loop
                self._error = error
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)
        if self._thread is not None:  # else whoever closed it has taken the end
            self._on_end()
