"""The committer: makes the journal durable on a thread of its own and shows the sinks what has become so.

May not live here: when a commit is due (the journal says), and what a sink does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from replay.pipeline.pipeline import Pipeline

PENDING_BYTES_MAX = 32 << 20
"""How much of the journal may wait for a commit before the feed has to wait, too."""

FULL_SECONDS = 0.02
"""How often the run looks whether a full sink has room again."""


class Committer:
    """Commits the journal on a thread of its own, so that records go on being taken while the disk works."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._journal = pipeline.journal
        self._running: asyncio.Future[int] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._error: Exception | None = None
        self.on_commit: Callable[[], object] = lambda: None
        """Called when a commit has ended: the loop that sleeps meanwhile has to ask anew how long it may."""

    @property
    def is_committing(self) -> bool:
        """Whether the disk is at work."""
        return self._running is not None

    async def __aenter__(self) -> Self:
        if self._journal is not None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-commit")
        return self

    async def poll(self) -> None:
        """Show what has become durable, start the next commit if one is due, wait where too much is pending."""
        self._commit()
        journal = self._journal
        is_much = journal is not None and journal.appended - journal.durable > PENDING_BYTES_MAX
        if is_much and self._running is not None:
            await asyncio.wait({self._running})
            self._finish()
        outbox = self._pipeline.outbox
        while outbox.is_full and not self._pipeline.stop.requested:
            await outbox.wait(FULL_SECONDS)  # a full sink: nothing more is decided, and what was becomes durable
            self._commit()

    def _commit(self) -> None:
        journal = self._journal
        if journal is None:
            return
        self._finish()
        if self._running is None and journal.commit_due():
            self._running = asyncio.get_running_loop().run_in_executor(self._executor, journal.commit)
            self._running.add_done_callback(lambda _: self._show())

    def _show(self) -> None:
        """Release at once, also while the loop waits for records; an error is kept for `poll`."""
        try:
            self._finish()
        except Exception as error:  # noqa: BLE001 - raised by the next poll, in the task that runs the pipeline
            self._error = error
            self._pipeline.stop.request()
        self.on_commit()

    def _finish(self) -> None:
        if self._error is not None:
            raise self._error
        if self._running is not None and self._running.done():
            durable, self._running = self._running, None
            position = durable.result()
            self._pipeline.outbox.release(position)
            self._pipeline.commands.settle(position)

    async def __aexit__(self, *error: object) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        if error[0] is None:
            self._finish()
