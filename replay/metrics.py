"""Metrics: a Prometheus collector that reads the counters of engine, sequencer and pipeline when it is asked.

May not live here: counting. Nothing on the way of a tick knows that metrics exist.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from replay.errors import JournalError
from replay.health import SessionInfo, State, current_state, measures_of

if TYPE_CHECKING:
    from replay.measures import Distribution, Measure
    from replay.pipeline.pipeline import Pipeline

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SERIES_MAX = 500
"""Series of one metric at most; what is beyond is counted in replay_series_dropped."""

PIECE_FAMILIES = 6
"""Families rendered at once: about 0.3 ms."""


class RunCollector(Collector):
    """Makes the metric families of one run from its counters, at scrape time and in the thread of the run."""

    def __init__(
        self, pipeline: Pipeline, info: SessionInfo, dead_letters: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        self._pipeline = pipeline
        self._info = info
        self._dead_letters = dead_letters or dict
        self.loop_seconds: Distribution | None = None
        """The delays of the event loop, where one is watched."""
        self._dropped = 0

    def describe(self) -> Iterable[Metric]:
        """Say nothing in advance, so that registering does not read the engine."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        self._dropped = 0
        engine = self._pipeline.engine.counters()
        yield from self._run()
        yield from self._trading(engine)
        yield from self._account(engine)
        yield from self._times(engine)
        yield from self._shell(engine)
        yield from self._journal()
        yield from self._measured()
        yield _gauge("replay_series_dropped", "Series left out because their metric has too many.", self._dropped)

    # -- families

    def _run(self) -> Iterator[Metric]:
        info = self._info
        family = GaugeMetricFamily(
            "replay_run_info", "The run that this process makes; always 1.", labels=["mode", "run", "version"]
        )
        family.add_metric([info.mode, info.name, info.version], 1)
        yield family
        states = GaugeMetricFamily("replay_session_state", "1 for what the session is doing.", labels=["state"])
        current = current_state(self._pipeline, info)
        for state in State:
            states.add_metric([state], float(state == current))
        yield states
        yield from self._recovery()
        if self.loop_seconds is not None:
            yield _histogram(
                "replay_loop_delay_seconds", "How late the event loop comes, up to 1 ms of rounding.", self.loop_seconds
            )

    def _recovery(self) -> Iterator[Metric]:
        recovery = self._info.recovery
        yield _counter("replay_recovered_frames", "Journal frames run again at the start.", recovery.frames)
        yield _counter("replay_recovered_records", "Records run again at the start.", self._pipeline.counters.recovered)
        yield _gauge(
            "replay_recovery_frames_to_go", "Frames still to be run again, by their mean size.", recovery.frames_to_go
        )
        yield _gauge("replay_recovery_bytes_to_go", "Journal bytes still to be run again.", recovery.bytes_to_go)
        yield _gauge("replay_recovery_duration_seconds", "How long recovery took, or has taken.", recovery.seconds)

    def _trading(self, engine: Mapping[str, Any]) -> Iterator[Metric]:
        yield self._counters("replay_records", "Records taken by the engine.", "kind", engine.get("records"))
        yield self._counters("replay_events", "Events decided by the engine.", "kind", engine.get("events"))
        yield self._counters("replay_orders", "Orders that reached the engine.", "type", engine.get("orders"))
        yield self._counters("replay_fills", "Fills.", "liquidity", engine.get("fills"))
        yield self._counters(
            "replay_rejections", "Rejections, cancellations and expiries by reason.", "reason", engine.get("rejections")
        )
        yield self._counters(
            "replay_handler_calls", "Calls of a strategy's handlers.", "strategy", engine.get("handlers")
        )
        yield _counter("replay_timers_fired", "Timers that have fired.", engine.get("timers_fired", 0))
        yield _counter("replay_late_records", "Records older than their venue's watermark.", engine.get("late", 0))
        yield _counter("replay_stale_records", "Records too old to be applied.", engine.get("stale", 0))
        yield self._counters(
            "replay_sequencer_records", "What the sequencer found.", "finding", self._pipeline.sequencer.counters()
        )

    def _account(self, engine: Mapping[str, Any]) -> Iterator[Metric]:
        yield _gauge("replay_equity", "Equity in the account's currency.", engine.get("equity"))
        yield _gauge("replay_equity_peak", "Highest equity so far.", engine.get("peak_equity"))
        yield _gauge("replay_exposure", "Gross value of the positions.", engine.get("exposure"))
        yield _gauge(
            "replay_drawdown_ratio", "Loss since the highest equity, as a part of it.", _drawdown_ratio(engine)
        )
        yield _gauge("replay_drawdown_max_ratio", "The largest drawdown so far.", engine.get("drawdown"))
        quantity = GaugeMetricFamily("replay_position", "Signed position.", labels=["strategy", "symbol"])
        price = GaugeMetricFamily(
            "replay_position_average_price", "Average price of an open position.", labels=["strategy", "symbol"]
        )
        for position in self._bounded(list(engine.get("positions", []))):
            labels = [str(position["strategy"]), str(position["symbol"])]
            quantity.add_metric(labels, float(position["quantity"]))
            average = position.get("average_price")
            if average is not None:
                price.add_metric(labels, float(average))
        yield quantity
        yield price

    def _times(self, engine: Mapping[str, Any]) -> Iterator[Metric]:
        pipeline = self._pipeline
        if not pipeline.engine.seq:
            return
        now_ns = pipeline.engine.now_ns
        yield _gauge("replay_tape_time_seconds", "Receive time of the newest record, since the epoch.", now_ns / 1e9)
        lag = (time.time_ns() - now_ns) / 1e9
        yield _gauge("replay_tape_lag_seconds", "Wall clock less the tape's time.", lag)
        if pipeline.counters.last_wall_ns:
            silence = (time.time_ns() - pipeline.counters.last_wall_ns) / 1e9
            yield _gauge("replay_feed_silence_seconds", "Time since the feed last gave a batch.", silence)

    def _shell(self, engine: Mapping[str, Any]) -> Iterator[Metric]:
        pipeline = self._pipeline
        counters = pipeline.counters
        yield _counter("replay_feed_records", "Records from the feeds inside the run's window.", counters.taken)
        yield _counter("replay_feed_records_outside", "Records left out by from and until.", counters.outside)
        yield _counter("replay_clock_beats", "Clock records made for silent venues and timers.", counters.beats)
        yield _histogram("replay_batch_duration_seconds", "Time to run a batch.", counters.batch_seconds)
        outbox = pipeline.outbox
        yield _histogram(
            "replay_tick_to_decision_seconds",
            "From a batch's arrival to its events' decision.",
            outbox.decision_seconds,
        )
        yield _histogram(
            "replay_tick_to_order_seconds",
            "From a batch's arrival to its events' release to the sinks, the commit included.",
            outbox.release_seconds,
        )
        yield self._counters("replay_dead_letters", "Data that are not on the tape.", "reason", self._dead_letters())
        depths = GaugeMetricFamily("replay_queue_depth", "How much waits in each queue.", labels=["queue"])
        for queue, depth in engine.get("due", {}).items():
            depths.add_metric([f"engine_{queue}"], float(depth))
        depths.add_metric(["outbox_events"], pipeline.outbox.pending_events)
        if pipeline.journal is not None:
            depths.add_metric(["journal_bytes"], pipeline.journal.appended - pipeline.journal.durable)
        yield depths
        yield _counter("replay_events_released", "Events handed to the sinks.", pipeline.outbox.released_events)

    def _journal(self) -> Iterator[Metric]:
        journal = self._pipeline.journal
        if journal is None:
            return
        counters = journal.counters
        yield _counter("replay_journal_written_bytes", "Bytes appended to the journal.", counters.bytes_written)
        yield _counter("replay_journal_frames", "Frames appended to the journal.", counters.frames)
        yield _counter("replay_journal_segments", "Segments opened.", counters.segments)
        yield _gauge("replay_journal_durable_seq", "Tape seq up to which the journal is durable.", counters.durable_seq)
        yield _histogram(
            "replay_journal_commit_duration_seconds", "Time to make the journal durable.", counters.commit_seconds
        )
        disk = os.statvfs(journal.folder)
        yield _gauge(
            "replay_session_disk_free_bytes", "Room left on the session's disk.", disk.f_bavail * disk.f_frsize
        )
        yield _gauge("replay_session_disk_size_bytes", "Size of the session's disk.", disk.f_blocks * disk.f_frsize)

    def _measured(self) -> Iterator[Metric]:
        """Make families of what feed, sinks and others measure; series of one name are one family."""
        named: dict[str, list[Measure]] = {}
        for measure in measures_of(self._pipeline):
            named.setdefault(measure.name, []).append(measure)
        for measures in named.values():
            yield _family(self._bounded(measures))

    # -- helpers

    def _counters(self, name: str, text: str, label: str, values: Mapping[str, Any] | None) -> Metric:
        family = CounterMetricFamily(name, text, labels=[label])
        for key, value in self._bounded(list((values or {}).items())):
            family.add_metric([str(key)], float(value))
        return family

    def _bounded(self, items: list[Any]) -> list[Any]:
        self._dropped += max(0, len(items) - SERIES_MAX)
        return items[:SERIES_MAX]


