"""A run from a program: awaited, or entered, iterated and steered; and always ended in order.

May not live here: seeking itself (tests/modes/test_seeking), and what a glance says (tests/modes/test_glance).
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

import replay
from replay import Glance, QuoteTick, Strategy
from replay.errors import StrategyError, UsageError
from replay.pipeline.pacing import PlayControls

INSTRUMENT = {"symbol": "ABC", "tick": "0.01", "lot": "1", "quote": "USD"}
SETTINGS: dict[str, Any] = {"instruments": INSTRUMENT, "cash": {"USD": 10_000}}
START_NS = 1_700_000_000_000_000_000
ROWS = 2_000


class Swings(Strategy):
    """Buys one and sells it again, in turns."""

    fails_at: int = -1

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, quote: replay.Quote) -> None:
        self.seen += 1
        if self.seen == self.fails_at:
            raise RuntimeError("on purpose")
        if self.seen % 100 == 0:
            self.target("ABC", self.seen // 100 % 2)


def quotes(rows: int = ROWS, step_ns: int = 1_000_000_000) -> list[QuoteTick]:
    return [QuoteTick(time=START_NS + row * step_ns, bid=10 + row % 7, ask=11 + row % 7) for row in range(rows)]


@pytest.fixture(scope="module")
def digest() -> str:
    return replay.backtest(Swings, quotes(), **SETTINGS).digest


async def test_each_is_awaited_for_its_result(digest: str, tmp_path: Path) -> None:
    assert (await replay.backtest_async(Swings, quotes(), **SETTINGS)).digest == digest
    assert (await replay.play_async(Swings, quotes(), speed="max", **SETTINGS)).digest == digest
    session = replay.paper_async(Swings, quotes(), session=tmp_path / "s", metrics={"port": 0}, **SETTINGS)
    assert (await session).digest == digest


def test_each_can_be_given_to_asyncio_run_and_to_a_task(digest: str) -> None:
    assert asyncio.run(replay.play_async(Swings, quotes(), speed="max", **SETTINGS)).digest == digest

    async def as_tasks() -> list[str]:
        runs = [asyncio.create_task(replay.backtest_async(Swings, quotes(), **SETTINGS)) for _ in range(2)]
        return [(await run).digest for run in runs]

    assert asyncio.run(as_tasks()) == [digest, digest]


async def test_updates_come_while_it_runs_and_the_last_one_shows_the_end(digest: str) -> None:
    updates: list[Glance] = []
    async with replay.play_async(Swings, quotes(), speed=1_000, **SETTINGS) as run:
        async for update in run:
            updates.append(update)  # noqa: PERF401 - as a user writes it
    assert run.result.digest == digest
    assert not run.result.interrupted
    assert updates[0].records <= 1
    assert updates[-1].state == "ended"
    assert updates[-1].records == ROWS
    assert len(updates) > 3
    assert [update.records for update in updates] == sorted(update.records for update in updates)
    assert (await run).digest == digest


async def test_leaving_early_stops_in_order(tmp_path: Path) -> None:
    async with replay.play_async(Swings, quotes(), speed=100, out=tmp_path / "out", **SETTINGS) as run:
        async for update in run:
            if update.fills:
                break
    assert run.result.interrupted
    assert 0 < run.result.counts["records"] < ROWS
    assert replay.Result.load(tmp_path / "out").interrupted


async def test_an_error_of_the_block_stops_the_run_and_is_the_one_to_tell() -> None:
    with pytest.raises(ZeroDivisionError):
        async with replay.play_async(Swings, quotes(), **SETTINGS) as run:
            _ = 1 / 0
    assert run.result.interrupted


async def test_a_cancelled_block_stops_the_run() -> None:
    made: list[replay.LivePlay] = []

    async def watch() -> None:
        async with replay.play_async(Swings, quotes(), **SETTINGS) as run:
            made.append(run)
            await asyncio.sleep(60)

    task = asyncio.create_task(watch())
    while not made:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made[0].result.interrupted


async def test_a_strategy_that_raises_is_told_by_whoever_looks() -> None:
    with pytest.raises(StrategyError, match="on_quote"):
        async with replay.play_async(Swings, quotes(), params={"fails_at": 500}, speed="max", **SETTINGS) as run:
            async for _ in run:
                pass
    with pytest.raises(StrategyError):
        async with replay.backtest_async(Swings, quotes(), params={"fails_at": 5}, **SETTINGS) as run_too:
            await asyncio.sleep(0.2)
    with pytest.raises(StrategyError):
        _ = run.result
    with pytest.raises(StrategyError):
        await run_too


async def test_a_replay_is_paused_stepped_sped_up_and_taken_to_any_time(digest: str) -> None:
    async with replay.play_async(Swings, quotes(), paused=True, **SETTINGS) as run:

        async def arrives(records: int) -> Glance:
            async for update in run:
                if update.state == "paused" and update.records == records:
                    return update
            raise AssertionError("it ended")

        await arrives(0)
        run.step()
        await arrives(1)
        run.step(9)
        await arrives(10)
        run.seek(START_NS + 500 * 10**9)
        await arrives(500)
        run.seek("2023-11-14T22:15:00Z")
        update = await arrives(100)
        assert update.time_ns == START_NS + 99 * 10**9
        run.next_fill()
        assert (await arrives(200)).fills == 2
        assert run.speed == 1.0
        run.speed = "max"
        run.resume()
        async for update in run:  # noqa: B007
            pass
        assert update.speed == "max"
    assert run.result.digest == digest


async def test_what_cannot_be_done_is_refused_with_a_remedy() -> None:
    run = replay.play_async(Swings, (tick for tick in quotes()), paused=True, **SETTINGS)
    with pytest.raises(UsageError, match="async with"):
        aiter(run)
    with pytest.raises(UsageError, match="not over"):
        _ = run.result
    async with run:
        with pytest.raises(UsageError, match="not over"):
            _ = run.result
        with pytest.raises(UsageError, match="is not a time"):
            run.seek("noon")
        with pytest.raises(UsageError, match=r"outside of 0\.1 to 1000"):
            run.speed = 0.0
        run.step(50)
        async for update in run:
            if update.records == 50:
                break
        with pytest.raises(UsageError, match="read only once"):
            run.seek(START_NS)
        with pytest.raises(UsageError, match="only once"):
            await run.__aenter__()
    assert run.result.counts["records"] == 50


async def test_a_session_takes_commands_and_stops_in_order(tmp_path: Path) -> None:
    async def live() -> Any:
        for row in range(100_000):
            yield QuoteTick(time=START_NS + row * 10**9, bid=10 + row % 7, ask=11 + row % 7, bid_size=5, ask_size=5)
            await asyncio.sleep(0.001)

    options = {"records": "quote", "receive_time": "keep"}
    session = replay.paper_async(
        Swings, live, session=tmp_path / "s", metrics={"port": 0}, feed_options=options, **SETTINGS
    )
    seen: list[str] = []
    async with session as run:
        async for update in run:
            if update.trading not in seen:
                seen.append(update.trading)
                if update.trading == "active":
                    run.pause()
                else:
                    run.resume()
            elif seen == ["active", "paused"] and update.trading == "active" and update.records > 50:
                break
    assert seen == ["active", "paused"]
    assert run.result.interrupted
    assert update.speed is None


async def test_two_can_watch_one_run() -> None:
    async with replay.play_async(Swings, quotes(), speed=1_000, **SETTINGS) as run:

        async def last() -> Glance:
            async for update in run:  # noqa: B007
                pass
            return update

        first, second = await asyncio.gather(last(), last())
    assert first == second
    assert run.update == first


def test_a_run_that_nobody_starts_is_pointed_out() -> None:
    with pytest.warns(RuntimeWarning, match="neither awaited nor entered"):
        replay.play_async(Swings, quotes(), **SETTINGS)
        gc.collect()


def test_controls_of_ones_own_go_on_working(digest: str) -> None:
    controls = PlayControls("max")
    assert asyncio.run(replay.play_async(Swings, quotes(), controls=controls, **SETTINGS)).digest == digest
