"""Backtest, replay and paper give the same events from the same tape, however it is cut into batches and paced."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import replay
from replay.errors import ConfigError, HaltError, StrategyError, UsageError
from replay.pipeline.pacing import PlayControls
from replay.result.result import Result
from replay.units import format_time

from .market import SETTINGS, START_NS, Busy, CutFeed, Raises, market

ROWS = 4_000


@pytest.fixture(scope="module")
def expected() -> Result:
    result = replay.backtest(Busy, CutFeed(market(ROWS), [ROWS]), **SETTINGS)
    assert result.document["events"] > 500
    assert result.counts["engine"]["fills"]["taker"] > 20
    assert result.counts["engine"]["fills"]["maker"] > 5
    return result


@pytest.mark.parametrize("sizes", [[1], [7, 1, 64], [997], [ROWS]])
def test_batch_sizes_never_change_the_digest_nor_the_round_trips(expected: Result, sizes: list[int]) -> None:
    same_result(expected, replay.backtest(Busy, CutFeed(market(ROWS), sizes), **SETTINGS))


def same_result(expected: Result, other: Result) -> None:
    """Compare digest, round trips with their excursions, and what the statistics make of them."""
    assert other.digest == expected.digest
    trades = other.trades.to_dict()
    assert trades == expected.trades.to_dict() and other.stats == expected.stats
    assert len(trades["mae"]) > 15 and None not in trades["mae"] + trades["mfe"]
    assert min(trades["mae"]) < 0 < max(trades["mfe"])
    assert other.stats["edge_ratio"] is not None


def test_replay_at_top_speed_equals_backtest(expected: Result) -> None:
    same_result(expected, replay.play(Busy, CutFeed(market(ROWS), [333]), speed="max", **SETTINGS))


def test_paper_from_a_tape_equals_backtest(expected: Result, tmp_path: Path) -> None:
    feed = CutFeed(market(ROWS), [333, 5])
    result = replay.paper(Busy, feed, session=tmp_path / "s", metrics={"port": 0}, **SETTINGS)
    same_result(expected, result)
    assert not result.interrupted


async def test_the_modes_run_inside_a_running_loop(expected: Result, tmp_path: Path) -> None:
    def feed() -> CutFeed:
        return CutFeed(market(ROWS), [500])

    assert replay.backtest(Busy, feed(), **SETTINGS).digest == expected.digest
    assert (await replay.backtest_async(Busy, feed(), **SETTINGS)).digest == expected.digest
    assert (await replay.play_async(Busy, feed(), speed="max", **SETTINGS)).digest == expected.digest
    session = tmp_path / "s"
    paper = await replay.paper_async(Busy, feed(), session=session, metrics={"port": 0}, **SETTINGS)
    assert paper.digest == expected.digest
    with pytest.raises(UsageError, match=r"await replay\.play_async"):
        replay.play(Busy, feed(), **SETTINGS)


def test_an_asynchronous_backtest_lets_the_loop_run() -> None:
    async def both() -> int:
        turns = 0
        running = asyncio.ensure_future(replay.backtest_async(Busy, CutFeed(market(ROWS), [50]), **SETTINGS))
        while not running.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(both()) > 50


def test_pauses_steps_and_speeds_never_change_the_digest(expected: Result) -> None:
    dice = random.Random(5)
    controls = PlayControls(1000.0)
    over = threading.Event()

    def press() -> None:
        while not over.wait(dice.random() * 0.01):
            match dice.randrange(7):
                case 0:
                    controls.pause()
                case 1:
                    controls.step(dice.randrange(1, 30))
                case 2:
                    controls.next_fill()
                case 3:
                    controls.faster()
                case 4:
                    controls.slower()
                case 5:
                    controls.set_speed("max")
                case _:
                    controls.set_speed(1000.0)
            if dice.random() < 0.4:
                controls.resume()
        controls.set_speed("max")
        controls.resume()

    keys = threading.Thread(target=press)
    keys.start()
    timer = threading.Timer(4.0, over.set)
    timer.start()
    try:
        result = replay.play(Busy, CutFeed(market(ROWS), [111]), controls=controls, **SETTINGS)
    finally:
        over.set()
        timer.cancel()
        keys.join()
    assert result.digest == expected.digest


def test_a_tape_without_the_records_outside_gives_the_same_as_from_and_until() -> None:
    tape = market(ROWS)
    first_ns, limit_ns = START_NS + 40_000_000_000, START_NS + 120_000_000_000
    inside = tape[(tape["ts_recv"] >= first_ns) & (tape["ts_recv"] < limit_ns)]
    assert 0 < len(inside) < ROWS
    run = {"from": format_time(first_ns), "until": format_time(limit_ns)}
    cut = replay.backtest(Busy, CutFeed(tape, [100]), run=run, **SETTINGS)
    whole = replay.backtest(Busy, CutFeed(inside, [100]), **SETTINGS)
    assert cut.digest == whole.digest
    assert cut.counts["feed"]["outside"] > 0


def test_commands_are_refused_while_warming_up() -> None:
    run = {"from": format_time(START_NS + 60_000_000_000), "warmup": "30s"}
    result = replay.backtest(Busy, CutFeed(market(ROWS), [100]), run=run, **SETTINGS)
    assert result.counts["engine"]["rejections"]["warming_up"] > 0
    assert all(time >= START_NS + 60_000_000_000 for time in result.fills.integers("time").tolist())


def test_an_array_of_records_is_a_feed() -> None:
    tape = market(ROWS)
    from_array = replay.backtest(Busy, tape, **SETTINGS)
    assert from_array.digest == replay.backtest(Busy, CutFeed(tape, [ROWS]), **SETTINGS).digest
    with pytest.raises(UsageError, match="not that of records"):
        replay.backtest(Busy, np.zeros(3), **SETTINGS)


def test_an_instance_runs_with_its_own_parameters() -> None:
    feed = CutFeed(market(ROWS), [ROWS])
    by_class = replay.backtest(Busy, feed, params={"fast": 2, "slow": 5}, **SETTINGS)
    by_instance = replay.backtest(Busy(fast=2, slow=5), feed, **SETTINGS)
    assert by_class.digest == by_instance.digest != replay.backtest(Busy, feed, **SETTINGS).digest


def test_what_python_lacks_is_named() -> None:
    with pytest.raises(UsageError, match="instruments and cash must be given"):
        replay.backtest(Busy, market(10))
    with pytest.raises(UsageError, match="no feed"):
        replay.backtest(Busy)
    with pytest.raises(ConfigError, match="no parameter 'fsat'"):
        replay.backtest(Busy, market(10), params={"fsat": 3}, **SETTINGS)


def test_a_strategy_that_raises_ends_the_run_with_its_own_exception(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(StrategyError, match="on_quote") as caught:
        replay.backtest(Raises, CutFeed(market(ROWS), [64]), out=out, **SETTINGS)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.exit_code == 3
    partial = Result.load(out)
    assert partial.interrupted
    assert partial.document["failure"]["kind"] == "StrategyError"
    assert "canceled" in [row["state"] for row in partial.orders.rows()], "open orders are cancelled"


def test_what_a_halting_row_leaves_does_not_depend_on_the_batches(tmp_path: Path) -> None:
    tape = market(ROWS)
    tape["ts_event"][2_000] = 5
    tape["ts_recv"][2_000] = 5
    digests = set()
    for number, sizes in enumerate(([1], [64], [ROWS])):
        out = tmp_path / str(number)
        with pytest.raises(HaltError, match="implausible_time"):
            replay.backtest(Busy, CutFeed(tape, sizes), out=out, **SETTINGS)
        digests.add(Result.load(out).digest)
    assert len(digests) == 1


def test_a_run_folder_is_complete_and_is_written_over_by_the_next_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for _ in range(2):
        result = replay.backtest(Busy, CutFeed(market(ROWS), [100], dead_every=500), out=out, **SETTINGS)
    names = {entry.name for entry in out.iterdir()}
    assert {"config.toml", "result.json", "events.bin", "metrics.prom", "dead-letters.ndjson"} <= names
    assert {"fills.arrow", "orders.arrow", "positions.arrow", "equity.arrow"} <= names
    assert (out / "events.bin").stat().st_size == 128 * result.document["events"]
    assert len((out / "dead-letters.ndjson").read_text().splitlines()) == sum(result.counts["dead_letters"].values())
    other = tmp_path / "other"
    other.mkdir()
    (other / "letters.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        replay.backtest(Busy, CutFeed(market(10), [100]), out=other, **SETTINGS)


def test_stopping_a_replay_keeps_a_partial_result() -> None:
    controls = PlayControls(1.0)
    threading.Timer(0.3, controls.stop).start()
    started = time.monotonic()
    result = replay.play(Busy, CutFeed(market(ROWS), [100]), controls=controls, **SETTINGS)
    assert time.monotonic() - started < 5
    assert result.interrupted
    assert 0 < result.counts["records"] < ROWS


def test_one_step_releases_one_record_and_next_fill_stops_at_a_fill() -> None:
    controls = PlayControls(1.0, paused=True)
    seen: list[int] = []
    done = [0]

    def settled(at_least: int) -> int:
        for _ in range(1_000):
            if done[0] >= at_least and controls.state.paused:
                break
            time.sleep(0.01)
        time.sleep(0.05)
        return done[0]

    def press() -> None:
        seen.append(settled(0))
        controls.step()
        seen.append(settled(1))
        controls.step(10)
        seen.append(settled(11))
        controls.next_fill()
        seen.append(settled(12))
        controls.stop()

    def progress(records: int, _total: int | None = None, _now_ns: int | None = None) -> None:
        done[0] = records

    keys = threading.Thread(target=press)
    keys.start()
    result = replay.play(Busy, CutFeed(market(ROWS), [100]), controls=controls, progress=progress, **SETTINGS)
    keys.join()
    assert seen[:3] == [0, 1, 11]
    assert seen[3] > 11
    assert result.counts["records"] == seen[3]
    assert sum(result.counts["engine"]["fills"].values()) >= 1
    whole = replay.backtest(Busy, market(ROWS)[: seen[3] - 1], **SETTINGS)
    assert sum(whole.counts["engine"]["fills"].values()) == 0, "it stopped at the first record that filled"
