"""A run: the assembled pipeline with what gathers its result and what watches it, from its recovery to its end.

May not live here: which mode it is; it is given its parts by modes.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from replay.control import outcome as control_outcome
from replay.feeds.deadletters import DeadLetterWriter
from replay.fork import frames_to_take
from replay.health import Health, SessionInfo, State
from replay.metrics import RunCollector, write_file
from replay.opening import Opened, engine_build
from replay.pipeline.histogram import LOOP_SECONDS, Histogram
from replay.pipeline.journal import Journal
from replay.pipeline.pacing import TapePacer
from replay.pipeline.pipeline import Pipeline
from replay.pipeline.snapshots import Files, SnapshotOptions, Snapshots
from replay.recovery import Recoverer, Recovery
from replay.rerun import tape_of_run
from replay.result.builder import ResultBuilder
from replay.result.result import Result
from replay.serving import MetricsServer
from replay.session import Session

if TYPE_CHECKING:
    from replay.glance import Glances
    from replay.health import Probed
    from replay.pipeline.outbox import Effects

METRICS_FILE = "metrics.prom"


class Host(Protocol):
    """Runs several sessions in one process: it serves their metrics together and says when each stops."""

    def joins(self, collector: RunCollector, health: Probed) -> None:
        """Take up a session's metrics and health."""


