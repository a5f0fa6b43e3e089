"""A control topic on a real broker: each message is one Command record, whatever is killed; bad ones are set aside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.broker import Broker

from replay.pipeline.commands import OperatorCommand

from .paper import Paper

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def paper(tmp_path: Path, broker: Broker, topic: str) -> Iterator[Paper]:
    made = Paper(tmp_path / "run", more=f'[control]\ntopic = "{broker.uri(topic)}"\n')
    try:
        yield made
    finally:
        made.end()


def _send(broker: Broker, topic: str, *messages: object) -> None:
    broker.produce(topic, [text if isinstance(text, bytes) else msgspec.json.encode(text) for text in messages])


def _commands(paper: Paper) -> list[int]:
    return [command for _, command, _ in paper.commands()]


def test_messages_become_commands_once_also_over_kills(paper: Paper, broker: Broker, topic: str) -> None:
    _send(broker, topic, {"command": "stop"})  # from before the session: not for it
    paper.start()
    paper.wait_for(lambda: b'"next"' in b"".join(_cursors(paper)))
    _send(broker, topic, {"command": "pause", "session": "another"}, {"command": "pause", "id": "1"})
    paper.wait_for(lambda: paper.status()["trading"] == "paused")
    _send(broker, topic, b"no json", {"command": "explode"}, {"command": "resume", "session": "session"})
    paper.wait_for(lambda: paper.status()["trading"] == "active")
    paper.kill()
    assert _commands(paper) == [OperatorCommand.PAUSE, OperatorCommand.RESUME]

    _send(broker, topic, {"command": "flatten"})  # while nobody runs: it is made up for
    paper.start()
    paper.wait_for(lambda: paper.status()["trading"] == "paused")
    paper.kill()
    paper.start()
    _send(broker, topic, {"command": "stop"})
    assert paper.wait() == 0, paper.log
    assert _commands(paper) == [
        OperatorCommand.PAUSE,
        OperatorCommand.RESUME,
        OperatorCommand.FLATTEN,
        OperatorCommand.STOP,
    ]
    letters = (paper.session / "dead-letters" / "dead-letters.ndjson").read_bytes().splitlines()
    kept = [msgspec.json.decode(line) for line in letters]
    assert [(one["reason"], one["raw"]) for one in kept] == [
        ("bad_command", "no json"),
        ("bad_command", '{"command":"explode"}'),
    ]
    assert paper.verify().returncode == 0


def _cursors(paper: Paper) -> list[bytes]:
    from replay.pipeline.journal import JournalReader

    return [frame.cursor for frame in JournalReader(paper.session / "journal").frames()]


def test_a_broker_that_is_away_holds_no_session_up(tmp_path: Path, own_broker: Broker) -> None:
    topic = own_broker.create_topic("commands")
    own_broker.kill()
    paper = Paper(tmp_path / "run", more=f'[control]\ntopic = "{own_broker.uri(topic)}"\n')
    try:
        paper.start()
        paper.wait_for(lambda: paper.status()["seq"] > 20)
        paper.wait_for(lambda: "cannot be read" in paper.log)
        own_broker.restart()
        paper.wait_for(lambda: b'"next"' in b"".join(_cursors(paper)), 60)
        _send(own_broker, topic, {"command": "stop"})
        assert paper.wait() == 0
    finally:
        paper.end()
