"""`./dev watch`: what is missing is said, all panels of Kafka have data, and Ctrl-C leaves no process behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.prometheus import Prometheus, free_port

from .conftest import HERE, RUN
from .test_dashboards import asked_of, unanswered

ROOT = Path(__file__).resolve().parents[2]
WATCH = ROOT / "deploy" / "watch.py"
STARTS_SECONDS_MAX = 180


def command(*options: object) -> list[str]:
    return [sys.executable, str(WATCH), *(str(option) for option in options)]


def test_a_missing_program_is_named_with_its_package(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--folder", tmp_path), env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "java (Debian: default-jre-headless)" in done.stderr
    assert "prometheus (Debian: prometheus)" in done.stderr


@pytest.mark.program
def test_a_taken_port_is_named_with_the_option_that_chooses_another(tmp_path: Path) -> None:
    if shutil.which("java") is None or shutil.which("prometheus") is None:
        pytest.skip("java or prometheus is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ["--folder", tmp_path, "--kafka-port", free_port(), "--metrics-port", port]
        done = subprocess.run(command(*options), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "--metrics-port" in done.stderr
    assert not (tmp_path / "kafka").exists(), "nothing was started"


# -- with all of it


class Watching:
    """`deploy/watch.py` on free ports, in a folder by which its processes are known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.kafka, self.metrics, self.prometheus = (free_port() for _ in range(3))
        run = RUN.format(here=HERE, rows="", port=self.metrics)
        first, second = run.index('[[feed]]\nuri = "follow'), run.index("[[instrument]]")
        self.run_file = folder / "watched.toml"
        self.run_file.write_text(run[:first] + run[second:])
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it and give what it says when all is there."""
        ports = ["--kafka-port", self.kafka, "--metrics-port", self.metrics, "--prometheus-port", self.prometheus]
        options = ["--folder", self.state, "--run", self.run_file, *ports]
        with open(self.folder / "stderr", "a") as log:
            self.process = subprocess.Popen(command(*options), stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if "Ctrl-C" in line:
                return said
        raise AssertionError((self.folder / "stderr").read_text())

    def interrupt(self) -> int:
        """Press Ctrl-C and wait for the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def metrics_text(self) -> str:
        """Scrape the session."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def left(self, *, seconds: float = 10) -> list[str]:
        """Give the command lines of processes that still name the folder after some time."""
        deadline = time.monotonic() + seconds
        while True:
            found = [line for line in _command_lines() if str(self.state) in line]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("this machine does not list its processes in /proc")
    for program in ("java", "prometheus"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    made = Watching(tmp_path)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()


@pytest.mark.program
@pytest.mark.kafka
@pytest.mark.slow
def test_everything_runs_every_panel_of_kafka_has_data_and_ctrl_c_ends_all_of_it(watching: Watching) -> None:
    said = watching.start()
    assert f"http://127.0.0.1:{watching.metrics}/metrics" in said
    assert f"http://127.0.0.1:{watching.prometheus}/" in said
    assert len(watching.left(seconds=0)) >= 4, "broker, session, publisher (by its parent), prometheus"

    prometheus = Prometheus(watching.folder, watching.metrics, port=watching.prometheus)
    asked = asked_of(watching.metrics_text())
    assert any("replay_kafka_" in expression for _, expression in asked)
    assert any("replay_sink_" in expression for _, expression in asked)
    of_kafka = [(where, expression) for where, expression in asked if "_kafka_" in expression or "_sink_" in expression]
    assert unanswered(prometheus, of_kafka, seconds=90) == []
    assert [one["labels"]["alertname"] for one in prometheus.alerts() if one["state"] == "firing"] == []

    assert watching.interrupt() == 130
    assert watching.left() == []

    assert "replay_recovered_frames_total" in (watching.start(), watching.metrics_text())[1], "it goes on"
    assert "replay_recovered_frames_total 0.0" not in watching.metrics_text()
    assert watching.process is not None
    watching.process.kill()
    watching.process.wait()
    assert watching.left(seconds=60) == [], "they end with it, however it ends"
