"""A run that goes on: awaited for its result, or entered and iterated for glances of it while it runs.

May not live here: how a run is assembled and paced (modes), and what a glance says.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from replay.errors import UsageError
from replay.glance import PER_SECOND, Glance, Glances
from replay.pipeline.commands import CommandQueue, OperatorCommand
from replay.pipeline.pacing import PlayControls, Speed
from replay.pipeline.stop import Stop
from replay.tasks import end_task
from replay.units import parse_time

if TYPE_CHECKING:
    from replay.result.result import Result


class LiveRun(Coroutine[Any, Any, "Result"]):
    """A run as the functions that end in `_async` give it; nothing happens until it is awaited or entered.

    Awaited, it runs to its end and gives the Result. Entered, it runs beside the block, and leaving the block stops it
    in order; iterated there, it gives glances: the latest, a few times a second at most.

    ```python
    async with run:
        async for update in run:
            print(update.time_ns, update.equity)
    result = run.result
    ```
    """

    def __init__(self, start: Callable[[Glances | None], Coroutine[Any, Any, Result]], stop: Stop) -> None:
        """Take what makes the coroutine of the run; with glances, if it is to be watched."""
        self._start = start
        self._stop = stop
        self._coroutine: Coroutine[Any, Any, Result] | None = None
        self._glances: Glances | None = None
        self._task: asyncio.Task[Result] | None = None

    def __del__(self) -> None:
        if self._coroutine is None and self._task is None:
            warnings.warn("a run was made, and neither awaited nor entered", RuntimeWarning, stacklevel=2, source=self)

    # -- awaited

    def __await__(self) -> Generator[Any, Any, Result]:
        if self._task is not None:
            return asyncio.shield(self._task).__await__()
        return self._running().__await__()

    def send(self, value: Any) -> Any:
        """Run on, as a coroutine does."""
        return self._running().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error where the run waits, as a coroutine does."""
        return self._running().throw(*error)

    def close(self) -> None:
        """Give the run up where it waits, as a coroutine does."""
        if self._coroutine is not None:
            self._coroutine.close()

    def _running(self) -> Coroutine[Any, Any, Result]:
        if self._task is not None:
            raise UsageError("the run is entered already: `await` it, or iterate it")
        if self._coroutine is None:
            self._coroutine = self._start(None)
        return self._coroutine

    # -- entered

    async def __aenter__(self) -> Self:
        if self._task is not None or self._coroutine is not None:
            raise UsageError("a run can be started only once", remedy="make another one")
        self._glances = Glances(PER_SECOND)
        self._task = asyncio.create_task(self._start(self._glances), name="replay-run")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self.stop()
        await asyncio.wait({self._task})
        if error is None and not self._task.cancelled():
            self._task.result()
        elif not self._task.cancelled():
            self._task.exception()  # looked at: the error of the block is the one to tell

    def __aiter__(self) -> AsyncIterator[Glance]:
        if self._task is None:
            raise UsageError("a run is iterated where it is entered", remedy="write `async with run:` around the loop")
        return self._updates()

    async def _updates(self) -> AsyncIterator[Glance]:
        """Give the latest glance each time, those between are left out; the last one shows the end of the run."""
        assert self._glances is not None and self._task is not None
        given = 0
        while True:
            while self._glances.number > given and self._glances.latest is not None:
                given = self._glances.number
                yield self._glances.latest
            if self._task.done():
                self._task.result()
                return
            news = asyncio.ensure_future(self._glances.wait(given))
            try:
                await asyncio.wait({news, self._task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_task(news)

    @property
    def update(self) -> Glance | None:
        """The latest glance; None before the first, and where the run is not entered."""
        return None if self._glances is None else self._glances.latest

    @property
    def result(self) -> Result:
        """The result, once the run is over. Raises what the run raised, and UsageError before its end."""
        if self._task is None or not self._task.done():
            raise UsageError(
                "the run is not over", remedy="read `result` after the `async with` block, or await the run"
            )
        return self._task.result()

    def stop(self) -> None:
        """Ask for the end: what was decided is kept, and the result is marked as interrupted. From any thread."""
        self._stop.request()


class LivePlay(LiveRun):
    """A replay that goes on: it can also be paused, stepped, sped up and taken to any time, from any thread."""

    def __init__(self, start: Callable[[Glances | None], Coroutine[Any, Any, Result]], controls: PlayControls) -> None:
        super().__init__(start, controls.stop_request)
        self._controls = controls

    def pause(self) -> None:
        """Stop before the next record."""
        self._controls.pause()

    def resume(self) -> None:
        """Go on at the speed that is set."""
        self._controls.resume()

    def step(self, records: int = 1) -> None:
        """Release so many records, then pause."""
        self._controls.step(records)

    def next_fill(self) -> None:
        """Run up to the next fill, then pause."""
        self._controls.next_fill()

    def next_day(self) -> None:
        """Run up to the first record of the next day (UTC), then pause before it."""
        self._controls.next_day()

    def seek(self, time: int | str) -> None:
        """Go to before the first record received at a time (ns, or RFC 3339 text) or later: then on as before.

        A time behind is reached by playing the tape from its start, with the same end. Raises UsageError where the
        ticks can be read only once, which is known once the run has begun.
        """
        try:
            time_ns = parse_time(time) if isinstance(time, str) else int(time)
        except ValueError as error:
            raise UsageError(str(error), place="seek") from None
        latest = self.update
        refusal = self._controls.rewind_refusal
        if refusal is not None and latest is not None and latest.time_ns is not None and time_ns <= latest.time_ns:
            raise UsageError(f"cannot go back: {refusal}", remedy="give a list, or a function that makes the iterator")
        self._controls.seek(time_ns)

    @property
    def speed(self) -> Speed:
        """How fast tape time passes: 0.1 to 1000 times the wall clock, or "max"; may be set at any time."""
        return self._controls.state.speed

    @speed.setter
    def speed(self, speed: Speed) -> None:
        self._controls.set_speed(speed)


class LivePaper(LiveRun):
    """A session that goes on: operators' commands can be given to it, from any thread; each is a record on its tape."""

    def __init__(
        self,
        start: Callable[[Glances | None], Coroutine[Any, Any, Result]],
        stop: Stop,
        commands: CommandQueue,
    ) -> None:
        super().__init__(start, stop)
        self._commands = commands

    def pause(self) -> None:
        """Refuse new orders of the strategies from now on; what works goes on working."""
        self._commands.submit(OperatorCommand.PAUSE)

    def resume(self) -> None:
        """Let the strategies trade again."""
        self._commands.submit(OperatorCommand.RESUME)

    def cancel_all(self) -> None:
        """Cancel all working orders."""
        self._commands.submit(OperatorCommand.CANCEL_ALL)

    def flatten(self) -> None:
        """Cancel all orders and close all positions; trading is paused afterwards."""
        self._commands.submit(OperatorCommand.FLATTEN)
