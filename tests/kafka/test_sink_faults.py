"""The sink kafka:// under faults: killed processes, brokers that die or hang, and others that write into its topic."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modes.market import SETTINGS, Busy, CutFeed, market
from stress.gate import Gate
from support.broker import Broker

import replay
from replay.errors import ConfigError, HaltError, ReplayError
from replay.pipeline.stop import Stop

from .publishing import (
    ROWS,
    SEED,
    assert_topic_is_the_event_log,
    published,
    session,
    session_reports,
)

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, uri: str, *, rows: int = ROWS, pause_s: float = 0.004) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.kafka.publishing_process", str(folder), uri, str(rows), str(pause_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


def undisturbed() -> str:
    return replay.backtest(Busy, CutFeed(market(ROWS, SEED), [ROWS]), **SETTINGS).digest


def in_background(folder: Path, sink: dict[str, Any], *, pause_s: float = 0.01) -> tuple[threading.Thread, list[Any]]:
    """Run a session in a thread of this process; its result or its error is appended."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(session(folder, sink, pause_s=pause_s))
        except ReplayError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_at_random_moments_the_topic_equals_the_event_log(broker: Broker, topic: str, tmp_path: Path) -> None:
    dice = random.Random(time.time_ns())
    folder, kills = tmp_path / "s", 0
    for _ in range(60):
        process = start(folder, broker.uri(topic))
        assert process.stderr is not None
        process.stderr.readline()  # "session started", unless it ended before
        if kills < 10:
            time.sleep(dice.random() * 0.15)
            process.kill()
            kills += process.wait() == -signal.SIGKILL
            process.communicate()
            continue
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        assert out.split()[0] == undisturbed()
        break
    assert kills >= 5
    assert_topic_is_the_event_log(broker, topic, folder)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["restart", "pause"])
def test_while_the_broker_is_away_the_session_goes_on_and_the_topic_is_completed_later(
    own_broker: Broker, tmp_path: Path, fault: str
) -> None:
    own_broker.create_topic("out")
    thread, outcome = in_background(tmp_path / "s", {"uri": own_broker.uri("out"), "drain": "60s"})
    until(lambda: own_broker.end_offsets("out")[0] > 50)
    for _ in range(2):
        if fault == "restart":
            own_broker.restart()
        else:
            own_broker.pause()
            time.sleep(1.5)
            own_broker.resume()
        time.sleep(0.3)
    thread.join(120)
    assert not thread.is_alive()
    assert outcome[0].digest == undisturbed()
    assert_topic_is_the_event_log(own_broker, "out", tmp_path / "s")


@pytest.mark.slow
def test_a_message_whose_acknowledgement_was_lost_is_not_sent_again_to_a_broker_that_has_forgotten_the_sink(
    make_gated: Callable[..., tuple[Broker, Gate]], tmp_path: Path
) -> None:
    own, gate = make_gated("producer.id.expiration.ms=1000")
    own.create_topic("out")
    sink = {"uri": f"kafka://127.0.0.1:{gate.port}/out", "drain": "60s"}
    thread, outcome = in_background(tmp_path / "s", sink)
    until(lambda: own.end_offsets("out")[0] > 50)
    gate.put("deaf")  # from here on the broker takes, and nobody hears of it
    time.sleep(2)
    own.restart()
    gate.put("open")
    thread.join(120)
    assert outcome[0].digest == undisturbed()
    assert_topic_is_the_event_log(own, "out", tmp_path / "s")


@pytest.mark.slow
def test_a_session_that_ends_while_the_broker_is_away_is_completed_by_its_next_start(
    own_broker: Broker, tmp_path: Path
) -> None:
    own_broker.create_topic("out")
    thread, outcome = in_background(tmp_path / "s", {"uri": own_broker.uri("out"), "drain": "1s"}, pause_s=0.05)
    until(lambda: own_broker.end_offsets("out")[0] > 20)
    own_broker.kill()
    thread.join(60)
    assert outcome[0].digest == undisturbed()
    with pytest.raises(ConfigError, match=r"no broker of Kafka answers at 127\.0\.0\.1"):
        session(tmp_path / "s", {"uri": own_broker.uri("out")})
    own_broker.start()
    assert len(published(own_broker.read("out"))[0]) < 5_000
    session(tmp_path / "s", {"uri": own_broker.uri("out")})
    assert_topic_is_the_event_log(own_broker, "out", tmp_path / "s")


