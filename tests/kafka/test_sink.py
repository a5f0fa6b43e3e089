"""The sink kafka://: whatever happens, the topic holds the session's event log, no event missing and none twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from modes.market import SETTINGS, Busy, CutFeed, market
from support.broker import Broker

import replay
from replay.adapters import registry
from replay.adapters.kafka.reports import Fill, PositionReport, decimal_text, schemas_markdown
from replay.errors import ConfigError, UsageError
from replay.events import EVENT_BYTES, EventKind

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


def test_a_topic_that_is_not_there_is_made_where_the_sink_says_so(broker: Broker, topic: str, tmp_path: Path) -> None:
    name = f"{topic}-made"
    for rows in (ROWS // 2, ROWS):
        session(tmp_path / "s", {"uri": broker.uri(name), "create": 2}, rows=rows)
        assert_topic_is_the_event_log(broker, name, tmp_path / "s", partitions=2)


def test_a_new_topic_gets_the_whole_log_of_an_old_session(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)}, rows=ROWS // 2)
    other = broker.create_topic(f"{topic}-other")
    session(tmp_path / "s", {"uri": broker.uri(other)})
    assert_topic_is_the_event_log(broker, other, tmp_path / "s")


def test_the_figures_of_the_sink_are_among_the_metrics(broker: Broker, topic: str, tmp_path: Path) -> None:
    session(tmp_path / "s", {"uri": broker.uri(topic)})
    text = (tmp_path / "s" / "metrics.prom").read_text()
    labels = f'sink="kafka",topic="{topic}"'
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if labels in line)
    wanted = sum(map(len, expected(tmp_path / "s")))
    assert float(figures[f"replay_sink_messages_total{{{labels}}}"]) == wanted
    assert float(figures[f"replay_sink_acknowledged_seconds_count{{{labels}}}"]) == wanted
    assert float(figures[f"replay_sink_outbox_events{{{labels}}}"]) == 0
    assert float(figures[f"replay_sink_epoch{{{labels}}}"]) == 1
    assert float(figures[f"replay_sink_reachable{{{labels}}}"]) == 1
    assert {name.partition("{")[0].removeprefix("replay_sink_") for name in figures} >= {
        "published_bytes_total", "produce_errors_total", "retries_total", "outbox_messages", "acknowledged_event",
    }  # fmt: skip


def test_a_sink_of_ones_own_plugs_in_by_its_scheme_and_gets_every_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "kafka.md").read_text()
    source = page.partition("```python\n")[2].partition("```")[0]
    namespace: dict[str, object] = {}
    exec(source, namespace)

    class Entry:
        def load(self) -> object:
            return namespace["open_sink"]

    entries = {"fills": Entry()}
    monkeypatch.setattr(registry, "_entry_points", lambda group: entries if group == "replay.sinks" else {})
    sink = {"uri": f"fills://{tmp_path / 'fills.txt'}"}
    session(tmp_path / "s", sink, rows=ROWS // 2)
    session(tmp_path / "s", sink)
    events = events_of(tmp_path / "s")
    fills = events[events["kind"] == EventKind.FILL]
    lines = (tmp_path / "fills.txt").read_text().splitlines()
    assert lines == [f"{fill['order_id']} {fill['last_price']} {fill['last_size']}" for fill in fills]
    assert len(lines) > 10


def test_a_sink_without_an_adapter_and_a_run_that_is_no_session_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no sink for 'kafak:") as caught:
        session(tmp_path / "s", {"uri": "kafak://127.0.0.1:9092/topic"})
    assert "did you mean 'kafka'" in str(caught.value)
    with pytest.raises(UsageError, match=r"backtest publishes nothing, and the run file has a \[\[sink\]\]"):
        replay.backtest(Busy, CutFeed(market(10), [10]), sink=[{"uri": "kafka://127.0.0.1:9092/topic"}], **SETTINGS)


def test_the_page_shows_the_schemas_as_they_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "kafka.md").read_text()
    assert page.partition("a test compares. -->\n\n")[2].partition("\n## ")[0] == schemas_markdown()


def test_decimals_are_written_exactly() -> None:
    assert [decimal_text(raw, 3) for raw in (0, 5, -5, 1234, -123456, 10**40)] == [
        "0.000", "0.005", "-0.005", "1.234", "-123.456", "1" + "0" * 37 + ".000",
    ]  # fmt: skip
    assert (decimal_text(-7, 0), decimal_text(0, 0)) == ("-7", "0")


def test_published_fills_and_positions_are_those_of_the_result(broker: Broker, topic: str, tmp_path: Path) -> None:
    result = session(tmp_path / "s", {"uri": broker.uri(topic)})
    reports = [row[2] for row in published(broker.read(topic))[0]]
    fills = [report for report in reports if isinstance(report, Fill)]
    table = result.fills.to_dict()
    numbers = [(fill.order_id, float(fill.price), float(fill.size), float(fill.fee)) for fill in fills]
    columns = [table[name] for name in ("order_id", "price", "size", "fee")]
    assert numbers == list(zip(*columns, strict=True))
    assert [(fill.symbol, fill.side) for fill in fills] == list(zip(table["symbol"], table["side"], strict=True))
    last: dict[str, PositionReport] = {r.symbol: r for r in reports if isinstance(r, PositionReport)}
    rows = result.positions.to_dict()
    told = dict(zip(rows["symbol"], zip(rows["quantity"], rows["realised"], rows["fees"], strict=True), strict=True))
    assert {s: (float(r.quantity), float(r.realised), float(r.fees or "nan")) for s, r in last.items()} == told
    assert len(fills) > 10
