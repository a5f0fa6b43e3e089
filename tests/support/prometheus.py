"""A real Prometheus for tests: on a free port of this machine, scraping often, with the rules of deploy/prometheus.

May not live here: fixtures, and what is asked of it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
EVERY = "250ms"
READY_SECONDS_MAX = 30


class PrometheusMissing(Exception):
    """This machine has no Prometheus; the message says what to install."""


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Prometheus:
    """One Prometheus with its folder; a context manager that ends it for sure."""

    def __init__(self, folder: Path, target_port: int, *, port: int | None = None) -> None:
        """Take a port to talk to one that another started."""
        self.folder = folder
        self.port = free_port() if port is None else port
        self._target_port = target_port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusMissing("prometheus is not installed (Debian: prometheus)")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "prometheus.yml"
        config.write_text(
            f"global: {{scrape_interval: {EVERY}, scrape_timeout: {EVERY}, evaluation_interval: {EVERY}}}\n"
            f"rule_files: [{RULES}/recording.yml, {RULES}/alerts.yml]\n"
            "scrape_configs:\n"
            f"  - {{job_name: replay, static_configs: [{{targets: ['127.0.0.1:{self._target_port}']}}]}}\n"
        )
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def query(self, expression: str) -> list[Any]:
        """Ask for the values of now; raise AssertionError with Prometheus' own words where it refuses."""
        return list(self._api("query", query=expression)["result"])

    def query_range(self, expression: str, *, seconds: float, step: float = 1) -> list[Any]:
        """Ask for the values of the last seconds, as a panel does."""
        now = time.time()
        found = self._api("query_range", query=expression, start=f"{now - seconds}", end=f"{now}", step=f"{step}")
        return list(found["result"])

    def alerts(self) -> list[Any]:
        """Give the alerts that are pending or firing."""
        return list(self._api("alerts")["alerts"])

    def await_result(self, expression: str, *, seconds: float, holds: Callable[[list[Any]], bool] = bool) -> list[Any]:
        """Ask until the answer is what is wanted; give the last answer after so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.query(expression)
            if holds(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def _api(self, what: str, **parameters: str) -> Any:
        text = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{what}?{text}", timeout=10) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert body["status"] == "success", body
        return body["data"]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"prometheus ended: {(self.folder / 'log').read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"prometheus was not ready: {(self.folder / 'log').read_text()[-2000:]}")
