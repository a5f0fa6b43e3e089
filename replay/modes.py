"""The three modes: the one place that knows them. Each chooses feed, pacer, journal and sinks for the same pipeline.

May not live here: anything that happens while records go by; after assembly no code asks which mode it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from replay.config import DurationText, RunConfig, TimeText, resolved
from replay.config.run_config import locate
from replay.control import let_operators_in, risk_switches
from replay.control import outcome as control_outcome
from replay.errors import ConfigError, EngineMissing, HaltError, StrategyError, UsageError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.merge import merge
from replay.feeds.warmup import Warmup
from replay.fork import ForkRequest, check_tape, find_origin, frames_to_take
from replay.health import Health, SessionInfo, State
from replay.logs import logger
from replay.metrics import RunCollector, write_file
from replay.pipeline.beats import QUIET_NS, ClockBeats
from replay.pipeline.commands import CommandQueue
from replay.pipeline.histogram import LOOP_SECONDS, Histogram
from replay.pipeline.journal import Journal, JournalReader, last_epoch
from replay.pipeline.outbox import Outbox, Sink, SinkContext
from replay.pipeline.pacing import Pacer, PlayControls, Speed, TapePacer
from replay.pipeline.pipeline import Pipeline, ProgressCall, Window
from replay.pipeline.risk import RiskSwitches
from replay.pipeline.sinks import EquityLog, EventLog, HeldFile
from replay.pipeline.snapshots import Files, SnapshotOptions, Snapshots
from replay.pipeline.stop import Stop, stop_on_signals
from replay.records import as_bytes, from_bytes
from replay.recovery import Recoverer, Recovery, SnapshotMisled
from replay.result.eventtext import Names
from replay.result.marks import SAMPLE
from replay.result.result import EVENTS_FILE, RESULT_FILE, Result, ResultBuilder
from replay.serving import MetricsServer
from replay.session import (
    EQUITY_FILE,
    MARKS_FILE,
    SETUP_FILE,
    JournalFeed,
    Session,
    read_manifest,
    stored_config,
    strategy_hashes,
    strategy_sources,
)
from replay.setup import build, load_strategies
from replay.units import format_duration, format_time

if TYPE_CHECKING:
    from replay._engine import Engine, Sequencer
    from replay.config import FeedSpec, SinkSpec
    from replay.disk import Disk
    from replay.feeds.feed import Feed
    from replay.feeds.tape import TapeHeader
    from replay.health import Probed
    from replay.pipeline.outbox import Effects
    from replay.strategy import Strategy

PAPER_METRICS_PORT = 9109
CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.prom"
DEAD_LETTERS_FILE = "dead-letters.ndjson"


class Host(Protocol):
    """Runs several sessions in one process: it serves their metrics together and says when each stops."""

    def joins(self, collector: RunCollector, health: Probed) -> None:
        """Take up a session's metrics and health."""


@dataclass(frozen=True)
class Plan:
    """What to run: a configuration, and what Python hands over in place of what the configuration names."""

    config: RunConfig
    feeds: Sequence[Feed] | None = None
    strategies: Sequence[Strategy] | None = None

    @property
    def name(self) -> str:
        """Name of the run: that of its run file, or of its strategies."""
        if self.config.path is not None:
            return self.config.path.stem
        return "+".join(spec.name for spec in self.config.strategy)


# -- backtest


def backtest(config: RunConfig | Plan, *, out: Path | None = None, progress: ProgressCall | None = None) -> Result:
    """Run over stored data as fast as the machine can; Ctrl-C gives what there is, marked as interrupted.

    Needs no event loop, and works inside a running one. Raises ReplayError; see replay.errors for the exit codes.
    """
    plan = _plan(config)
    if plan.config.metrics.port is not None:
        return _run_on_loop(backtest_async(plan, out=out, progress=progress), "backtest")
    with _opened(plan, "backtest") as opened:
        run = _folder_run(opened, out, pacer=None, progress=progress)
        with run.ending(), stop_on_signals(run.pipeline.stop):
            run.pipeline.run()
        return run.result()


async def backtest_async(
    config: RunConfig | Plan, *, out: Path | None = None, progress: ProgressCall | None = None
) -> Result:
    """As `backtest`, on the running event loop, which goes on serving between the batches."""
    with _opened(_plan(config), "backtest") as opened:
        run = _folder_run(opened, out, pacer=None, progress=progress)
        return await _drive(run, opened.plan.config.metrics.port)


