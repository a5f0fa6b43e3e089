"""Control of a run: builds its risk switches, lets operators into a session, and says what it is doing.

May not live here: protocol and queue (pipeline), and what a command or switch decides (the engine).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from replay.config import RunConfig
from replay.config.run_config import locate
from replay.pipeline.commands import CommandCause, OperatorCommand
from replay.pipeline.control import ControlServer, ControlSource, Log, Status, follow_topic
from replay.pipeline.pipeline import Pipeline
from replay.pipeline.risk import DiskLimit, RiskSwitches, WatchLimits
from replay.tasks import end_task

if TYPE_CHECKING:
    from replay._engine import Engine
    from replay.session import Session

TAPE_SWITCHES = ("drawdown", "position", "order_rate")
"""Switches that the tape alone decides: the engine has them."""


def risk_switches(
    config: RunConfig, engine: Engine, *, session: Session | None = None, is_live: bool = False, log: Log | None = None
) -> RiskSwitches:
    """Build the switches of a run; those that look at feed, clocks and disk only where there is a session."""
    risk = config.risk
    limits = WatchLimits()
    if session is not None:
        limits = WatchLimits(
            stale_feed=(risk.stale_feed.after.ns, risk.stale_feed.action) if risk.stale_feed and is_live else None,
            clock_jump=None if risk.clock_jump is None else (risk.clock_jump.limit.ns, risk.clock_jump.action),
            disk=None if risk.disk is None else _disk_limit(config),
        )
    named = {name: getattr(risk, name) for name in TAPE_SWITCHES}
    actions = {name: switch.action for name, switch in named.items() if switch is not None}
    folder = None if session is None else session.folder
    return RiskSwitches(limits, folder, log, actions, trading=engine.trading)


def _disk_limit(config: RunConfig) -> DiskLimit:
    disk = config.risk.disk
    assert disk is not None
    return DiskLimit(
        free_bytes=None if disk.free is None else disk.free.bytes,
        share=None if disk.share is None else float(disk.share.value),
        action=disk.action,
    )


@contextlib.asynccontextmanager
async def let_operators_in(
    config: RunConfig, session: Session, pipeline: Pipeline, *, run_name: str, log: Log
) -> AsyncIterator[None]:
    """Listen on the session's socket and follow its control topic, while the session runs.

    A session whose trading was stopped is started again with trading paused: that, too, is a command on its tape.
    """
    assert session.manifest is not None
    if pipeline.engine.trading_state == "stopped":
        pipeline.commands.submit(OperatorCommand.PAUSE, CommandCause.RESTART)
        log.warning("the session was stopped: it goes on with trading paused, until `replay ctl SESSION resume`")
    source = open_topic(config)
    async with ControlServer(session.folder, pipeline.commands, lambda: status(session.folder, pipeline), log):
        if source is None:
            yield
            return
        names = frozenset({session.manifest.id, session.manifest.name, session.folder.name, run_name})
        following = asyncio.create_task(
            follow_topic(source, pipeline.commands, pipeline.control_cursor, names, log), name="replay-control-topic"
        )
        following.add_done_callback(lambda task: _tell_failure(task, log))
        try:
            yield
        finally:
            await end_task(following)


def open_topic(config: RunConfig) -> ControlSource | None:
    """Open the control topic of a run file, if it names one; adapters plug in, so they are found by name."""
    control = config.control
    if control.topic is None:
        return None
    kafka = (control.kafka or config.kafka).located(lambda path: locate(path, config.base_dir))
    opened: ControlSource = import_module("replay.adapters.registry").open_control(control.topic, kafka)
    return opened


def status(folder: Path, pipeline: Pipeline) -> Status:
    """Say what a session is doing."""
    engine, journal = pipeline.engine, pipeline.journal
    trading, state = engine.trading(), engine.state()
    seq = engine.seq
    switches: dict[str, dict[str, Any]] = dict(trading["switches"])
    if pipeline.risk is not None:
        switches.update(pipeline.risk.rows())
    return Status(
        session=str(folder),
        process=os.getpid(),
        state="stopping" if pipeline.stop.requested else "running",
        trading=trading["state"],
        cause=trading["cause"],
        since_ns=trading["since_ns"],
        flattening=trading["flattening"],
        seq=seq,
        durable_seq=seq if journal is None else journal.counters.durable_seq,
        now_ns=engine.now_ns if seq else None,
        equity=state["equity"],
        positions=[row for row in state["positions"] if row["quantity"]],
        open_orders=state["open_orders"],
        in_flight=len(state["in_flight"]),
        pending=len(pipeline.commands),
        switches=switches,
    )


def outcome(pipeline: Pipeline) -> dict[str, Any]:
    """Give what the result of a run says of its control: who stopped it, and the state of its switches."""
    trading = pipeline.engine.trading()
    if trading["state"] == "active" and not trading["switches"]:
        return {}
    found: dict[str, Any] = {"trading": msgspec.to_builtins(trading)}
    if pipeline.stopped_by is not None:
        found["stopped_by"] = pipeline.stopped_by
    return found


def _tell_failure(task: asyncio.Task[None], log: Log) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.warning("the control topic is no longer followed", error=repr(task.exception()))