def test_two_sessions_do_not_share_a_topic(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "one", {"uri": broker.uri(topic)}, rows=500)
    held = broker.end_offsets(topic)
    with pytest.raises(HaltError, match=r"session [0-9a-f]{32} has written into the topic") as caught:
        session(tmp_path / "two", {"uri": broker.uri(topic)}, rows=500)
    assert caught.value.exit_code == 4
    assert "topic of its own" in str(caught.value)
    assert broker.end_offsets(topic) == held
    assert not list((tmp_path / "two" / "journal").iterdir()), "the session's data are as they were"


def test_a_topic_with_messages_of_others_is_refused(broker: Broker, topic: str, tmp_path: Path) -> None:
    broker.produce(topic, [b"mine"])
    with pytest.raises(HaltError, match="something that is no sink of replay has written"):
        session(tmp_path / "s", {"uri": broker.uri(topic)}, rows=200)


def test_somebody_who_writes_into_the_topic_meanwhile_stops_the_session(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    thread, outcome = in_background(tmp_path / "s", {"uri": broker.uri(topic)})
    until(lambda: broker.end_offsets(topic)[0] > 50)
    broker.produce(topic, [b"mine"])
    thread.join(60)
    assert isinstance(outcome[0], HaltError)
    assert outcome[0].reason == "foreign_session"


@pytest.mark.slow
def test_a_copy_of_the_session_with_a_higher_epoch_stops_the_older_process(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    session(folder, {"uri": broker.uri(topic)}, rows=500)
    shutil.copytree(folder, tmp_path / "copy")
    thread, outcome = in_background(folder, {"uri": broker.uri(topic)}, pause_s=0.03)
    until(lambda: session_reports(broker.read(topic))[-1].epoch == 2)
    session(tmp_path / "copy", {"uri": broker.uri(topic)}, adopt=True)
    thread.join(60)
    assert isinstance(outcome[0], HaltError)
    assert outcome[0].reason == "fenced"
    assert "end the other one" in str(outcome[0])
    assert_topic_is_the_event_log(broker, topic, tmp_path / "copy")


def test_a_message_that_is_too_large_is_named_and_the_next_start_goes_on(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    with pytest.raises(HaltError, match=r"the message of event \d+ has \d+ bytes, and at most 100 may be sent"):
        session(tmp_path / "s", {"uri": broker.uri(topic), "max_message_bytes": 100}, rows=1_000)
    session(tmp_path / "s", {"uri": broker.uri(topic)})
    assert_topic_is_the_event_log(broker, topic, tmp_path / "s")


def test_batches_adapt_to_a_topic_that_takes_only_small_ones(broker: Broker, topic: str, tmp_path: Path) -> None:
    small = broker.create_topic(f"{topic}-small", config={"max.message.bytes": "2000"})
    session(tmp_path / "s", {"uri": broker.uri(small)})
    assert_topic_is_the_event_log(broker, small, tmp_path / "s")


def test_a_topic_that_takes_no_message_of_ours_is_named(broker: Broker, topic: str, tmp_path: Path) -> None:
    tiny = broker.create_topic(f"{topic}-tiny", config={"max.message.bytes": "500"})
    with pytest.raises(HaltError, match=r"raise max\.message\.bytes of the topic"):
        session(tmp_path / "s", {"uri": broker.uri(tiny)})


def test_a_missing_topic_and_a_wrong_broker_are_told_before_anything_is_written(broker: Broker, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no topic 'nowhere'") as caught:
        session(tmp_path / "s", {"uri": broker.uri("nowhere")})
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"no broker of Kafka answers at 127\.0\.0\.1:1 "):
        session(tmp_path / "s", {"uri": "kafka://127.0.0.1:1/topic"})
    assert not list((tmp_path / "s" / "journal").iterdir())


def test_more_partitions_than_before_are_refused(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)}, rows=500)
    broker.add_partitions(topic, 3)
    with pytest.raises(HaltError, match="had 1 partitions and has 3"):
        session(tmp_path / "s", {"uri": broker.uri(topic)})


def test_a_topic_whose_tail_was_deleted_is_refused(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)}, rows=500)
    broker.delete_records(topic, broker.end_offsets(topic))
    with pytest.raises(HaltError, match=r"retention\.ms=-1"):
        session(tmp_path / "s", {"uri": broker.uri(topic)})


