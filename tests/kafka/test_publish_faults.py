"""`replay publish` when an acknowledgement is lost: no frame is in the topic twice, whatever the broker has forgotten.

Records are of 2023: a broker reckons how long ago a producer was heard by the times of its records, so it forgets this
one with the next restart, and takes a batch that is sent again for a new one.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka.test_publish import RUN, replay_command
from kafka.topics import publish_tape, save
from modes.market import market
from stress.gate import Gate
from support.broker import Broker

from replay.adapters.kafka.wire import decode
from replay.errors import DataError, ReplayError
from replay.feeds import tape as tapes

pytestmark = pytest.mark.kafka

ROWS = 4_000
STEP_NS = 1_000_000


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def count(broker: Broker, topic: str) -> int:
    return sum(broker.end_offsets(topic).values())


def settled(broker: Broker, topic: str) -> int:
    """Wait until a topic grows no more."""
    before = -1
    while (now := count(broker, topic)) != before:
        before = now
        time.sleep(0.3)
    return before


def check_once(broker: Broker, topic: str, path: Path) -> None:
    """Each record of the tape lies in the topic once, and each partition's frames follow one another."""
    limits: dict[int, int] = {}
    rows: dict[int, bytes] = {}
    for message in broker.read(topic):
        frame = decode(message.value or b"", "here")
        at = f"partition {message.partition}, offset {message.offset}"
        if frame.place.first_seq == frame.place.limit_seq <= limits.get(message.partition, 0):
            continue  # a mark that fences off: its maker had not seen yet what came before it
        assert frame.place.first_seq == limits.get(message.partition, 0), at
        limits[message.partition] = frame.place.limit_seq
        sequences = range(frame.place.first_seq, frame.place.limit_seq) if frame.sequences is None else frame.sequences
        for seq, record in zip(sequences, frame.records, strict=True):
            assert seq not in rows, f"{at}: sequence {seq} was there before"
            rows[int(seq)] = record.tobytes()
    whole = tapes.load(path).records
    assert b"".join(rows[seq] for seq in sorted(rows)) == whole.tobytes()


def in_background(path: Path, uri: str, **how: Any) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(publish_tape(path, uri, **how))
        except ReplayError as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 2])
def test_a_frame_whose_acknowledgement_was_lost_is_not_sent_again(
    make_gated: Callable[..., tuple[Broker, Gate]], tmp_path: Path, partitions: int
) -> None:
    broker, gate = make_gated()
    topic = broker.create_topic("ticks", partitions=partitions)
    path = save(tmp_path / "m.npy", market(ROWS, step_ns=STEP_NS))
    thread, outcome = in_background(path, f"kafka://127.0.0.1:{gate.port}/{topic}", speed=1.0)
    until(lambda: count(broker, topic) > 20)
    gate.put("deaf")  # from here on the broker takes, and nobody hears of it
    held = settled(broker, topic)
    assert held > 20
    broker.restart()
    gate.put("open")
    thread.join(60)
    assert not thread.is_alive()
    assert not isinstance(outcome[0], Exception), outcome[0]
    check_once(broker, topic, path)


@pytest.mark.slow
def test_what_a_killed_publisher_still_had_under_way_is_not_published_again_by_its_successor(
    own_broker: Broker, tmp_path: Path
) -> None:
    topic = own_broker.create_topic("ticks", partitions=2)
    path = save(tmp_path / "m.npy", market(60_000, step_ns=20_000))
    command = replay_command("publish", path, own_broker.uri(topic), "--speed", "1x")
    for _ in range(2):
        before = count(own_broker, topic)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda before=before: count(own_broker, topic) > before + 20)  # type: ignore[misc]
        own_broker.pause()  # requests now wait in the broker's sockets
        time.sleep(0.1)
        process.kill()
        process.communicate()
        successor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)  # it waits as well
        own_broker.resume()  # both are answered, in whatever order
        before = count(own_broker, topic)
        until(lambda before=before: count(own_broker, topic) > before + 20)  # type: ignore[misc]
        successor.kill()
        successor.communicate()
    publish_tape(path, own_broker.uri(topic))
    check_once(own_broker, topic, path)


@pytest.mark.slow
def test_a_second_publisher_takes_the_topic_over_and_the_first_says_so(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.npy", market(ROWS, step_ns=STEP_NS))
    thread, outcome = in_background(path, broker.uri(topic), speed=1.0)
    until(lambda: count(broker, topic) > 20)
    publish_tape(path, broker.uri(topic))
    thread.join(60)
    assert isinstance(outcome[0], DataError)
    assert outcome[0].reason == "fenced"
    assert "let one publisher write to a topic" in str(outcome[0])
    check_once(broker, topic, path)


@pytest.mark.slow
def test_a_broker_that_stays_away_ends_the_publisher_and_the_next_start_goes_on(
    own_broker: Broker, tmp_path: Path
) -> None:
    topic = own_broker.create_topic("ticks")
    path = save(tmp_path / "m.npy", market(ROWS, step_ns=STEP_NS))
    run = tmp_path / "run.toml"
    run.write_text(RUN % path + '[kafka]\nrequest_timeout = "2s"\n')
    command = replay_command("publish", run, own_broker.uri(topic), "--speed", "1x")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: count(own_broker, topic) > 20)
    own_broker.kill()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 4, text
    assert "publishing failed" in text
    assert "it goes on behind what the topic holds" in text
    own_broker.start()
    publish_tape(path, own_broker.uri(topic))
    check_once(own_broker, topic, path)
