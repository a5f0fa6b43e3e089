"""The outbox: keeps what the engine decided until its journal frame is durable, then hands it to the sinks in order.

May not live here: what a sink does, and when a commit happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np

from replay.events import EQUITY, EVENT, EVENT_BYTES, EXCURSION, EventKind
from replay.pipeline.histogram import BATCH_SECONDS, Histogram


class Effects(NamedTuple):
    """What one or more batches decided: whole events, equity points and excursions, in order."""

    first_event: int
    """Number of the first event in the event log, counted from 0 at the start of the run."""
    events: bytes
    """Events of 128 bytes, see replay.events."""
    equity: bytes
    """Equity points, see replay.events.EQUITY."""
    excursions: bytes = b""
    """One for each fill among the events, see replay.events.EXCURSION."""

    @property
    def limit_event(self) -> int:
        """Number of the event after the last."""
        return self.first_event + len(self.events) // EVENT_BYTES

    @property
    def size_bytes(self) -> int:
        """Bytes of all of it."""
        return len(self.events) + len(self.equity) + len(self.excursions)


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


class _Waiting(NamedTuple):
    """What one batch decided: the journal position that it waits for, and when the batch came in (0: unknown)."""

    position: int
    effects: Effects
    arrived_ns: int


@dataclass(frozen=True)
class SinkContext:
    """What a sink that plugs in is told of the run it belongs to."""

    session: str
    """Id of the session; with tape seq and index it names an event for ever."""
    name: str
    """Name of the run."""
    epoch: int
    """Counts the starts of the session, from 1."""
    setup: bytes
    """The engine's setup: instruments, strategies and currencies with their scales (replay.result.projections)."""
    ledger_scales: Sequence[int]
    """Decimals of each currency's amounts in the event log."""
    events_path: Path
    """The event log, in which every event stands before any sink hears of it."""
    wake: Callable[[], object] = field(default=lambda: None)
    """Ends the session in order; for a sink that has failed while nobody writes to it."""


class AsyncSink(Sink, Protocol):
    """A sink with connections: it is opened before the session recovers, and drained when it ends.

    All of it runs on the loop of the session; `write` must not block, so a task of the sink's own does the work.
    """

    @property
    def is_full(self) -> bool:
        """Whether the session has to wait before it decides more."""

    @property
    def failure(self) -> Exception | None:
        """What ended the sink; the session raises it and ends."""

    async def open(self) -> None:
        """Connect, and find out how far it has come in an earlier start."""

    async def drain(self) -> None:
        """Finish what was written, within a bound of its own; what is left over, the next start does."""

    async def aclose(self) -> None:
        """Let go at once. May be called again."""


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
        self.decision_seconds = Histogram(BATCH_SECONDS)
        """From a batch's arrival until its events are decided."""
        self.release_seconds = Histogram(BATCH_SECONDS)
        """From a batch's arrival until the sinks have its events, the journal's commit included."""
        self.wait_seconds = 0.0
        """How long the run has waited for sinks that were full."""
        self._pending: deque[_Waiting] = deque()

    @property
    def pending_events(self) -> int:
        """Events that no sink has seen yet."""
        return self.events - self.released_events

    def collect(self, events: bytes, equity: bytes, excursions: bytes, position: int, arrived_ns: int = 0) -> None:
        """Take what a batch decided; sinks see it when the journal is durable up to `position`.

        arrived_ns: when the batch came in, by time.perf_counter_ns; 0 where nobody asks how long it took.
        """
        if not events and not equity:
            return
        assert len(events) % EVENT_BYTES == 0, f"{len(events)} bytes are not whole events"
        effects = Effects(self.events, events, equity, excursions)
        self._pending.append(_Waiting(position, effects, arrived_ns if events else 0))
        self.pending_bytes += effects.size_bytes
        self.equity_points += len(equity) // EQUITY.itemsize
        if events:
            if arrived_ns:
                self.decision_seconds.observe((time.perf_counter_ns() - arrived_ns) / 1e9)
            self.events = effects.limit_event
            fills = int(np.count_nonzero(np.frombuffer(events, dtype=EVENT)["kind"] == EventKind.FILL))
            assert len(excursions) == fills * EXCURSION.itemsize, (
                f"{fills} fills, {len(excursions)} bytes of excursions"
            )
            self.fills += fills

    def release(self, durable: int) -> None:
        """Hand over everything whose frame is durable, in order."""
        ready: list[_Waiting] = []
        while self._pending and self._pending[0].position <= durable:
            ready.append(self._pending.popleft())
        if not ready:
            return
        effects = ready[0].effects if len(ready) == 1 else _joined([waiting.effects for waiting in ready])
        self.pending_bytes -= effects.size_bytes
        self.released_events = effects.limit_event
        for sink in self.sinks:
            sink.write(effects)
        now_ns = time.perf_counter_ns()
        for waiting in ready:
            if waiting.arrived_ns:
                self.release_seconds.observe((now_ns - waiting.arrived_ns) / 1e9)

    def go_on_from(self, *, events: int, fills: int, equity_points: int) -> None:
        """Count from where a snapshot was taken: the sinks are given what came before it by whoever restores."""
        assert not self.events and not self._pending, "an outbox goes on before anything is collected"
        self.events = self.released_events = events
        self.fills, self.equity_points = fills, equity_points

    def peek(self) -> Effects:
        """Look at all that waits, as one piece."""
        if not self._pending:
            return Effects(self.released_events, b"", b"")
        return _joined([waiting.effects for waiting in self._pending])

    # -- sinks with connections

    @property
    def connected(self) -> list[AsyncSink]:
        """The sinks that are opened and drained on the loop."""
        return [cast(AsyncSink, sink) for sink in self.sinks if hasattr(sink, "drain")]

    @property
    def is_full(self) -> bool:
        """Whether a sink asks the run to wait. Raises what a sink has failed with."""
        self.check()
        return any(sink.is_full for sink in self.connected)

    def check(self) -> None:
        """Raise the first failure of a sink."""
        for sink in self.connected:
            if sink.failure is not None:
                raise sink.failure

    async def open(self) -> None:
        """Open the sinks that have connections; where one cannot, let go of the others."""
        try:
            for sink in self.connected:
                await sink.open()
        except BaseException:
            await self.abandon()
            raise

    async def wait(self, seconds: float) -> None:
        """Wait a moment for sinks that are full; the time is counted."""
        started_s = time.perf_counter()
        await asyncio.sleep(seconds)
        self.wait_seconds += time.perf_counter() - started_s

    async def drain(self) -> None:
        """Let all sinks finish at the same time, each within its own bound; raise the first failure."""
        sinks = self.connected
        try:
            await asyncio.gather(*[sink.drain() for sink in sinks])
        finally:
            await self.abandon()
        self.check()

    async def abandon(self) -> None:
        """Let go of all connections, whatever they still hold."""
        await asyncio.gather(*[sink.aclose() for sink in self.connected], return_exceptions=True)

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
    columns = zip(*((part.events, part.equity, part.excursions) for part in parts), strict=True)
    return Effects(parts[0].first_event, *(b"".join(column) for column in columns))
