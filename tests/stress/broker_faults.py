"""Brokers that die, hang, are slow, cannot be reached, or have lost what is needed: the session says so and goes on.

May not live here: kills of the session itself (kafka_kills).
"""

from __future__ import annotations

import random
import re
import signal
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from kafka.publishing import expected, published
from support.broker import Broker, free_port

from replay.verify import verify

from .gate import Gate
from .kafka_kills import KINDS
from .proof import Figures, Proof, check
from .topics import OUT, TICKS, Topics, running, wait_for

MIB = 1 << 20
GROWTH_MAX_BYTES = 64 * MIB
KINDS_OF_FAULTS = ("restart", "pause", "slow", "unreachable", "gone")
FEED_REACHABLE = re.compile(rb"^replay_kafka_feed_broker_reachable\{[^}]*\} ([01])", re.MULTILINE)


@dataclass
class Watch:
    """Looks at a session from outside, as an operator does: its memory, its probe and its metrics."""

    pid: int
    port: int
    peak_bytes: int = 0
    said_not_ready: set[str] = field(default_factory=set)
    is_ready: bool = False
    was_unreachable: bool = False
    longest_answer_s: float = 0.0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._weigh, self._ask)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Look no longer."""
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    def _weigh(self) -> None:
        while not self._over.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, rss_bytes(self.pid))

    def _ask(self) -> None:
        while not self._over.wait(0.2):
            began_s = time.monotonic()
            status, text = answer(self.port, "/health/ready")
            if status == 0:
                continue
            self.longest_answer_s = max(self.longest_answer_s, time.monotonic() - began_s)
            self.is_ready = status == 200
            if status == 503:
                self.said_not_ready.add(text.decode())
            found = FEED_REACHABLE.search(answer(self.port, "/metrics")[1])
            self.was_unreachable |= found is not None and found[1] == b"0"


class BrokerFaults(Proof):
    """A cycle is one session under load and one fault; the numbers of cycles go through the kinds of faults."""

    name = "broker-faults"
    holds = "a broker killed, paused, slow, unreachable or without the needed range: memory bounded, told, nothing lost"
    cycles = 100
    small = 5

    def __init__(self) -> None:
        self._held = ExitStack()

    def prepare(self, scratch: Path) -> None:
        gated = free_port()
        self._gate = self._held.enter_context(Gate(gated))
        port = free_port()
        names = {"PLAINTEXT": (port, port), "GATED": (gated, self._gate.port)}
        listeners = ",".join(f"{name}://127.0.0.1:{ports[0]}" for name, ports in names.items())
        advertised = ",".join(f"{name}://127.0.0.1:{ports[1]}" for name, ports in names.items())
        properties = [
            f"listeners={listeners},CONTROLLER://127.0.0.1:{port + 1}",
            f"advertised.listeners={advertised}",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GATED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ]
        self._broker = self._held.enter_context(running(Broker(scratch / "broker", port=port, properties=properties)))

    def close(self) -> None:
        self._held.close()

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        fault = KINDS_OF_FAULTS[number % len(KINDS_OF_FAULTS)]
        form, receive_time = KINDS[(number + number // len(KINDS_OF_FAULTS)) % len(KINDS)]
        seconds = self._seconds(fault, dice)
        topics = Topics(
            scratch / "s",
            self._broker,
            f"f{number}-{uuid.uuid4().hex[:8]}",
            form,
            receive_time,
            (30_000 if form == "frames" else 8_000) if self.is_small else 60_000 if form == "frames" else 30_000,
            dice.randrange(1 << 30),
            partitions=1 if (form, receive_time) == ("json", "keep") else dice.choice([1, 2]),
            out_partitions=dice.choice([1, 3]),
            servers=f"127.0.0.1:{self._gate.port}",
            port=free_port(),
        )
        topics.create()
        publisher = topics.publishing(seconds + 4.0)
        process = topics.start()
        figures: Figures = {"fault": fault, "form": form, "receive_time": receive_time, "away_s": round(seconds, 1)}
        try:
            topics.wait_until_started(process, 0)
            wait_for(lambda: len(topics.taken_rows()) > topics.rows // 20, 30, topics.printed_text)
            if fault == "gone":
                return figures | self._lose_range(topics, process, publisher, dice)
            return figures | self._disturb(topics, process, publisher, fault, seconds)
        finally:
            self._mend()
            publisher.kill()
            process.kill()
            process.wait()

    def _seconds(self, fault: str, dice: random.Random) -> float:
        if fault == "pause":
            return 7.0 if self.is_small else 30.0
        return 6.0 if self.is_small else dice.uniform(5.0, 20.0)

    def _mend(self) -> None:
        """Put everything in order again, whatever happened."""
        self._gate.put("open")
        if self._broker.pid is None:
            self._broker.start()
        else:
            self._broker.resume()

    # -- faults that pass

    def _disturb(self, topics: Topics, process: Popen[bytes], publisher: Any, fault: str, seconds: float) -> Figures:
        before = rss_bytes(process.pid)
        watch = Watch(process.pid, topics.port)
        try:
            self._break(fault)
            self._wait(fault, seconds)
            taken = len(topics.taken_rows())
            self._mend()
            publisher.finish()
            topics.wait_until_all_is_taken(process, topics.rows)
            wait_for(lambda: watch.is_ready, 20, lambda: f"the session is not ready again: {watch.said_not_ready}")
        finally:
            watch.close()
        growth = watch.peak_bytes - before
        check(growth <= GROWTH_MAX_BYTES, f"memory grew by {growth / MIB:.0f} MiB, from {before / MIB:.0f} MiB")
        if fault != "slow":
            self._check_told(topics, watch)
        topics.end(process)
        judged = topics.judge()
        return {
            "rows_at_the_end_of_the_fault": taken,
            "growth_mib": round(growth / MIB, 1),
            "before_mib": round(before / MIB, 1),
            "longest_answer_ms": round(watch.longest_answer_s * 1000),
            **judged,
        }

    def _break(self, fault: str) -> None:
        if fault == "restart":
            self._broker.kill()
        elif fault == "pause":
            self._broker.pause()
        elif fault == "slow":
            self._gate.put("slow")

    def _wait(self, fault: str, seconds: float) -> None:
        if fault != "unreachable":
            time.sleep(seconds)
            return
        self._gate.put("silent")
        time.sleep(seconds / 2)
        self._gate.put("closed")
        time.sleep(seconds / 2)

    def _check_told(self, topics: Topics, watch: Watch) -> None:
        reasons = " ".join(watch.said_not_ready)
        check("cannot be reached" in reasons, f"/health/ready did not tell of the broker; it said: {reasons!r}")
        check(watch.was_unreachable, "replay_kafka_feed_broker_reachable did not become 0")
        text = topics.printed_text()
        check(text.count("broker unreachable") >= 1, "the log does not tell of the broker")
        check(text.count("broker reachable again") >= 1, "the log does not tell that the broker came back")
        check(len(text.splitlines()) < 100, f"the log has {len(text.splitlines())} lines of one outage")

    # -- the range that is gone

    def _lose_range(self, topics: Topics, process: Popen[bytes], publisher: Any, dice: random.Random) -> Figures:
        """Delete what the session would read next: while it is stopped, or while it runs and is behind."""
        runs = dice.random() < 0.5
        if runs:
            process.send_signal(signal.SIGSTOP)
        else:
            process.kill()
            process.wait()
        before = {path: path.read_bytes() for path in (topics.folder / "journal").iterdir()}
        publisher.finish()
        ends = self._broker.end_offsets(topics.topic(TICKS))
        # The last message stays: that there are some does not mean that the next one is there.
        self._broker.delete_records(topics.topic(TICKS), {partition: end - 1 for partition, end in ends.items()})
        if runs:
            process.send_signal(signal.SIGCONT)
            halted = process
        else:
            halted = topics.start()
        try:
            code = halted.wait(60)
        finally:
            halted.kill()
            halted.wait()
        text = topics.printed_text()
        check(code == 4, f"the session ended with code {code}: {text[-1_000:]}")
        check("are needed, and the broker holds" in text, f"the range is not named: {text[-1_000:]}")
        for path, data in before.items():
            check(path.read_bytes().startswith(data), f"{path.name} is not what it was")
        taken = topics.taken_rows()
        check(len(taken) == len(set(taken)), "rows are on the tape twice")
        check(verify(topics.folder).equal, "the event log is not that of a backtest of the journal")
        found = published(self._broker.read(topics.topic(OUT)), topics.out_partitions)
        for have, want in zip(found, expected(topics.folder, topics.out_partitions), strict=True):
            check(have == want[: len(have)], "the output topic is no beginning of the event log")
        return {"while_it_runs": runs, "rows": len(taken)}


def rss_bytes(pid: int) -> int:
    """Give the memory that a process has in use; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * 4096


def answer(port: int, path: str) -> tuple[int, bytes]:
    """Ask a session's server; status 0 where it gives no answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2.0) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""
