"""A real paper session that a real Prometheus scrapes, for all tests of this folder.

May not live here: assertions.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.prometheus import Prometheus, PrometheusMissing, free_port

HERE = Path(__file__).resolve().parent

RUN = """
[run]
seed = 7
equity_every = "1s"

[[strategy]]
class = "{here}/busy.py:Busy"
name = "busy"

[[feed]]
uri = "sim:?rate=200"

[[feed]]
uri = "follow:{rows}?poll_ms=20"
records = "trade"
symbol = "SIM-B"
time = {{ column = "time", unit = "ns" }}
columns = {{ price = "price", size = "size" }}

[[instrument]]
symbol = "SIM-A"
venue = "sim"
tick = "0.01"
lot = "0.001"
quote = "USD"

[[instrument]]
symbol = "SIM-B"
venue = "other"
tick = "0.01"
lot = "0.001"
quote = "USD"

[account]
kind = "margin"
leverage = "2"
currency = "USD"
cash = {{ USD = "100000" }}

[risk.drawdown]
limit = "90%"
action = "alert"

[risk.stale_feed]
after = "1h"
action = "alert"

[session]
snapshot_every = "1s"

[metrics]
port = {port}
"""


@dataclass
class Watched:
    """A session and the Prometheus that watches it."""

    prometheus: Prometheus
    port: int
    folder: Path

    def text(self) -> str:
        """Scrape the session."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run `replay paper` and Prometheus; the session was run once before, so that it has recovered something."""
    folder = tmp_path_factory.mktemp("watched")
    port = free_port()
    rows = folder / "rows.csv"
    now_ns = time.time_ns()
    good = "".join(f"{now_ns - 3_600_000_000_000 + number},100.00,1\n" for number in range(20))
    rows.write_text(f"time,price,size\n{now_ns},100.00,1\nthis is no trade\n{good}")
    (folder / "run.toml").write_text(RUN.format(here=HERE, rows=rows, port=port))
    try:
        for lasts in (False, True):
            session = subprocess.Popen(
                [sys.executable, "-m", "replay", "paper", "run.toml", "--session", "session"],
                cwd=folder,
                stdout=open(folder / f"session-{lasts}.log", "wb"),  # noqa: SIM115 - the process has it
                stderr=subprocess.STDOUT,
            )
            try:
                _await_ready(session, port, folder / f"session-{lasts}.log")
                if lasts:
                    with Prometheus(folder / "prometheus", port) as prometheus:
                        yield Watched(prometheus, port, folder)
                else:
                    time.sleep(1.5)
            finally:
                session.terminate()
                session.wait(20)
    except PrometheusMissing as lack:
        pytest.skip(str(lack))


def _await_ready(session: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert session.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the session was not ready: {log.read_text()}")
