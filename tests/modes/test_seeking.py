"""Seeking in a replay: forward flat out, backward from the start, and always to the digest of the backtest.

May not live here: how fast records are released (test_parts).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay
from replay import QuoteTick, Strategy
from replay.errors import UsageError
from replay.glance import Glance, Glances
from replay.pipeline.pacing import DAY_NS, PlayControls
from replay.result.result import Result

from .market import INSTRUMENTS, SETTINGS, Busy, CutFeed, market

ROWS = 4_000
HALF_DAY_NS = DAY_NS // 2


@pytest.fixture(scope="module")
def expected() -> Result:
    return replay.backtest(Busy, CutFeed(market(ROWS), [ROWS]), **SETTINGS)


class Player:
    """A replay as a task, looked at by its glances."""

    def __init__(
        self,
        feed: Any,
        *,
        paused: bool = True,
        speed: Any = "max",
        holds: bool = False,
        holds_at_start: bool = False,
        **more: Any,
    ) -> None:
        from replay import api, modes

        self.controls = PlayControls(speed, paused=paused)
        self.controls.holds_at_end, self.controls.holds_at_start = holds, holds_at_start
        self.glances = Glances(per_second=500)
        settings = {**SETTINGS, **more}
        out = settings.pop("out", None)
        strategy = settings.pop("strategy", Busy)
        plan = api.plan(strategy, feed, **settings)
        running = modes.play_async(plan, controls=self.controls, glances=self.glances, out=out)
        self.task = asyncio.create_task(running)

    async def until(self, condition: Callable[[Glance], bool]) -> Glance:
        async with asyncio.timeout(20):
            while True:
                if self.task.done():
                    self.task.result()
                glance = self.glances.latest
                if glance is not None and condition(glance):
                    return glance
                await asyncio.sleep(0.002)

    async def arrives(self, records: int) -> Glance:
        return await self.until(lambda glance: glance.state == "paused" and glance.records == records)


def time_of(tape: Any, row: int) -> int:
    return int(tape["ts_recv"][row])


def admitted_before(tape: Any, time_ns: int) -> int:
    """Count the records that are received before a time and are not set aside."""
    inside = (tape["ts_recv"] < time_ns) & (tape["a"] > 0)
    return int(np.count_nonzero(inside))


async def test_a_seek_forward_stops_before_the_first_record_of_that_time(expected: Result) -> None:
    tape = market(ROWS)
    player = Player(CutFeed(tape, [333]))
    for row in (1, 700, 2_500):
        target_ns = time_of(tape, row)
        player.controls.seek(target_ns)
        glance = await player.arrives(admitted_before(tape, target_ns))
        assert glance.time_ns is not None and glance.time_ns < target_ns
    player.controls.resume()
    assert (await player.task).digest == expected.digest


async def test_a_seek_back_plays_from_the_start_to_the_same_state_and_the_same_end(expected: Result) -> None:
    tape = market(ROWS)
    player = Player(CutFeed(tape, [100]))
    early_ns, late_ns = time_of(tape, 900), time_of(tape, 3_000)
    player.controls.seek(early_ns)
    first = await player.arrives(admitted_before(tape, early_ns))
    player.controls.seek(late_ns)
    late = await player.arrives(admitted_before(tape, late_ns))
    assert late.fills > first.fills > 0
    player.controls.seek(early_ns)
    again = await player.arrives(admitted_before(tape, early_ns))
    for name in ("time_ns", "equity", "cash", "positions", "orders", "fills", "last_fills", "equity_curve", "events"):
        assert getattr(again, name) == getattr(first, name), name
    player.controls.resume()
    result = await player.task
    assert result.digest == expected.digest
    assert not result.interrupted


async def test_a_seek_of_a_run_that_is_not_paused_goes_on_at_its_speed() -> None:
    tape = market(ROWS)
    player = Player(CutFeed(tape, [100]), paused=False, speed=1.0)
    target_ns = time_of(tape, 2_000)
    await player.until(lambda glance: glance.records > 0)
    player.controls.seek(target_ns)
    await player.until(lambda glance: glance.state == "running" and glance.records > admitted_before(tape, target_ns))
    player.controls.stop()
    assert (await player.task).interrupted


async def test_a_replay_that_holds_at_its_end_can_be_taken_back_from_there(expected: Result, tmp_path: Path) -> None:
    tape = market(ROWS)
    player = Player(CutFeed(tape, [100]), paused=False, holds=True, out=tmp_path / "run")
    end = await player.until(lambda glance: glance.state == "ended")
    assert end.fills == sum(expected.counts["engine"]["fills"].values())
    player.controls.pause()
    player.controls.seek(time_of(tape, 50))
    await player.arrives(admitted_before(tape, time_of(tape, 50)))
    player.controls.resume()
    await player.until(lambda glance: glance.state == "ended")
    player.controls.seek(time_of(tape, ROWS - 1) + 1)
    await asyncio.sleep(0.05)
    assert not player.task.done(), "there is nothing to seek behind the end"
    player.controls.stop()
    result = await player.task
    assert not result.interrupted
    assert result.digest == expected.digest
    assert Result.load(tmp_path / "run").digest == expected.digest
    assert Result.load(tmp_path / "run").fills.to_dict() == expected.fills.to_dict()


async def test_seeks_at_random_never_change_the_digest(expected: Result) -> None:
    dice = random.Random(11)
    tape = market(ROWS)
    player = Player(CutFeed(tape, [64, 1]), paused=False, speed=1_000.0)
    for _ in range(30):
        match dice.randrange(4):
            case 0:
                player.controls.step(dice.randrange(1, 50))
            case 1:
                player.controls.next_fill()
            case 2:
                player.controls.toggle()
            case _:
                player.controls.seek(time_of(tape, dice.randrange(ROWS)))
        await asyncio.sleep(dice.random() * 0.02)
        if player.task.done():
            break
    player.controls.set_speed("max")
    player.controls.resume()
    assert (await player.task).digest == expected.digest


class KeepsState(Strategy):
    """Buys once for every ten quotes that a list, made before the run, has gathered."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.gathered: list[float] = []

    def on_quote(self, quote: Any) -> None:
        self.gathered.append(quote.bid)
        if len(self.gathered) % 10 == 0:
            self.buy("BTCUSDT", 0.001)


