"""Sinks that every run has: the event log as a file, and collectors in memory.

May not live here: sinks that need a network or a format of others; those are adapters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.disk import Disk, disk_error
from replay.events import EQUITY, EVENT, EVENT_BYTES
from replay.pipeline.outbox import Effects

__all__ = ["Collector", "EventLog", "is_torn_end"]


class EventLog:
    """Writes events to a file that holds nothing else, so that `sha256sum` prints the run's digest.

    A file that is already there is compared as events come in, and is never written where it agrees. Where it differs,
    it is rewritten from there and `rewritten_from` says so: the caller has proved by the journal which one is right.
    """

    name = "event log"

    def __init__(self, path: Path, *, keep: bool = False, disk: Disk | None = None) -> None:
        """Open the file; `keep` leaves what it holds for comparison, otherwise it starts empty."""
        self.path = path
        self.rewritten_from: int | None = None
        """Number of the first event that was found different and replaced."""
        self._disk = disk or Disk()
        try:
            self._descriptor = self._disk.open(path, is_emptied=not keep)
            self._held_bytes = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise disk_error(error, "the event log cannot be opened", path) from error
        self._position = 0
        self._closed = False

    @property
    def held_events(self) -> int:
        """Whole events in the file."""
        return self._held_bytes // EVENT_BYTES

    def held(self, first: int, limit: int) -> bytes:
        """Read events first..limit as far as the file has them whole."""
        limit = min(limit, self.held_events)
        if limit <= first:
            return b""
        return os.pread(self._descriptor, (limit - first) * EVENT_BYTES, first * EVENT_BYTES)

    def write(self, effects: Effects) -> None:
        """Compare what the file already has, append what it has not."""
        events = effects.events
        if not events:
            return
        start = effects.first_event * EVENT_BYTES
        assert start == self._position, f"event {effects.first_event} comes at byte {self._position}"
        self._position += len(events)
        try:
            if start < self._held_bytes:
                events = self._compare(start, events)
                start = self._position - len(events)
            if events:
                os.lseek(self._descriptor, start, os.SEEK_SET)
                self._disk.write(self._descriptor, [events])
                self._held_bytes = start + len(events)
        except OSError as error:
            self._cut_partial_event()
            raise disk_error(error, "the event log cannot be written", self.path) from error

    def _compare(self, start: int, events: bytes) -> bytes:
        """Return what of `events` the file does not have; a difference cuts the file there."""
        held = os.pread(self._descriptor, len(events), start)
        if events.startswith(held):
            return events[len(held) :]
        same = _same_bytes(held, events) // EVENT_BYTES * EVENT_BYTES
        if self.rewritten_from is None:
            self.rewritten_from = (start + same) // EVENT_BYTES
        self._disk.truncate(self._descriptor, start + same)
        self._held_bytes = start + same
        return events[same:]

    def _cut_partial_event(self) -> None:
        try:
            size_bytes = os.fstat(self._descriptor).st_size
            self._disk.truncate(self._descriptor, size_bytes // EVENT_BYTES * EVENT_BYTES)
        except OSError:
            pass

    def close(self) -> None:
        """Make the file durable and close it."""
        if self._closed:
            return
        self._closed = True
        try:
            self._disk.sync(self._descriptor)
        except OSError as error:
            raise disk_error(error, "the event log cannot be made durable", self.path) from error
        finally:
            os.close(self._descriptor)


class Collector:
    """Keeps all events and equity points in memory, or hands them to callbacks instead."""

    name = "collector"

    def __init__(
        self,
        on_events: Callable[[NDArray[Any]], None] | None = None,
        on_equity: Callable[[NDArray[Any]], None] | None = None,
    ) -> None:
        self._on_events = on_events
        self._on_equity = on_equity
        self._events: list[bytes] = []
        self._equity: list[bytes] = []

    @property
    def events(self) -> NDArray[Any]:
        """All events kept so far (dtype replay.events.EVENT)."""
        return np.frombuffer(b"".join(self._events), dtype=EVENT)

    @property
    def equity(self) -> NDArray[Any]:
        """All equity points kept so far (dtype replay.events.EQUITY)."""
        return np.frombuffer(b"".join(self._equity), dtype=EQUITY)

    def write(self, effects: Effects) -> None:
        """Keep the effects, or call back with them."""
        if self._on_events is None:
            self._events.append(effects.events)
        elif effects.events:
            self._on_events(np.frombuffer(effects.events, dtype=EVENT))
        if self._on_equity is None:
            self._equity.append(effects.equity)
        elif effects.equity:
            self._on_equity(np.frombuffer(effects.equity, dtype=EQUITY))

    def close(self) -> None:
        """Do nothing: memory needs no closing."""


def is_torn_end(held: bytes, made: bytes) -> bool:
    """Say whether a power cut explains how the end of an event log differs from what the journal makes of it.

    The event log is not synced: parts of its end may never have reached the disk, and then read as zeros. Nothing else
    is explained so: every byte is either the journal's or zero, and the first event that differs either lacks a part of
    what every event has (its place on the tape, its kind, its time), or is zero from some byte to its end.
    """
    if len(held) > len(made):
        return False
    found = np.frombuffer(held, dtype=np.uint8)
    differing = np.flatnonzero(found != np.frombuffer(made, dtype=np.uint8, count=len(held)))
    if not len(differing) or np.any(found[differing]):
        return False
    first = int(differing[0])
    start = first // EVENT_BYTES * EVENT_BYTES
    limit = start + EVENT_BYTES
    (was,) = np.frombuffer(held[start:limit], dtype=EVENT)
    (now,) = np.frombuffer(made[start:limit], dtype=EVENT)
    lacks = any(was[name] != now[name] for name in ("tape_seq", "kind", "venue_time"))
    return lacks or not np.any(found[first:limit])


def _same_bytes(left: bytes, right: bytes) -> int:
    """Count the leading bytes that agree."""
    length = min(len(left), len(right))
    differing = np.flatnonzero(
        np.frombuffer(left, dtype=np.uint8, count=length) != np.frombuffer(right, dtype=np.uint8, count=length)
    )
    return int(differing[0]) if len(differing) else length
