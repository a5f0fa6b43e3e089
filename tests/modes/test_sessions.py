"""A paper session: killed at any moment and started again, it loses nothing and doubles nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import aiohttp
import numpy as np
import pytest

import replay
from replay.disk import Disk
from replay.errors import ConfigError, JournalError, StrategyError, UsageError
from replay.events import EVENT
from replay.pipeline.journal import JournalReader, segment_paths
from replay.pipeline.outbox import Effects
from replay.pipeline.sinks import EventLog
from replay.pipeline.stop import Stop
from replay.records import Kind
from replay.rerun import rerun_session
from replay.result.result import Result
from replay.session import Session
from replay.verify import verify

from .market import SETTINGS, Busy, CutFeed, Raises, ScriptedFeed, market

WITHOUT_SNAPSHOTS = {"session_options": {"snapshot_every": "0s", "snapshot_records": 0}}
ROWS = 3_000
SEED = 3
ROOT = Path(__file__).resolve().parent.parent.parent


def start(folder: Path, *, pause_s: float = 0.004, strategy: str = "Busy", rows: int = ROWS) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "tests.modes.session_process"]
    command = [*program, str(folder), str(rows), str(SEED), str(pause_s), strategy]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def undisturbed() -> str:
    return replay.backtest(Busy, CutFeed(market(ROWS, SEED), [ROWS]), **SETTINGS).digest


def paper(folder: Path, feed: CutFeed | None = None, **changed: object) -> Result:
    feed = feed or CutFeed(market(ROWS, SEED), [100], dead_every=501)
    return replay.paper(Busy, feed, session=folder, metrics={"port": 0}, **{**SETTINGS, **changed})


def log_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "events" / "events.bin").read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_session_in_order_and_it_goes_on_later(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "s"
    process = start(folder, pause_s=0.05)
    assert process.stderr is not None
    assert "session started" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out.split()[1] == "True"
    assert list(JournalReader(folder / "journal").frames())[-1].closed
    partial = Result.load(folder / "events")
    assert partial.interrupted
    assert partial.digest == log_digest(folder)
    assert paper(folder).digest == undisturbed()


def test_a_finished_session_started_again_gives_the_same_and_adds_nothing(tmp_path: Path) -> None:
    first = paper(tmp_path / "s")
    journal = [frame.limit_seq for frame in JournalReader(tmp_path / "s" / "journal").frames()][-1]
    again = paper(tmp_path / "s")
    assert again.digest == first.digest == undisturbed()
    assert again.counts["feed"]["recovered"] == journal
    assert again.fills.to_dict() == first.fills.to_dict()
    assert again.equity.to_dict() == first.equity.to_dict()
    assert again.stats == first.stats


def test_what_a_session_writes_can_be_read_by_people(tmp_path: Path) -> None:
    paper(tmp_path / "s")
    manifest = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert manifest["config"]["instrument"][0]["symbol"] == "BTCUSDT"
    assert set(manifest["versions"]) >= {"replay", "python", "numpy"}
    assert manifest["strategies"]["Busy"]


def test_another_configuration_is_refused_with_the_key_that_differs(tmp_path: Path) -> None:
    paper(tmp_path / "s")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "s" / "journal").iterdir())
    with pytest.raises(ConfigError, match=r"venue.0.fees.taker was '0.0004', now it is '0.0005'") as caught:
        paper(tmp_path / "s", fees={"maker": "0.0001", "taker": "0.0005"})
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"account\.leverage"):
        paper(tmp_path / "s", account={"leverage": "5"})
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "s" / "journal").iterdir()) == before


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    process = start(folder, pause_s=0.05)
    assert process.stderr is not None
    try:
        assert "session started" in process.stderr.readline()
        with pytest.raises(JournalError, match=f"run by another process .process {process.pid}.") as caught:
            paper(folder)
        assert caught.value.exit_code == 5
    finally:
        process.kill()
        process.communicate()
    assert paper(folder).digest == undisturbed(), "the lock of a killed process is gone with it"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no session folder and not empty: it has thesis.txt"):
        paper(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_torn_tail_at_any_byte_is_made_up_from_the_feed(tmp_path: Path) -> None:
    dice = random.Random(8)
    expected = undisturbed()
    for _ in range(12):
        folder = tmp_path / f"{dice.random()}"
        paper(folder, CutFeed(market(ROWS, SEED)[: ROWS // 2], [dice.randrange(20, 300)], dead_every=501))
        for path in (folder / "events").iterdir():
            path.write_bytes(b"")  # as if nothing of it had reached the disk
        (path,) = segment_paths(folder / "journal")
        whole = path.read_bytes()
        path.write_bytes(whole[: dice.randrange(64, len(whole))])
        assert paper(folder).digest == expected == log_digest(folder)
        assert verify(folder).equal


def test_a_damaged_event_log_is_rewritten_where_the_journal_proves_it(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    paper(folder)
    log = folder / "events" / "events.bin"
    whole = log.read_bytes()
    damaged = bytearray(whole)
    damaged[1_000] ^= 0x55
    log.write_bytes(damaged)
    outcome = verify(folder)
    assert not outcome.equal
    assert outcome.difference is not None
    assert outcome.difference.number == 1_000 // 128
    assert outcome.difference.tick is not None
    assert str(outcome).count("order") >= 2
    paper(folder)
    assert log.read_bytes() == whole


def test_an_event_log_that_knows_more_than_the_journal_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    paper(folder)
    (path,) = segment_paths(folder / "journal")
    frames = list(JournalReader(folder / "journal").frames())
    path.write_bytes(path.read_bytes()[: frames[len(frames) // 2].offset])
    with pytest.raises(JournalError, match="other events than the journal gives") as caught:
        paper(folder)
    assert caught.value.exit_code == 5


def test_a_strategy_that_decides_otherwise_is_caught_by_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    paper(folder, **WITHOUT_SNAPSHOTS)  # type: ignore[arg-type]
    log = (folder / "events" / "events.bin").read_bytes()

    def otherwise(self: Busy, bar: object) -> None:
        if self.calm.ready:
            self.target("BTCUSDT", -1 if self.quick > self.calm else 1)

    monkeypatch.setattr(Busy, "on_bar", otherwise)
    with pytest.raises(JournalError, match=r"(?s)running the journal again gives other events.*then:.*now:") as caught:
        paper(folder)
    assert "sell" in str(caught.value) and "buy" in str(caught.value)
    assert (folder / "events" / "events.bin").read_bytes() == log


def test_damage_before_the_end_of_the_journal_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    paper(folder)
    paper(folder)
    path = segment_paths(folder / "journal")[0]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(JournalError, match="is damaged"):
        paper(folder)
    assert path.read_bytes() == bytes(damaged)


def test_a_strategy_that_raises_closes_the_journal_and_raises_again_when_started_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    feed = CutFeed(market(ROWS, SEED), [64])
    for _ in range(2):
        with pytest.raises(StrategyError, match="on_quote"):
            replay.paper(Raises, feed, session=folder, metrics={"port": 0}, **SETTINGS)
        events = np.fromfile(folder / "events" / "events.bin", dtype=EVENT)
        assert len(events) > 0
        reader = JournalReader(folder / "journal")
        assert sum(len(frame.records) for frame in reader.frames()) > 100
        assert reader.torn is None
        assert verify(folder).equal


def test_no_sink_sees_an_effect_whose_frame_is_not_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s"
    durable_bytes: dict[int, int] = {}
    shown: list[tuple[int, int]] = []
    real_sync, real_write = Disk.sync, EventLog.write

    def sync(self: Disk, descriptor: int) -> None:
        status = os.fstat(descriptor)
        time.sleep(0.002)  # a disk takes a while, and records go on coming
        real_sync(self, descriptor)
        durable_bytes[status.st_ino] = status.st_size

    def write(self: EventLog, effects: Effects) -> None:
        (path,) = segment_paths(folder / "journal")
        shown.append((effects.limit_event, durable_bytes.get(path.stat().st_ino, 0)))
        real_write(self, effects)

    monkeypatch.setattr(Disk, "sync", sync)
    monkeypatch.setattr(EventLog, "write", write)
    assert paper(folder, CutFeed(market(ROWS, SEED), [7])).digest == undisturbed()
    monkeypatch.undo()
    assert len(shown) >= 3
    for events, length in shown[:: max(1, len(shown) // 12)]:
        after_cut = tmp_path / str(events)
        shutil.copytree(folder, after_cut)
        (path,) = segment_paths(after_cut / "journal")
        path.write_bytes(path.read_bytes()[:length])
        rebuilt = tmp_path / f"{events}.bin"
        rerun_session(after_cut, rebuilt)
        assert rebuilt.stat().st_size // 128 >= events


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            replay.paper(Busy, market(10), session=tmp_path / "s", metrics={"port": port}, **SETTINGS)
    assert caught.value.exit_code == 2
    assert "--set metrics.port=" in str(caught.value)


async def test_metrics_are_served_by_the_session_itself(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stop = Stop()
    feed = ScriptedFeed(market(1_000), [0.01] * 1_000)
    running = asyncio.ensure_future(
        replay.paper_async(Busy, feed, session=tmp_path / "s", metrics={"port": port}, stop=stop, **SETTINGS)
    )
    text = ""
    async with aiohttp.ClientSession() as client:
        while 'replay_records_total{kind="quote"} ' not in text or "replay_tape_lag_seconds " not in text:
            assert not running.done()
            await asyncio.sleep(0.05)
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = await answer.text()
        async with client.get(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
            assert (await answer.json())["state"] == "running"
    stop.request()
    result = await running
    assert result.interrupted
    for name in ("replay_records_total", "replay_journal_commit_duration_seconds_bucket", "replay_tape_lag_seconds"):
        assert name in text
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics"):
            pass


async def test_a_silent_live_feed_gets_clock_beats_and_its_timers_fire(tmp_path: Path) -> None:
    class Ticking(Busy):
        def on_timer(self, name: str) -> None:
            fired.append(self.now)

        def on_start(self) -> None:
            super().on_start()
            self.every("20ms", "tick")

    fired: list[int] = []
    folder = tmp_path / "s"
    feed = ScriptedFeed(market(20), [0.01] * 10 + [0.7] + [0.01] * 9)
    result = await replay.paper_async(Ticking, feed, session=folder, metrics={"port": 0}, **SETTINGS)
    tape = np.concatenate([frame.records for frame in JournalReader(folder / "journal").frames()])
    clocks = tape[tape["kind"] == Kind.CLOCK]
    assert len(tape) - len(clocks) == 20
    assert {-1, 0, 1} <= set(clocks["a"].tolist())
    silent = clocks[clocks["a"] >= 0]
    assert np.all(silent["ts_recv"] - silent["ts_event"] == 1_000_000_000)
    assert len(fired) > 25, "timers go on while nothing comes"
    assert np.all(np.diff(fired) >= 0)
    assert log_digest(folder) == result.digest


async def test_a_live_session_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    stop = Stop()
    waits = [0.01] * 60
    running = asyncio.ensure_future(
        replay.paper_async(
            Busy, ScriptedFeed(market(60), waits), session=folder, metrics={"port": 0}, stop=stop, **SETTINGS
        )
    )
    await asyncio.sleep(0.3)
    stop.request()
    first = await running
    assert first.interrupted
    second = await replay.paper_async(
        Busy, ScriptedFeed(market(60), waits), session=folder, metrics={"port": 0}, **SETTINGS
    )
    assert not second.interrupted
    tape = np.concatenate([frame.records for frame in JournalReader(folder / "journal").frames()])
    ticks = tape[(tape["kind"] == Kind.QUOTE) | (tape["kind"] == Kind.TRADE)]
    assert ticks["b"].tolist() == market(60)["b"].tolist(), "each record is on the tape exactly once"
    assert verify(folder).equal


def test_the_lock_goes_with_the_session(tmp_path: Path) -> None:
    session = Session(tmp_path / "s")
    with pytest.raises(JournalError):
        Session(tmp_path / "s")
    session.close()
    Session(tmp_path / "s").close()
