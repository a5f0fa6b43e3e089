"""The three modes: the one place that knows them. Each chooses feed, pacer, journal and sinks for the same pipeline.

May not live here: anything that happens while records go by; after assembly no code asks which mode it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from replay.config import DurationText, RunConfig, TimeText, resolved
from replay.config.run_config import locate
from replay.control import let_operators_in, risk_switches
from replay.errors import JournalError, UsageError, disk_remedy
from replay.feeds.deadletters import DeadLetterWriter
from replay.fork import ForkRequest, find_origin
from replay.health import SessionInfo
from replay.interpreter import live
from replay.logs import logger
from replay.opening import Opened, Plan, open_plan, own_version, plugged_sinks
from replay.pipeline.beats import QUIET_NS, ClockBeats
from replay.pipeline.commands import CommandQueue
from replay.pipeline.outbox import Outbox, Sink
from replay.pipeline.pacing import Pacer, PlayControls, Speed, TapePacer
from replay.pipeline.pipeline import Pipeline, ProgressCall, Window
from replay.pipeline.risk import RiskSwitches
from replay.pipeline.sinks import EquityLog, EventLog, ExcursionLog, HeldFile
from replay.pipeline.snapshots import Files
from replay.pipeline.stop import Stop, stop_on_signals
from replay.recovery import SnapshotMisled
from replay.result.benchmark import Levels
from replay.result.builder import ResultBuilder
from replay.result.marks import SAMPLE
from replay.result.result import EVENTS_FILE, RESULT_FILE, Result
from replay.running import Host, ResultSink, Run
from replay.session import (
    EQUITY_FILE,
    EXCURSIONS_FILE,
    MARKS_FILE,
    Session,
    read_manifest,
)
from replay.strategy_state import lay_out
from replay.units import format_duration, format_time

if TYPE_CHECKING:
    from replay.disk import Disk
    from replay.glance import Glances

PAPER_METRICS_PORT = 9109
CONFIG_FILE = "config.toml"
DEAD_LETTERS_FILE = "dead-letters.ndjson"


# -- backtest


def backtest(config: RunConfig | Plan, *, out: Path | None = None, progress: ProgressCall | None = None) -> Result:
    """Run over stored data as fast as the machine can; Ctrl-C gives what there is, marked as interrupted.

    Needs no event loop, and works inside a running one. Raises ReplayError; see replay.errors for the exit codes.
    """
    plan = _plan(config)
    if plan.config.metrics.port is not None:
        return _run_on_loop(backtest_async(plan, out=out, progress=progress), "backtest")
    with open_plan(plan, "backtest") as opened:
        run = _folder_run(opened, out, pacer=None, progress=progress)
        with run.ending(), stop_on_signals(run.pipeline.stop):
            run.pipeline.run()
        return run.result()


async def backtest_async(
    config: RunConfig | Plan,
    *,
    out: Path | None = None,
    progress: ProgressCall | None = None,
    stop: Stop | None = None,
    glances: Glances | None = None,
) -> Result:
    """As `backtest`, on the running event loop, which goes on serving between the batches; `stop` ends it in order."""
    with open_plan(_plan(config), "backtest") as opened:
        run = _folder_run(opened, out, pacer=None, progress=progress, stop=stop, glances=glances)
        return await _drive(run, opened.plan.config.metrics.port, glances)


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
    glances: Glances | None = None,
) -> Result:
    """Run over stored data paced by its receive times; `controls` pause, step and change the speed meanwhile."""
    playing = play_async(
        config,
        speed=speed,
        from_ns=from_ns,
        until_ns=until_ns,
        controls=controls,
        out=out,
        progress=progress,
        glances=glances,
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
    glances: Glances | None = None,
) -> Result:
    """As `play`, on the running event loop; `commands` takes operators' commands, from any thread.

    A seek to what lies behind plays the tape from its start again: the result is that of the last pass.
    """
    plan = _between(_plan(config), from_ns, until_ns)
    keys = controls or PlayControls(speed)
    player = _Player(plan, keys, out, progress, commands, glances)
    keys.rewind_refusal = player.rewind_refusal()
    while True:
        result = await player.play_through()
        if result is not None:
            return result


@dataclass
class _Player:
    """Plays a tape, from its start each time."""

    plan: Plan
    keys: PlayControls
    out: Path | None
    progress: ProgressCall | None
    commands: CommandQueue | None
    glances: Glances | None

    def __post_init__(self) -> None:
        self._fresh: list[dict[str, Any]] | None = None
        self._uncopied = ""
        try:
            self._fresh = [copy.deepcopy(vars(strategy)) for strategy in self.plan.strategies or ()]
        except Exception as error:  # noqa: BLE001 - whatever a user's attribute does when it is copied
            self._uncopied = f"the strategy cannot be copied ({type(error).__name__}: {error})"

    def rewind_refusal(self) -> str | None:
        """Say why there can be no second pass, where there can be none."""
        if any(getattr(feed, "is_once", False) for feed in self.plan.feeds or ()):
            return "its ticks come from an iterator, that can be read only once"
        return None if self._fresh is not None else self._uncopied

    async def play_through(self) -> Result | None:
        """Play to the end, or to a stop; None where a seek wants another pass."""
        if self._fresh is not None:
            for strategy, attributes in zip(self.plan.strategies or (), self._fresh, strict=True):
                vars(strategy).clear()
                vars(strategy).update(copy.deepcopy(attributes))
        keys, stop = self.keys, self.keys.stop_request.child()
        with open_plan(self.plan, "play") as opened:
            run = _folder_run(
                opened,
                self.out,
                pacer=lambda outbox: TapePacer(keys, lambda: outbox.fills, stop=stop),
                progress=self.progress,
                stop=stop,
                glances=self.glances,
            )
            if self.commands is not None:  # an empty queue is false
                run.pipeline.commands = self.commands
            pacer = run.pipeline.pacer
            assert isinstance(pacer, TapePacer)
            port = self.plan.config.metrics.port
            async with run.serving(port), run.watched(self.glances):
                with stop_on_signals(keys.stop_request):
                    with run.ending():
                        run.begins()
                        await run.pipeline.run_async()
                    if not run.pipeline.is_interrupted:
                        await pacer.linger()
            if pacer.rewinds and not keys.stopped:
                run.abandon()
                return None
            return run.result()


# -- paper


def paper(
    config: RunConfig | Plan,
    session: Path | None = None,
    *,
    progress: ProgressCall | None = None,
    adopt: bool = False,
    fork: ForkRequest | None = None,
    stop: Stop | None = None,
    commands: CommandQueue | None = None,
    glances: Glances | None = None,
    **options: Any,
) -> Result:
    """Run a session: live or stored data, simulated fills, a journal. Started again on its folder, it goes on.

    `session` is the folder, by default sessions/NAME under the working folder; `adopt` makes a copy of one its own;
    `fork` has a new one take the tape of another session first.
    """
    running = paper_async(
        config,
        session,
        progress=progress,
        adopt=adopt,
        fork=fork,
        stop=stop,
        commands=commands,
        glances=glances,
        **options,
    )
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
    glances: Glances | None = None,
    **options: Any,
) -> Result:
    """As `paper`, on the running event loop; `commands` takes operators' commands, from any thread.

    `options` are those of replay.pipeline.journal.Journal, in place of what `[session]` says. With a host, the session
    serves no metrics of its own and heeds no signals, only `stop`. `glances` look at it while it runs.
    """
    from replay import logs

    plan = _plan(config)
    logs.configure(plan.config.log.format, plan.config.log.level)
    folder = Path(session) if session is not None else Path("sessions") / plan.name
    before = [dict(vars(strategy)) for strategy in plan.strategies or ()]
    with Session(folder, disk=disk, adopt=adopt) as opened_session:
        if fork is not None:
            _start_fork(opened_session, fork)
        work = _PaperWork(plan, opened_session, progress, stop or Stop(), commands, host, glances, options)
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
    glances: Glances | None
    options: dict[str, Any]

    async def run(self, *, trusts_snapshots: bool) -> Result:
        """Recover and run. Raises SnapshotMisled where it has to be done again without snapshots."""
        from replay import logs

        log = logs.logger("session")
        plan, session = self.plan, self.session
        with open_plan(plan, "paper", session=session) as opened:
            run = _session_run(opened, session, progress=self.progress, stop=self.stop, glances=self.glances)
            if self.commands is not None:  # an empty queue is false
                run.pipeline.commands = self.commands
            port = plan.config.metrics.port
            port = PAPER_METRICS_PORT if port is None else port
            async with run.serving(port, self.host), run.watched(self.glances), run.publishing():
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
                with run.ending(), signals, live():
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


def _folder_run(
    opened: Opened,
    out: Path | None,
    *,
    pacer: Callable[[Outbox], Pacer] | None,
    progress: ProgressCall | None,
    stop: Stop | None = None,
    glances: Glances | None = None,
) -> Run:
    """Assemble a run without a journal; its folder, if any, is written as it goes on."""
    if out is not None:
        out = Path(out)
        _prepare_folder(out, opened)
    builder = _builder(opened, out, keeps_events=True)
    outbox = Outbox([ResultSink(builder), *_observers(opened, glances)])
    dead_letters = DeadLetterWriter(None if out is None else out / DEAD_LETTERS_FILE)
    pipeline = _pipeline(opened, outbox, builder, dead_letters, progress, stop or Stop())
    pipeline.pacer = None if pacer is None else pacer(outbox)
    _watch(pipeline, risk_switches(opened.plan.config, opened.engine))
    return Run(opened, pipeline, builder, dead_letters, _info(opened), out)


def _session_run(
    opened: Opened, session: Session, *, progress: ProgressCall | None, stop: Stop, glances: Glances | None
) -> Run:
    """Assemble a session; its journal is opened once it is recovered."""
    for strategy in opened.strategies:
        lay_out(strategy)
    folder, disk = session.events_folder, session.disk
    files = Files(
        EventLog(folder / EVENTS_FILE, keep=True, is_provisional=True, disk=disk),
        EquityLog(folder / EQUITY_FILE, keep=True, is_provisional=True, disk=disk),
        ExcursionLog(folder / EXCURSIONS_FILE, keep=True, is_provisional=True, disk=disk),
        HeldFile(folder / MARKS_FILE, SAMPLE.itemsize, "series of marks", keep=True, is_provisional=True, disk=disk),
    )
    builder = _builder(opened, folder, keeps_events=False, on_marks=files.marks.put)
    observers = [ResultSink(builder), *_observers(opened, glances)]
    sinks: list[Sink] = [*files.sinks, *observers, *plugged_sinks(opened, session, stop)]
    dead_letters = DeadLetterWriter(None)  # the session's file is opened where its journal says that it ends
    pipeline = _pipeline(opened, Outbox(sinks), builder, dead_letters, progress, stop)
    if opened.feed.live and opened.feed.receive_time == "stamp":
        pipeline.beats = _beats(opened)
    _watch(
        pipeline,
        risk_switches(opened.plan.config, opened.engine, session=session, is_live=opened.feed.live, log=logger("risk")),
    )
    return Run(opened, pipeline, builder, dead_letters, _info(opened), session.folder, files=files)


def _observers(opened: Opened, glances: Glances | None) -> list[Sink]:
    return [] if glances is None else [glances.trail(opened)]


def _watch(pipeline: Pipeline, risk: RiskSwitches) -> None:
    pipeline.risk = risk
    pipeline.extra_measured.append(risk)


def _benchmark(config: RunConfig) -> str | Levels | None:
    """Give what the run is held against; a file is read."""
    file = config.stats.benchmark_file
    if file is not None:
        return Levels.read(Path(locate(file, config.base_dir)))
    return None if config.stats.benchmark == "none" else config.stats.benchmark


def _builder(
    opened: Opened,
    folder: Path | None,
    *,
    keeps_events: bool,
    on_marks: Callable[[bytes], None] | None = None,
) -> ResultBuilder:
    run, stats = opened.plan.config.run, opened.plan.config.stats
    return ResultBuilder(
        opened.setup,
        opened.engine.ledger_scales(),
        folder=folder,
        name=opened.plan.name,
        periods_per_year=run.periods_per_year,
        risk_free=stats.risk_free_per_period(run.periods_per_year),
        benchmark=_benchmark(opened.plan.config),
        keeps_events=keeps_events,
        on_marks=on_marks,
        is_provisional=on_marks is not None,
    )


def _pipeline(
    opened: Opened,
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


def _info(opened: Opened) -> SessionInfo:
    return SessionInfo(opened.mode, opened.plan.name, own_version())


async def _drive(run: Run, port: int | None, glances: Glances | None) -> Result:
    async with run.serving(port), run.watched(glances):
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


def _beats(opened: Opened) -> ClockBeats:
    venues = opened.plan.config.venues()
    places = {venue.name: index for index, venue in enumerate(venues)}
    quiet_ns = [getattr(venue, "quiet", DurationText(format_duration(QUIET_NS))).ns for venue in venues]
    return ClockBeats([places[spec.venue] for spec in opened.plan.config.instrument], quiet_ns)


def _prepare_folder(out: Path, opened: Opened) -> None:
    """Make the run folder; one that holds another run is written over, any other is left alone."""
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(
                f"{out} is a file, not a folder", place="--out", remedy="give --out an empty or new folder"
            )
        if out.is_dir() and any(out.iterdir()) and not (out / CONFIG_FILE).exists():
            raise UsageError(
                f"{out} is not empty and holds no run", place="--out", remedy="give --out an empty or new folder"
            )
        if (out / "session.toml").exists():
            raise UsageError(f"{out} is a session folder", place="--out", remedy="give --out another folder")
        out.mkdir(parents=True, exist_ok=True)
        (out / RESULT_FILE).unlink(missing_ok=True)
        (out / CONFIG_FILE).write_text(resolved(opened.plan.config, out), "utf-8")
    except OSError as error:
        raise JournalError(
            f"cannot make the run folder: {error.strerror or error}", place=str(out), remedy=disk_remedy(error, out)
        ) from error


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
