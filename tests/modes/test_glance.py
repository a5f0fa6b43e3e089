"""Glances: what they say is what the result says, they come at most so often, and watching changes nothing.

May not live here: how they are drawn (tests/screen).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

import replay
from replay import api, modes
from replay.errors import StrategyError
from replay.glance import CURVE_POINTS, FILLS_SHOWN, ORDERS_SHOWN, Glance, Glances
from replay.pipeline.commands import CommandQueue, OperatorCommand
from replay.pipeline.pacing import PlayControls

from .market import SETTINGS, Busy, CutFeed, Raises, market

ROWS = 4_000


def last_of(glances: Glances) -> Glance:
    assert glances.latest is not None
    return glances.latest


async def test_the_last_glance_says_what_the_result_says() -> None:
    glances = Glances()
    result = await modes.backtest_async(api.plan(Busy, CutFeed(market(ROWS), [500]), **SETTINGS), glances=glances)
    last = last_of(glances)
    assert last.state == "ended"
    assert last.speed == "max"
    assert last.records == result.counts["records"]
    assert last.total == ROWS
    assert last.equity == pytest.approx(result.stats["end_equity"])
    assert last.cash == pytest.approx(float(result.balances["USDT"]))
    assert last.currency == "USDT"
    assert last.fills == len(result.fills)
    rows = list(result.fills.rows())[-FILLS_SHOWN:]
    assert [(fill.time_ns, fill.price, fill.size, fill.fee, fill.order_id) for fill in last.last_fills] == [
        (row["time"], row["price"], row["size"], row["fee"], row["order_id"]) for row in rows
    ]
    assert [order.order_id for order in last.orders] == [row["order_id"] for row in result.open_orders][-ORDERS_SHOWN:]
    assert last.working == len(result.open_orders)
    held = {(row["strategy"], row["symbol"]): row for row in result.open_positions}
    assert {(row.strategy, row.symbol) for row in last.positions} == set(held)
    for position in last.positions:
        row = held[position.strategy, position.symbol]
        assert position.quantity == row["quantity"]
        assert position.realised == float(row["realised"])
    unrealised = sum(position.unrealised or 0.0 for position in last.positions)
    realised = sum(position.realised - position.fees for position in last.positions)
    assert last.equity == pytest.approx(1_000_000 + unrealised + realised)
    assert 1 < len(last.equity_curve) <= CURVE_POINTS
    assert last.dead_letters == sum(result.counts["dead_letters"].values())
    assert last.late == result.counts["engine"]["late"]
    marks = {price.symbol: price.mark for price in last.prices}
    assert marks == {symbol: float(pair[1]) for symbol, pair in result.document["state"]["marks"].items()}


def test_a_glance_never_changes_and_can_be_written_as_json() -> None:
    glances = Glances()
    asyncio.run(modes.backtest_async(api.plan(Busy, market(500), **SETTINGS), glances=glances))
    last = last_of(glances)
    with pytest.raises(AttributeError):
        last.records = 5  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(last), type=Glance) == last


async def test_there_are_at_most_so_many_a_second_and_none_while_nothing_happens() -> None:
    glances = Glances(per_second=20)
    controls = PlayControls(1.0)
    plan = api.plan(Busy, CutFeed(market(ROWS), [100]), **SETTINGS)
    started = time.monotonic()
    task = asyncio.create_task(modes.play_async(plan, controls=controls, glances=glances))
    await asyncio.sleep(0.5)
    passed = time.monotonic() - started
    assert 1 <= glances.number <= 2 + 20 * passed
    controls.pause()
    await asyncio.sleep(0.5)
    number = glances.number
    await asyncio.sleep(0.3)
    assert glances.number == number
    assert last_of(glances).state == "paused"
    controls.stop()
    await task


async def test_watching_never_changes_the_digest(tmp_path: Path) -> None:
    expected = replay.backtest(Busy, market(ROWS), **SETTINGS).digest
    plan = api.plan(Busy, CutFeed(market(ROWS), [50]), metrics={"port": 0}, **SETTINGS)
    assert (await modes.backtest_async(plan, glances=Glances(1_000))).digest == expected
    glances = Glances(1_000)
    paper = await modes.paper_async(plan, tmp_path / "s", glances=glances)
    assert paper.digest == expected
    assert last_of(glances).state == "ended"
    assert last_of(glances).fills == len(paper.fills)


async def test_a_session_that_goes_on_shows_the_fills_from_before(tmp_path: Path) -> None:
    before, after = Glances(), Glances()
    for glances in (before, after):
        plan = api.plan(Busy, CutFeed(market(ROWS), [50]), metrics={"port": 0}, **SETTINGS)
        await modes.paper_async(plan, tmp_path / "s", glances=glances)
    assert last_of(after).last_fills == last_of(before).last_fills != ()
    assert last_of(after).fills == last_of(before).fills


async def test_a_glance_of_a_paused_session_says_that_trading_is_paused(tmp_path: Path) -> None:
    glances, commands = Glances(), CommandQueue()
    commands.submit(OperatorCommand.PAUSE)
    plan = api.plan(Busy, CutFeed(market(ROWS), [50]), metrics={"port": 0}, **SETTINGS)
    await modes.paper_async(plan, tmp_path / "s", glances=glances, commands=commands)
    assert last_of(glances).trading == "paused"
    assert last_of(glances).rejected > 0


async def test_a_run_that_fails_is_seen_to_fail() -> None:
    glances = Glances()
    with pytest.raises(StrategyError):
        await modes.backtest_async(api.plan(Raises, CutFeed(market(ROWS), [50]), **SETTINGS), glances=glances)
    assert last_of(glances).state == "failed"
    assert 0 < last_of(glances).records < ROWS


async def test_what_is_listed_has_a_bound() -> None:
    class Rests(replay.Strategy):
        def on_quote(self, quote: replay.Quote) -> None:
            if quote.symbol == "BTCUSDT":
                self.buy("BTCUSDT", 0.001, limit=1.0)

    Rests.__module__ = __name__
    globals()["Rests"] = Rests
    glances = Glances()
    await modes.backtest_async(api.plan(Rests, CutFeed(market(ROWS), [50]), **SETTINGS), glances=glances)
    last = last_of(glances)
    assert last.working > 500
    assert len(last.orders) == ORDERS_SHOWN
    assert last.orders[-1].order_id - last.orders[0].order_id == ORDERS_SHOWN - 1
