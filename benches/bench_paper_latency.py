"""Latency of a paper session on Kafka: from getmany's return until an order's events have left the outbox.

May not live here: the broker and the data (kafka_side).

    .venv/bin/python benches/bench_paper_latency.py [--seconds 12] [--rate 10000] [--first]

`replay publish --speed 1x` sends 10,000 ticks a second in a process of its own; a session takes them live, journals
all and sends a market order every 100 ticks. Each order is an exact sample, no histogram: from the return of the
`getmany` that brought the tick until the sinks have the order's events. Three sessions, one after the other:

  without sync   commits every frame at once, and the disk's own sync left out: what replay itself takes
  with sync      commits every frame at once, with the sync
  as it comes    frames without events are committed every 5 ms, as is the default; those with events at once

With `--first` the session comes first whenever it wants a processor (real-time priority, which needs the right to it):
on a shared machine its figures are then its own, and not those of whatever else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import kafka_side
import numpy as np

import replay
from replay import Quote, Strategy

P99_SECONDS_MAX = 1e-3
WARM_SECONDS = 2.0
"""So much of a session's beginning is left out."""
ORDER_TICKS = 100
CASES = {"without sync": "0s", "with sync": "0s", "as it comes": "5ms"}
RUN: dict[str, Any] = {"instruments": kafka_side.ONE_INSTRUMENT, "cash": {"USD": 1_000_000}, "log": {"level": "error"}}