@dataclass
class Run:
    """An assembled run: the pipeline, what gathers its result, and what watches it."""

    opened: Opened
    pipeline: Pipeline
    builder: ResultBuilder
    dead_letters: DeadLetterWriter
    info: SessionInfo
    folder: Path | None
    files: Files | None = None
    snapshots: Snapshots | None = None
    served_port: int | None = None
    recover_s: float = 0.0
    run_s: float = 0.0

    @functools.cached_property
    def collector(self) -> RunCollector:
        """The metrics of the run."""
        return RunCollector(self.pipeline, self.info, lambda: self.dead_letters.counts)

    def begins(self) -> None:
        """Say that from now on new records are taken."""
        self.info.state = State.RUNNING
        self.info.running_since_ns = time.time_ns()

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Time the run; where it fails, close all files and leave a result that says why."""
        started_s = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.run_s = time.perf_counter() - started_s
            self.info.state = State.FAILED
            self._keep_partial(error)
            raise
        self.run_s = time.perf_counter() - started_s
        self.info.state = State.STOPPED

    @contextlib.asynccontextmanager
    async def serving(self, port: int | None, host: Host | None = None) -> AsyncIterator[None]:
        """Serve metrics while the run goes on, where there is a port, or let the host do it."""
        metrics = self.opened.plan.config.metrics
        health = Health(self.pipeline, self.info, stale_ns=metrics.stale.ns)
        if host is not None:
            host.joins(self.collector, health)
        if port is None or host is not None:
            yield
            return
        loop_seconds = self.collector.loop_seconds = Histogram(LOOP_SECONDS)
        async with MetricsServer(
            self.collector, health, host=metrics.host, port=port, loop_seconds=loop_seconds
        ) as server:
            self.served_port = server.port
            yield

    @contextlib.asynccontextmanager
    async def watched(self, glances: Glances | None) -> AsyncIterator[None]:
        """Let an observer look at the run while it goes on, where there is one."""
        if glances is None:
            yield
            return
        async with glances.watching(self.pipeline, self.info):
            yield

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Keep the sinks with connections open; they get what was decided also where the run fails."""
        outbox = self.pipeline.outbox
        try:
            await outbox.open()
        except BaseException:
            self.info.state = State.FAILED
            self._discard()
            raise
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await outbox.drain()
            raise

    async def recover(
        self, session: Session, options: dict[str, Any], log: Any, *, trusts_snapshots: bool
    ) -> tuple[Recovery, Journal]:
        """Bring the session to where its journal ends, and open the journal for what comes.

        Where that fails, the session's files are as they were.
        """
        started_s = time.perf_counter()
        self.info.state = State.RECOVERING
        settings = self.opened.plan.config.session
        try:
            recovery, reader = await self._recoverer(session).run(trusts_snapshots=trusts_snapshots)
            self.dead_letters = session.open_dead_letters(self.pipeline.dead_letter_bytes)
            self.pipeline.dead_letters = self.dead_letters
            chosen = {
                "commit_every_ns": settings.commit_every.ns,
                "commit_bytes": settings.commit_bytes,
                "segment_bytes": settings.segment_bytes,
                **options,
            }
            journal = session.open_journal(reader, **chosen)
        except BaseException:
            self.info.state = State.FAILED
            self._discard()
            raise
        self.pipeline.journal = journal
        self.recover_s = time.perf_counter() - started_s
        assert session.manifest is not None
        if session.manifest.fork is not None:
            self.pipeline.tape_first = frames_to_take(session.manifest.fork, self.opened.engine.seq)
        self.snapshots = self.pipeline.snapshots = self._snapshots(session, recovery.snapshot_seq or 0, log)
        self.pipeline.extra_measured.append(self.snapshots)
        return recovery, journal

    def _recoverer(self, session: Session) -> Recoverer:
        assert self.files is not None and session.manifest is not None
        return Recoverer(
            folder=session.journal_folder,
            snapshots_folder=session.snapshots_folder,
            session=session.manifest.id,
            setup_digest=session.manifest.setup_digest,
            sources_digest=session.sources_digest,
            build=engine_build(),
            sources=self.opened.sources,
            pipeline=self.pipeline,
            strategies=self.opened.strategies,
            builder=self.builder,
            files=self.files,
            names=self.opened.names,
            disk=session.disk,
            progress=self.info.recovery,
        )

    def _snapshots(self, session: Session, last_seq: int, log: Any) -> Snapshots:
        assert self.files is not None and session.manifest is not None
        settings = self.opened.plan.config.session
        return Snapshots(
            session.snapshots_folder,
            pipeline=self.pipeline,
            strategies=self.opened.strategies,
            sources=self.opened.sources,
            builder=self.builder,
            files=self.files,
            session=session.manifest.id,
            setup_digest=session.manifest.setup_digest,
            build=engine_build(),
            options=SnapshotOptions(settings.snapshot_every.ns, settings.snapshot_records),
            last_seq=last_seq,
            disk=session.disk,
            log=log,
        )

    def _discard(self) -> None:
        """A start that is refused leaves every file of the session as it was."""
        assert self.files is not None
        steps: list[Callable[[], object]] = [
            *(file.discard for file in self.files.all),
            self.builder.discard,
            self.pipeline.outbox.close,
            self.dead_letters.close,
        ]
        for step in steps:
            with contextlib.suppress(Exception):  # the error that refused the start is the one to tell
                step()

    def abandon(self) -> None:
        """Close all that is open and make no result: the run is done anew."""
        self.pipeline.outbox.close()
        self.dead_letters.close()
        self.builder.close()

    def result(self) -> Result:
        """Finish the result; write it, and the metrics, where the run has a folder."""
        try:
            return self._finish()
        except BaseException:
            self.info.state = State.FAILED
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.builder.close()
            raise

    def _finish(self) -> Result:
        self.pipeline.outbox.close()
        if self.files is not None:
            self.files.marks.close()
        self.dead_letters.close()
        result = self.builder.finish(
            digest=self.opened.engine.digest(),
            state=self.opened.engine.state(),
            counts=self._counts(),
            timings=self._timings(),
            interrupted=self.pipeline.is_interrupted,
            extra=self._extra(),
        )
        if self.folder is not None:
            write_file(self.folder / METRICS_FILE, self.collector)
        if self.files is None:  # a session has its journal
            plan = self.opened.plan
            result.tape = functools.partial(tape_of_run, plan.config, plan.feeds)
        return result

    def _timings(self) -> dict[str, float]:
        return {"open": self.opened.opened_s, "recover": self.recover_s, "run": self.run_s}

    def _counts(self) -> dict[str, Any]:
        counters = self.pipeline.counters
        return {
            "records": self.opened.engine.seq,
            "engine": self.opened.engine.counters(),
            "sequencer": self.opened.sequencer.counters(),
            "feed": {"taken": counters.taken, "outside": counters.outside, "recovered": counters.recovered},
            "dead_letters": dict(self.dead_letters.counts),
        }

    def _extra(self) -> dict[str, Any]:
        extra: dict[str, Any] = {"mode": self.opened.mode, **control_outcome(self.pipeline)}
        pacer = self.pipeline.pacer
        if isinstance(pacer, TapePacer) and pacer.errors.count:
            extra["release_error_seconds"] = {
                "releases": pacer.errors.count,
                "median": pacer.errors.quantile(0.5),
                "p99": pacer.errors.quantile(0.99),
            }
        return extra

    def _keep_partial(self, error: BaseException) -> None:
        """Close what is open; a run folder gets a result that is marked as partial and names the error."""
        steps: list[Callable[[], object]] = [self.pipeline.outbox.close, self.dead_letters.close]
        if self.files is not None:
            steps.append(self.files.marks.close)
        steps += (
            [self.builder.close] if self.folder is None else [lambda: self._write_partial(error), self.builder.close]
        )
        for step in steps:
            with contextlib.suppress(Exception):  # the error that ended the run is the one to tell
                step()

    def _write_partial(self, error: BaseException) -> None:
        assert self.folder is not None
        self.builder.finish(
            digest=self.opened.engine.digest(),
            counts=self._counts(),
            timings=self._timings(),
            interrupted=True,
            extra={**self._extra(), "failure": {"kind": type(error).__name__, "message": str(error)}},
        )
        write_file(self.folder / METRICS_FILE, self.collector)


class ResultSink:
    """Feeds the result from the outbox."""

    name = "result"

    def __init__(self, builder: ResultBuilder) -> None:
        self._builder = builder

    def write(self, effects: Effects) -> None:
        """Take events with their excursions, and equity points."""
        self._builder.add_events(effects.events, effects.excursions)
        self._builder.add_equity(effects.equity)

    def close(self) -> None:
        """Leave the builder open: the result is finished after the sinks."""
