"""Sessions on Kafka: killed at any moment and point, before brokers that fail, and for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_killed_under_load_each_offset_is_taken_once_and_the_output_topic_is_the_event_log(tmp_path: Path) -> None:
    totals = hold("kill-kafka", tmp_path)
    assert totals["kills"] >= 10
    assert totals["rows"] == totals["cycles"] * 2_400
    assert totals["events"] > 1_000


def test_killed_at_each_named_point_of_the_sinks_path_the_topic_is_the_event_log(tmp_path: Path) -> None:
    totals = hold("kafka-points", tmp_path)
    assert totals["kills"] == totals["cycles"] > 50


def test_a_broker_that_is_killed_paused_slow_unreachable_or_lost_a_range_costs_nothing(tmp_path: Path) -> None:
    totals = hold("broker-faults", tmp_path)
    assert totals["cycles"] == 5
    assert totals["events"] > 1_000


def test_messages_through_kafka_are_admitted_or_dead_lettered_or_counted_as_duplicates(tmp_path: Path) -> None:
    totals = hold("messages-kafka", tmp_path)
    assert totals["admitted"] + totals["dead"] + totals["duplicates"] == totals["received"] > 2_000
    assert totals["duplicates"] > 100


@pytest.mark.timing
def test_a_minute_at_20_000_ticks_a_second_leaves_memory_lag_and_handles_bounded(tmp_path: Path) -> None:
    totals = hold("soak", tmp_path)
    assert totals["ticks"] > 1_000_000