# -- play


def play(
    config: RunConfig | Plan,
    *,
    speed: Speed = 1.0,
    from_ns: int | None = None,
    until_ns: int | None = None,
    controls: PlayControls | None = None,
    out: Path | None = None,
    progress: ProgressCall | None = None,
) -> Result:
    """Run over stored data paced by its receive times; `controls` pause, step and change the speed meanwhile."""
    playing = play_async(
        config, speed=speed, from_ns=from_ns, until_ns=until_ns, controls=controls, out=out, progress=progress
    )
    return _run_on_loop(playing, "play")


async def play_async(
    config: RunConfig | Plan,
    *,
    speed: Speed = 1.0,
    from_ns: int | None = None,
    until_ns: int | None = None,
    controls: PlayControls | None = None,
    out: Path | None = None,
    progress: ProgressCall | None = None,
    commands: CommandQueue | None = None,
) -> Result:
    """As `play`, on the running event loop; `commands` takes operators' commands, from any thread."""
    plan = _between(_plan(config), from_ns, until_ns)
    keys = controls or PlayControls(speed)
    with _opened(plan, "play") as opened:
        run = _folder_run(
            opened,
            out,
            pacer=lambda outbox: TapePacer(keys, lambda: outbox.fills),
            progress=progress,
            stop=keys.stop_request,
        )
        run.pipeline.commands = commands or run.pipeline.commands
        return await _drive(run, plan.config.metrics.port)


# -- paper


def paper(
    config: RunConfig | Plan,
    session: Path | None = None,
    *,
    progress: ProgressCall | None = None,
    adopt: bool = False,
    fork: ForkRequest | None = None,
    **options: Any,
) -> Result:
    """Run a session: live or stored data, simulated fills, a journal. Started again on its folder, it goes on.

    `session` is the folder, by default sessions/NAME under the working folder; `adopt` makes a copy of one its own;
    `fork` has a new one take the tape of another session first.
    """
    running = paper_async(config, session, progress=progress, adopt=adopt, fork=fork, **options)
    return _run_on_loop(running, "paper")


async def paper_async(
    config: RunConfig | Plan,
    session: Path | None = None,
    *,
    progress: ProgressCall | None = None,
    stop: Stop | None = None,
    adopt: bool = False,
    fork: ForkRequest | None = None,
    commands: CommandQueue | None = None,
    host: Host | None = None,
    disk: Disk | None = None,
    **options: Any,
) -> Result:
    """As `paper`, on the running event loop; `commands` takes operators' commands, from any thread.

    `options` are those of replay.pipeline.journal.Journal, in place of what `[session]` says. With a host, the session
    serves no metrics of its own and heeds no signals, only `stop`.
    """
    from replay import logs

    plan = _plan(config)
    logs.configure(plan.config.log.format, plan.config.log.level)
    folder = Path(session) if session is not None else Path("sessions") / plan.name
    before = [dict(vars(strategy)) for strategy in plan.strategies or ()]
    with Session(folder, disk=disk, adopt=adopt) as opened_session:
        if fork is not None:
            _start_fork(opened_session, fork)
        work = _PaperWork(plan, opened_session, progress, stop or Stop(), commands, host, options)
        try:
            return await work.run(trusts_snapshots=True)
        except SnapshotMisled as error:
            logs.logger("session").warning(
                "a snapshot does not lead to what the journal proves: starting from the journal's start",
                reason=str(error),
            )
        for strategy, attributes in zip(plan.strategies or (), before, strict=True):
            vars(strategy).clear()
            vars(strategy).update(attributes)
        return await work.run(trusts_snapshots=False)


