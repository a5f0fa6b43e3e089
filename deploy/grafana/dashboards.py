"""The dashboards as code: tables of panels, written as Grafana's JSON by `./dev python deploy/grafana/dashboards.py`.

May not live here: colours and places set by hand in Grafana; a test compares the files with what this writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "dashboards"
SCHEMA_VERSION = 41
"""That of Grafana 11.6."""

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24
TEXT_HEIGHT, STAT_HEIGHT, GRAPH_HEIGHT = 3, 4, 8
WHO = 'instance=~"$instance"'
RATE = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """One query of a panel, and how its series are named."""

    expression: str
    legend: str = "{{instance}}"


@dataclass(frozen=True)
class Panel:
    """What one panel shows: a graph over time (`timeseries`), one value (`stat`) or a `table`."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    description: str = ""
    steps: Sequence[tuple[float | None, str]] = ()
    """Thresholds: from which value on which colour."""
    names: dict[str, str] = field(default_factory=dict)
    """Texts for values."""


@dataclass(frozen=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """One page."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def metric(name: str, labels: str = "") -> str:
    """Name a metric of the chosen sessions."""
    return f"{name}{{{WHO}{', ' + labels if labels else ''}}}"


def rate(name: str, by: str = "") -> str:
    """Ask for the rate of a counter, summed by some labels."""
    keys = f"instance, {by}" if by else "instance"
    return f"sum by ({keys}) (rate({metric(name)}[{RATE}]))"


def quantiles(name: str, by: str = "") -> list[Query]:
    """Ask a histogram for its median and its 99th percentile."""
    keys = f"instance, {by}" if by else "instance"
    legend = f" {{{{{by}}}}}" if by else ""
    inner = f"sum by ({keys}, le) (rate({metric(name + '_bucket')}[{RATE}]))"
    return [Query(f"histogram_quantile({share}, {inner})", f"p{share * 100:g}{legend}") for share in (0.5, 0.99)]


def one(title: str, expression: str, legend: str = "{{instance}}", **options: Any) -> Panel:
    """Make a panel of one query."""
    return Panel(title, [Query(expression, legend)], **options)


GOOD, WARN, BAD = "green", "orange", "red"
UP: dict[str, Any] = {"steps": [(None, BAD), (1, GOOD)], "names": {"0": "unreachable", "1": "up"}, "kind": "stat"}

OVERVIEW = Dashboard(
    "replay-overview",
    "replay / session overview",
    "Whether a session runs, keeps up and is well.",
    [
        Row(
            "State",
            [
                one(
                    "State",
                    f"{metric('replay_session_state')} == 1",
                    "{{state}}",
                    kind="stat",
                    width=4,
                    description="What the session is doing.",
                    names={"1": "yes"},
                ),
                one(
                    "Run",
                    metric("replay_run_info"),
                    "{{mode}} {{run}} {{version}}",
                    kind="stat",
                    width=4,
                    names={"1": "yes"},
                ),
                one("Answers", f'up{{job="replay", {WHO}}}', width=4, **UP),
                one(
                    "Started",
                    f"1000 * {metric('process_start_time_seconds')}",
                    unit="dateTimeFromNow",
                    kind="stat",
                    width=4,
                ),
                one("Equity", metric("replay_equity"), kind="stat", width=4),
                one(
                    "Drawdown",
                    metric("replay_drawdown_ratio"),
                    unit="percentunit",
                    kind="stat",
                    width=4,
                    steps=[(None, GOOD), (0.05, WARN), (0.1, BAD)],
                ),
            ],
        ),
        Row(
            "Does it keep up?",
            [
                one("Records taken", f"replay:records:rate1m{{{WHO}}}", unit="ops"),
                one("Events decided", f"replay:events:rate1m{{{WHO}}}", unit="ops"),
                Panel(
                    "From tick to order",
                    quantiles("replay_tick_to_order_seconds"),
                    unit="s",
                    description="From a batch's arrival to the sinks, the journal's commit included.",
                ),
                one("Tape behind the clock", metric("replay_tape_lag_seconds"), unit="s"),
                one("Silence of the feed", metric("replay_feed_silence_seconds"), unit="s"),
                one("Waiting", metric("replay_queue_depth"), "{{queue}}"),
            ],
        ),
        Row(
            "The process",
            [
                one("Memory", metric("process_resident_memory_bytes"), unit="bytes", width=6),
                one("Processor", f"rate({metric('process_cpu_seconds_total')}[{RATE}])", unit="percentunit", width=6),
                one("Open files", metric("process_open_fds"), width=6),
                one("Disk left", f"replay:session_disk_free:ratio{{{WHO}}}", unit="percentunit", width=6),
            ],
        ),
    ],
)

TRADING = Dashboard(
    "replay-trading",
    "replay / trading",
    "What the strategies do, and what came of it.",
    [
        Row(
            "Account",
            [
                Panel(
                    "Equity",
                    [Query(metric("replay_equity"), "equity"), Query(metric("replay_equity_peak"), "peak")],
                    width=12,
                ),
                Panel(
                    "Drawdown",
                    [
                        Query(metric("replay_drawdown_ratio"), "now"),
                        Query(metric("replay_drawdown_max_ratio"), "largest"),
                    ],
                    unit="percentunit",
                    width=12,
                ),
                one("Exposure", metric("replay_exposure")),
                one("Positions", metric("replay_position"), "{{strategy}} {{symbol}}"),
                one("Average price", metric("replay_position_average_price"), "{{strategy}} {{symbol}}"),
            ],
        ),
        Row(
            "Orders",
            [
                one("Orders", rate("replay_orders_total", "type"), "{{type}}", unit="ops"),
                one("Fills", rate("replay_fills_total", "liquidity"), "{{liquidity}}", unit="ops"),
                one("Refused, cancelled, expired", rate("replay_rejections_total", "reason"), "{{reason}}", unit="ops"),
                one("Events by kind", rate("replay_events_total", "kind"), "{{kind}}", unit="ops"),
                one("Timers", rate("replay_timers_fired_total"), unit="ops"),
                one("Events released", rate("replay_events_released_total"), unit="ops"),
            ],
        ),
        Row(
            "Risk",
            [
                one(
                    "Strategies may trade",
                    f"{metric('replay_trading_state')} == 1",
                    "{{state}}",
                    kind="stat",
                    names={"1": "yes"},
                ),
                one("Switches tripped now", metric("replay_risk_state"), "{{switch}}"),
                one("Trips", metric("replay_risk_trips_total"), "{{switch}}"),
            ],
        ),
    ],
)

FEED = Dashboard(
    "replay-feed",
    "replay / feed and Kafka",
    "What comes in, what goes out, and how far both are behind.",
    [
        Row(
            "Feed",
            [
                one("Records by kind", rate("replay_records_total", "kind"), "{{kind}}", unit="ops"),
                one("Records of the feeds", rate("replay_feed_records_total"), unit="ops"),
                one("Clock beats", rate("replay_clock_beats_total"), unit="ops"),
                one("Dead letters", rate("replay_dead_letters_total", "reason"), "{{reason}}", unit="ops"),
                one(
                    "Findings of the sequencer",
                    rate("replay_sequencer_records_total", "finding"),
                    "{{finding}}",
                    unit="ops",
                ),
                Panel(
                    "Late and stale",
                    [
                        Query(rate("replay_late_records_total"), "late"),
                        Query(rate("replay_stale_records_total"), "stale"),
                    ],
                    unit="ops",
                ),
            ],
        ),
        Row(
            "Kafka in",
            [
                one("Broker", metric("replay_kafka_feed_broker_reachable"), "{{topic}}", width=4, **UP),
                one(
                    "Lag in time",
                    metric("replay_kafka_feed_lag_seconds"),
                    "{{topic}} {{partition}}",
                    unit="s",
                    width=10,
                ),
                one("Lag in offsets", metric("replay_kafka_feed_lag_offsets"), "{{topic}} {{partition}}", width=10),
                one("Messages", rate("replay_kafka_feed_messages_total", "topic"), "{{topic}}", unit="ops", width=6),
                one("Bytes", rate("replay_kafka_feed_bytes_total", "topic"), "{{topic}}", unit="Bps", width=6),
                one(
                    "Messages that did not decode",
                    rate("replay_kafka_feed_dead_total", "topic"),
                    "{{topic}}",
                    unit="ops",
                    width=6,
                ),
                one("Outages", metric("replay_kafka_feed_reconnects_total"), "{{topic}}", width=6),
            ],
        ),
        Row(
            "Kafka out",
            [
                one("Broker", metric("replay_sink_reachable"), "{{sink}}", width=4, **UP),
                one("Epoch", metric("replay_sink_epoch"), "{{sink}}", kind="stat", width=4),
                one("Waiting events", metric("replay_sink_outbox_events"), "{{sink}}"),
                Panel("Acknowledged after", quantiles("replay_sink_acknowledged_seconds", "sink"), unit="s"),
                one("Messages", rate("replay_sink_messages_total", "sink"), "{{sink}}", unit="ops", width=6),
                one("Bytes", rate("replay_sink_published_bytes_total", "sink"), "{{sink}}", unit="Bps", width=6),
                one("Errors", metric("replay_sink_produce_errors_total"), "{{sink}}", width=6),
                one("Retries", metric("replay_sink_retries_total"), "{{sink}}", width=6),
            ],
        ),
    ],
)

ENGINE = Dashboard(
    "replay-engine",
    "replay / engine and journal",
    "Where time goes: batches, handlers, commits, the loop; and how recovery went.",
    [
        Row(
            "Engine",
            [
                Panel("Time to run a batch", quantiles("replay_batch_duration_seconds"), unit="s"),
                Panel(
                    "From tick to decision",
                    quantiles("replay_tick_to_decision_seconds"),
                    unit="s",
                    description="As from tick to order, before the journal's commit.",
                ),
                Panel(
                    "Delay of the event loop",
                    quantiles("replay_loop_delay_seconds"),
                    unit="s",
                    description="Its timer rounds up to 1 ms.",
                ),
                one("Calls of handlers", rate("replay_handler_calls_total", "strategy"), "{{strategy}}", unit="ops"),
                one("Waiting", metric("replay_queue_depth"), "{{queue}}"),
                one("Series left out", metric("replay_series_dropped"), kind="stat"),
            ],
        ),
        Row(
            "Journal",
            [
                Panel("Time of a commit", quantiles("replay_journal_commit_duration_seconds"), unit="s"),
                one("Written", rate("replay_journal_written_bytes_total"), unit="Bps"),
                one("Frames", rate("replay_journal_frames_total"), unit="ops"),
                one("Durable up to record", metric("replay_journal_durable_seq"), kind="stat"),
                one("Segments", metric("replay_journal_segments_total"), kind="stat"),
                Panel(
                    "Disk",
                    [
                        Query(metric("replay_session_disk_free_bytes"), "free"),
                        Query(metric("replay_session_disk_size_bytes"), "size"),
                    ],
                    unit="bytes",
                ),
            ],
        ),
        Row(
            "Snapshots",
            [
                Panel(
                    "Written and failed",
                    [
                        Query(metric("replay_snapshot_taken_total"), "written"),
                        Query(metric("replay_snapshot_failed_total"), "failed"),
                    ],
                    width=6,
                ),
                one("Length", metric("replay_snapshot_bytes"), unit="bytes", width=6),
                Panel("The loop stood still", quantiles("replay_snapshot_take_seconds"), unit="s", width=6),
                Panel("Time to write", quantiles("replay_snapshot_write_seconds"), unit="s", width=6),
            ],
        ),
        Row(
            "Recovery",
            [
                one("Frames run again", metric("replay_recovered_frames_total"), kind="stat", width=6),
                one("Records run again", metric("replay_recovered_records_total"), kind="stat", width=6),
                one("Frames to go", metric("replay_recovery_frames_to_go"), width=4),
                one("Bytes to go", metric("replay_recovery_bytes_to_go"), unit="bytes", width=4),
                one("Took", metric("replay_recovery_duration_seconds"), unit="s", kind="stat", width=4),
            ],
        ),
    ],
)

DASHBOARDS = (OVERVIEW, TRADING, FEED, ENGINE)


def as_json(dashboard: Dashboard) -> dict[str, Any]:
    """Give a dashboard as Grafana stores it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["replay"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "5s",
        "timezone": "utc",
        "graphTooltip": 1,
        "time": {"from": "now-15m", "to": "now"},
        "links": [
            {
                "title": "replay",
                "type": "dashboards",
                "tags": ["replay"],
                "asDropdown": True,
                "keepTime": True,
                "includeVars": True,
                "icon": "",
                "targetBlank": False,
                "tooltip": "",
            }
        ],
        "templating": {"list": [_instance_variable()]},
        "annotations": {"list": []},
        "panels": list(_panels(dashboard)),
    }


def _instance_variable() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Session",
        "type": "query",
        "datasource": SOURCE,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "query": {"query": "label_values(replay_run_info, instance)", "refId": "instance"},
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number = 0
    top = 0
    for row in dashboard.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        }
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            height = (
                STAT_HEIGHT
                if panel.kind == "stat" and all(each.kind == "stat" for each in row.panels)
                else GRAPH_HEIGHT
            )
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.steps:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in panel.steps],
        }
    if panel.names:
        texts = {value: {"text": text} for value, text in panel.names.items()}
        defaults["mappings"] = [{"type": "value", "options": texts}]
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": True,
                "editorMode": "code",
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value_and_name" if panel.names else "auto",
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def text_of(dashboard: Dashboard) -> str:
    """Give the text of a dashboard's file."""
    return json.dumps(as_json(dashboard), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(text_of(dashboard), "utf-8")


if __name__ == "__main__":
    main()
