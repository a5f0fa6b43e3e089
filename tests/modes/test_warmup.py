"""A warm-up goes on the tape before the feeds: bars and indicators are warm, and nothing is traded before the start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

import replay
from replay.config import RunConfig, load
from replay.errors import ConfigError
from replay.events import EVENT, EventKind
from replay.feeds.tape import TapeWriter
from replay.modes import backtest, paper, paper_async
from replay.opening import Plan
from replay.pipeline.journal import JournalReader
from replay.pipeline.stop import Stop
from replay.records import Kind
from replay.rerun import record_of_run, rerun_session

from .market import START_NS, ScriptedFeed, header, market

RUN = """
[[strategy]]
class = "watcher.py:Watcher"
name = "watcher"

[[feed]]
uri = "after.npy"

{warmup}

[[instrument]]
symbol = "BTCUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"

[[instrument]]
symbol = "ETHUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"

[account]
leverage = "10"
currency = "USDT"
cash = {{ USDT = "1000000" }}
"""
WARMUP = '[[warmup]]\nuri = "before.npy"'
ROWS, CUT = 2_000, 1_200


STRATEGY = """
from replay import Strategy

class Watcher(Strategy):
    length: str = "10s"

    def on_start(self):
        self.average = self.bars("BTCUSDT", self.length).sma(5)

    def on_bar(self, bar):
        if self.average.ready:  # tries to trade from the first bar on
            self.target("BTCUSDT", 1 if bar.close > float(self.average) else -1)
"""


def write(path: Path, records: NDArray[Any]) -> None:
    with TapeWriter(path, header()) as writer:
        writer.append(records)


@pytest.fixture
def tape(tmp_path: Path) -> NDArray[Any]:
    records = market(ROWS, 7)
    records["ts_event"] = records["ts_recv"]
    records = records[records["a"] > 0]
    write(tmp_path / "whole.npy", records)
    write(tmp_path / "before.npy", records[:CUT])
    write(tmp_path / "after.npy", records[CUT:])
    (tmp_path / "watcher.py").write_text(STRATEGY)
    (tmp_path / "run.toml").write_text(RUN.format(warmup=WARMUP))
    (tmp_path / "cold.toml").write_text(RUN.format(warmup=""))
    return records


def test_a_run_with_a_warmup_decides_as_the_whole_tape_with_run_from(tape: NDArray[Any], tmp_path: Path) -> None:
    start = replay.units.format_time(int(tape["ts_recv"][CUT]))
    span_ns = int(tape["ts_recv"][CUT] - tape["ts_recv"][0])
    whole = load(
        tmp_path / "cold.toml",
        sets=[f"run.from={start}", f"run.warmup={span_ns}ns"],
        feed=str(tmp_path / "whole.npy"),
    )
    warmed = backtest(load(tmp_path / "run.toml"))
    assert warmed.counts["records"] == len(tape)
    assert warmed.digest == backtest(whole).digest
    assert warmed.digest != backtest(load(tmp_path / "cold.toml")).digest


def test_a_paper_session_with_a_warmup_equals_the_backtest_and_goes_on_after_it(
    tape: NDArray[Any], tmp_path: Path
) -> None:
    config = load(tmp_path / "run.toml", sets=["metrics.port=0"])
    expected = backtest(config)
    assert paper(config, tmp_path / "s").digest == expected.digest
    (tmp_path / "before.npy").unlink()  # a warm-up that is over is not opened again
    (tmp_path / "before.tape.json").unlink()
    assert paper(config, tmp_path / "s").digest == expected.digest


@pytest.mark.parametrize("batches", [1, 3])
def test_a_session_stopped_in_its_warmup_goes_on_there(
    tape: NDArray[Any], tmp_path: Path, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.adapters.tape.BATCH_ROWS", 250)
    config = load(tmp_path / "run.toml", sets=["metrics.port=0"])
    expected = paper(config, tmp_path / "whole")
    stop = Stop()
    folder = tmp_path / "s"

    def progress(done: int, _total: int | None, _time_ns: int | None) -> None:
        if done >= 250 * batches:
            stop.request()

    asyncio.run(paper_async(config, folder, stop=stop, progress=progress))
    assert 0 < list(JournalReader(folder / "journal").frames())[-1].limit_seq < CUT
    assert paper(config, folder).digest == expected.digest


def test_a_live_session_trades_from_its_start_and_is_warm_by_then(tape: NDArray[Any], tmp_path: Path) -> None:
    old = tape[:CUT].copy()
    shift_ns = time.time_ns() - 5_000_000_000 - int(old["ts_recv"][-1])
    old["ts_recv"] += shift_ns
    old["ts_event"] += shift_ns
    write(tmp_path / "before.npy", old)
    config = load(tmp_path / "run.toml", sets=["metrics.port=0", 'strategy.0.params.length="20ms"'])
    began_ns = time.time_ns()
    live = ScriptedFeed(tape[CUT:], [0.004] * 100)
    result = paper(Plan(config, feeds=[live]), tmp_path / "s")
    frames = list(JournalReader(tmp_path / "s" / "journal").frames())
    records = np.concatenate([frame.records for frame in frames])
    ticks = records[records["kind"] != Kind.CLOCK]
    assert (ticks["ts_recv"][:CUT] == old["ts_recv"]).all(), "the warm-up first, with its own times, all of it"
    assert (records["kind"][:CUT] != Kind.CLOCK).all(), "no beat of the wall clock among them"
    assert len(ticks) == CUT + 100
    events = np.frombuffer((tmp_path / "s" / "events" / "events.bin").read_bytes(), dtype=EVENT)
    assert (events["kind"][events["venue_time"] < began_ns] == EventKind.REJECTED).all(), (
        "orders of the past are refused"
    )
    assert (events["kind"] == EventKind.NEW).any(), "and those of the present taken"
    assert result.counts["records"] == len(records)
    rerun_session(tmp_path / "s", tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "s" / "events" / "events.bin").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": Kind.BAR}, r"carries bar"),
        ({"late": True}, r"trading starts at"),
    ],
)
def test_a_warmup_that_does_not_fit_is_refused_before_anything_is_made(
    tape: NDArray[Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    records = tape[:CUT].copy()
    if change.get("late"):
        records["ts_recv"] += 10 * 86_400_000_000_000
        records["ts_event"] = records["ts_recv"]
    own = header()
    if "kind" in change:
        own = msgspec.structs.replace(own, bar_lengths_ns=[60_000_000_000])
        records["kind"] = change["kind"]
    with TapeWriter(tmp_path / "before.npy", own) as writer:
        writer.append(records)
    with pytest.raises(ConfigError, match=message):
        paper(load(tmp_path / "run.toml", sets=["metrics.port=0"]), tmp_path / "s")
    assert not (tmp_path / "s" / "session.toml").exists()


def test_a_warmup_beside_run_from_is_refused(tape: NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both say what comes before trading"):
        load(tmp_path / "run.toml", sets=["run.from=2023-11-15"])


def test_verify_finds_a_tick_of_the_warmup(tape: NDArray[Any], tmp_path: Path) -> None:
    config: RunConfig = load(tmp_path / "run.toml")
    found = record_of_run(config, 5)
    assert found == tape[5]
    assert record_of_run(config, CUT + 5) == tape[CUT + 5]
    assert int(found["ts_recv"]) > START_NS