@dataclass
class _PaperWork:
    """One start of a session: recovered, then run to its end."""

    plan: Plan
    session: Session
    progress: ProgressCall | None
    stop: Stop
    commands: CommandQueue | None
    host: Host | None
    options: dict[str, Any]

    async def run(self, *, trusts_snapshots: bool) -> Result:
        """Recover and run. Raises SnapshotMisled where it has to be done again without snapshots."""
        from replay import logs

        log = logs.logger("session")
        plan, session = self.plan, self.session
        with _opened(plan, "paper", session=session) as opened:
            run = _session_run(opened, session, progress=self.progress, stop=self.stop)
            run.pipeline.commands = self.commands or run.pipeline.commands
            port = plan.config.metrics.port
            async with run.serving(PAPER_METRICS_PORT if port is None else port, self.host), run.publishing():
                recovery, journal = await run.recover(session, self.options, log, trusts_snapshots=trusts_snapshots)
                log.info(
                    "session started",
                    session=str(session.folder),
                    frames=recovery.frames,
                    records=recovery.records,
                    events=recovery.events,
                    closed_in_order=recovery.was_closed,
                    snapshot=recovery.snapshot_seq,
                    metrics_port=run.served_port,
                )
                for note in (*opened.notes, *recovery.notes):
                    log.warning(note)
                control = let_operators_in(
                    plan.config, session, run.pipeline, run_name=plan.name, log=logs.logger("control")
                )
                signals = stop_on_signals(run.pipeline.stop) if self.host is None else contextlib.nullcontext()
                with run.ending(), signals:
                    async with control:
                        run.begins()
                        await run.pipeline.run_async()
                    await run.pipeline.outbox.drain()
                result = run.result()
            log.info(
                "session ended",
                session=str(session.folder),
                records=opened.engine.seq,
                events=run.pipeline.outbox.events,
                digest=result.digest,
                interrupted=result.interrupted,
                stopped_by=run.pipeline.stopped_by,
                journal_bytes=journal.counters.bytes_written,
            )
            return result


def _start_fork(session: Session, request: ForkRequest) -> None:
    """Note what a new session takes first; one that was made by the same fork goes on."""
    if request.folder.resolve() == session.folder.resolve():
        raise UsageError("a session cannot be forked into its own folder", remedy="give --session a new folder")
    if session.manifest is None:
        origin = find_origin(request)
        session.fork, session.trading_start_ns = origin.fork, origin.manifest.trading_start_ns
    elif session.manifest.fork is None or session.manifest.fork.id != read_manifest(request.folder).id:
        raise UsageError(
            f"{session.folder} is a session already, and no fork of {request.folder}",
            remedy="give --session a new folder",
        )


# -- assembly


@dataclass
class _Opened:
    """Feed, setup, sequencer and engine of a plan."""

    plan: Plan
    mode: str
    feed: Feed
    warmup: Warmup | None
    setup: bytes
    sequencer: Sequencer
    engine: Engine
    names: Names
    total: int | None
    notes: list[str]
    strategies: list[Strategy]
    sources: dict[str, tuple[str, str]]
    opened_s: float


@dataclass
class _Run:
    """An assembled run: the pipeline, what gathers its result, and what watches it."""

    opened: _Opened
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
            build=_engine_build(),
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
            build=_engine_build(),
            options=SnapshotOptions(settings.snapshot_every.ns, settings.snapshot_records),
            last_seq=last_seq,
            disk=session.disk,
            log=log,
        )

    def _discard(self) -> None:
        """A start that is refused leaves every file of the session as it was."""
        assert self.files is not None
        steps: list[Callable[[], object]] = [
            self.files.events.discard,
            self.files.equity.discard,
            self.files.marks.discard,
            self.builder.discard,
            self.pipeline.outbox.close,
            self.dead_letters.close,
        ]
        for step in steps:
            with contextlib.suppress(Exception):  # the error that refused the start is the one to tell
                step()

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


class _ResultSink:
    """Feeds the result from the outbox."""

    name = "result"

    def __init__(self, builder: ResultBuilder) -> None:
        self._builder = builder

    def write(self, effects: Effects) -> None:
        self._builder.add_events(effects.events)
        self._builder.add_equity(effects.equity)

    def close(self) -> None:
        """Leave the builder open: the result is finished after the sinks."""


