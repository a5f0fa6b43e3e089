"""A real `replay paper` process on the synthetic market, to be commanded, killed and started again.

May not live here: assertions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from replay.errors import ControlError
from replay.pipeline.control import ControlRequest, ask
from replay.pipeline.journal import JournalReader
from replay.records import Kind

STRATEGY = '''
from replay import Strategy


class Ladder(Strategy):
    """Buys one at each tenth quote, and rests a bid far below in between."""

    def on_start(self):
        self.seen = 0

    def on_quote(self, quote):
        self.seen += 1
        if self.seen % 10 == 0:
            self.buy(quote.symbol, 1)
        elif self.seen % 10 == 5:
            self.buy(quote.symbol, 1, limit=round(quote.bid / 2, 2))
'''

RUN = """
[[strategy]]
class = "ladder.py:Ladder"

[[feed]]
uri = "{feed}"

[[instrument]]
symbol = "SIM"
tick = "0.01"
lot = "1"
quote = "USD"

[account]
currency = "USD"
cash = {{ USD = "1000000000" }}
leverage = "10"

[metrics]
port = 0

[log]
format = "json"
{more}
"""


class Paper:
    """A run file in a folder, and the process that runs it."""

    def __init__(self, folder: Path, *, feed: str = "sim:SIM?seed=3&rate=200", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ladder.py").write_text(STRATEGY)
        self.run_file = folder / "run.toml"
        self.run_file.write_text(RUN.format(feed=feed, more=more))
        self.session = folder / "session"
        self.log_path = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [sys.executable, "-m", "replay", "paper", str(self.run_file), "--session", str(self.session)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.run_file.parent)
        self.wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            self.status()
        except ControlError:
            return False
        return True

    def ctl(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "replay", "ctl", str(self.session), command, *more]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)

    def reply(self, command: str) -> dict[str, Any]:
        answer = self.ctl(command, "--json")
        assert answer.returncode == 0, answer.stderr + self.log
        reply: dict[str, Any] = msgspec.json.decode(answer.stdout)
        return reply

    def status(self) -> dict[str, Any]:
        reply = ask(self.session, ControlRequest(command="status"), timeout_s=30)
        assert reply.status is not None, reply.error
        status: dict[str, Any] = msgspec.to_builtins(reply.status)
        return status

    def wait_for(self, holds: Any, seconds: float = 30.0) -> None:
        limit = time.monotonic() + seconds
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, f"the process ended: {self.log}"
            assert time.monotonic() < limit, f"waited {seconds} s: {self.log}"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(timeout=30)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def tape(self) -> np.ndarray[Any, Any]:
        """Give every record of the journal."""
        parts = [frame.records for frame in JournalReader(self.session / "journal").frames()]
        return np.concatenate(parts)

    def commands(self) -> list[tuple[int, int, int]]:
        """Give (tape seq, command, cause) of each Command record."""
        tape = self.tape()
        rows = np.flatnonzero(tape["kind"] == Kind.COMMAND)
        return [(int(row), int(tape["a"][row]), int(tape["b"][row])) for row in rows]

    def verify(self) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "replay", "verify", str(self.session)]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
