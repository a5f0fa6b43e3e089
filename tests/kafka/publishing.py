"""Sessions that publish to Kafka, and what a topic must hold of their event logs.

May not live here: assertions about one rule; they stand in the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from modes.market import SETTINGS, Busy, CutFeed, market
from support.broker import Broker, Message

import replay
from replay.adapters.kafka.reports import KIND_OF, Report, Reporter, SessionReport
from replay.adapters.kafka.sink import partition_of
from replay.events import EVENT
from replay.result.projections import RunScales
from replay.result.result import Result

ROWS = 3_000
SEED = 3


def session(folder: Path, sink: dict[str, Any], *, rows: int = ROWS, pause_s: float = 0.0, **changed: Any) -> Result:
    """Run a session with a sink to the end of its feed, or go on with it."""
    feed = CutFeed(market(rows, SEED), [100, 37, 250], pause_s=pause_s)
    settings = {**SETTINGS, "metrics": {"port": 0}, **changed}
    return replay.paper(Busy, feed, session=folder, sink=[sink], **settings)


def events_of(folder: Path) -> Any:
    """Read the event log of a session."""
    return np.frombuffer((folder / "events" / "events.bin").read_bytes(), dtype=EVENT)


def expected(folder: Path, partitions: int = 1, kinds: frozenset[str] | None = None) -> list[list[tuple[Any, ...]]]:
    """Work out from the event log what each partition must hold: (event, part, report), in order."""
    setup = (folder / "setup.json").read_bytes()
    scales = RunScales(setup, ledger_scales_of(folder))
    made: list[list[tuple[Any, ...]]] = [[] for _ in range(partitions)]
    for event, part, report in Reporter(scales).reports(0, events_of(folder)):
        if kinds is None or KIND_OF[type(report)] in kinds:
            made[partition_of(report.symbol.encode(), partitions)].append((event, part, report))
    return made


def ledger_scales_of(folder: Path) -> list[int]:
    """Ask a fresh engine for the scales of its ledger."""
    from replay._engine import Engine
    from replay.config import load
    from replay.session import stored_config

    del load
    config = stored_config(folder)
    from replay.setup import load_strategies

    return list(Engine((folder / "setup.json").read_bytes(), load_strategies(config)).ledger_scales())


def published(messages: list[Message], partitions: int = 1) -> list[list[tuple[Any, ...]]]:
    """Decode what a topic holds, reports of the session itself left out."""
    found: list[list[tuple[Any, ...]]] = [[] for _ in range(partitions)]
    for message in messages:
        assert message.value is not None
        report = decode(message.value)
        if not isinstance(report, SessionReport):
            found[message.partition].append((int(message.headers["event"]), int(message.headers["part"]), report))
    return found


def session_reports(messages: list[Message]) -> list[SessionReport]:
    """Give the reports of the session itself."""
    assert all(message.value for message in messages)
    reports = [decode(message.value or b"") for message in messages]
    return [report for report in reports if isinstance(report, SessionReport)]


def decode(value: bytes) -> Report:
    """Read a message in either form."""
    if value[:1] == b"{":
        return msgspec.json.decode(value, type=Report)  # type: ignore[no-any-return]
    return msgspec.msgpack.decode(value, type=Report)  # type: ignore[no-any-return]


def assert_topic_is_the_event_log(broker: Broker, topic: str, folder: Path, partitions: int = 1) -> None:
    """No event missing, none twice, in order, and every value as the event log has it."""
    found = published(broker.read(topic), partitions)
    wanted = expected(folder, partitions)
    for number, (have, want) in enumerate(zip(found, wanted, strict=True)):
        assert [row[:2] for row in have] == [row[:2] for row in want], f"partition {number}"
        assert have == want
    assert sum(map(len, wanted)) > 0