@contextlib.contextmanager
def _opened(plan: Plan, mode: str, *, session: Session | None = None) -> Iterator[_Opened]:
    """Open the feeds, make the setup, load the strategies, build sequencer and engine."""
    started_s = time.perf_counter()
    engine_class, sequencer_class = _engine_classes()
    config = plan.config
    if config.sink and session is None:
        raise UsageError(
            f"{mode} publishes nothing, and the run file has a [[sink]] ({config.sink[0].uri})",
            remedy="only sessions publish: use `replay paper`, or leave the sinks out: --set sink=[]",
        )
    feeds = list(plan.feeds) if plan.feeds is not None else [open_feed(spec, config) for spec in config.feed]
    live = [feed for feed in feeds if feed.live]
    if live and session is None:
        raise UsageError(
            f"{mode} needs stored data, and {live[0].uri} is live",
            remedy="use `replay paper` for live feeds, or record them first",
        )
    headers = [feed.header for feed in feeds]
    merged = merge(feeds)
    trading_start_ns = _trading_start(config, merged, session)
    warmup = _warmup(config, merged.header, trading_start_ns)
    if warmup is not None and (session is None or session.manifest is None):
        warmup.open()  # later starts open it only if it is not over
    setup = build(config, headers, trading_start_ns=trading_start_ns)
    strategies = list(plan.strategies) if plan.strategies is not None else load_strategies(config)
    notes: list[str] = []
    sources: dict[str, tuple[str, str]] = {}
    if session is not None:
        if session.fork is not None:
            check_tape(session.fork, setup)
        hashes = strategy_hashes(config, strategies)
        sources = strategy_sources(hashes, strategies)
        notes = session.settle(config, setup, hashes)
    engine = engine_class(setup, strategies)
    rows = [header.rows for header in headers if header.rows]
    is_windowed = config.run.first_ns is not None or config.run.limit_ns is not None
    yield _Opened(
        plan=plan,
        mode=mode,
        feed=merged,
        warmup=warmup,
        setup=setup,
        sequencer=sequencer_class(setup),
        engine=engine,
        names=Names.of_setup(setup, engine.ledger_scales()),
        total=sum(rows) if len(rows) == len(headers) and not is_windowed and not live else None,
        notes=notes,
        strategies=strategies,
        sources=sources,
        opened_s=time.perf_counter() - started_s,
    )


def _folder_run(
    opened: _Opened,
    out: Path | None,
    *,
    pacer: Callable[[Outbox], Pacer] | None,
    progress: ProgressCall | None,
    stop: Stop | None = None,
) -> _Run:
    """Assemble a run without a journal; its folder, if any, is written as it goes on."""
    if out is not None:
        out = Path(out)
        _prepare_folder(out, opened)
    builder = _builder(opened, out, keeps_events=True)
    outbox = Outbox([_ResultSink(builder)])
    dead_letters = DeadLetterWriter(None if out is None else out / DEAD_LETTERS_FILE)
    pipeline = _pipeline(opened, outbox, builder, dead_letters, progress, stop or Stop())
    pipeline.pacer = None if pacer is None else pacer(outbox)
    _watch(pipeline, risk_switches(opened.plan.config, opened.engine))
    return _Run(opened, pipeline, builder, dead_letters, _info(opened), out)


def _session_run(opened: _Opened, session: Session, *, progress: ProgressCall | None, stop: Stop) -> _Run:
    """Assemble a session; its journal is opened once it is recovered."""
    folder, disk = session.events_folder, session.disk
    files = Files(
        EventLog(folder / EVENTS_FILE, keep=True, is_provisional=True, disk=disk),
        EquityLog(folder / EQUITY_FILE, keep=True, is_provisional=True, disk=disk),
        HeldFile(folder / MARKS_FILE, SAMPLE.itemsize, "series of marks", keep=True, is_provisional=True, disk=disk),
    )
    builder = _builder(opened, folder, keeps_events=False, on_marks=files.marks.put)
    sinks: list[Sink] = [files.events, files.equity, _ResultSink(builder), *_plugged_sinks(opened, session, stop)]
    dead_letters = DeadLetterWriter(None)  # the session's file is opened where its journal says that it ends
    pipeline = _pipeline(opened, Outbox(sinks), builder, dead_letters, progress, stop)
    if opened.feed.live and opened.feed.receive_time == "stamp":
        pipeline.beats = _beats(opened)
    _watch(
        pipeline,
        risk_switches(opened.plan.config, opened.engine, session=session, is_live=opened.feed.live, log=logger("risk")),
    )
    return _Run(opened, pipeline, builder, dead_letters, _info(opened), session.folder, files=files)


def _watch(pipeline: Pipeline, risk: RiskSwitches) -> None:
    pipeline.risk = risk
    pipeline.extra_measured.append(risk)


def _builder(
    opened: _Opened,
    folder: Path | None,
    *,
    keeps_events: bool,
    on_marks: Callable[[bytes], None] | None = None,
) -> ResultBuilder:
    return ResultBuilder(
        opened.setup,
        opened.engine.ledger_scales(),
        folder=folder,
        name=opened.plan.name,
        periods_per_year=opened.plan.config.run.periods_per_year,
        keeps_events=keeps_events,
        on_marks=on_marks,
        is_provisional=on_marks is not None,
    )


