"""Commands to a running session: what may be asked, by whom, and the queue through which they reach the tape.

May not live here: what a command decides (the engine does), sockets, topics and files.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from replay import records
from replay.errors import ControlError
from replay.records import Kind

if TYPE_CHECKING:
    from replay.feeds.feed import DeadLetter

QUEUE_MAX = 10_000
"""How many commands may wait; more are refused."""


class OperatorCommand(IntEnum):
    """A Command record's `a`; the numbers stand in tapes and journals."""

    CANCEL_ALL = 1
    FLATTEN = 2
    PAUSE = 3
    RESUME = 4
    STOP = 5


class CommandCause(IntEnum):
    """A Command record's `b`: who wanted it; the numbers stand in tapes and journals."""

    OPERATOR = 0
    DRAWDOWN = 1
    POSITION = 2
    ORDER_RATE = 3
    STALE_FEED = 4
    CLOCK_JUMP = 5
    DISK = 6
    RESTART = 7


COMMANDS: dict[str, OperatorCommand] = {
    "pause": OperatorCommand.PAUSE,
    "resume": OperatorCommand.RESUME,
    "cancel-all": OperatorCommand.CANCEL_ALL,
    "flatten": OperatorCommand.FLATTEN,
    "stop": OperatorCommand.STOP,
}
"""Commands by the names that people write."""


class Receipt(NamedTuple):
    """What became of a command: its record is durable and was taken by the engine."""

    seq: int | None
    """Tape seq of its record; None where it needed none."""
    state: str
    """State of trading after it."""


class Request(NamedTuple):
    """What waits to be put on the tape, or only moves the place in a control topic on."""

    command: OperatorCommand | None
    cause: CommandCause
    receipt: Future[Receipt]
    cursor: bytes | None
    """Where the control topic goes on after it."""
    letter: DeadLetter | None


class CommandQueue:
    """A queue of commands for one pipeline. Any thread may submit; the pipeline takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Request] = deque()
        self._undurable: deque[tuple[int, Future[Receipt], Receipt]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: asyncio.Event | None = None
        self._ended: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_undurable(self) -> bool:
        """Whether a command was carried out whose frame is not durable yet."""
        return bool(self._undurable)

    def submit(
        self,
        command: OperatorCommand | None,
        cause: CommandCause = CommandCause.OPERATOR,
        *,
        cursor: bytes | None = None,
        letter: DeadLetter | None = None,
    ) -> Future[Receipt]:
        """Ask for a command; the future has its receipt once its record is durable.

        The future fails with ControlError where the run ends first. Without a command only the cursor of the control
        topic moves on, and a dead letter is kept.
        """
        receipt: Future[Receipt] = Future()
        with self._lock:
            if self._ended is not None:
                receipt.set_exception(ControlError(self._ended))
                return receipt
            if len(self._waiting) >= QUEUE_MAX:
                receipt.set_exception(ControlError(f"{QUEUE_MAX:,} commands wait already", remedy="wait for those"))
                return receipt
            self._waiting.append(Request(command, cause, receipt, cursor, letter))
        self._wake()
        return receipt

    def bind(self, loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
        """Name the loop that takes, and the event that it waits for."""
        self._loop, self._ready = loop, ready
        if self._waiting:
            self._wake()

    def take(self) -> list[Request]:
        """Take all that waits, in order."""
        if not self._waiting:
            return []
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    def put_back(self, requests: list[Request]) -> None:
        """Let requests wait on, before all others."""
        with self._lock:
            self._waiting.extendleft(reversed(requests))

    def taken(self, position: int, request: Request, receipt: Receipt) -> None:
        """Note that a request was carried out; its receipt waits for the journal to be durable up to `position`."""
        self._undurable.append((position, request.receipt, receipt))

    def settle(self, durable: int) -> None:
        """Give the receipts whose frames are durable."""
        while self._undurable and self._undurable[0][0] <= durable:
            _, future, receipt = self._undurable.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(receipt)

    def end(self, why: str) -> None:
        """Refuse what waits and what is yet to come."""
        with self._lock:
            self._ended = why
            left = [request.receipt for request in self._waiting] + [entry[1] for entry in self._undurable]
            self._waiting.clear()
            self._undurable.clear()
        for future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(ControlError(why))

    def _wake(self) -> None:
        loop, ready = self._loop, self._ready
        if loop is not None and ready is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody takes any more
                loop.call_soon_threadsafe(ready.set)


def command_record(command: OperatorCommand, cause: CommandCause, time_ns: int) -> NDArray[Any]:
    """Make the Command record, an array of one."""
    made = records.empty(1)
    made["kind"] = Kind.COMMAND
    made["ts_event"] = made["ts_recv"] = time_ns
    made["a"], made["b"] = command, cause
    return made
