"""Pacing: when each record of a batch is released, from its receive time, a speed and what the user presses.

May not live here: reading, deciding or changing records. Pacing splits batches and waits; no split changes a digest.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncGenerator, Callable
from enum import Enum
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from replay.errors import UsageError
from replay.pipeline.stop import Stop

Speed = float | Literal["max"]
"""How fast tape time passes: 0.1 to 1000 times the wall clock, or as fast as the machine can."""

SPEED_MIN = 0.1
SPEED_MAX = 1_000.0
SPEED_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0)
"""What `faster` and `slower` go through."""

SLICE_ROWS = 8_192
"""Rows released at once at most, so that keys, metrics and signals are served between."""

DAY_NS = 86_400_000_000_000

_FINE_NS = 2_000_000
_SPIN_NS = 60_000
_YIELD_EVERY_NS = 5_000_000
_ERRORS_KEPT = 1 << 16


class Advance(Enum):
    """What the tape does next."""

    RUN = "run"
    """Goes on at its speed."""
    PAUSE = "pause"
    """Waits."""
    STEP = "step"
    """Releases the records that were asked for, then waits."""
    NEXT_FILL = "next fill"
    """Goes on flat out, record by record, up to and including one that fills, then waits."""
    NEXT_DAY = "next day"
    """Goes on flat out up to the first record of the next day (UTC), then waits before it."""
    SEEK = "seek"
    """Goes flat out to a time on the tape, from its start where that lies behind, then does what it did before."""


class PlayState(NamedTuple):
    """What a screen shows of the controls."""

    speed: Speed
    advance: Advance
    target_ns: int | None = None
    """Where a seek goes."""

    @property
    def paused(self) -> bool:
        """Whether the tape waits for a key."""
        return self.advance is Advance.PAUSE


class Pacer(Protocol):
    """Splits a batch into slices and waits before each."""

    def slices(self, times_ns: NDArray[np.int64]) -> AsyncGenerator[tuple[int, int], None]:
        """Give half-open ranges of rows that cover the batch in order; `times_ns` are its receive times."""


def check_speed(speed: float | str) -> Speed:
    """Return a valid speed; raise UsageError otherwise."""
    if isinstance(speed, str):
        if speed == "max":
            return "max"
        try:
            speed = float(speed.removesuffix("x"))
        except ValueError:
            raise UsageError(
                f"speed {speed!r} is neither a number nor 'max'", remedy="choices: 0.1 to 1000, or max"
            ) from None
    if math.isinf(speed) and speed > 0:
        return "max"
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise UsageError(f"speed {speed:g} is outside of 0.1 to 1000", remedy="choices: 0.1 to 1000, or max")
    return float(speed)


class PlayControls:
    """The keys of a replay: pause, one record, next fill or day, seek, speed. Any thread may press them at any time."""

    def __init__(self, speed: Speed = 1.0, *, paused: bool = False) -> None:
        self.stop_request = Stop()
        """Whether the replay shall end; a signal may set it too."""
        self.holds_at_start = False
        """Whether the replay waits before its first record until `let_begin`, as for a screen that is being drawn."""
        self.holds_at_end = False
        """Whether the replay waits at the end of its tape, for a seek back or a stop."""
        self.rewind_refusal: str | None = None
        """Why the tape cannot be played from its start again, where it cannot."""
        self.notice: str | None = None
        """What became of the last seek, where it was refused."""
        self._lock = threading.RLock()  # a signal handler may press stop while a key is being pressed
        self._speed = check_speed(speed)
        self._advance = Advance.PAUSE if paused else Advance.RUN
        self._steps = 0
        self._target_ns: int | None = None
        self._after_seek = Advance.PAUSE
        self._version = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self.stop_request.on_request(self._notify)

    # -- keys

    def pause(self) -> None:
        """Stop before the next record."""
        self._set(Advance.PAUSE)

    def resume(self) -> None:
        """Go on at the speed that is set."""
        self._set(Advance.RUN)

    def toggle(self) -> None:
        """Pause if running, go on if paused."""
        self._set(Advance.RUN if self.state.paused else Advance.PAUSE)

    def step(self, records: int = 1) -> None:
        """Release so many records, then pause."""
        with self._lock:
            self._steps += records
        self._set(Advance.STEP)

    def next_fill(self) -> None:
        """Run up to the next fill, then pause."""
        self._set(Advance.NEXT_FILL)

    def next_day(self) -> None:
        """Run up to the first record of the next day (UTC), then pause before it."""
        self._set(Advance.NEXT_DAY)

    def seek(self, time_ns: int) -> None:
        """Go flat out to before the first record received at `time_ns` or later, then go on as before: paused or not.

        A time behind is reached by playing the tape from its start: the end has the same digest. Where that cannot be
        done, `notice` says why and nothing else happens.
        """
        with self._lock:
            self.notice = None
            self._target_ns = time_ns
            if self._advance is not Advance.SEEK:
                self._after_seek = Advance.RUN if self._advance is Advance.RUN else Advance.PAUSE
        self._set(Advance.SEEK)

    def set_speed(self, speed: Speed) -> None:
        """Change the speed; a pause stays a pause."""
        checked = check_speed(speed)
        with self._lock:
            self._speed = checked
        self._notify()

    def faster(self) -> Speed:
        """Go to the next higher speed; after the highest comes max."""
        speed = self.state.speed
        if speed != "max":
            self.set_speed(next((step for step in SPEED_STEPS if step > speed), "max"))
        return self.state.speed

    def slower(self) -> Speed:
        """Go to the next lower speed."""
        speed = self.state.speed
        lower = SPEED_STEPS if speed == "max" else [step for step in SPEED_STEPS if step < speed]
        self.set_speed(max(lower, default=SPEED_STEPS[0]))
        return self.state.speed

    def let_begin(self) -> None:
        """Do not wait before the first record (any more)."""
        self.holds_at_start = False
        self._notify()

    def let_end(self) -> None:
        """Do not wait at the end of the tape (any more)."""
        self.holds_at_end = False
        self._notify()

    def stop(self) -> None:
        """End the replay after the current record; the result is kept and marked as partial."""
        self.stop_request.request()

    # -- what the pacer reads

    @property
    def state(self) -> PlayState:
        """Speed and what the tape does."""
        with self._lock:
            return PlayState(self._speed, self._advance, self._target_ns if self._advance is Advance.SEEK else None)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was pressed."""
        return self.stop_request.requested

    @property
    def version(self) -> int:
        """A number that grows with every key."""
        return self._version

    def bind(self, loop: asyncio.AbstractEventLoop) -> asyncio.Event:
        """Name the loop that waits; the event is set there at every key."""
        with self._lock:
            self._loop = loop
            self._changed = asyncio.Event()
            return self._changed

    def take_steps(self, limit: int) -> int:
        """Take over the records asked for by `step`, so many at most; the rest is for the next batch."""
        with self._lock:
            steps = min(self._steps, limit)
            self._steps -= steps
            return steps

    def settle(self, version: int) -> None:
        """Pause after a step, a fill or a day, unless a key was pressed since `version`."""
        with self._lock:
            if self._version == version and not self._steps:
                self._advance = Advance.PAUSE

    def arrive(self, version: int, *, notice: str | None = None) -> None:
        """End a seek: do what was done before it, unless a key was pressed since `version`."""
        with self._lock:
            if self._version == version:
                self._advance, self.notice = self._after_seek, notice

    def _set(self, advance: Advance) -> None:
        with self._lock:
            self._advance = advance
            if advance is not Advance.STEP:
                self._steps = 0
        self._notify()

    def _notify(self) -> None:
        with self._lock:
            self._version += 1
            loop, changed = self._loop, self._changed
        if loop is not None and changed is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(changed.set)