def _pipeline(
    opened: _Opened,
    outbox: Outbox,
    builder: ResultBuilder,
    dead_letters: DeadLetterWriter,
    progress: ProgressCall | None,
    stop: Stop,
) -> Pipeline:
    run = opened.plan.config.run
    return Pipeline(
        feed=opened.feed,
        sequencer=opened.sequencer,
        engine=opened.engine,
        outbox=outbox,
        dead_letters=dead_letters,
        observer=builder,
        window=Window(run.first_ns, run.limit_ns),
        warmup=opened.warmup,
        stop=stop,
        progress=progress,
        total=opened.total,
    )


def _info(opened: _Opened) -> SessionInfo:
    return SessionInfo(opened.mode, opened.plan.name, _own_version())


async def _drive(run: _Run, port: int | None) -> Result:
    async with run.serving(port):
        with run.ending(), stop_on_signals(run.pipeline.stop):
            run.begins()
            await run.pipeline.run_async()
        return run.result()


def _plan(config: RunConfig | Plan) -> Plan:
    return config if isinstance(config, Plan) else Plan(config)


def _between(plan: Plan, from_ns: int | None, until_ns: int | None) -> Plan:
    """Replace `from` and `until` of the run file."""
    run = plan.config.run
    if from_ns is not None:
        run = msgspec.structs.replace(run, from_=TimeText(format_time(from_ns)))
    if until_ns is not None:
        run = msgspec.structs.replace(run, until=TimeText(format_time(until_ns)))
    if run.from_ is not None and run.until is not None and run.from_.ns >= run.until.ns:
        raise UsageError(f"until {run.until} is not after from {run.from_}")
    return Plan(msgspec.structs.replace(plan.config, run=run), plan.feeds, plan.strategies)


def open_feed(spec: FeedSpec, config: RunConfig) -> Feed:
    """Open a feed of a configuration with the adapter that its URI names; adapters plug in, so it is found by name."""
    registry = import_module("replay.adapters.registry")
    feed: Feed = registry.open_feed(_with_kafka(spec, config), config.instrument, config.base_dir)
    return feed


def _plugged_sinks(opened: _Opened, session: Session, stop: Stop) -> list[Sink]:
    """Make the sinks that the run file names; each is found by its scheme, since sinks plug in."""
    config = opened.plan.config
    if not config.sink:
        return []
    assert session.manifest is not None, "settle comes first"
    context = SinkContext(
        session=session.manifest.id,
        name=opened.plan.name,
        epoch=session.next_epoch(last_epoch(session.journal_folder)),
        setup=opened.setup,
        ledger_scales=opened.engine.ledger_scales(),
        events_path=session.events_folder / EVENTS_FILE,
        wake=stop.request,
    )
    registry = import_module("replay.adapters.registry")
    return [registry.open_sink(_with_kafka(spec, config), context) for spec in config.sink]


SpecT = TypeVar("SpecT", "FeedSpec", "SinkSpec")


def _with_kafka(spec: SpecT, config: RunConfig) -> SpecT:
    """Give a kafka: feed or sink what it is to know of the brokers, with paths that start at the run file."""
    if spec.scheme != "kafka":
        return spec
    kafka = spec.kafka if spec.kafka is not None else config.kafka
    return msgspec.structs.replace(spec, kafka=kafka.located(lambda path: locate(path, config.base_dir)))


def _trading_start(config: RunConfig, feed: Feed, session: Session | None) -> int | None:
    """When commands are first taken, where the setup cannot tell by itself: with a warm-up, or in a live session.

    A live session's is fixed when it is made, or a re-run would decide otherwise.
    """
    if session is not None and session.manifest is not None:
        return session.manifest.trading_start_ns
    if session is not None and session.fork is not None:
        return session.trading_start_ns
    run = config.run
    if run.from_ is not None or not (config.warmup or run.warmup.ns):
        return None
    if session is not None and feed.live:
        return session.created_ns + run.warmup.ns
    if not config.warmup:
        return None
    if feed.header.first_ns is None:
        raise ConfigError(
            f"{feed.uri} does not say when it begins, so that nobody knows where the warm-up ends",
            place="[[warmup]]",
            remedy="convert it to a tape with `replay data convert`",
        )
    return feed.header.first_ns + run.warmup.ns


