"""Workers of a group share the shards of a topic: when one is killed under load, the others go on with its shards."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from modes.market import header, market
from support.broker import Broker

import replay
from replay import sessions
from replay.config import load
from replay.errors import ConfigError
from replay.events import EVENT_BYTES
from replay.feeds import tape
from replay.feeds.tape import TapeInstrument
from replay.pipeline.journal import JournalReader
from replay.rerun import rerun_session
from replay.workers import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SYMBOLS = [f"COIN{number}" for number in range(6)]
ROWS = 30_000

STRATEGY = """
from replay import Strategy

class Each(Strategy):
    def on_start(self):
        self.seen = {}

    def on_quote(self, quote):
        seen = self.seen[quote.symbol] = self.seen.get(quote.symbol, 0) + 1
        if seen % 7 == 0:
            buys = self.rng.random() < 0.5
            (self.buy if buys else self.sell)(quote.symbol, 0.05, limit=quote.ask if buys else quote.bid, tif="IOC")
"""

RUN = """
[run]
seed = 5

[[strategy]]
class = "each.py:Each"
name = "each"

[[feed]]
uri = "{ticks}?from=earliest"
receive_time = "keep"

[[sink]]
uri = "{out}"
kinds = ["fills", "orders"]

[account]
leverage = "100"
currency = "USDT"
cash = {{ USDT = "1000000" }}

[session]
snapshot_records = 2000
commit_every = "2ms"

[kafka]
group_timeout = "6s"

