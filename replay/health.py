"""Health: what a run is doing, how far its recovery is, and whether a probe should call it ready.

May not live here: how a probe asks (serving), and the metrics' text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from replay.measures import Measure, told_apart

if TYPE_CHECKING:
    from replay.pipeline.journal import Frame
    from replay.pipeline.pipeline import Pipeline

BREATH_NS = 5_000_000
"""How long a recovery may keep the event loop to itself."""

REACHABLE = "_reachable"
"""How the names of measures end that are 0 while a broker cannot be reached."""

RISK_STATE = "replay_risk_state"
PAUSED_TRADING = "paused"
"""What the engine calls it when an operator or a switch has taken the strategies' right to trade."""

STALE_SWITCH = "stale_feed"
"""The risk switch that watches for silence; while it is tripped the run is not ready."""


class State(StrEnum):
    """What a session can be doing; one of the series of replay_session_state is 1."""

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass
class RecoveryProgress:
    """How far a journal has been run again, in bytes (known beforehand) and in frames (known afterwards)."""

    bytes_total: int = 0
    bytes_done: int = 0
    frames: int = 0
    started_s: float = 0.0
    ended_s: float = 0.0
    _starts: dict[Path, int] = field(default_factory=dict)
    _breathed_ns: int = 0

    def begin(self, segments: Iterable[Path]) -> None:
        """Take note of what lies ahead: the sizes of the segments, in order."""
        self.bytes_total = self.bytes_done = self.frames = 0
        for path in segments:
            self._starts[path] = self.bytes_total
            self.bytes_total += path.stat().st_size
        self.started_s, self.ended_s = time.monotonic(), 0.0
        self._breathed_ns = time.monotonic_ns()

    def is_breath_due(self, frame: Frame, frames: int) -> bool:
        """Take note of a frame that was run; say whether the event loop should have its turn now."""
        now_ns = time.monotonic_ns()
        if now_ns - self._breathed_ns < BREATH_NS:
            return False
        self._note(frame, frames)
        return True

    def breathed(self) -> None:
        """Count the time from here: the event loop had its turn."""
        self._breathed_ns = time.monotonic_ns()

    def end(self, frames: int) -> None:
        """Take note that all of it was run."""
        self.frames, self.bytes_done = frames, self.bytes_total
        self.ended_s = time.monotonic()

    def _note(self, frame: Frame, frames: int) -> None:
        self.frames = frames
        self.bytes_done = self._starts.get(frame.path, self.bytes_done) + frame.offset

    @property
    def bytes_to_go(self) -> int:
        """Bytes of the journal that are still to be run."""
        return max(0, self.bytes_total - self.bytes_done)

    @property
    def frames_to_go(self) -> int:
        """Frames that are still to be run, estimated from their mean size so far; exact once it is 0."""
        if not self.frames or not self.bytes_done:
            return 0
        return round(self.bytes_to_go * self.frames / self.bytes_done)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        if not self.started_s:
            return 0.0
        return (self.ended_s or time.monotonic()) - self.started_s


class SessionInfo:
    """What metrics and probes say of the run as a whole; the mode sets it up and moves the state on."""

    def __init__(self, mode: str, name: str, version: str) -> None:
        self.mode = mode
        self.name = name
        self.version = version
        self.state: str = State.STARTING
        self.recovery = RecoveryProgress()
        self.running_since_ns = 0
        """Wall clock when the run began to take new records; 0 before."""


class Probed(Protocol):
    """Whatever answers probes: one run, or the shards of a worker."""

    @property
    def state(self) -> str:
        """What it is doing."""

    @property
    def run(self) -> str:
        """Its name."""

    def is_live(self) -> bool:
        """Say whether to leave the process alone."""

    def not_ready(self) -> list[str]:
        """Give the reasons why it is not ready; none: it is."""


class Health:
    """Judges a run for probes: live while its loop answers, ready while it does what it is there for."""

    def __init__(
        self,
        pipeline: Pipeline,
        info: SessionInfo,
        *,
        stale_ns: int = 0,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take the silence of a live feed after which the run is not ready; 0: never."""
        self._pipeline = pipeline
        self._info = info
        self._stale_ns = stale_ns
        self._wall_ns = wall_ns

    @property
    def state(self) -> str:
        """What the run is doing: paused is a way of running."""
        return current_state(self._pipeline, self._info)

    @property
    def run(self) -> str:
        """Name of the run."""
        return self._info.name

    def is_live(self) -> bool:
        """Say whether to leave the process alone: an answer proves that its loop turns, so only failure says no."""
        return self.state != State.FAILED

    def not_ready(self) -> list[str]:
        """Give the reasons why the run is not ready; none: it is."""
        state = self.state
        if state not in (State.RUNNING, State.PAUSED):
            return [self._state_reason(state)]
        return [*self._measured_reasons(), *self._silence_reasons()]

    def _state_reason(self, state: str) -> str:
        if state != State.RECOVERING:
            return f"the session is {state}"
        recovery = self._info.recovery
        return (
            f"the session is recovering: {recovery.bytes_done} of {recovery.bytes_total} bytes of its journal, "
            f"about {recovery.frames_to_go} frames to go"
        )

    def _measured_reasons(self) -> Iterator[str]:
        for measure in measures_of(self._pipeline):
            if measure.name.endswith(REACHABLE) and measure.value == 0:
                yield f"the broker of {_place(measure)} cannot be reached"
            elif measure.name == RISK_STATE and measure.labels.get("switch") == STALE_SWITCH and measure.value:
                yield f"the risk switch {STALE_SWITCH} is tripped"

    def _silence_reasons(self) -> Iterator[str]:
        since_ns = self._pipeline.counters.last_wall_ns or self._info.running_since_ns
        if not (self._stale_ns and self._pipeline.feed.live and since_ns):
            return
        silent_ns = self._wall_ns() - since_ns
        if silent_ns > self._stale_ns:
            yield f"the feed has given nothing for {silent_ns / 1e9:.0f} s"


def measures_of(pipeline: Pipeline) -> Iterator[Measure]:
    """Give the measures of the feed, of each sink that has some, and of whatever joined the run."""
    yield from pipeline.feed.measures()
    sinks = [sink.measures() for sink in pipeline.outbox.sinks if hasattr(sink, "measures")]
    yield from told_apart(sinks, "sink_number")
    for measured in pipeline.extra_measured:
        yield from measured.measures()


def current_state(pipeline: Pipeline, info: SessionInfo) -> str:
    """Give the state that metrics and probes show: a running session whose strategy is paused is `paused`."""
    if info.state == State.RUNNING and pipeline.engine.trading_state == PAUSED_TRADING:
        return State.PAUSED
    return info.state


def _place(measure: Measure) -> str:
    return ", ".join(f"{label} {value}" for label, value in measure.labels.items()) or measure.name