def _warmup(config: RunConfig, header: TapeHeader, trading_start_ns: int | None) -> Warmup | None:
    if not config.warmup or trading_start_ns is None:
        return None
    limit_ns = trading_start_ns - config.run.warmup.ns
    return Warmup(lambda: [open_feed(spec, config) for spec in config.warmup], header, limit_ns)


def _beats(opened: _Opened) -> ClockBeats:
    venues = opened.plan.config.venues()
    places = {venue.name: index for index, venue in enumerate(venues)}
    quiet_ns = [getattr(venue, "quiet", DurationText(format_duration(QUIET_NS))).ns for venue in venues]
    return ClockBeats([places[spec.venue] for spec in opened.plan.config.instrument], quiet_ns)


def _prepare_folder(out: Path, opened: _Opened) -> None:
    """Make the run folder; one that holds another run is written over, any other is left alone."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder", place="--out")
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG_FILE).exists():
        raise UsageError(
            f"{out} is not empty and holds no run", place="--out", remedy="give --out an empty or new folder"
        )
    if (out / "session.toml").exists():
        raise UsageError(f"{out} is a session folder", place="--out", remedy="give --out another folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULT_FILE).unlink(missing_ok=True)
    (out / CONFIG_FILE).write_text(resolved(opened.plan.config, out), "utf-8")


def _engine_classes() -> tuple[type[Engine], type[Sequencer]]:
    """Load the engine; this is where another implementation of the same rules would be chosen."""
    try:
        from replay._engine import Engine, Sequencer
    except ImportError as error:
        raise EngineMissing(str(error)) from error
    return Engine, Sequencer


def _engine_build() -> str:
    from replay._engine import ENGINE_BUILD

    return ENGINE_BUILD


def _run_on_loop(work: Any, name: str) -> Result:
    """Run a coroutine to its end where no loop runs yet."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        result: Result = asyncio.run(work)
        return result
    work.close()
    raise UsageError(
        f"{name} cannot block inside a running event loop", remedy=f"use `await replay.{name}_async(...)` there"
    )


def _own_version() -> str:
    try:
        return version("tickreplay")
    except PackageNotFoundError:
        return "not installed"


# -- looking back


def rerun_session(folder: Path, events: Path) -> Names:
    """Run the journal of a session as a backtest and write its event log to `events`.

    Where the session ended because its strategy raised, so does this; what was decided until then is there to compare.
    """
    engine_class, sequencer_class = _engine_classes()
    config = stored_config(folder)
    setup = (folder / SETUP_FILE).read_bytes()
    engine = engine_class(setup, load_strategies(config))
    feed = JournalFeed(folder / "journal")
    outbox = Outbox([EventLog(events)])
    pipeline = Pipeline(
        feed=feed, sequencer=sequencer_class(setup), engine=engine, outbox=outbox, dead_letters=DeadLetterWriter(None)
    )
    pipeline.ends_on_stop = False  # what came after it is on the tape, too
    try:
        with contextlib.suppress(StrategyError, HaltError):
            pipeline.run()
    finally:
        outbox.close()
    return Names.of_setup(setup, engine.ledger_scales())


def record_of_session(folder: Path, tape_seq: int) -> Any:
    """Find a record in a session's journal by its tape seq; None where it is not there."""
    for frame in JournalReader(folder / "journal").frames():
        if frame.first_seq <= tape_seq < frame.limit_seq:
            return frame.records[tape_seq - frame.first_seq]
    return None


def record_of_run(config: RunConfig, tape_seq: int) -> Any:
    """Read the feeds of a run again up to the record with a tape seq; None where they end before."""
    _, sequencer_class = _engine_classes()
    feeds = [open_feed(spec, config) for spec in config.feed]
    if any(feed.live for feed in feeds):
        return None
    merged = merge(feeds)
    trading_start_ns = _trading_start(config, merged, None)
    warmup = _warmup(config, merged.header, trading_start_ns)
    sequencer = sequencer_class(build(config, [feed.header for feed in feeds], trading_start_ns=trading_start_ns))
    window = Window(config.run.first_ns, config.run.limit_ns)
    first_seq = 0
    before = () if warmup is None else warmup.batches()
    for records in itertools.chain(
        (batch.records for batch in before), (window.cut(batch.records) for batch in merged.batches())
    ):
        admitted, _ = sequencer.admit(as_bytes(records).data)
        rows = from_bytes(admitted)
        if tape_seq < first_seq + len(rows):
            return rows[tape_seq - first_seq]
        first_seq += len(rows)
    return None