@pytest.mark.slow
def test_a_full_outbox_makes_the_session_wait_and_a_stop_ends_the_waiting(own_broker: Broker, tmp_path: Path) -> None:
    own_broker.create_topic("out")
    sink = {"uri": own_broker.uri("out"), "max_behind": 100, "drain": "500ms"}
    stop = Stop()
    feed = CutFeed(market(ROWS, SEED), [10], pause_s=0.005)
    outcome: list[Any] = []

    async def run() -> None:
        settings = {**SETTINGS, "metrics": {"port": 0}}
        running = asyncio.create_task(
            replay.modes.paper_async(replay.api.plan(Busy, feed, sink=[sink], **settings), tmp_path / "s", stop=stop)
        )
        await asyncio.to_thread(until, lambda: own_broker.end_offsets("out")[0] > 20)
        own_broker.pause()
        await asyncio.sleep(8)
        stop.request()
        outcome.append(await running)

    asyncio.run(run())
    assert outcome[0].interrupted
    assert outcome[0].counts["records"] < ROWS / 2, "it waited: its feed would have ended in two seconds"
    assert 'replay_sink_full{sink="kafka",topic="out"} 1.0' in (tmp_path / "s" / "metrics.prom").read_text()
    own_broker.resume()
    session(tmp_path / "s", {"uri": own_broker.uri("out")})
    assert_topic_is_the_event_log(own_broker, "out", tmp_path / "s")


@pytest.mark.slow
def test_what_a_killed_process_still_had_under_way_is_not_added_behind_its_successor(
    own_broker: Broker, tmp_path: Path
) -> None:
    own_broker.create_topic("out")
    folder = tmp_path / "s"
    for _ in range(2):
        process = start(folder, own_broker.uri("out"), pause_s=0.002)
        assert process.stderr is not None
        process.stderr.readline()
        time.sleep(0.1)
        own_broker.pause()  # requests now wait in the broker's sockets
        time.sleep(0.1)
        process.kill()
        process.communicate()
        successor = start(folder, own_broker.uri("out"), pause_s=0.002)
        time.sleep(1.0)  # it has connected, and waits as well
        own_broker.resume()  # both are answered, in whatever order
        assert successor.stderr is not None
        successor.stderr.readline()
        time.sleep(0.05)
        successor.kill()
        successor.communicate()
    session(folder, {"uri": own_broker.uri("out")})
    assert_topic_is_the_event_log(own_broker, "out", folder)


@pytest.mark.slow
def test_processes_and_brokers_killed_in_any_order_lose_and_double_nothing(own_broker: Broker, tmp_path: Path) -> None:
    dice = random.Random(time.time_ns())
    name = own_broker.create_topic("wide", partitions=3)
    folder = tmp_path / "s"
    for _ in range(3):
        process = start(folder, own_broker.uri(name), pause_s=0.003)
        assert process.stderr is not None
        process.stderr.readline()
        time.sleep(dice.random() * 0.2)
        if dice.random() < 0.5:
            own_broker.kill()
            time.sleep(dice.random() * 0.1)
            process.kill()
        else:
            process.kill()
            own_broker.kill()
        process.communicate()
        own_broker.start()
    session(folder, {"uri": own_broker.uri(name)})
    assert_topic_is_the_event_log(own_broker, name, folder, partitions=3)
