"""docs/metrics.md: every metric that a real session serves stands there, and what rules and dashboards ask for, too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .conftest import Watched

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
NAME = re.compile(r"\b(?:replay|process)_[a-z_]+\b")


class Line(NamedTuple):
    kind: str
    labels: set[str]
    meaning: str


def lines() -> dict[str, Line]:
    """Read the tables of the page by the name that Prometheus knows."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    return {name: Line(kind, set(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}


LINES = lines()


def documented(name: str) -> bool:
    """Say whether the page has a metric, or the histogram that a series belongs to."""
    return name in LINES or re.sub(r"_(bucket|count|sum)$", "", name) in LINES


def asked_for() -> list[str]:
    """Give every metric that rules and dashboards ask for."""
    files = [*(ROOT / "deploy" / "prometheus").glob("*.yml")]
    texts = [re.sub(r"#.*", "", path.read_text()) for path in files]
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            texts += [target["expr"] for target in panel.get("targets", [])]
    return sorted({name for text in texts for name in NAME.findall(text)})


def test_the_page_has_metrics_in_tables() -> None:
    assert len(LINES) > 60
    assert all(line.kind in ("counter", "gauge", "histogram") for line in LINES.values())


@pytest.mark.parametrize("name", asked_for())
def test_what_rules_and_dashboards_ask_for_is_documented(name: str) -> None:
    assert documented(name)


@pytest.mark.program
def test_what_a_real_session_serves_is_what_the_page_says(watched: Watched) -> None:
    for family in text_string_to_metric_families(watched.text()):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name in LINES, f"{name} is not in docs/metrics.md: {family.documentation}"
        assert LINES[name].kind == family.type, name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= LINES[name].labels, name


@pytest.mark.program
def test_what_the_page_promises_of_every_session_is_served(watched: Watched) -> None:
    served = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(watched.text())
    }
    of_parts = re.compile(r"replay_(kafka|sink|risk|snapshot|trading)_")
    missing = {name for name in LINES if not of_parts.match(name)} - served
    assert not missing
