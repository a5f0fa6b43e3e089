"""The risk switches as the shell sees them: those that look at clocks, feed and disk, and the tally of all.

May not live here: switches that the tape alone decides (the engine has them), and what an action does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from replay.measures import Measure
from replay.pipeline.commands import CommandCause, OperatorCommand

Action = Literal["alert", "pause", "flatten", "stop"]

COMMAND_OF_ACTION: dict[str, OperatorCommand] = {
    "pause": OperatorCommand.PAUSE,
    "flatten": OperatorCommand.FLATTEN,
    "stop": OperatorCommand.STOP,
}
"""What an action puts on the tape; an alert puts nothing there."""

LOOK_EVERY_NS = 500_000_000
"""How often clocks and disk are looked at."""

ROOM_AGAIN = 1.1
"""The disk switch is armed again when this many times its limit is free."""

TRADING_STATES = ("active", "paused", "stopped")


class Log(Protocol):
    """A structlog logger, as far as it is needed here."""

    def warning(self, event: str, **values: Any) -> Any:
        """Write a line."""


class Trip(NamedTuple):
    """A switch that has just tripped."""

    cause: CommandCause
    action: Action
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class DiskLimit:
    """The least that must be free where the session lies."""

    free_bytes: int | None
    share: float | None
    action: Action


@dataclass(frozen=True)
class WatchLimits:
    """The limits of the shell's switches; None: not set."""

    stale_feed: tuple[int, Action] | None = None
    """Nanoseconds without a tick, and what to do."""
    clock_jump: tuple[int, Action] | None = None
    """Nanoseconds by which the wall clock may leap, and what to do."""
    disk: DiskLimit | None = None


@dataclass
class _Latch:
    tripped: bool = False
    trips: int = 0


