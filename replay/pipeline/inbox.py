"""The inbox: what a live feed has given and the run has not taken yet.

May not live here: the order of several feeds (merge), and what is done with a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self

import numpy as np

from replay import records
from replay.pipeline.stop import Stop
from replay.tasks import end_task

if TYPE_CHECKING:
    from replay.feeds.feed import Batch

INBOX_ROWS_MAX = 65_536
"""How many records of a live feed may wait; then the feed has to wait, too."""


class Inbox:
    """Reads a live feed ahead; what came in while the last batch was run is taken as one."""

    def __init__(self, source: AsyncIterator[Batch], stop: Stop) -> None:
        self.has_ended = False
        self.arrived_ns = 0
        """When the oldest batch of what `take` gave last came in."""
        self._oldest_ns = 0
        self._source = source
        self._stop = stop
        self._batches: list[Batch] = []
        self._rows = 0
        self._error: BaseException | None = None
        self._ready: asyncio.Event
        self._space: asyncio.Event
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._ready = self._stop.event(asyncio.get_running_loop())
        self._space = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        return self

    @property
    def ready(self) -> asyncio.Event:
        """What `wait` waits for; whoever has something for the loop sets it."""
        return self._ready

    async def wait(self, seconds: float | None) -> None:
        """Wait for records, a stop, or so long."""
        if self._ready.is_set() or seconds == 0.0:
            await asyncio.sleep(0)
            return
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def take(self) -> Batch | None:
        """Take all that has come in as one batch; raise what the feed raised, once its last batch is taken."""
        self._ready.clear()
        if self._reading.done():
            self._ready.set()  # its end is still to be taken, and nothing else will tell of it
        self._space.set()
        batches, self._batches, self._rows = self._batches, [], 0
        self.arrived_ns = self._oldest_ns
        if not batches:
            if self._error is not None:
                raise self._error
            return None
        if len(batches) == 1:
            return batches[0]
        joined = np.concatenate([batch.records.view(np.uint8) for batch in batches]).view(records.RECORD)
        dead = [letter for batch in batches for letter in batch.dead]
        return batches[-1]._replace(records=joined, dead=dead)

    async def _read(self) -> None:
        try:
            async for batch in self._source:
                if not self._batches:
                    self._oldest_ns = time.perf_counter_ns()
                self._batches.append(batch)
                self._rows += len(batch.records)
                self._ready.set()
                if self._rows >= INBOX_ROWS_MAX:
                    self._space.clear()
                    await self._space.wait()
        except Exception as error:  # noqa: BLE001 - raised by `take`, in the task that runs the pipeline
            self._error = error
        finally:
            self.has_ended = self._error is None
            self._ready.set()

    async def __aexit__(self, *error: object) -> None:
        await end_task(self._reading)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
