"""The risk switches of a run file: each trips where it must; those of the tape alike in all modes and batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modes.market import SETTINGS, Busy, CutFeed, ScriptedFeed, market

import replay
from replay.pipeline.commands import CommandCause, OperatorCommand
from replay.pipeline.journal import JournalReader
from replay.pipeline.risk import DiskLimit, RiskSwitches, WatchLimits
from replay.records import Kind

SECOND = 1_000_000_000
TAPE = market(6_000, 5)


def _run(risk: dict[str, Any], sizes: Sequence[int] = (500,), session: Path | None = None) -> Any:
    feed = CutFeed(TAPE, sizes)
    if session is None:
        return replay.backtest(Busy, feed, risk=risk, **SETTINGS)
    return replay.paper(Busy, feed, session=session, risk=risk, metrics={"port": 0}, **SETTINGS)


SWITCHES: dict[str, dict[str, Any]] = {
    "drawdown": {"drawdown": {"amount": "5", "action": "flatten"}},
    "position": {"position": {"limit": "0.9", "action": "pause"}},
    "order_rate": {"order_rate": {"orders": 4, "per": "2s", "action": "flatten"}},
    "a stop": {"drawdown": {"limit": "0.0005%", "amount": "50", "action": "stop"}},
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_of_the_tape_acts_at_the_same_record_in_every_mode_and_batch_size(name: str, tmp_path: Path) -> None:
    risk = SWITCHES[name]
    whole = _run(risk)
    (switch,) = whole.document["trading"]["switches"].values()
    assert switch["trips"] == 1
    assert whole.document["trading"]["state"] == ("stopped" if name == "a stop" else "paused")
    assert whole.digest != _run({}).digest, "the switch made a difference"
    others = [_run(risk, (1, 7, 3)), _run(risk, (6_000,)), _run(risk, (11, 400), tmp_path / "session")]
    for other in others:
        assert other.digest == whole.digest
        assert other.document["trading"]["switches"] == whole.document["trading"]["switches"]
    played = replay.play(Busy, CutFeed(TAPE, (900,)), speed="max", risk=risk, **SETTINGS)
    assert played.digest == whole.digest
    again = _run(risk, (11, 400), tmp_path / "session")  # recovered; a stopped one goes on with the rest, paused
    assert again.digest == whole.digest or name == "a stop"


def test_a_switch_that_stops_ends_a_run_in_order() -> None:
    result = _run(SWITCHES["a stop"])
    assert (result.interrupted, result.document["stopped_by"]) == (False, "drawdown")
    assert result.counts["records"] < len(TAPE)


def test_a_switch_that_only_alerts_decides_nothing() -> None:
    alert = {"drawdown": {"amount": "5", "action": "alert"}, "position": {"limit": "0.9", "action": "alert"}}
    result = _run(alert)
    assert result.digest == _run({}).digest
    assert result.document["trading"]["switches"]["drawdown"]["trips"] >= 1
    assert result.document["trading"]["switches"]["position"]["trips"] >= 1


def test_a_silent_feed_pauses_and_the_command_says_why(tmp_path: Path) -> None:
    feed = ScriptedFeed(market(40, 2), [0.01] * 20 + [1.5] + [0.01] * 19)
    result = replay.paper(
        Busy,
        feed,
        session=tmp_path / "s",
        risk={"stale_feed": {"after": "300ms", "action": "pause"}},
        metrics={"port": 0},
        **SETTINGS,
    )
    assert result.document["trading"]["state"] == "paused"
    assert result.document["trading"]["cause"] == "stale_feed"
    tape = np.concatenate([frame.records for frame in JournalReader(tmp_path / "s" / "journal").frames()])
    commands = tape[tape["kind"] == Kind.COMMAND]
    assert commands[["a", "b"]].tolist() == [(OperatorCommand.PAUSE, CommandCause.STALE_FEED)]


def test_a_full_disk_stops_the_session_in_order(tmp_path: Path) -> None:
    feed = ScriptedFeed(market(500, 2), [0.01] * 500)
    result = replay.paper(
        Busy,
        feed,
        session=tmp_path / "s",
        risk={"disk": {"free": "1000TiB", "action": "stop"}},
        metrics={"port": 0},
        **SETTINGS,
    )
    assert (result.interrupted, result.document["stopped_by"]) == (False, "disk")


class _Clocks:
    """Two clocks and a disk that a test sets."""

    def __init__(self) -> None:
        self.wall, self.monotonic, self.free = 1_700_000_000 * SECOND, 5 * SECOND, 100

    def switches(self, limits: WatchLimits) -> RiskSwitches:
        return RiskSwitches(
            limits,
            Path("/"),
            wall_ns=lambda: self.wall,
            monotonic_ns=lambda: self.monotonic,
            free=lambda _: (self.free, 1_000),
        )

    def pass_s(self, seconds: float) -> None:
        self.wall += int(seconds * SECOND)
        self.monotonic += int(seconds * SECOND)


def test_a_stale_feed_trips_once_and_is_armed_by_its_next_tick() -> None:
    clocks = _Clocks()
    switches = clocks.switches(WatchLimits(stale_feed=(10 * SECOND, "flatten")))
    clocks.pass_s(9)
    assert switches.look() == []
    clocks.pass_s(1)
    assert [(trip.cause, trip.action) for trip in switches.look()] == [(CommandCause.STALE_FEED, "flatten")]
    clocks.pass_s(60)
    assert switches.look() == []
    switches.heard()
    clocks.pass_s(10)
    assert len(switches.look()) == 1
    values = {measure.name: measure.value for measure in switches.measures() if measure.labels.get("switch")}
    assert values == {"replay_risk_trips": 2, "replay_risk_state": 1.0}


@pytest.mark.parametrize("jump_s", [3_600, -3_600])
def test_each_leap_of_the_wall_clock_trips_and_slow_drift_does_not(jump_s: int) -> None:
    clocks = _Clocks()
    switches = clocks.switches(WatchLimits(clock_jump=(SECOND, "alert")))
    for _ in range(50):
        clocks.pass_s(1)
        clocks.wall += SECOND // 10
        assert switches.look() == []
    for _ in range(2):
        clocks.pass_s(1)
        clocks.wall += jump_s * SECOND
        (trip,) = switches.look()
        assert trip.cause == CommandCause.CLOCK_JUMP
        assert trip.facts["jump_seconds"] == pytest.approx(jump_s)


def test_a_nearly_full_disk_trips_once_until_there_is_room_again() -> None:
    clocks = _Clocks()
    switches = clocks.switches(WatchLimits(disk=DiskLimit(free_bytes=20, share=0.05, action="pause")))
    trips = []
    for free in (100, 49, 48, 51, 49, 60, 49):
        clocks.free = free
        clocks.pass_s(1)
        trips.append(len(switches.look()))
    assert trips == [0, 1, 0, 0, 0, 0, 1]


def test_a_command_wakes_an_idle_session_within_ten_milliseconds(tmp_path: Path) -> None:
    from replay.pipeline.commands import CommandQueue

    async def taken_after() -> float:
        queue, ready = CommandQueue(), asyncio.Event()
        loop = asyncio.get_running_loop()
        queue.bind(loop, ready)
        started = loop.time()
        future = loop.run_in_executor(None, queue.submit, OperatorCommand.PAUSE)
        await ready.wait()
        await future
        assert [request.command for request in queue.take()] == [OperatorCommand.PAUSE]
        return loop.time() - started

    assert min(asyncio.run(taken_after()) for _ in range(5)) < 0.01
