"""Metrics: names and labels, what they say beside the result, and what asking for them costs."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import replay
from replay.measures import Measure, told_apart
from replay.metrics import PIECE_FAMILIES, SERIES_MAX, RunCollector, rendered_pieces
from replay.pipeline.histogram import Histogram
from replay.serving import MetricsText

from .market import SETTINGS, Busy, CutFeed, market


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("metrics") / "run"
    replay.backtest(Busy, CutFeed(market(3_000), [250], dead_every=700), out=out, **SETTINGS)
    return out


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, label: str) -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in family.samples if sample.name.endswith("_total")}


def test_a_backtest_without_a_port_writes_its_metrics(run: Path) -> None:
    found = families((run / "metrics.prom").read_text())
    result = replay.Result.load(run)
    engine = result.counts["engine"]
    assert values(found["replay_records"], "kind") == engine["records"]
    assert values(found["replay_fills"], "liquidity") == engine["fills"]
    assert values(found["replay_orders"], "type") == engine["orders"]
    assert values(found["replay_events"], "kind") == engine["events"]
    assert values(found["replay_dead_letters"], "reason") == result.counts["dead_letters"]
    assert values(found["replay_dead_letters"], "reason")["unreadable"] == 5
    (equity,) = found["replay_equity"].samples
    assert equity.value == pytest.approx(result.stats["end_equity"])
    assert sum(found["replay_run_info"].samples[0].value for _ in range(1)) == 1


def test_names_follow_the_conventions(run: Path) -> None:
    for name, family in families((run / "metrics.prom").read_text()).items():
        assert re.fullmatch(r"replay(_[a-z]+)+", name), name
        assert family.documentation.endswith("."), name
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples), name
        if family.type == "histogram":
            assert name.endswith("_seconds"), "base units"


@pytest.mark.program
def test_promtool_has_nothing_to_say_about_the_metrics(run: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = (run / "metrics.prom").read_text()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_text_is_rendered_at_most_once_a_second_however_many_ask() -> None:
    class Counting(Collector):
        calls = 0

        def collect(self) -> Iterator[Metric]:
            self.calls += 1
            yield CounterMetricFamily("asked", "How often.", value=self.calls)

    collector = Counting()
    text = MetricsText(collector, every_s=0.2)
    first = await text.get()
    assert set(await asyncio.gather(*(text.get() for _ in range(1_000)))) == {first}
    assert collector.calls == 1
    await asyncio.sleep(0.21)
    later = set(await asyncio.gather(*(text.get() for _ in range(1_000))))
    assert len(later) == 1, "who asks while it is rendered gets what is rendered"
    assert later != {first}
    assert collector.calls == 2


def test_the_text_comes_in_pieces_and_is_the_same_as_at_once(run: Path) -> None:
    class Many(Collector):
        def collect(self) -> Iterator[Metric]:
            for number in range(3 * PIECE_FAMILIES + 1):
                yield CounterMetricFamily(f"family_{number}", "One of many.", value=number)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Many())
    pieces = list(rendered_pieces(Many()))
    assert len(pieces) == 4
    assert b"".join(pieces) == generate_latest(registry)


def test_labels_are_bounded() -> None:
    collector = RunCollector.__new__(RunCollector)
    collector._dropped = 0
    assert len(collector._bounded(list(range(SERIES_MAX + 7)))) == SERIES_MAX
    assert collector._dropped == 7


def test_a_histogram_counts_by_upper_bounds() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("0.1", 2.0), ("1", 3.0), ("+Inf", 4.0)]
    assert histogram.total == pytest.approx(7.65)


# -- what feeds, sinks and others measure


class MeasuredFeed(CutFeed):
    """A feed that has measures of its own."""

    def __init__(self, *measures: Measure) -> None:
        super().__init__(market(200), [50])
        self._measures = measures

    def measures(self) -> Iterable[Measure]:
        return self._measures


def lag(value: float, **labels: str) -> Measure:
    return Measure("replay_kafka_feed_lag_offsets", "Offsets behind.", value, "gauge", labels)


def collected(out: Path, *feeds: MeasuredFeed) -> dict[str, Metric]:
    replay.backtest(Busy, list(feeds), out=out, **SETTINGS)
    return families((out / "metrics.prom").read_text())


def test_measures_of_a_feed_become_families_of_their_kind(tmp_path: Path) -> None:
    waits = Histogram((0.1, 1.0))
    waits.observe(0.5)
    found = collected(
        tmp_path / "run",
        MeasuredFeed(
            lag(3, topic="ticks", partition="0"),
            lag(4, topic="ticks", partition="1"),
            Measure("replay_kafka_feed_messages", "Messages read.", 17, "counter", {"topic": "ticks"}),
            Measure("replay_kafka_feed_wait_seconds", "Waits.", waits, "histogram"),
        ),
    )
    offsets = found["replay_kafka_feed_lag_offsets"]
    assert offsets.type == "gauge"
    assert {sample.labels["partition"]: sample.value for sample in offsets.samples} == {"0": 3, "1": 4}
    (messages,) = found["replay_kafka_feed_messages"].samples
    assert (messages.name, messages.value) == ("replay_kafka_feed_messages_total", 17)
    buckets = {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in found["replay_kafka_feed_wait_seconds"].samples
    }
    assert buckets["replay_kafka_feed_wait_seconds_bucket", "1"] == 1
    assert buckets["replay_kafka_feed_wait_seconds_sum", None] == 0.5


def test_the_same_series_of_two_feeds_are_told_apart_by_the_feed(tmp_path: Path) -> None:
    feeds = [MeasuredFeed(lag(number, topic="ticks", partition="0")) for number in (3, 4)]
    found = collected(tmp_path / "run", *feeds)
    samples = found["replay_kafka_feed_lag_offsets"].samples
    assert {sample.labels["feed"]: sample.value for sample in samples} == {"0": 3, "1": 4}


def test_series_that_differ_get_no_label_more() -> None:
    parts = [[lag(1, partition="0")], [lag(2, partition="1")]]
    assert list(told_apart(parts, "feed")) == [parts[0][0], parts[1][0]]


def test_all_series_of_a_name_that_clashes_get_the_label() -> None:
    parts = [[lag(1, partition="0"), lag(1, partition="7")], [lag(2, partition="0")]]
    assert [set(measure.labels) for measure in told_apart(parts, "feed")] == [{"partition", "feed"}] * 3


def test_the_way_from_tick_to_order_is_a_histogram_of_the_batches_that_decided_something(run: Path) -> None:
    found = families((run / "metrics.prom").read_text())
    counts = {
        name: next(sample.value for sample in found[name].samples if sample.name.endswith("_count"))
        for name in ("replay_tick_to_order_seconds", "replay_tick_to_decision_seconds")
    }
    assert 0 < counts["replay_tick_to_order_seconds"] <= 13, "12 batches, and the end"
    assert counts["replay_tick_to_order_seconds"] == counts["replay_tick_to_decision_seconds"]