def rendered_pieces(*collectors: Collector) -> Iterator[bytes]:
    """Give the text of collectors in pieces that each take well under a millisecond; all is read before the first."""
    families = [family for collector in collectors for family in collector.collect()]
    for first in range(0, len(families), PIECE_FAMILIES):
        yield generate_latest(_Families(families[first : first + PIECE_FAMILIES]))


class _Families:
    """Families that were collected already, as generate_latest wants them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def write_file(path: Path, collector: Collector) -> None:
    """Write the metrics as they are now, for runs that serve no port."""
    try:
        path.write_bytes(b"".join(rendered_pieces(collector)))
    except OSError as error:
        raise JournalError(f"cannot write: {error.strerror or error}", place=str(path)) from error


def _drawdown_ratio(engine: Mapping[str, Any]) -> float | None:
    equity, peak = engine.get("equity"), engine.get("peak_equity")
    if equity is None or peak is None or peak <= 0:
        return None
    return float((peak - equity) / peak)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], float(value))
    return family


def _histogram(name: str, text: str, histogram: Distribution) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=histogram.cumulative(), sum_value=histogram.total)
    return family


def _family(measures: list[Measure]) -> Metric:
    """Make one family of the series of one name; kind and help are those of the first."""
    first = measures[0]
    family = Metric(first.name, first.help, first.kind)
    for measure in measures:
        labels = dict(measure.labels)
        if isinstance(measure.value, (int, float)):
            suffix = "_total" if first.kind == "counter" else ""
            family.add_sample(first.name + suffix, labels, float(measure.value))
            continue
        buckets = measure.value.cumulative()
        for bound, count in buckets:
            family.add_sample(first.name + "_bucket", {**labels, "le": bound}, count)
        family.add_sample(first.name + "_count", labels, buckets[-1][1])
        family.add_sample(first.name + "_sum", labels, measure.value.total)
    return family
