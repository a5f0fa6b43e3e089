"""Metrics: names and labels, what they say beside the result, and what asking for them costs."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

import replay
from replay.metrics import SERIES_MAX, MetricsText
from replay.pipeline.histogram import Histogram

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


def test_the_text_is_rendered_at_most_once_a_second_however_many_ask() -> None:
    class Counting(Collector):
        calls = 0

        def collect(self) -> Iterator[Metric]:
            self.calls += 1
            yield CounterMetricFamily("asked", "How often.", value=self.calls)

    collector = Counting()
    text = MetricsText(collector, every_s=0.2)
    first = text.get()
    for _ in range(1_000):
        assert text.get() == first
    assert collector.calls == 1
    time.sleep(0.21)
    assert text.get() != first
    assert collector.calls == 2


def test_labels_are_bounded() -> None:
    from replay.metrics import RunCollector

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
