"""The sink kafka://: whatever happens, the topic holds the session's event log, no event missing and none twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.broker import Broker

from replay.events import EVENT_BYTES

from .publishing import (
    ROWS,
    assert_topic_is_the_event_log,
    events_of,
    expected,
    published,
    session,
    session_reports,
)

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_after_a_run_the_topic_holds_the_event_log(broker: Broker, topic: str, tmp_path: Path, form: str) -> None:
    result = session(tmp_path / "s", {"uri": broker.uri(topic), "format": form})
    assert_topic_is_the_event_log(broker, topic, tmp_path / "s")
    assert hashlib.sha256(events_of(tmp_path / "s").tobytes()).hexdigest() == result.digest
    reports = session_reports(broker.read(topic))
    assert [(report.state, report.epoch) for report in reports] == [("started", 1), ("ended", 1)]
    assert len(events_of(tmp_path / "s").tobytes()) % EVENT_BYTES == 0


def test_every_message_names_its_session_epoch_and_event(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)})
    events = events_of(tmp_path / "s")
    messages = broker.read(topic)
    assert len({(message.headers["session"], message.headers["epoch"]) for message in messages}) == 1
    for message in messages:
        number = int(message.headers["event"])
        if number >= 0:
            event = events[number]
            assert (int(message.headers["seq"]), int(message.headers["index"])) == (event["tape_seq"], event["index"])
            assert message.key in (b"BTCUSDT", b"ETHUSDT")


def test_a_session_started_again_adds_only_what_is_new(broker: Broker, topic: str, tmp_path: Path) -> None:
    sink = {"uri": broker.uri(topic)}
    session(tmp_path / "s", sink, rows=ROWS // 2)
    first = published(broker.read(topic))[0]
    session(tmp_path / "s", sink)
    assert_topic_is_the_event_log(broker, topic, tmp_path / "s")
    assert published(broker.read(topic))[0][: len(first)] == first
    session(tmp_path / "s", sink)
    assert_topic_is_the_event_log(broker, topic, tmp_path / "s")
    assert [report.epoch for report in session_reports(broker.read(topic))] == [1, 1, 2, 2, 3, 3]


def test_each_partition_goes_on_from_its_own_tail(broker: Broker, topic: str, tmp_path: Path) -> None:
    name = broker.create_topic(f"{topic}-wide", partitions=4)
    for rows in (ROWS // 3, ROWS // 2, ROWS):
        session(tmp_path / "s", {"uri": broker.uri(name)}, rows=rows)
        assert_topic_is_the_event_log(broker, name, tmp_path / "s", partitions=4)
    assert sum(1 for part in expected(tmp_path / "s", 4) if part) == 2


def test_only_the_kinds_asked_for_are_published(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic), "kinds": ["fills"]})
    assert published(broker.read(topic)) == expected(tmp_path / "s", kinds=frozenset({"fills"}))


def test_a_new_topic_gets_the_whole_log_of_an_old_session(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)}, rows=ROWS // 2)
    other = broker.create_topic(f"{topic}-other")
    session(tmp_path / "s", {"uri": broker.uri(other)})
    assert_topic_is_the_event_log(broker, other, tmp_path / "s")
