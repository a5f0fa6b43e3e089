"""The outbox: keeps what the engine decided until its journal frame is durable, then hands it to the sinks in order.

May not live here: what a sink does, and when a commit happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from replay.events import EQUITY, EVENT, EVENT_BYTES, EventKind


class Effects(NamedTuple):
    """What one or more batches decided: whole events and equity points, in order."""

    first_event: int
    """Number of the first event in the event log, counted from 0 at the start of the run."""
    events: bytes
    """Events of 128 bytes, see replay.events."""
    equity: bytes
    """Equity points, see replay.events.EQUITY."""

    @property
    def limit_event(self) -> int:
        """Number of the event after the last."""
        return self.first_event + len(self.events) // EVENT_BYTES


class Sink(Protocol):
    """Takes effects in order, each exactly once per start, beginning with the first event of the run.

    A session that is started again hands over everything from the start again: a sink that keeps things outside of the
    process (a file, a topic) knows how far it has come and skips or compares what it already holds.
    """

    name: str

    def write(self, effects: Effects) -> None:
        """Take effects; what they stand on is durable."""

    def close(self) -> None:
        """Finish: nothing comes after this. May be called again."""


class Outbox:
    """A queue of effects, each with the journal position that it waits for."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = list(sinks)
        self.events = 0
        """Events collected so far."""
        self.fills = 0
        """Fills among them."""
        self.equity_points = 0
        """Equity points collected so far."""
        self.pending_bytes = 0
        self.released_events = 0
        self._pending: deque[tuple[int, Effects]] = deque()

    @property
    def pending_events(self) -> int:
        """Events that no sink has seen yet."""
        return self.events - self.released_events

    def collect(self, events: bytes, equity: bytes, position: int) -> None:
        """Take what a batch decided; sinks see it when the journal is durable up to `position`."""
        if not events and not equity:
            return
        assert len(events) % EVENT_BYTES == 0, f"{len(events)} bytes are not whole events"
        effects = Effects(self.events, events, equity)
        self._pending.append((position, effects))
        self.pending_bytes += len(events) + len(equity)
        self.equity_points += len(equity) // EQUITY.itemsize
        if events:
            self.events = effects.limit_event
            self.fills += int(np.count_nonzero(np.frombuffer(events, dtype=EVENT)["kind"] == EventKind.FILL))

    def release(self, durable: int) -> None:
        """Hand over everything whose frame is durable, in order."""
        ready: list[Effects] = []
        while self._pending and self._pending[0][0] <= durable:
            ready.append(self._pending.popleft()[1])
        if not ready:
            return
        effects = ready[0] if len(ready) == 1 else _joined(ready)
        self.pending_bytes -= len(effects.events) + len(effects.equity)
        self.released_events = effects.limit_event
        for sink in self.sinks:
            sink.write(effects)

    def go_on_from(self, *, events: int, fills: int, equity_points: int) -> None:
        """Count from where a snapshot was taken: the sinks are given what came before it by whoever restores."""
        assert not self.events and not self._pending, "an outbox goes on before anything is collected"
        self.events = self.released_events = events
        self.fills, self.equity_points = fills, equity_points

    def peek(self) -> Effects:
        """Look at all that waits, as one piece."""
        if not self._pending:
            return Effects(self.released_events, b"", b"")
        return _joined([effects for _, effects in self._pending])

    def close(self) -> None:
        """Close every sink, also when one of them fails; the first error is raised."""
        first_error: BaseException | None = None
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - the other sinks must be closed, then it is raised
                first_error = first_error or error
        if first_error is not None:
            raise first_error


def _joined(parts: Sequence[Effects]) -> Effects:
    events = b"".join([part.events for part in parts])
    return Effects(parts[0].first_event, events, b"".join([part.equity for part in parts]))