@dataclass
class RiskSwitches:
    """Looks at clocks, feed and disk, counts the trips of all switches, and writes one log line for each.

    A switch trips once and is armed again by itself: the stale feed by its next tick, the disk when there is room, the
    clock at once. Those of the engine are armed by a resume.
    """

    limits: WatchLimits
    folder: Path | None = None
    log: Log | None = None
    actions: Mapping[str, str] = field(default_factory=dict)
    """Of the engine's switches, by name: what they do."""
    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    free: Callable[[Path], tuple[int, int]] | None = None
    """Gives the free and all bytes of a folder's file system."""
    trading: Callable[[], dict[str, Any]] | None = None
    """Gives the engine's state of trading, for the metrics."""

    def __post_init__(self) -> None:
        self._latches = {
            name: _Latch()
            for name, limit in (
                ("stale_feed", self.limits.stale_feed),
                ("clock_jump", self.limits.clock_jump),
                ("disk", self.limits.disk),
            )
            if limit is not None
        }
        self.begin()
        self._engine_trips = 0
        self._engine: dict[str, Any] = {"state": "active", "switches": {}}

    # -- clocks, feed, disk

    def begin(self) -> None:
        """Count from now: what came before, such as a recovery, was no silence and no leap."""
        self._heard_ns = self._looked_ns = self.monotonic_ns()
        self._clock_ns = self.wall_ns() - self._looked_ns

    def heard(self) -> None:
        """Note that a tick has come in."""
        self._heard_ns = self.monotonic_ns()
        latch = self._latches.get("stale_feed")
        if latch is not None and latch.tripped:
            latch.tripped = False
            if self.log is not None:
                self.log.warning("the feed ticks again", switch="stale_feed")

    def next_seconds(self) -> float | None:
        """Say when `look` should be called again; None where nothing is watched."""
        if not self._latches:
            return None
        return max(0.0, (self._looked_ns + LOOK_EVERY_NS - self.monotonic_ns()) / 1e9)

    def look(self) -> list[Trip]:
        """Look at everything, if it is time; give what has tripped."""
        now_ns = self.monotonic_ns()
        if not self._latches or now_ns - self._looked_ns < LOOK_EVERY_NS:
            return []
        self._looked_ns = now_ns
        found = [self._look_at_feed(now_ns), self._look_at_clock(now_ns), self._look_at_disk()]
        trips = [trip for trip in found if trip is not None]
        for trip in trips:
            self._tell(trip.cause.name.lower(), trip.action, trip.facts)
        return trips

    def _look_at_feed(self, now_ns: int) -> Trip | None:
        if self.limits.stale_feed is None:
            return None
        after_ns, action = self.limits.stale_feed
        silent_ns = now_ns - self._heard_ns
        if silent_ns < after_ns or not self._trip("stale_feed"):
            return None
        return Trip(CommandCause.STALE_FEED, action, {"silent_seconds": round(silent_ns / 1e9, 3)})

    def _look_at_clock(self, now_ns: int) -> Trip | None:
        if self.limits.clock_jump is None:
            return None
        limit_ns, action = self.limits.clock_jump
        clock_ns = self.wall_ns() - now_ns
        jump_ns, self._clock_ns = clock_ns - self._clock_ns, clock_ns
        if abs(jump_ns) <= limit_ns:
            self._latches["clock_jump"].tripped = False
            return None
        self._latches["clock_jump"].tripped = False  # each jump is one of its own
        self._trip("clock_jump")
        return Trip(CommandCause.CLOCK_JUMP, action, {"jump_seconds": round(jump_ns / 1e9, 3)})

    def _look_at_disk(self) -> Trip | None:
        limit = self.limits.disk
        if limit is None or self.folder is None:
            return None
        try:
            free, total = (self.free or _free_bytes)(self.folder)
        except OSError:
            return None  # the journal will say what is wrong with it
        least = max(limit.free_bytes or 0, int((limit.share or 0.0) * total))
        if free >= least:
            if free >= least * ROOM_AGAIN:
                self._latches["disk"].tripped = False
            return None
        if not self._trip("disk"):
            return None
        return Trip(CommandCause.DISK, limit.action, {"free_bytes": free, "least_bytes": least})

    def _trip(self, name: str) -> bool:
        latch = self._latches[name]
        if latch.tripped:
            return False
        latch.tripped = True
        latch.trips += 1
        return True

    # -- the engine's

    def go_on_from(self, trips: int, trading: dict[str, Any]) -> None:
        """Take what a recovery gave as known: whoever was told of a trip is not told of it again at each start."""
        self._engine_trips, self._engine = trips, trading

    def look_at_engine(self, trips: int, state: str, trading: Callable[[], dict[str, Any]]) -> None:
        """Note what the engine's switches have done; one line for each that has tripped since the last look."""
        if (trips, state) == (self._engine_trips, self._engine["state"]):
            return
        before = self._engine["switches"]
        self._engine = trading()
        self._engine_trips = trips
        for name, now in self._engine["switches"].items():
            count = now["trips"] - before.get(name, {}).get("trips", 0)
            if count > 0:
                facts = {"trips": count, "tape_seq": now["tape_seq"], "time_ns": now["time_ns"]}
                self._tell(name, self.actions.get(name, "?"), facts)

    def _tell(self, name: str, action: str, facts: Mapping[str, Any]) -> None:
        if self.log is not None:
            self.log.warning("a risk switch has tripped", switch=name, action=action, **facts)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Give each of the shell's switches with whether and how often it tripped."""
        return {name: {"tripped": latch.tripped, "trips": latch.trips} for name, latch in self._latches.items()}

    # -- metrics

    def measures(self) -> Iterable[Measure]:
        """Give trips and state of each switch that is set, and the state of trading."""
        engine = self._engine if self.trading is None else self.trading()
        counts = {name: (latch.trips, latch.tripped) for name, latch in self._latches.items()}
        for name, row in engine["switches"].items():
            counts[name] = (row["trips"], row["tripped"])
        for name, (trips, is_tripped) in counts.items():
            labels = {"switch": name}
            yield Measure("replay_risk_trips", "How often a risk switch has tripped.", trips, "counter", labels)
            yield Measure("replay_risk_state", "1 while a risk switch is tripped.", float(is_tripped), labels=labels)
        for state in TRADING_STATES:
            is_so = float(engine["state"] == state)
            yield Measure("replay_trading_state", "1 for what strategies may do.", is_so, labels={"state": state})


def _free_bytes(folder: Path) -> tuple[int, int]:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