[metrics]
port = 0
"""
INSTRUMENT = '[[instrument]]\nsymbol = "{}"\ntick = "0.01"\nlot = "0.001"\nquote = "USDT"\n'


def write_run(folder: Path, ticks: str, out: str) -> Path:
    (folder / "each.py").write_text(STRATEGY)
    path = folder / "run.toml"
    path.write_text(RUN.format(ticks=ticks, out=out) + "\n".join(INSTRUMENT.format(name) for name in SYMBOLS))
    return path


def coins(rows: int) -> np.ndarray[Any, Any]:
    made = market(rows, 11, step_ns=2_000_000)
    made["instrument"] = np.random.default_rng(11).integers(0, len(SYMBOLS), rows)
    made["ts_event"] = made["ts_recv"] - 1_000_000
    return made[made["a"] > 0]


def coin_header() -> tape.TapeHeader:
    instruments = [
        TapeInstrument(symbol=name, price_decimals=2, size_decimals=3, kinds=["quote", "trade"]) for name in SYMBOLS
    ]
    return msgspec.structs.replace(header(), instruments=instruments)


class Running:
    """A worker in a process of its own."""

    def __init__(self, run: Path, shards: Path, number: int) -> None:
        self.log = run.parent / f"worker-{number}.log"
        command = [sys.executable, "-m", "replay", "paper", str(run), "--group", "desk", "--session", str(shards)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--set", 'log.format="json"'], stderr=log, stdout=log)

    def started(self) -> set[int]:
        """Give the partitions whose sessions this worker has started."""
        found: set[int] = set()
        for line in self.log.read_text().splitlines():
            said = json.loads(line) if line.startswith("{") else {}
            match = re.search(r"shard-(\d+)", str(said.get("session", "")))
            if said.get("event") == "session started" and match:
                found.add(int(match[1]))
        return found


def stop(worker: Running) -> None:
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(timeout=60) == 130, worker.log.read_text()


def records_in(shards: Path) -> int:
    total = 0
    for folder in shards.glob("shard-*"):
        if (folder / "session.toml").exists():
            tail = sessions.look(folder).tail
            total += 0 if tail is None else tail.next_seq
    return total


def wait_for(what: Callable[[], bool], workers: list[Running], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        for worker in workers:
            assert worker.process.poll() is None, worker.log.read_text()
        assert time.monotonic() < end, "".join(worker.log.read_text()[-3_000:] for worker in workers)
        time.sleep(0.1)


def test_a_worker_of_three_is_killed_under_load_and_its_shards_go_on_in_the_others(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    ticks = broker.create_topic(f"{topic}-ticks", partitions=len(SYMBOLS))
    outs = [broker.create_topic(f"{topic}-out-{number}") for number in range(len(SYMBOLS))]
    names = [
        TapeInstrument(symbol=name, price_decimals=2, size_decimals=3, kinds=["quote", "trade"]) for name in SYMBOLS
    ]
    rows = coins(ROWS)
    tape.save(tmp_path / "coins.npy", rows, msgspec.structs.replace(header(), instruments=names))
    run = write_run(tmp_path, broker.uri(ticks), broker.uri(f"{topic}-out-") + "{partition}")
    shards = tmp_path / "shards"
    publish = [sys.executable, "-m", "replay", "publish", str(tmp_path / "coins.npy"), broker.uri(ticks)]
    workers = [Running(run, shards, number) for number in range(3)]
    source = subprocess.Popen([*publish, "--by-instrument", "--speed", "2x"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: all(worker.started() for worker in workers), workers)
        wait_for(lambda: records_in(shards) > ROWS // 4, workers)
        lost, stay = workers[0], workers[1:]
        orphans = lost.started()
        lost.process.kill()
        lost.process.wait()
        at_kill = records_in(shards)
        assert at_kill < len(rows), "it was killed under load"
        wait_for(lambda: orphans <= set().union(*(worker.started() for worker in stay)), stay)
        wait_for(lambda: records_in(shards) == len(rows), stay)
        assert source.wait(timeout=30) == 0
        time.sleep(1.0)
        for worker in stay:
            stop(worker)
    finally:
        for process in (source, *(worker.process for worker in workers)):
            process.kill()
            process.wait()

    for number, out in enumerate(outs):
        folder = shards / f"shard-{number:04d}"
        log = (folder / "events" / "events.bin").read_bytes()
        uri = f"{broker.uri(ticks)}?from=earliest&to=latest&partitions={number}"
        expected = replay.backtest(load(run, sets=["sink=[]"], feed=uri), out=tmp_path / f"expected-{number}")
        assert expected.counts["records"] == sum(rows["instrument"] == SYMBOLS.index(SYMBOLS[number])), "all of it"
        assert log == (tmp_path / f"expected-{number}" / "events.bin").read_bytes(), f"shard {number}"
        rerun_session(folder, tmp_path / "again.bin")
        assert log == (tmp_path / "again.bin").read_bytes()
        kinds = np.frombuffer(log, dtype=replay.events.EVENT)["kind"]
        ids = [
            (headers["seq"], headers["index"])
            for headers in (dict(message.headers) for message in broker.read(out))
            if headers.get("event") != b"-1"
        ]
        assert len(ids) == len(set(ids)) == int(np.count_nonzero(kinds != replay.events.EventKind.POSTING))
        assert len(log) // EVENT_BYTES >= len(ids) > 0


def test_a_shard_waits_for_its_first_record_and_goes_on_in_the_next_worker(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path, broker.uri(topic), broker.uri(topic) + "-{partition}")
    broker.create_topic(f"{topic}-0")
    tape.save(tmp_path / "coins.npy", coins(500), coin_header())
    first = Running(run, tmp_path / "shards", 0)
    wait_for(lambda: "shard waits" in first.log.read_text(), [first])
    publish = [sys.executable, "-m", "replay", "publish", str(tmp_path / "coins.npy"), broker.uri(topic)]
    subprocess.run(publish, check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: records_in(tmp_path / "shards") == len(coins(500)), [first])
    stop(first)
    then = Running(run, tmp_path / "shards", 1)
    wait_for(lambda: then.started() == {0}, [then])
    stop(then)
    reader = JournalReader(tmp_path / "shards" / "shard-0000" / "journal")
    list(reader.frames())
    assert reader.epoch == 2, "each start of a shard has an epoch of its own, whoever made it"


def test_shards_do_not_share_a_topic_of_a_sink(tmp_path: Path) -> None:
    run = write_run(tmp_path, "kafka://localhost:9092/ticks", "kafka://localhost:9092/out")
    with pytest.raises(ConfigError, match=r"needs its own[\s\S]*out-\{partition\}"):
        Worker(load(run), "desk", tmp_path / "shards")


def test_only_a_run_with_one_feed_is_shared_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "kafka://localhost:9092/ticks", "kafka://localhost:9092/out-{partition}")
    config = load(run, feed=["kafka://localhost:9092/a", "kafka://localhost:9092/b"])
    with pytest.raises(ConfigError, match="has 2 feeds"):
        Worker(config, "desk", tmp_path / "shards")
