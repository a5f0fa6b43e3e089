"""Sinks that every run has: the event log as a file, and collectors in memory.

May not live here: sinks that need a network or a format of others; those are adapters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.disk import Disk, disk_error
from replay.events import EQUITY, EVENT, EVENT_BYTES, EXCURSION
from replay.pipeline.outbox import Effects

__all__ = ["Collector", "EquityLog", "EventLog", "ExcursionLog", "HeldFile", "is_torn_end"]

PIECE_BYTES = 1 << 20
"""How much of a file is read at once."""


class HeldFile:
    """A file of rows of one size that only grows; what it already has is compared as rows come in, never written again.

    While it is provisional (a session is being recovered, and may yet be refused), the file itself is not touched: what
    it has not, or has otherwise, goes to a second file, until `settle` brings that over or `discard` drops it.
    """

    def __init__(
        self,
        path: Path,
        row_bytes: int,
        what: str,
        *,
        keep: bool = False,
        is_provisional: bool = False,
        disk: Disk | None = None,
    ) -> None:
        """Open the file; `keep` leaves what it holds for comparison, otherwise it starts empty."""
        self.path = path
        self.row_bytes = row_bytes
        self.rewritten_from: int | None = None
        """Number of the first row that was found different and replaced."""
        self._what = what
        self._disk = disk or Disk()
        self._is_provisional = is_provisional
        self._staged_from: int | None = None
        self._staged = -1
        self._sync_error: OSError | None = None
        self._is_new = not path.exists()
        try:
            self._descriptor = self._disk.open(path, is_emptied=not keep)
            self._held_bytes = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise disk_error(error, f"the {what} cannot be opened", path) from error
        self._position = 0
        self._closed = False

    @property
    def held_rows(self) -> int:
        """Whole rows in the file."""
        return self._held_bytes // self.row_bytes

    @property
    def rows(self) -> int:
        """Rows that have come in since the file was opened, with those that were skipped."""
        return self._position // self.row_bytes

    def held(self, first: int, limit: int) -> bytes:
        """Read rows first..limit as far as the file has them whole."""
        limit = min(limit, self.held_rows)
        if limit <= first:
            return b""
        return os.pread(self._descriptor, (limit - first) * self.row_bytes, first * self.row_bytes)

    def pieces(self, first: int, limit: int) -> Iterator[bytes]:
        """Read rows first..limit in pieces of bounded size."""
        step = max(1, PIECE_BYTES // self.row_bytes)
        for row in range(first, limit, step):
            yield self.held(row, min(row + step, limit))

    def skip(self, rows: int) -> None:
        """Take the first rows of the file as given: the caller has proved them; before anything comes in."""
        assert self._position == 0 and rows <= self.held_rows, f"{rows} of {self.held_rows} rows"
        self._position = rows * self.row_bytes

    def put(self, data: bytes) -> None:
        """Take the next rows: compare what the file already has, append what it has not."""
        if not data:
            return
        start = self._position
        self._position += len(data)
        try:
            if self._staged_from is not None:
                self._disk.write(self._staged, [data])
                return
            if start < self._held_bytes:
                data = self._compare(start, data)
            if data:
                self._append(self._position - len(data), data)
        except OSError as error:
            self._cut_partial_row()
            raise disk_error(error, f"the {self._what} cannot be written", self.path) from error

    def settle(self, *, cut: bool = False) -> None:
        """Make what is provisional final; `cut` takes away rows after the last one that came in."""
        self._is_provisional = False
        try:
            if self._staged_from is not None:
                self._disk.truncate(self._descriptor, self._staged_from)
                os.lseek(self._descriptor, self._staged_from, os.SEEK_SET)
                for offset in range(0, os.fstat(self._staged).st_size, PIECE_BYTES):
                    self._disk.write(self._descriptor, [os.pread(self._staged, PIECE_BYTES, offset)])
                self._held_bytes = self._position
            elif cut and self._held_bytes > self._position:
                self._disk.truncate(self._descriptor, self._position)
                self._held_bytes = self._position
        except OSError as error:
            self._cut_partial_row()
            raise disk_error(error, f"the {self._what} cannot be written", self.path) from error
        self._drop_staged()

    def discard(self) -> None:
        """Leave the file as it was found, or none where there was none, and close it."""
        self._drop_staged()
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)
        if self._is_new and self._is_provisional:
            self.path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Make what was written durable. May run on another thread. After a failure it is never tried again."""
        if self._sync_error is not None:
            raise self._sync_error
        try:
            self._disk.sync(self._descriptor)
        except OSError as error:
            self._sync_error = error
            raise

    def close(self) -> None:
        """Make the file durable and close it."""
        if self._closed:
            return
        self._closed = True
        self._drop_staged()
        try:
            self.sync()
        except OSError as error:
            raise disk_error(error, f"the {self._what} cannot be made durable", self.path) from error
        finally:
            os.close(self._descriptor)

    def _append(self, start: int, data: bytes) -> None:
        if self._is_provisional:
            self._stage(start)
            self._disk.write(self._staged, [data])
            return
        os.lseek(self._descriptor, start, os.SEEK_SET)
        self._disk.write(self._descriptor, [data])
        self._held_bytes = start + len(data)

    def _stage(self, start: int) -> None:
        staged = self.path.with_name(self.path.name + ".part")
        self._staged = self._disk.open(staged, is_emptied=True)
        self._staged_from = start

    def _drop_staged(self) -> None:
        if self._staged_from is not None:
            os.close(self._staged)
            self._staged_from, self._staged = None, -1
            self.path.with_name(self.path.name + ".part").unlink(missing_ok=True)

    def _compare(self, start: int, data: bytes) -> bytes:
        """Return what of `data` the file does not have; a difference cuts the file there."""
        held = os.pread(self._descriptor, len(data), start)
        if data.startswith(held):
            return data[len(held) :]
        same = _same_bytes(held, data) // self.row_bytes * self.row_bytes
        if self.rewritten_from is None:
            self.rewritten_from = (start + same) // self.row_bytes
        if not self._is_provisional:
            self._disk.truncate(self._descriptor, start + same)
            self._held_bytes = start + same
        return data[same:]

    def _cut_partial_row(self) -> None:
        if self._is_provisional:
            return
        try:
            size_bytes = os.fstat(self._descriptor).st_size
            self._disk.truncate(self._descriptor, size_bytes // self.row_bytes * self.row_bytes)
        except OSError:
            pass


class _Log(HeldFile):
    """A file of what effects hold of one kind, each item of `item_bytes`."""

    name: str
    item_bytes: int

    def __init__(
        self, path: Path, *, keep: bool = False, is_provisional: bool = False, disk: Disk | None = None
    ) -> None:
        """Open the file; `keep` leaves what it holds for comparison, otherwise it starts empty."""
        super().__init__(path, self.item_bytes, self.name, keep=keep, is_provisional=is_provisional, disk=disk)


class EventLog(_Log):
    """Writes events to a file that holds nothing else, so that `sha256sum` prints the run's digest.

    A file that is already there is compared as events come in, and is never written where it agrees. Where it differs,
    it is rewritten from there and `rewritten_from` says so: the caller has proved by the journal which one is right.
    """

    name = "event log"
    item_bytes = EVENT_BYTES

    @property
    def held_events(self) -> int:
        """Whole events in the file."""
        return self.held_rows

    def write(self, effects: Effects) -> None:
        """Compare what the file already has, append what it has not."""
        if effects.events:
            assert effects.first_event == self.rows, f"event {effects.first_event} comes after {self.rows} events"
            self.put(effects.events)


class EquityLog(_Log):
    """Writes equity points to a file, so that a start at a snapshot has those from before it."""

    name = "equity points"
    item_bytes = EQUITY.itemsize

    def write(self, effects: Effects) -> None:
        """Compare what the file already has, append what it has not."""
        self.put(effects.equity)


class ExcursionLog(_Log):
    """Writes the excursion of each fill to a file, so that a start at a snapshot has those from before it."""

    name = "excursions"
    item_bytes = EXCURSION.itemsize

    def write(self, effects: Effects) -> None:
        """Compare what the file already has, append what it has not."""
        self.put(effects.excursions)


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
