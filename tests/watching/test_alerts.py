"""The rules of deploy/prometheus: promtool accepts them, and each alert has cases in which it fires and does not.

May not live here: the cases themselves; they are deploy/prometheus/alerts_test.yml.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"


def load(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


RULES = [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]
CASES = [
    (case["alertname"], case["exp_alerts"])
    for test in load("alerts_test.yml")["tests"]
    for case in test["alert_rule_test"]
]


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


def tool(*command: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(name: str) -> None:
    expected = [alerts for case, alerts in CASES if case == name]
    assert any(expected), "a case in which it fires"
    assert not all(expected), "a case in which it does not"


def test_each_case_is_of_an_alert_that_exists() -> None:
    assert {name for name, _ in CASES} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_each_alert_says_how_bad_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert "$labels.instance" in rule["annotations"]["description"]
    assert rule["annotations"]["description"].endswith(".")


@pytest.mark.program
def test_promtool_accepts_the_configuration_and_its_rules(promtool: str) -> None:
    done = tool(promtool, "check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.program
def test_every_alert_fires_and_keeps_quiet_as_its_cases_say(promtool: str) -> None:
    done = tool(promtool, "test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.program
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("always", [True, False], ids=["always fires", "never fires"])
def test_the_cases_notice_an_alert_that_is_wrong(promtool: str, tmp_path: Path, name: str, always: bool) -> None:
    rules = load("alerts.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == name:
                rule["expr"] = "vector(1)" if always else "vector(1) > 2"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(PROMETHEUS / "recording.yml", tmp_path)
    cases = load("alerts_test.yml")
    cases["tests"] = [test for test in cases["tests"] if test["name"].startswith(f"{name} ")]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(cases))
    assert tool(promtool, "test", "rules", "alerts_test.yml", folder=tmp_path).returncode != 0