class ReleaseErrors:
    """How late records were released, in seconds: the largest part of the memory is a fixed array."""

    def __init__(self) -> None:
        self.count = 0
        self._kept = np.zeros(_ERRORS_KEPT, dtype=np.int64)
        self._every = 1

    def add(self, error_ns: int) -> None:
        """Note one release; when the memory is full, every second one is forgotten and fewer are noted."""
        if self.count % self._every == 0:
            place = self.count // self._every
            if place == _ERRORS_KEPT:
                self._kept[: _ERRORS_KEPT // 2] = self._kept[::2]
                self._every *= 2
                place //= 2
            self._kept[place] = error_ns
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """Give a quantile in seconds, or None before the first release."""
        noted = -(-self.count // self._every)
        return float(np.quantile(self._kept[:noted], share)) / 1e9 if noted else None


class TapePacer:
    """Releases records when their time has come at the controls' speed.

    Sleeps on the loop up to 2 ms before a release and blocks for the rest: plain asyncio.sleep errs by about 1 ms.
    Where others work on the loop (a producer that sends what was released), it must not block, and errs by that.
    """

    def __init__(
        self,
        controls: PlayControls,
        fills: Callable[[], int],
        *,
        stop: Stop | None = None,
        blocks: bool = True,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Take the controls, and a count of fills so far, by which `next_fill` knows when to stop.

        stop: ends this pass over the tape, when a seek asks for another one; by default nothing lies behind.
        blocks: hold the loop for the last 2 ms before a release.
        """
        self.controls = controls
        self.rewinds = False
        """Whether a seek has asked for what lies behind: the tape has to be played from its start."""
        self._stop = stop
        self._released_ns: int | None = None
        """The latest time released; None before the first record."""
        self._day_limit_ns: int | None = None
        self.errors = ReleaseErrors()
        self._fills = fills
        self._fine_ns = _FINE_NS if blocks else 0
        self._clock_ns = clock_ns
        self._changed: asyncio.Event | None = None
        self._tape_ns: int | None = None
        """Tape time at the anchor; None before the first record and after a pause, step or run at max."""
        self._wall_ns = 0
        self._speed = 1.0
        self._yielded_ns = 0

    async def slices(self, times_ns: NDArray[np.int64]) -> AsyncGenerator[tuple[int, int], None]:
        """Give rows as they fall due; keys are obeyed between any two records."""
        if self._changed is None:
            self._changed = self.controls.bind(asyncio.get_running_loop())
        while self.controls.holds_at_start and not self.controls.stopped:
            await self._wait_for_key(self.controls.version, None)
        due_ns = np.maximum.accumulate(times_ns)
        row = 0
        while row < len(due_ns) and not self.controls.stopped:
            if row:
                self._note_released(int(due_ns[row - 1]))
            version = self.controls.version
            state = self.controls.state
            if state.advance is not Advance.NEXT_DAY:
                self._day_limit_ns = None
            match state.advance:
                case Advance.PAUSE:
                    self._tape_ns = None
                    await self._wait_for_key(version, None)
                case Advance.STEP:
                    self._tape_ns = None
                    limit = row + self.controls.take_steps(len(due_ns) - row)
                    if limit > row:
                        yield row, limit
                        row = limit
                    self.controls.settle(version)
                case Advance.NEXT_FILL:
                    self._tape_ns = None
                    fills = self._fills()
                    yield row, row + 1
                    row += 1
                    if self._fills() > fills:
                        self.controls.settle(version)
                    await self._breathe()
                case Advance.NEXT_DAY:
                    self._tape_ns = None
                    if self._day_limit_ns is None:
                        self._day_limit_ns = (int(due_ns[row]) // DAY_NS + 1) * DAY_NS
                    limit = _flat_out(due_ns, row, self._day_limit_ns)
                    if limit == row:
                        self.controls.settle(version)
                        continue
                    yield row, limit
                    row = limit
                    await asyncio.sleep(0)
                case Advance.SEEK:
                    self._tape_ns = None
                    assert state.target_ns is not None, "a seek has a time"
                    if self._lies_behind(state.target_ns, version):
                        if self.rewinds:
                            return
                        continue
                    limit = _flat_out(due_ns, row, state.target_ns)
                    if limit == row:
                        self.controls.arrive(version)
                        continue
                    yield row, limit
                    row = limit
                    await asyncio.sleep(0)
                case Advance.RUN if state.speed == "max":
                    self._tape_ns = None
                    limit = min(row + SLICE_ROWS, len(due_ns))
                    yield row, limit
                    row = limit
                    await asyncio.sleep(0)
                case Advance.RUN:
                    assert isinstance(state.speed, float), "max was the case before"
                    self._anchor(int(due_ns[row]), state.speed)
                    if not await self._wait_until_due(int(due_ns[row]), state.speed, version):
                        continue
                    released_ns = self._clock_ns()
                    tape_now_ns = self._tape_at(released_ns)
                    limit = row + 1
                    if limit < len(due_ns) and due_ns[limit] <= tape_now_ns:
                        limit = int(np.searchsorted(due_ns, tape_now_ns, side="right"))
                        limit = min(limit, row + SLICE_ROWS)
                    self.errors.add(released_ns - self._wall_at(int(due_ns[row])))
                    yield row, limit
                    row = limit
                    await self._breathe()
        if row:
            self._note_released(int(due_ns[row - 1]))

    async def linger(self) -> None:
        """Wait at the end of the tape, if it is to be held there, for a stop, or for a seek to what lies behind."""
        self._changed = self._changed or self.controls.bind(asyncio.get_running_loop())
        while self.controls.holds_at_end and not self.controls.stopped:
            version = self.controls.version
            state = self.controls.state
            if state.target_ns is not None:
                if self._lies_behind(state.target_ns, version) and self.rewinds:
                    return
                self.controls.arrive(version)
            await self._wait_for_key(version, None)

    def _lies_behind(self, target_ns: int, version: int) -> bool:
        """Say whether a seek goes back: then ask for another pass, or end it where there can be none."""
        if self._released_ns is None or target_ns > self._released_ns:
            return False
        refusal = self.controls.rewind_refusal if self._stop is not None else "this tape is played once only"
        if refusal is not None:
            self.controls.arrive(version, notice=f"cannot go back: {refusal}")
            return True
        assert self._stop is not None
        self.rewinds = True
        self._stop.request()
        return True

    def _note_released(self, time_ns: int) -> None:
        self._released_ns = time_ns if self._released_ns is None else max(self._released_ns, time_ns)

    def _anchor(self, next_ns: int, speed: float) -> None:
        """Tie tape time to the wall clock: at the first record, after a pause, and where the speed changed."""
        now_ns = self._clock_ns()
        if self._tape_ns is None:
            self._tape_ns, self._wall_ns, self._speed = next_ns, now_ns, speed
        elif speed != self._speed:
            self._tape_ns, self._wall_ns, self._speed = self._tape_at(now_ns), now_ns, speed

    def _tape_at(self, wall_ns: int) -> int:
        assert self._tape_ns is not None
        return self._tape_ns + int((wall_ns - self._wall_ns) * self._speed)

    def _wall_at(self, tape_ns: int) -> int:
        assert self._tape_ns is not None
        return self._wall_ns + int((tape_ns - self._tape_ns) / self._speed)

    async def _wait_until_due(self, due_ns: int, speed: float, version: int) -> bool:
        """Wait for a record's time; return False where a key came first."""
        target_ns = self._wall_at(due_ns)
        while (left_ns := target_ns - self._clock_ns()) > self._fine_ns:
            if await self._wait_for_key(version, (left_ns - self._fine_ns) / 1e9):
                return False
        if left_ns > _SPIN_NS:
            time.sleep((left_ns - _SPIN_NS) / 1e9)  # noqa: ASYNC251 - at most 2 ms, and exact where the loop is not
        while self._clock_ns() < target_ns:
            pass
        return True

    async def _wait_for_key(self, version: int, seconds: float | None) -> bool:
        """Wait for a key pressed after `version`, so long at most; return whether there was one."""
        assert self._changed is not None
        self._changed.clear()
        if self.controls.version != version:
            return True
        self._yielded_ns = self._clock_ns()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _breathe(self) -> None:
        """Let the loop run where records follow each other so closely that nothing else would."""
        now_ns = self._clock_ns()
        if now_ns - self._yielded_ns > _YIELD_EVERY_NS:
            self._yielded_ns = now_ns
            await asyncio.sleep(0)


def _flat_out(due_ns: NDArray[np.int64], row: int, limit_ns: int) -> int:
    """Give the end of the next slice of rows that are due before a time; `row` itself where there are none."""
    return max(row, min(row + SLICE_ROWS, int(np.searchsorted(due_ns, limit_ns, side="left"))))
