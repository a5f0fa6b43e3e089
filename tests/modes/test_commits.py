"""When the journal is committed, by whom, and what the interpreter is set to meanwhile."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from replay import interpreter
from replay.disk import Disk
from replay.errors import JournalError
from replay.events import EVENT
from replay.pipeline import committer as committing
from replay.pipeline.commands import CommandQueue, OperatorCommand, Receipt
from replay.pipeline.committer import Committer
from replay.pipeline.flusher import Flusher
from replay.pipeline.journal import EMPTY_DIGEST, Journal
from replay.pipeline.outbox import Outbox
from replay.pipeline.pacing import PlayControls, TapePacer
from replay.pipeline.sinks import Collector
from replay.pipeline.stop import Stop

NEVER_NS = 10**15


class SpiedDisk(Disk):
    """Notes which thread syncs; can hold a sync up until it is let go, or refuse it."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.refuses = False

    def sync(self, descriptor: int) -> None:
        self.threads.append(threading.current_thread().name)
        assert self.may_sync.wait(10)
        if self.refuses:
            raise OSError(5, "Input/output error")


class Session:
    """What a committer knows of a pipeline, and a journal to write to."""

    def __init__(self, folder: Path) -> None:
        self.disk = SpiedDisk()
        self.journal = Journal(
            folder, segment=0, epoch=1, setup_digest="00" * 32, disk=self.disk, commit_every_ns=NEVER_NS
        )
        self.disk.threads.clear()
        self.shown = Collector()
        self.outbox = Outbox([self.shown])
        self.commands = CommandQueue()
        self.stop = Stop()

    def take(self, *, events: int = 0) -> None:
        """Journal a frame that decides so many events."""
        position = self.journal.append(0, np.zeros(0, dtype=np.uint8), b"{}", EMPTY_DIGEST)
        self.outbox.collect(np.zeros(events, dtype=EVENT).tobytes(), b"", b"", position)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def commits(session: Session, work: Callable[[Committer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Committer(session.journal, session.outbox, session.commands, session.stop) as committer:
            await work(committer)

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what a thread does sets no event here
            await asyncio.sleep(0)


def test_what_a_sink_waits_for_is_committed_at_once_by_the_loop_itself(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "QUICK_NS", NEVER_NS)

    async def work(committer: Committer) -> None:
        session.take()
        await committer.poll()
        assert session.journal.durable == 0  # nobody waits: it may take as long as the journal's bounds say
        session.take(events=2)
        await committer.poll()
        assert len(session.shown.events) == 2
        assert session.journal.durable == session.journal.appended

    commits(session, work)
    assert session.disk.threads == [threading.current_thread().name]


def test_a_slow_disk_gets_a_thread_and_the_loop_goes_on(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "QUICK_NS", 0)
    monkeypatch.setattr(committing, "DISTRUST_TIMES", NEVER_NS)

    async def work(committer: Committer) -> None:
        session.take(events=1)
        await committer.poll()  # that the disk is slow shows only now
        session.disk.may_sync.clear()
        session.take(events=1)
        await committer.poll()
        await until(lambda: len(session.disk.threads) == 2)
        session.take(events=1)
        await committer.poll()
        assert committer.is_committing
        assert len(session.shown.events) == 1
        session.disk.may_sync.set()
        await until(lambda: len(session.shown.events) == 3)  # what came meanwhile follows without a poll

    commits(session, work)
    assert session.disk.threads == [threading.current_thread().name, "replay-commit", "replay-commit"]


def test_frames_that_nobody_waits_for_are_committed_by_the_thread(session: Session) -> None:
    session.journal.commit_every_ns = 0

    async def work(committer: Committer) -> None:
        session.take()
        await committer.poll()
        await until(lambda: session.journal.durable == session.journal.appended)

    commits(session, work)
    assert session.disk.threads == ["replay-commit"]


def test_an_operator_has_the_receipt_without_waiting_for_more_records(session: Session) -> None:
    receipt = session.commands.submit(OperatorCommand.PAUSE)

    async def work(committer: Committer) -> None:
        (request,) = session.commands.take()
        session.take()
        session.commands.taken(session.journal.appended, request, Receipt(0, "paused"))
        await committer.poll()
        await until(receipt.done)

    commits(session, work)
    assert receipt.result().state == "paused"


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_sync_that_fails_ends_the_run_and_nothing_is_shown(session: Session, is_slow: bool) -> None:
    async def work(committer: Committer) -> None:
        if is_slow:
            committer._distrusts_until_ns = NEVER_NS * NEVER_NS
        session.disk.refuses = True
        session.take(events=1)
        with pytest.raises(JournalError, match="cannot be made durable"):
            await committer.poll()
            await until(lambda: session.stop.requested)
            await committer.poll()
        session.disk.refuses = False
        await committer.poll()

    with pytest.raises(JournalError, match="made durable" if is_slow else "refuses to go on"):
        commits(session, work)
    assert len(session.shown.events) == 0
    assert len(session.disk.threads) == 1


def test_a_flusher_gives_each_position_once_and_its_errors_to_whoever_takes() -> None:
    results: list[int | Exception] = [5, OSError("no"), 9]
    ends: list[str] = []

    def flush() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async def work() -> None:
        flusher = Flusher(flush, lambda: ends.append(threading.current_thread().name))
        flusher.start()
        await flusher.wait()
        assert flusher.take() is None
        flusher.ask()
        await flusher.wait()
        assert (flusher.is_busy, flusher.take(), flusher.take(), flusher.is_busy) == (True, 5, None, False)
        flusher.ask()
        await flusher.wait()
        with pytest.raises(OSError, match="no"):
            flusher.take()
        flusher.ask()
        flusher.close()  # the flush that is under way comes to its end, and nobody is called any more
        flusher.close()
        await asyncio.sleep(0)
        assert flusher.take() == 9

    asyncio.run(work())
    assert ends == [threading.current_thread().name] * 2


def test_the_interpreter_is_as_it_was_once_the_last_of_several_sessions_ended() -> None:
    before = (sys.getswitchinterval(), gc.get_freeze_count())
    with interpreter.live():
        with interpreter.live():
            assert sys.getswitchinterval() == pytest.approx(interpreter.SWITCH_SECONDS)
            assert gc.get_freeze_count() > before[1]
        assert sys.getswitchinterval() == pytest.approx(interpreter.SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(before[0])
    assert gc.get_freeze_count() == 0


def test_a_pacer_that_must_not_block_never_holds_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(_seconds: float) -> None:
        raise AssertionError("the loop is held")

    clock = SimpleNamespace(sleep=sleep, perf_counter_ns=time.perf_counter_ns)
    monkeypatch.setattr("replay.pipeline.pacing.time", clock)
    pacer = TapePacer(PlayControls(1.0), lambda: 0, blocks=False)

    async def collect() -> list[tuple[int, int]]:
        times_ns = np.arange(20, dtype=np.int64) * 500_000
        return [found async for found in pacer.slices(times_ns)]

    slices = asyncio.run(collect())
    assert [first for first, _ in slices[1:]] == [limit for _, limit in slices[:-1]]
    assert (slices[0][0], slices[-1][1]) == (0, 20)