async def test_what_a_strategy_gathered_is_forgotten_by_a_seek_back() -> None:
    tape = market(ROWS)
    expected = replay.backtest(KeepsState(), CutFeed(tape, [ROWS]), **SETTINGS)
    player = Player(CutFeed(tape, [100]), strategy=KeepsState())
    for row in (2_000, 100):
        player.controls.seek(time_of(tape, row))
        await player.arrives(admitted_before(tape, time_of(tape, row)))
    player.controls.resume()
    assert (await player.task).digest == expected.digest


async def test_what_cannot_be_played_twice_says_so_and_stays_where_it_is() -> None:
    start_ns = 1_700_000_000_000_000_000
    ticks = (QuoteTick(time=start_ns + row * 10**9, bid=10, ask=11, symbol="BTCUSDT") for row in range(2_000))
    player = Player(ticks, strategy=KeepsState, instruments=INSTRUMENTS[:1])
    player.controls.seek(start_ns + 100 * 10**9)
    await player.arrives(100)
    player.controls.seek(start_ns)
    await player.until(lambda _glance: player.controls.notice is not None)
    assert player.controls.notice == "cannot go back: its ticks come from an iterator, that can be read only once"
    await player.arrives(100)
    player.controls.resume()
    assert (await player.task).counts["records"] == 2_000


async def test_next_day_stops_before_the_first_record_of_each_day() -> None:
    start_ns = 1_700_006_400_000_000_000
    assert start_ns % DAY_NS == 0
    hours = [1, 5, 23, 24, 25, 71, 72.5, 73]
    ticks = [QuoteTick(time=start_ns + int(hour * 3_600e9), bid=10, ask=11, symbol="BTCUSDT") for hour in hours]
    player = Player(ticks, strategy=KeepsState, instruments=INSTRUMENTS[:1])
    for records in (3, 5, 6):
        player.controls.next_day()
        await player.arrives(records)
    player.controls.next_day()
    assert (await player.task).counts["records"] == len(hours)


async def test_a_replay_that_follows_no_tape_of_its_own_cannot_go_back() -> None:
    from replay.pipeline.pacing import TapePacer

    controls = PlayControls("max")
    pacer = TapePacer(controls, lambda: 0)

    async def released() -> AsyncIterator[tuple[int, int]]:
        async for first, limit in pacer.slices(np.array([10, 20, 30])):
            yield first, limit

    taken = [rows async for rows in released()]
    controls.seek(10)
    taken += [rows async for rows in pacer.slices(np.array([40]))]
    assert taken == [(0, 3), (0, 1)]
    assert controls.notice == "cannot go back: this tape is played once only"


def test_seeking_while_a_stop_is_asked_for_ends(expected: Result) -> None:
    controls = PlayControls("max")
    controls.seek(0)
    controls.stop()
    result = replay.play(Busy, CutFeed(market(ROWS), [100]), controls=controls, **SETTINGS)
    assert result.interrupted
    with pytest.raises(UsageError):
        controls.set_speed(-1.0)


async def test_a_replay_that_holds_at_its_start_takes_nothing_until_it_may_begin(expected: Result) -> None:
    tape = market(ROWS)
    player = Player(CutFeed(tape, [100]), paused=False, holds_at_start=True)
    first = await player.until(lambda glance: glance.state == "running")
    await asyncio.sleep(0.1)
    assert player.glances.latest is not None
    assert first.records == player.glances.latest.records == 0
    player.controls.let_begin()
    assert (await player.task).digest == expected.digest
    stopped = Player(CutFeed(tape, [100]), paused=False, holds_at_start=True)
    await stopped.until(lambda glance: glance.state == "running")
    stopped.controls.stop()
    assert (await stopped.task).interrupted
