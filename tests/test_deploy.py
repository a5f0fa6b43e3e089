"""What stands under deploy/ and in docker-compose.yml: it names files that exist and a run that is valid.

May not live here: anything that starts a container; `./dev lint` checks the compose file against its schema.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from replay import config

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
PROMETHEUS = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()


def test_every_file_that_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (?:--chown=\S+ )?([^\s-]\S*) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source


def test_every_file_that_compose_mounts_exists() -> None:
    mounted = re.findall(r"- \./(\S+?):", COMPOSE)
    assert mounted
    for source in mounted:
        assert (ROOT / source).exists(), source


def test_compose_publishes_nothing_beyond_this_machine() -> None:
    ports = re.findall(r'- "([\d.:]+:\d+)"', COMPOSE)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_programs_of_compose_are_python_and_its_session_a_valid_run() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    for name in ("paper", "publisher"):
        program = services[name]["healthcheck"]["test"][3]
        compile(program, name, "exec")
    command = services["paper"]["command"]
    feeds = [command[place + 1] for place, word in enumerate(command) if word == "--feed"]
    sets = [command[place + 1] for place, word in enumerate(command) if word == "--set"]
    run = config.load(ROOT / "deploy" / "paper.toml", sets=sets, feed=feeds)
    assert (run.feed[0].scheme, run.sink[0].scheme) == ("kafka", "kafka")
    topic = services["topics"]["command"][services["topics"]["command"].index("--topic") + 1]
    assert run.sink[0].uri.endswith(f"/{topic}"), "a sink makes no topic"


def test_the_image_is_named_by_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"image: tickreplay:{version}\n" in COMPOSE


def test_the_run_of_the_container_is_valid_and_serves_where_prometheus_looks() -> None:
    run = config.load(ROOT / "deploy" / "paper.toml", sets=['metrics.host="0.0.0.0"'])
    assert run.metrics.port is not None
    assert f'"127.0.0.1:{run.metrics.port}"' in PROMETHEUS
    assert f'"127.0.0.1:{run.metrics.port}:{run.metrics.port}"' in COMPOSE
