"""`replay publish` and `replay record`: started again after a kill, nothing is missing and nothing doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kafka.topics import all_records, feed_of, publish_tape, save
from modes.market import market
from support.broker import Broker

from replay.adapters.kafka.wire import decode
from replay.data import record as recording
from replay.errors import ConfigError, JournalError
from replay.feeds import tape as tapes

pytestmark = pytest.mark.kafka

ROWS = 60_000
RUN = """
[account]
currency = "USDT"
cash = { USDT = "1000000" }
[[strategy]]
class = "never.py:Loaded"
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
[[feed]]
uri = "%s"
"""


def replay_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "replay", *map(str, arguments)]


def wait_for(what, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def killed_after(command: list[str], more: int, count: Callable[[], int]) -> bool:
    """Start a command and kill it once it has made a count grow; say whether it was still running."""
    before = count()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: count() > before + more or process.poll() is not None)
        return process.poll() is None
    finally:
        process.kill()
        process.communicate()


def setting(name: str, value: str) -> dict[str, str]:
    return {name: value}


def frames_of(broker: Broker, topic: str) -> list[tuple[int, int, int]]:
    found = []
    for message in broker.read(topic):
        frame = decode(message.value or b"", "here")
        found.append((message.partition, frame.place.first_seq, frame.place.limit_seq))
    return found


def check_whole(broker: Broker, topic: str, path: Path) -> None:
    """Nothing missing, nothing twice: each partition's frames follow one another, and the records are the tape's."""
    limits: dict[int, int] = {}
    for partition, first, limit in frames_of(broker, topic):
        if first == limit <= limits.get(partition, 0):
            continue  # a mark that fences off: its maker had not seen yet what came before it
        assert first == limits.get(partition, 0)
        limits[partition] = limit
    feed = feed_of(f"{broker.uri(topic)}?to=latest")
    assert all_records(feed).tobytes() == tapes.load(path).records.tobytes()
    counts = feed.counters()
    assert (counts["gaps"], counts["duplicates"]) == (0, 0)


def test_publishing_again_sends_nothing_twice(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npy", market(5_000))
    first = publish_tape(path, broker.uri(topic))
    before = broker.end_offsets(topic)
    again = publish_tape(path, broker.uri(topic))
    assert (first.records, again.records, again.held) == (5_000, 0, 5_000)
    assert broker.end_offsets(topic) == before


def test_another_tape_is_added_behind(broker: Broker, topic: str, tmp_path: Path) -> None:
    whole = market(8_000)
    publish_tape(save(tmp_path / "one.npy", whole[:5_000]), broker.uri(topic))
    publish_tape(save(tmp_path / "two.npy", whole[5_000:]), broker.uri(topic))
    assert all_records(feed_of(f"{broker.uri(topic)}?to=latest")).tobytes() == whole.tobytes()


def test_a_tape_that_has_grown_goes_on_also_where_it_has_new_kinds_of_records(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    whole = market(2_000)
    begun = int(np.flatnonzero(whole["instrument"] == 0)[0])
    head = save(tmp_path / "head.npy", whole[:begun])
    path = save(tmp_path / "whole.npy", whole)
    assert tapes.load(head).header.instruments != tapes.load(path).header.instruments
    publish_tape(head, broker.uri(topic))
    done = publish_tape(path, broker.uri(topic))
    assert (done.held, done.records) == (begun, 2_000 - begun)
    check_whole(broker, topic, path)


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 2])
def test_a_publisher_that_is_killed_goes_on_behind_what_the_topic_holds(
    broker: Broker, topic: str, tmp_path: Path, partitions: int
) -> None:
    name = broker.create_topic(f"{topic}-{partitions}", partitions=partitions)
    path = save(tmp_path / "m.npy", market(ROWS, step_ns=20_000))
    kills = 0
    command = replay_command("publish", path, broker.uri(name), "--speed", "1x")
    for _ in range(6):
        kills += killed_after(command, 20, lambda: sum(broker.end_offsets(name).values()))
    assert kills >= 2
    done = publish_tape(path, broker.uri(name))
    assert done.held > 0
    check_whole(broker, name, path)


def test_the_command_publishes_and_says_what_it_did(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npy", market(3_000))
    uri = broker.uri(f"{topic}-new")
    done = subprocess.run(
        replay_command("publish", path, uri, "--create", "--by-instrument"), capture_output=True, text=True, check=True
    )
    assert "3,000 records" in done.stdout
    assert sorted(broker.end_offsets(f"{topic}-new")) == [0, 1]
    missing = subprocess.run(replay_command("publish", path, f"{uri}x"), capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "there is no topic" in missing.stderr
    assert "--create" in missing.stderr


def test_a_tape_paced_by_its_times_takes_that_long(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npy", market(2_000, step_ns=500_000))
    whole = tapes.load(path).records
    begun_s = time.monotonic()
    done = publish_tape(path, broker.uri(topic), speed=1.0)
    took_s = time.monotonic() - begun_s
    lasts_s = (int(whole["ts_recv"][-1]) - int(whole["ts_recv"][0])) / 1e9
    assert lasts_s <= took_s < lasts_s + 3
    assert done.frames > 50
    check_whole(broker, topic, path)


def test_frames_fit_the_messages_that_a_topic_takes(broker: Broker, topic: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.npy", market(3_000))
    small = broker.create_topic(f"{topic}-small", 1, setting("max.message.bytes", "9000"))
    publish_tape(path, broker.uri(small))
    assert max(len(message.value or b"") for message in broker.read(small)) < 9_000
    check_whole(broker, small, path)
    tiny = broker.create_topic(f"{topic}-tiny", 1, setting("max.message.bytes", "1100"))
    with pytest.raises(ConfigError, match="larger than the topic's messages may be"):
        publish_tape(path, broker.uri(tiny))
    assert broker.end_offsets(tiny) == {0: 0}


def test_times_that_a_topic_refuses_are_told_before_anything_is_sent(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.npy", market(100))
    strict = broker.create_topic(f"{topic}-strict", 1, setting("message.timestamp.before.max.ms", "1000"))
    with pytest.raises(ConfigError, match="does not take records of the time"):
        publish_tape(path, broker.uri(strict))
    assert broker.end_offsets(strict) == {0: 0}


# -- record


def run_file(folder: Path, uri: str) -> Path:
    path = folder / "run.toml"
    path.write_text(RUN % uri)
    return path


def recorded(folder: Path) -> np.ndarray:
    parts = [tapes.load(path).records for path in sorted(folder.glob("tape-*.npy"))]
    return np.concatenate(parts)


def durable_rows(folder: Path) -> int:
    state = recording.read_state(folder)
    return 0 if state is None else state.before + state.rows


def test_a_feed_is_recorded_with_rotation(broker: Broker, topic: str, tmp_path: Path) -> None:
    whole = market(10_000)
    publish_tape(save(tmp_path / "m.npy", whole), broker.uri(topic))
    run = run_file(tmp_path, f"{broker.uri(topic)}?to=latest")
    done = recording.record(str(run), tmp_path / "out", rotation=recording.Rotation(rows_max=1_500))
    assert [len(tapes.load(tmp_path / "out" / name)) for name in done.tapes] == [1_500] * 6 + [1_000]
    assert recorded(tmp_path / "out").tobytes() == whole.tobytes()
    by_time = recording.record(str(run), tmp_path / "timed", rotation=recording.Rotation(every_ns=60_000_000_000))
    assert len(by_time.tapes) > 3
    assert recorded(tmp_path / "timed").tobytes() == whole.tobytes()
    firsts = [int(tapes.load(tmp_path / "timed" / name).header.first_ns or 0) for name in by_time.tapes]
    assert len({first // 60_000_000_000 for first in firsts}) == len(firsts)
    again = recording.record(str(run), tmp_path / "out")
    assert (again.records, again.held) == (0, 10_000)


@pytest.mark.slow
def test_a_recorder_that_is_killed_goes_on_without_loss_or_double(broker: Broker, topic: str, tmp_path: Path) -> None:
    head, whole = market(100, seed=9), market(40_000, step_ns=200_000)
    path = save(tmp_path / "m.npy", whole)
    publish_tape(save(tmp_path / "head.npy", head), broker.uri(topic))
    run = run_file(tmp_path, f"{broker.uri(topic)}?from=earliest")
    out = tmp_path / "out"
    source = subprocess.Popen(replay_command("publish", path, broker.uri(topic), "--speed", "0.3x"))
    try:
        kills = sum(
            killed_after(replay_command("record", run, out, "--size", "1"), 200, lambda: durable_rows(out))
            for _ in range(4)
        )
        assert kills == 4
    finally:
        source.kill()
        source.wait()
    publish_tape(path, broker.uri(topic))
    process = subprocess.Popen(replay_command("record", run, out), stdout=subprocess.PIPE, text=True)
    total = len(whole) + 100

    wait_for(lambda: durable_rows(out) == total)
    with pytest.raises(JournalError, match="another process records"):
        recording.finish(out)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in output
    assert recorded(out).tobytes() == np.concatenate([head, whole]).tobytes()


def test_the_tape_of_a_killed_recorder_can_be_made_whole(broker: Broker, topic: str, tmp_path: Path) -> None:
    whole = market(3_000)
    publish_tape(save(tmp_path / "m.npy", whole), broker.uri(topic))
    run = run_file(tmp_path, f"{broker.uri(topic)}?from=earliest")
    out = tmp_path / "out"
    process = subprocess.Popen(replay_command("record", run, out), stdout=subprocess.PIPE)
    wait_for(lambda: (out / recording.STATE_FILE).exists())
    process.kill()
    process.communicate()
    assert list(out.glob("*.npy")) == []
    done = subprocess.run(replay_command("record", out, "--finish"), capture_output=True, text=True, check=True)
    assert "tape-000001.npy is whole" in done.stdout
    assert recorded(out).tobytes() == whole.tobytes()
    assert json.loads((out / recording.STATE_FILE).read_bytes())["tape"] == 2
    assert os.listdir(out).count("tape-000001.npy.part") == 0
