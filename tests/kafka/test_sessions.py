"""Paper sessions on a live topic: killed, cut off and refused, they lose nothing and double nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.topics import feed_of, publish_tape, save
from modes.market import SETTINGS, Busy, market
from support.broker import Broker

import replay
from replay.errors import DataError
from replay.modes import paper_async
from replay.pipeline.journal import JournalReader
from replay.pipeline.stop import Stop

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
ROWS = 12_000


def start(folder: Path, uri: str, receive_time: str = "keep") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kafka.session_process", str(folder), uri, receive_time]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


def publishing(path: Path, uri: str, speed: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "replay", "publish", str(path), uri, "--speed", speed]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)


def journaled(folder: Path) -> int:
    if not (folder / "journal").is_dir():
        return 0
    reader = JournalReader(folder / "journal")
    return sum(len(frame.records) for frame in reader.frames())


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        if process.poll() is not None:
            raise AssertionError(f"the session ended: {process.communicate()}")
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def ended(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    return output.split()[0]


def log_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "events" / "events.bin").read_bytes()).hexdigest()


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_session_that_is_killed_again_and_again_has_the_event_log_of_an_undisturbed_run(
    broker: Broker, topic: str, tmp_path: Path, partitions: int
) -> None:
    name = broker.create_topic(f"{topic}-{partitions}", partitions=partitions)
    path = save(tmp_path / "m.npy", market(ROWS))
    expected = replay.backtest(Busy, str(path), **SETTINGS)
    publish_tape(save(tmp_path / "head.npy", market(ROWS)[:50]), broker.uri(name))
    folder, uri = tmp_path / "session", f"{broker.uri(name)}?from=earliest"
    source = publishing(path, broker.uri(name), "30x")
    try:
        for kill in range(3):
            process = start(folder, uri)
            aim = (kill + 1) * ROWS // 6
            wait_for(lambda aim=aim: journaled(folder) > aim, process)  # type: ignore[misc]
            process.kill()
            process.communicate()
        segments = len(list((folder / "journal").iterdir()))
        process = start(folder, uri)
        wait_for(lambda: len(list((folder / "journal").iterdir())) > segments, process)
        wait_for(lambda: journaled(folder) >= expected.counts["records"], process)
        time.sleep(0.5)  # the segment is made just before the records are taken
        digest = ended(process)
    finally:
        source.kill()
        source.wait()
    assert digest == expected.digest
    assert log_digest(folder) == expected.digest


def test_a_session_goes_on_when_its_broker_comes_back(own_broker: Broker, tmp_path: Path) -> None:
    own_broker.create_topic("ticks")
    whole = market(6_000)
    path, uri = save(tmp_path / "m.npy", whole), own_broker.uri("ticks")
    expected = replay.backtest(Busy, str(path), **SETTINGS)
    publish_tape(save(tmp_path / "head.npy", whole[:2_000]), uri)
    folder = tmp_path / "session"
    process = start(folder, f"{uri}?from=earliest")
    try:
        wait_for(lambda: journaled(folder) > 1_500, process)
        own_broker.kill()
        time.sleep(6)
        assert process.poll() is None, "an outage ends no session"
        own_broker.start()
        publish_tape(path, uri)
        wait_for(lambda: journaled(folder) >= expected.counts["records"], process)
        time.sleep(5)  # the watch of the broker asks on its own, a second after the last answer or refusal
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output.split()[0] == expected.digest
    assert errors.count("broker unreachable") == 1
    assert errors.count("broker reachable again") == 1
    assert len(errors.splitlines()) < 40, "the client's own noise is held back"


def test_a_stamped_session_is_a_backtest_of_its_own_journal(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npy", market(3_000))
    folder, uri = tmp_path / "session", f"{broker.uri(topic)}?from=earliest"
    publish_tape(save(tmp_path / "head.npy", market(3_000)[:10]), broker.uri(topic))
    process = start(folder, uri, "stamp")
    wait_for(lambda: journaled(folder) > 0, process)
    source = publishing(path, broker.uri(topic), "100x")
    try:
        wait_for(lambda: journaled(folder) > 800, process)
        process.kill()
        process.communicate()
        source.wait(timeout=60)
        process = start(folder, uri, "stamp")
        wait_for(lambda: journaled(folder) > 2_900, process)
        digest = ended(process)
    finally:
        source.kill()
        source.wait()
    assert digest == log_digest(folder)
    from replay.verify import verify

    assert verify(folder).equal


def test_a_session_whose_next_offset_is_gone_halts_and_its_data_are_untouched(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    publish_tape(save(tmp_path / "m.npy", market(3_000)), broker.uri(topic))
    folder, uri = tmp_path / "session", f"{broker.uri(topic)}?from=earliest"
    process = start(folder, uri)
    wait_for(lambda: journaled(folder) > 2_900, process)
    ended(process)
    before = {entry: entry.read_bytes() for entry in (folder / "journal").iterdir()}
    publish_tape(save(tmp_path / "more.npy", market(3_000, 2)), broker.uri(topic))
    broker.delete_records(topic, {0: broker.end_offsets(topic)[0] - 1})
    process = start(folder, uri)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output
    assert "are needed, and the broker holds" in output
    after = {entry: entry.read_bytes() for entry in (folder / "journal").iterdir()}
    assert all(after[entry] == content for entry, content in before.items())


def test_a_broker_that_dies_between_the_opening_and_the_first_connection_is_waited_for(
    own_broker: Broker, tmp_path: Path
) -> None:
    own_broker.create_topic("ticks")
    own_broker.create_topic("dead")
    whole = market(3_000)
    publish_tape(save(tmp_path / "m.npy", whole), own_broker.uri("ticks"))
    feed = feed_of(f"{own_broker.uri('ticks')}?from=earliest", dead_letters=own_broker.uri("dead"))
    own_broker.kill()
    back = threading.Timer(4.0, own_broker.start)
    back.start()
    expected = replay.backtest(Busy, str(tmp_path / "m.npy"), **SETTINGS)
    stop = Stop()

    def progress(done: int, _total: int | None, _time_ns: int | None) -> None:
        if done >= expected.counts["records"]:
            stop.request()

    plan = replay.api.plan(Busy, feed, metrics={"port": 0}, **SETTINGS)
    result = asyncio.run(paper_async(plan, tmp_path / "session", stop=stop, progress=progress))
    back.join()
    assert result.digest == expected.digest
    told = {measure.name: measure.value for measure in feed.measures()}
    assert told["replay_kafka_feed_reconnects"] == 1
    assert told["replay_kafka_feed_broker_reachable"]


def test_a_stored_range_whose_broker_is_away_is_an_error(own_broker: Broker, tmp_path: Path) -> None:
    own_broker.create_topic("ticks")
    publish_tape(save(tmp_path / "m.npy", market(500)), own_broker.uri("ticks"))
    feed = feed_of(f"{own_broker.uri('ticks')}?to=latest")
    own_broker.kill()
    with pytest.raises(DataError, match=r"no broker answers at 127\.0\.0\.1:\d+\ncheck the address"):
        list(feed.batches())