class Flip(Strategy):
    """Sends a market order every so many ticks, now to this side and now to that."""

    def on_start(self) -> None:
        """Begin flat."""
        self.ticks = 0

    def on_quote(self, quote: Quote) -> None:
        """Count, and trade in turn."""
        self.ticks += 1
        if self.ticks % ORDER_TICKS == 0:
            self.target(quote.symbol, 1 if self.ticks // ORDER_TICKS % 2 else -1)


class Stopwatch:
    """Notes when getmany returned, and for each order when it was decided and when the sinks had it."""

    def __init__(self) -> None:
        self.polls_ns: list[int] = []
        self.decided_s: list[float] = []
        self.released_s: list[float] = []
        self.synced_s: list[float] = []
        self.begun_ns = 0

    def attach(self, *, syncs: bool) -> None:
        """Hang on to the reader, the outbox and the disk; `syncs` says whether the disk's sync is done at all."""
        from aiokafka import AIOKafkaConsumer

        from replay.disk import Disk
        from replay.pipeline.outbox import Outbox

        getmany, collect, release, sync = AIOKafkaConsumer.getmany, Outbox.collect, Outbox.release, Disk.sync
        waiting: list[tuple[int, int]] = []

        async def timed_getmany(consumer: Any, *names: Any, **options: Any) -> Any:
            got = await getmany(consumer, *names, **options)
            if got:
                self.polls_ns.append(time.perf_counter_ns())
            return got

        def timed_collect(
            box: Any, events: bytes, equity: bytes, excursions: bytes, position: int, arrived_ns: int = 0
        ) -> None:
            collect(box, events, equity, excursions, position, arrived_ns)
            if events and self.polls_ns and arrived_ns >= self.polls_ns[0]:
                # Between a getmany's return and the arrival of its batch no other one is begun.
                returned_ns = self.polls_ns[bisect.bisect_right(self.polls_ns, arrived_ns) - 1]
                self._note(self.decided_s, returned_ns)
                waiting.append((position, returned_ns))

        def timed_release(box: Any, durable: int) -> None:
            release(box, durable)
            while waiting and waiting[0][0] <= durable:
                self._note(self.released_s, waiting.pop(0)[1])

        def timed_sync(disk: Any, descriptor: int) -> None:
            began_ns = time.perf_counter_ns()
            if syncs:
                sync(disk, descriptor)
            self._note(self.synced_s, began_ns)

        for owner, name, timed in (
            (AIOKafkaConsumer, "getmany", timed_getmany),
            (Outbox, "collect", timed_collect),
            (Outbox, "release", timed_release),
            (Disk, "sync", timed_sync),
        ):
            setattr(owner, name, timed)

    def _note(self, samples: list[float], since_ns: int) -> None:
        now_ns = time.perf_counter_ns()
        if now_ns - self.begun_ns > WARM_SECONDS * 1e9:
            samples.append((now_ns - since_ns) / 1e9)


def session(servers: str, topic: str, rows: str, case: str) -> int:
    """Run a session until it has everything, and print its samples."""
    from replay.pipeline.stop import Stop

    stop, watch = Stop(), Stopwatch()
    watch.attach(syncs=case != "without sync")

    def progress(done: int, _total: int | None, _time: int | None) -> None:
        if done and not watch.begun_ns:
            watch.begun_ns = time.perf_counter_ns()
        if done >= int(rows):
            stop.request()

    with tempfile.TemporaryDirectory(prefix="bench-session-", dir=harness.DATA) as folder:
        asyncio.run(
            replay.paper_async(
                Flip,
                kafka_side.uri(servers, topic, "?from=earliest"),
                session=Path(folder) / "session",
                progress=progress,
                stop=stop,
                metrics={"port": 0},
                session_options={"commit_every": CASES[case]},
                **RUN,
            )
        )
    print(json.dumps({"decided": watch.decided_s, "released": watch.released_s, "synced": watch.synced_s}))
    return 0


def publishing(servers: str, topic: str, rows: str, rate: str) -> int:
    """Publish ticks at a rate."""
    from replay.adapters.kafka import publish
    from replay.data.publish import Publishing

    quotes = kafka_side.quotes(int(rows))
    for name in ("ts_event", "ts_recv"):
        quotes[name] = quotes["ts_event"][0] + np.arange(len(quotes)) * (1_000_000_000 // int(rate))
    publish.publish(kafka_side.Quotes(quotes), kafka_side.uri(servers, topic), None, Publishing(speed=1.0))
    return 0


def measure(servers: str, case: str, seconds: float, rate: int, *, is_first: bool) -> dict[str, list[float]]:
    """Run one session beside its publisher; give its samples."""
    topic, rows = case.replace(" ", "-"), int(seconds * rate)
    asyncio.run(kafka_side.make_topic(servers, topic))
    this = [sys.executable, __file__]
    publisher = subprocess.Popen([*this, "--publish", servers, topic, str(rows), str(rate)])
    try:
        asyncio.run(kafka_side.await_message(servers, topic))  # the session catches up in its warm seconds
        command = [*this, "--session", servers, topic, str(rows), case]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if is_first:
            os.sched_setscheduler(running.pid, os.SCHED_FIFO, os.sched_param(1))
        out, err = running.communicate(timeout=seconds + 60)
        if running.returncode:
            raise SystemExit(f"the session failed:\n{err[-4000:]}")
        publisher.wait(10)
    finally:
        publisher.kill()
    samples: dict[str, list[float]] = json.loads(out.strip().splitlines()[-1])
    return samples


def rows_of(case: str, samples: dict[str, list[float]]) -> list[harness.Result]:
    """Sum up one case in milliseconds."""
    rows: list[harness.Result] = []
    names = {"decided": "until decided and journaled", "released": "until out of the outbox", "synced": "one sync"}
    for name, what in names.items():
        if not samples[name]:
            raise SystemExit(f"{case}: nothing was measured")
        median, p99 = np.quantile(samples[name], (0.5, 0.99)) * 1e3
        is_limited = (case, name) == ("without sync", "released")
        for share, value in (("median", median), ("p99", p99)):
            limit = {"at_most": P99_SECONDS_MAX * 1e3} if is_limited and share == "p99" else {}
            rows.append(
                {"what": f"{case}: {what}, {share}", "figure": round(float(value), 3), "unit": "ms", **limit}
                | {"rounds": len(samples[name])}
            )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--first", action="store_true", help="let nothing else come before the session")
    parser.add_argument("--session", action="store_true")
    parser.add_argument("--publish", action="store_true")
    arguments, rest = parser.parse_known_args()
    if arguments.session:
        return session(*rest)
    if arguments.publish:
        return publishing(*rest)

    rows = [{"what": "load of the machine (1 min), before", "figure": round(os.getloadavg()[0], 2), "unit": ""}]
    with kafka_side.broker() as servers:
        for case in CASES:
            rows += rows_of(case, measure(servers, case, arguments.seconds, arguments.rate, is_first=arguments.first))
    return 0 if harness.report("paper_latency", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
