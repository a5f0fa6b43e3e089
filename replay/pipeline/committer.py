"""The committer: has the journal made durable and shows the sinks what has become so.

May not live here: the thread (flusher), what a sink does, and how long a frame waits that nobody waits for (journal).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from replay.pipeline.flusher import Flusher

if TYPE_CHECKING:
    from replay.pipeline.commands import CommandQueue
    from replay.pipeline.journal import Journal
    from replay.pipeline.outbox import Outbox
    from replay.pipeline.stop import Stop

PENDING_BYTES_MAX = 32 << 20
"""How much of the journal may wait for a commit before the feed has to wait, too."""

FULL_SECONDS = 0.02
"""How often the run looks whether a full sink has room again."""

QUICK_NS = 2_000_000
"""A disk that takes no longer is quick: handing an order's commit to a thread and back may take as long."""

DISTRUST_TIMES = 100
"""After a commit that took longer the loop leaves all of them to the thread for so many times as long as it took: slow
ones hold the loop for a hundredth of its time at most, and one that waited for a processor is soon forgotten."""

DISTRUST_NS_MAX = 10_000_000_000
"""So long at most: a disk that stood still once may be quick again."""


class Committer:
    """Commits the journal and shows the sinks what has become durable.

    What a sink or an operator waits for is committed at once: as soon as the disk is free, with all that came since.
    While the disk is quick the loop does that itself: on a busy machine two changes of threads take longer than the
    disk. Other frames wait as long as the journal's bounds say, and a thread commits them, as it does everything while
    the disk is slow, so that records go on being taken.
    """

    def __init__(self, journal: Journal | None, outbox: Outbox, commands: CommandQueue, stop: Stop) -> None:
        self._journal = journal
        self._outbox = outbox
        self._commands = commands
        self._stop = stop
        self._flusher = None if self._journal is None else Flusher(self._journal.commit, self._show)
        self._error: Exception | None = None
        self._distrusts_until_ns = 0
        self.on_commit: Callable[[], object] = lambda: None
        """Called when a commit has ended: the loop that sleeps meanwhile has to ask anew how long it may."""

    @property
    def is_committing(self) -> bool:
        """Whether the disk is at work."""
        return self._flusher is not None and self._flusher.is_busy

    async def __aenter__(self) -> Self:
        if self._flusher is not None:
            self._flusher.start()
        return self

    async def poll(self) -> None:
        """Show what has become durable, start the next commit if one is due, wait where too much is pending."""
        self._commit()
        journal, flusher = self._journal, self._flusher
        if journal is not None and flusher is not None and journal.appended - journal.durable > PENDING_BYTES_MAX:
            await flusher.wait()
            self._finish()
        while self._outbox.is_full and not self._stop.requested:
            await self._outbox.wait(FULL_SECONDS)  # a full sink: nothing more is decided, and what was becomes durable
            self._commit()

    def _commit(self) -> None:
        journal, flusher = self._journal, self._flusher
        if journal is None or flusher is None:
            return
        self._finish()
        if flusher.is_busy:
            return
        if not self._is_awaited():
            if journal.commit_due():
                flusher.ask()
        elif time.monotonic_ns() < self._distrusts_until_ns:
            flusher.ask()
        else:
            self._became_durable(journal, journal.commit())

    def _is_awaited(self) -> bool:
        """Say whether somebody waits for what is not durable: a sink for events, an operator for a receipt."""
        return self._outbox.pending_events > 0 or self._commands.has_undurable

    def _show(self) -> None:
        """Release at once, also while the loop waits for records; an error is kept for `poll`."""
        try:
            self._commit()
        except Exception as error:  # noqa: BLE001 - raised by the next poll, in the task that runs the pipeline
            self._error = error
            self._stop.request()
        self.on_commit()

    def _finish(self) -> None:
        if self._error is not None:
            raise self._error
        position = None if self._flusher is None else self._flusher.take()
        if position is not None and self._journal is not None:
            self._became_durable(self._journal, position)

    def _became_durable(self, journal: Journal, position: int) -> None:
        if journal.last_commit_ns > QUICK_NS:
            distrusts_ns = min(DISTRUST_TIMES * journal.last_commit_ns, DISTRUST_NS_MAX)
            self._distrusts_until_ns = max(self._distrusts_until_ns, time.monotonic_ns() + distrusts_ns)
        self._outbox.release(position)
        self._commands.settle(position)

    async def __aexit__(self, *error: object) -> None:
        if self._flusher is not None:
            try:
                await self._flusher.wait()
            finally:
                self._flusher.close()
        if error[0] is None:
            self._finish()
