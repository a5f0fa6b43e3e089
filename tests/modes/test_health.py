"""Health for probes: when a run is live and ready, what is said where it is not, also while it recovers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import replay
from replay import serving
from replay.feeds.feed import Batch
from replay.health import Health, RecoveryProgress, SessionInfo, State
from replay.measures import Measure
from replay.pipeline.stop import Stop

from .market import SETTINGS, Busy, CutFeed, ScriptedFeed, market


class FakeCounters:
    last_wall_ns = 0


class FakePipeline:
    """As much of a pipeline as health looks at."""

    def __init__(self, *measures: Measure, live: bool = True) -> None:
        self._measures = measures
        self.feed: Any = self
        self.live = live
        self.outbox: Any = self
        self.sinks: list[Any] = []
        self.extra_measured: list[Any] = []
        self.counters = FakeCounters()
        self.engine: Any = self
        self.trading_state = "active"

    def measures(self) -> Iterable[Measure]:
        return self._measures


def health(pipeline: Any, state: str = State.RUNNING, **options: Any) -> Health:
    info = SessionInfo("paper", "a run", "1")
    info.state = state
    return Health(pipeline, info, **options)


@pytest.mark.parametrize("state", list(State))
def test_only_a_running_or_paused_session_is_ready_and_only_a_failed_one_is_not_live(state: State) -> None:
    judged = health(FakePipeline(), state)
    assert (not judged.not_ready()) == (state in (State.RUNNING, State.PAUSED))
    assert judged.is_live() == (state != State.FAILED)


def test_a_running_session_that_may_not_trade_is_paused_and_ready() -> None:
    pipeline = FakePipeline()
    pipeline.trading_state = "paused"
    judged = health(pipeline)
    assert (judged.state, judged.not_ready()) == ("paused", [])
    assert health(pipeline, State.RECOVERING).state == "recovering"


def test_an_unreachable_broker_is_named() -> None:
    down = Measure("replay_kafka_feed_broker_reachable", "Whether it answers.", 0, "gauge", {"topic": "ticks"})
    assert health(FakePipeline(down)).not_ready() == ["the broker of topic ticks cannot be reached"]
    assert health(FakePipeline(down._replace(value=1))).not_ready() == []


def test_a_tripped_switch_for_stale_feeds_is_a_reason_and_any_other_is_not() -> None:
    tripped = Measure("replay_risk_state", "1 while tripped.", 1, "gauge", {"switch": "stale_feed"})
    assert health(FakePipeline(tripped)).not_ready() == ["the risk switch stale_feed is tripped"]
    assert health(FakePipeline(tripped._replace(labels={"switch": "drawdown"}))).not_ready() == []


def test_a_live_feed_that_is_silent_for_too_long_is_a_reason() -> None:
    pipeline = FakePipeline()
    pipeline.counters.last_wall_ns = 1_000_000_000
    for now_s, reasons in ((61, []), (62, ["the feed has given nothing for 61 s"])):
        judged = health(pipeline, stale_ns=60_000_000_000, wall_ns=lambda now_s=now_s: now_s * 1_000_000_000)
        assert judged.not_ready() == reasons
    pipeline.live = False
    assert health(pipeline, stale_ns=60_000_000_000, wall_ns=lambda: 10**18).not_ready() == [], (
        "stored: nothing to wait for"
    )


def test_what_recovery_has_before_it_is_told_in_bytes_and_estimated_in_frames(tmp_path: Path) -> None:
    path = tmp_path / "00000000.journal"
    path.write_bytes(bytes(1_000))
    progress = RecoveryProgress()
    assert (progress.bytes_to_go, progress.frames_to_go, progress.seconds) == (0, 0, 0.0)
    progress.begin([path])
    assert (progress.bytes_to_go, progress.frames_to_go) == (1_000, 0)
    progress.frames, progress.bytes_done = 10, 250
    assert (progress.bytes_to_go, progress.frames_to_go) == (750, 30)
    progress.end(41)
    assert (progress.bytes_to_go, progress.frames_to_go, progress.frames) == (0, 0, 41)


# -- over HTTP


async def ask(session: aiohttp.ClientSession, port: int, path: str) -> tuple[int, Any]:
    async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
        text = await answer.text()
        return answer.status, await answer.json() if path.startswith("/health") else text


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[int]:
    """The ports that metrics are served on, as they are bound."""
    bound: asyncio.Queue[int] = asyncio.Queue()
    start = serving.MetricsServer.start

    async def noting(server: serving.MetricsServer) -> None:
        await start(server)
        bound.put_nowait(server.port)

    monkeypatch.setattr(serving.MetricsServer, "start", noting)
    return bound


async def test_a_running_session_answers_every_probe(tmp_path: Path, ports: asyncio.Queue[int]) -> None:
    stop = Stop()
    feed = ScriptedFeed(market(200), [0.01] * 200)
    run = asyncio.create_task(
        replay.paper_async(Busy, feed, session=tmp_path / "s", metrics={"port": 0}, stop=stop, **SETTINGS)
    )
    port = await asyncio.wait_for(ports.get(), 10)
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(10):
            while True:
                if (await ask(session, port, "/health/ready"))[0] == 200:
                    break
                await asyncio.sleep(0.01)
        for path in ("/health", "/health/live", "/health/ready"):
            assert await ask(session, port, path) == (200, {"state": "running", "run": "Busy", "reasons": []})
        await asyncio.sleep(0.15)
        _, text = await ask(session, port, "/metrics")
        assert 'replay_session_state{state="running"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert "replay_loop_delay_seconds_count" in text
    stop.request()
    await run


async def test_a_silent_feed_makes_the_session_not_ready_but_leaves_it_live(
    tmp_path: Path, ports: asyncio.Queue[int]
) -> None:
    class Silent(ScriptedFeed):
        async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
            await asyncio.sleep(3_600)
            batches: list[Batch] = []
            for batch in batches:
                yield batch

    stop = Stop()
    settings = {**SETTINGS, "metrics": {"port": 0, "stale": "50ms"}}
    run = asyncio.create_task(
        replay.paper_async(Busy, Silent(market(1), []), session=tmp_path / "s", stop=stop, **settings)
    )
    port = await asyncio.wait_for(ports.get(), 10)
    async with aiohttp.ClientSession() as session, asyncio.timeout(10):
        while True:
            status, body = await ask(session, port, "/health/ready")
            if body["state"] == "running" and status == 503:
                break
            await asyncio.sleep(0.01)
        assert body["reasons"] == ["the feed has given nothing for 0 s"]
        assert (await ask(session, port, "/health/live"))[0] == 200
        status, body = await ask(session, port, "/health")
        assert (status, len(body["reasons"])) == (200, 1), "/health goes by the state alone"
    stop.request()
    await run


async def test_a_session_that_recovers_says_so_and_serves_its_metrics_meanwhile(
    tmp_path: Path, ports: asyncio.Queue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = market(60_000, step_ns=1_000_000)
    settings = {**SETTINGS, "metrics": {"port": 0}}
    first = await replay.paper_async(Busy, CutFeed(tape, [20]), session=tmp_path / "s", **settings)
    await ports.get()
    shutil.rmtree(tmp_path / "s" / "snapshots")  # or there would be nothing to run again
    monkeypatch.setattr("replay.health.BREATH_NS", 100_000)
    monkeypatch.setattr("replay.recovery.GROUP_RECORDS", 20)  # frame by frame, or it is over before anybody asks
    run = asyncio.create_task(replay.paper_async(Busy, CutFeed(tape, [20]), session=tmp_path / "s", **settings))
    port = await asyncio.wait_for(ports.get(), 10)
    seen: list[float] = []
    async with aiohttp.ClientSession() as session:
        while not run.done():
            try:
                status, body = await ask(session, port, "/health/ready")
                _, text = await ask(session, port, "/metrics")
            except aiohttp.ClientError:
                break
            if body["state"] == "recovering":
                assert status == 503
                assert "frames to go" in body["reasons"][0]
                if 'replay_session_state{state="recovering"} 1.0' in text:
                    seen += [
                        float(line.split()[1])
                        for line in text.splitlines()
                        if line.startswith("replay_recovery_bytes_to_go ")
                    ]
    assert seen, "it answered while it recovered"
    assert seen[0] > 0
    assert (await run).digest == first.digest
