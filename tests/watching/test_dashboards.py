"""The dashboards: written by their script, of Grafana's types, every query answered with data by a Prometheus."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.prometheus import Prometheus

from .conftest import Watched

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
WINDOW = "30s"
"""What Grafana would put in place of $__rate_interval."""

PARTS = ("replay_kafka_", "replay_sink_", "replay_risk_", "replay_trading_", "replay_snapshot_")
"""How the metrics begin that only a session with that part serves; their panels are asked where it does."""


def script() -> Any:
    spec = importlib.util.spec_from_file_location("grafana_dashboards", GRAFANA / "dashboards.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def queries() -> Iterator[tuple[str, str]]:
    """Give (dashboard / panel, expression) of every query, with Grafana's variables filled in."""
    for path in FILES:
        page = json.loads(path.read_text())
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", WINDOW).replace("$instance", ".*")
                yield f"{page['title']} / {panel['title']}", expression


def test_the_files_are_what_the_script_writes() -> None:
    module = script()
    assert [path.stem for path in FILES] == sorted(dashboard.uid for dashboard in module.DASHBOARDS)
    for dashboard in module.DASHBOARDS:
        path = GRAFANA / "dashboards" / f"{dashboard.uid}.json"
        assert path.read_text() == module.text_of(dashboard), f"run ./dev python {GRAFANA / 'dashboards.py'}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_beside_and_below_each_other(path: Path) -> None:
    places = [panel["gridPos"] for panel in json.loads(path.read_text())["panels"]]
    taken = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(taken) == len(set(taken)), "no two panels on one place"
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 for at in places)


def test_every_panel_asks_for_the_chosen_sessions_only() -> None:
    for path in FILES:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                assert target["expr"].count("$instance") == len(re.findall(r"\{", target["expr"])), target["expr"]


def asked_of(text: str) -> list[tuple[str, str]]:
    """Give the queries for the metrics of a session: all, less those of parts that it does not have."""
    absent = [part for part in PARTS if f"\n{part}" not in text]
    return [(where, asked) for where, asked in queries() if not any(part in asked for part in absent)]


@pytest.mark.program
def test_every_query_is_answered_with_data_by_a_prometheus_that_scrapes_a_real_session(watched: Watched) -> None:
    asked = asked_of(watched.text())
    assert len(asked) > 50
    assert unanswered(watched.prometheus, asked, seconds=60) == [], "these panels show nothing"


def unanswered(prometheus: Prometheus, asked: list[tuple[str, str]], *, seconds: float) -> list[tuple[str, str]]:
    """Ask until every query has a number; give those that have none after some time."""
    deadline = time.monotonic() + seconds
    while asked and time.monotonic() < deadline:
        asked = [(where, expression) for where, expression in asked if not numbers(prometheus, expression)]
        time.sleep(0.5)
    return asked


def numbers(prometheus: Prometheus, expression: str) -> list[float]:
    """Ask as a panel does, over some time; give all values that are numbers."""
    series = prometheus.query_range(expression, seconds=10)
    values = [float(value) for one in series for _, value in one["values"]]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.program
def test_recording_rules_record_what_a_session_serves(watched: Watched) -> None:
    rules = re.findall(r"record: (\S+)", (ROOT / "deploy" / "prometheus" / "recording.yml").read_text())
    assert len(rules) > 5
    for name in rules:
        if not re.search("kafka|sink", name):
            assert watched.prometheus.await_result(name, seconds=30), name


@pytest.mark.program
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_of_grafanas_own_types(path: Path, typecheck: Any) -> None:
    text = path.read_text()
    assert typecheck(text) == ""
    assert "DashboardCursorSync" in typecheck(text.replace('"graphTooltip": 1', '"graphTooltip": "one"')), (
        "it does check"
    )


@pytest.fixture(scope="module")
def typecheck(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Check the text of a dashboard against @grafana/schema with tsc; give what tsc says."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed (Debian: nodejs npm)")
    folder = tmp_path_factory.mktemp("types")
    packages = ["@grafana/schema@11.6", "typescript@5"]
    try:
        done = subprocess.run(
            [npm, "install", "--silent", "--no-audit", "--no-fund", *packages],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not fetch @grafana/schema and typescript within 240 s")
    if done.returncode != 0:
        pytest.skip(f"npm could not fetch @grafana/schema and typescript: {done.stderr[-300:]}")
    types = folder / "node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen.d.ts"
    (folder / "types.d.ts").write_text(
        re.sub(r"export declare enum (\w+) \{(.*?)\}", _union, types.read_text(), flags=re.DOTALL)
    )

    def check(text: str) -> str:
        head = 'import type { Dashboard } from "./types";\nexport const dashboard: Dashboard = '
        (folder / "check.ts").write_text(f"{head}{text};\n")
        options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
        command = [str(folder / "node_modules/.bin/tsc"), *options, "--target", "es2022", "check.ts"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout

    return check


def _union(found: re.Match[str]) -> str:
    """Turn an enum into the union of its values: JSON has the values, and TypeScript takes no text for an enum."""
    values = re.findall(r'= *("[^"]*"|-?[0-9]+)', found[2])
    return f"export type {found[1]} = {' | '.join(values)};"
