"""Metrics: a Prometheus collector that reads the counters of engine, sequencer and pipeline when it is asked.

May not live here: counting. Nothing on the way of a tick knows that metrics exist.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from replay.errors import JournalError, UsageError

if TYPE_CHECKING:
    from aiohttp import web

    from replay.pipeline.histogram import Histogram
    from replay.pipeline.pipeline import Pipeline

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RENDER_EVERY_S = 1.0
SERIES_MAX = 500
"""Series of one metric at most; what is beyond is counted in replay_series_dropped."""

STATES = ("starting", "recovering", "running", "stopped", "failed")
"""What a session can be doing; one of the series of replay_session_state is 1."""


class SessionInfo:
    """What metrics say of the run as a whole; the mode sets it up and moves the state on."""

    def __init__(self, mode: str, name: str, version: str) -> None:
        self.mode = mode
        self.name = name
        self.version = version
        self.state = "starting"
        self.frames_recovered = 0


class RunCollector(Collector):
    """Makes the metric families of one run from its counters, at scrape time and in the thread of the run."""

    def __init__(
        self, pipeline: Pipeline, info: SessionInfo, dead_letters: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        self._pipeline = pipeline
        self._info = info
        self._dead_letters = dead_letters or dict
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
        for state in STATES:
            states.add_metric([state], float(state == info.state))
        yield states
        yield _counter("replay_recovered_frames", "Journal frames run again at the start.", info.frames_recovered)
        yield _counter("replay_recovered_records", "Records run again at the start.", self._pipeline.counters.recovered)

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

    # -- helpers

    def _counters(self, name: str, text: str, label: str, values: Mapping[str, Any] | None) -> Metric:
        family = CounterMetricFamily(name, text, labels=[label])
        for key, value in self._bounded(list((values or {}).items())):
            family.add_metric([str(key)], float(value))
        return family

    def _bounded(self, items: list[Any]) -> list[Any]:
        self._dropped += max(0, len(items) - SERIES_MAX)
        return items[:SERIES_MAX]


class MetricsText:
    """Renders a collector as text, at most once a second however many ask."""

    def __init__(self, collector: Collector, *, every_s: float = RENDER_EVERY_S) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._every_s = every_s
        self._text = b""
        self._rendered_at: float | None = None

    def get(self) -> bytes:
        """Give the text, rendered anew if the last one is a second old."""
        now = time.monotonic()
        if self._rendered_at is None or now - self._rendered_at >= self._every_s:
            self._text = self.render()
            self._rendered_at = time.monotonic()
        return self._text

    def render(self) -> bytes:
        """Render anew."""
        return generate_latest(self._registry)


class MetricsServer:
    """Serves /metrics and /health on the event loop of the run."""

    def __init__(self, text: MetricsText, info: SessionInfo, *, host: str, port: int) -> None:
        self._text = text
        self._info = info
        self.host = host
        self.port = port
        """The port that is served; set to the real one when 0 was asked for."""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bind and serve; raise UsageError where the port is taken or the address is not ours."""
        from aiohttp import web

        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/health", self._health)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self.stop()
            raise _bind_error(error, self.host, self.port) from error
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop serving. May be called again."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.shield(self.stop())

    async def _metrics(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(body=self._text.get(), headers={"Content-Type": CONTENT_TYPE})

    async def _health(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        is_ready = self._info.state == "running"
        return web.json_response({"state": self._info.state, "run": self._info.name}, status=200 if is_ready else 503)


def write_file(path: Path, collector: Collector) -> None:
    """Write the metrics as they are now, for runs that serve no port."""
    try:
        path.write_bytes(MetricsText(collector).render())
    except OSError as error:
        raise JournalError(
            f"cannot write: {error.strerror or error}",
            place=str(path),
            remedy="make room, or look at the disk and its permissions, then start again",
        ) from error


def _bind_error(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} on {host} is in use",
            place="metrics.port",
            remedy="stop what serves there, or take another: --set metrics.port=9110 (0 takes a free one)",
        )
    return UsageError(
        f"cannot serve on {host}:{port}: {error.strerror or error}",
        place="metrics",
        remedy="set metrics.host to an address of this machine, and metrics.port to one above 1023",
    )


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


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=histogram.cumulative(), sum_value=histogram.total)
    return family
