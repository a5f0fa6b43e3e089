"""The soak: a session at 20,000 ticks a second from Kafka, orders to Kafka, and what it takes of memory and handles.

May not live here: what disturbs a session; nothing does here.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.broker import Broker, free_port

from replay import Strategy

from .broker_faults import MIB, answer, rss_bytes
from .proof import Figures, Proof, Unavailable, check
from .topics import DEAD, OUT, ROOT, TICKS, Topics, running, wait_for

RATE = 20_000
"""Ticks a second."""
SLOPE_MAX_MIB = 1.0
"""For 10 million ticks."""
VARIATION_MAX_MIB = 64
"""Between any two samples after the warm-up."""
SMALL_VARIATION_MAX_MIB = 4
STEP_MIB = 2.0
"""So much an allocator may take at once: in the small form, of 0.8 M ticks, that looks like a slope of 25."""
SNAPSHOT_RECORDS = 300_000
"""Often enough that the first snapshot falls into the warm-up of the small form."""
LAG_MAX_SECONDS = 2.0
"""Of ticks that may wait at the broker, after the warm-up."""
BLOCKS = 20
"""The samples are averaged in so many blocks: single ones are no independent measurements."""

_RECORDS = re.compile(rb"^replay_records_total\{kind=\"(?:quote|trade)\"\} (\S+)", re.MULTILINE)
_LAG = re.compile(rb"^replay_kafka_feed_lag_offsets\{[^}]*\} (\S+)", re.MULTILINE)
_FRAMES = re.compile(rb"^replay_kafka_feed_messages_total\{[^}]*\} (\S+)", re.MULTILINE)
_BEHIND = re.compile(rb"^replay_sink_outbox_events\{[^}]*\} (\S+)", re.MULTILINE)


FILLING_TICKS = 8_000
"""With one order each: more than the engine keeps of those that ended (`docs/limits.md`)."""


class Seldom(Strategy):
    """Sends twenty orders a second at the soak's rate, and keeps nothing of its own that grows.

    First it fills what the engine keeps of ended orders, so that no sample sees that fill up.
    """

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if self.seen <= FILLING_TICKS:
            self.buy(quote.symbol, 0.01, limit=round(quote.bid * 0.9, 1), tif="IOC")
        if self.seen % (RATE // 20) == 0:
            side = self.buy if self.rng.random() < 0.5 else self.sell
            side(quote.symbol, 0.01)


class Soak(Proof):
    """One cycle; `seconds` long after its warm-up."""

    name = "soak"
    holds = "at 20,000 ticks/s with Kafka: RSS slope <= 1 MiB per 10 M ticks, lag bounded, handles constant"
    cycles = 1
    small = 1
    seconds = 1_500.0
    warm_up_s = 300.0
    small_seconds = 40.0
    small_warm_up_s = 20.0

    def __init__(self) -> None:
        self._held = ExitStack()

    def prepare(self, scratch: Path) -> None:
        self._broker = self._held.enter_context(running(Broker(scratch / "broker")))
        if self.is_small:
            self.seconds, self.warm_up_s = self.small_seconds, self.small_warm_up_s
        wanted = int((self.seconds + self.warm_up_s) * RATE * 64 * 1.2)
        free = shutil.disk_usage(scratch).free
        if free < wanted + (4 << 30):
            raise Unavailable(f"the journal wants {wanted >> 20} MiB of disk, and {free >> 20} MiB are free")

    def close(self) -> None:
        self._held.close()

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        topics = Topics(
            scratch / "s",
            self._broker,
            f"soak-{uuid.uuid4().hex[:8]}",
            "frames",
            "keep",
            0,
            0,
            strategy="stress.soak:Seldom",
            port=free_port(),
            snapshot_records=SNAPSHOT_RECORDS,
        )
        topics.scratch.mkdir()
        kept = {"retention.bytes": str(256 * MIB), "segment.bytes": str(32 * MIB)}
        self._broker.create_topic(topics.topic(TICKS), config=kept)
        self._broker.create_topic(topics.topic(OUT), config=kept)
        self._broker.create_topic(topics.topic(DEAD))
        publisher = self._publisher(topics)
        try:
            wait_for(lambda: self._broker.end_offsets(topics.topic(TICKS))[0] > 0, 30, lambda: "nothing is published")
            process = topics.start()
            try:
                topics.wait_until_started(process, 0)
                samples = self._watch(topics, process)
                topics.end(process)
            finally:
                process.kill()
                process.wait()
        finally:
            publisher.kill()
            publisher.wait()
        return self._judge(samples)

    def _publisher(self, topics: Topics) -> subprocess.Popen[bytes]:
        """Publish a synthetic market at the rate, on the wall clock."""
        run = replace(topics, scratch=topics.scratch / "publisher")
        run.scratch.mkdir()
        command = [sys.executable, "-m", "replay", "publish", str(run.run_file())]
        command += [self._broker.uri(topics.topic(TICKS)), "--feed", f"sim:?rate={RATE}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
        with (topics.scratch / "published.txt").open("ab") as printed:
            return subprocess.Popen(command, stdout=printed, stderr=printed, cwd=ROOT, env=environment)

    def _watch(self, topics: Topics, process: subprocess.Popen[bytes]) -> NDArray[Any]:
        """Look at the session every second: seconds, ticks, RSS, handles, lag in messages, messages, events behind."""
        found: list[tuple[float, ...]] = []
        began_s = time.monotonic()
        while (at_s := time.monotonic() - began_s) < self.warm_up_s + self.seconds:
            check(process.poll() is None, f"the session ended: {topics.printed_text()[-1_000:]}")
            status, text = answer(topics.port, "/metrics")
            if status == 200:
                sums = [sum(float(value) for value in one.findall(text)) for one in (_RECORDS, _LAG, _FRAMES, _BEHIND)]
                handles = len(os.listdir(f"/proc/{process.pid}/fd"))
                found.append((at_s, sums[0], rss_bytes(process.pid), handles, *sums[1:]))
            time.sleep(1.0)
        return np.array(found)

    def _judge(self, samples: NDArray[Any]) -> Figures:
        warm = samples[samples[:, 0] >= self.warm_up_s]
        seconds, ticks, rss, handles, lag, frames, behind = warm.T
        rate = (ticks[-1] - ticks[0]) / (seconds[-1] - seconds[0])
        across = ticks / 1e7
        slope, low, high = slope_of(across, rss / MIB)
        blocks = np.array_split(rss / MIB, BLOCKS)
        net = float(blocks[-1].mean() - blocks[0].mean()) / float(np.ptp(across))
        rows_of_frame = (ticks[-1] - ticks[0]) / max(1.0, frames[-1] - frames[0])
        lag_s = lag * rows_of_frame / rate
        figures: Figures = {
            "ticks": int(samples[-1, 1]),
            "rate": round(rate),
            "slope_mib_per_10m": round(slope, 3),
            "net_mib_per_10m": round(net, 3),
            "slope_95_percent": [round(low, 3), round(high, 3)],
            "rss_mib": [round(float(value), 1) for value in (rss[0] / MIB, rss.max() / MIB, rss[-1] / MIB)],
            "lag_seconds_max": round(float(lag_s.max()), 3),
            "lag_messages_max": int(lag.max()),
            "outbox_events_max": int(behind.max()),
            "handles": sorted({int(value) for value in handles}),
            "warm_up_s": self.warm_up_s,
            "fitted_s": round(float(seconds[-1] - seconds[0]), 1),
        }
        told = f"; {figures}"
        check(rate >= 0.98 * RATE, f"the session took {rate:.0f} ticks a second, not {RATE}{told}")
        check(lag_s.max() <= LAG_MAX_SECONDS, f"the session was {lag_s.max():.1f} s behind{told}")
        check(np.ptp(handles) <= 2, f"the number of handles changed{told}")
        if self.is_small:
            # A minute has too few ticks to tell one MiB in ten million: what is surely more than a step is judged.
            most = SLOPE_MAX_MIB + STEP_MIB / float(np.ptp(across))
            check(low <= most, f"memory grows by {low:.2f} to {high:.2f} MiB in 10 M ticks{told}")
        else:
            check(max(slope, net) <= SLOPE_MAX_MIB, f"memory grows by {slope:.2f} MiB in 10 M ticks{told}")
        most = SMALL_VARIATION_MAX_MIB if self.is_small else VARIATION_MAX_MIB
        check(np.ptp(rss) <= most * MIB, f"memory varied by {np.ptp(rss) / MIB:.1f} MiB{told}")
        return figures


def slope_of(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float, float]:
    """Give the slope of y over x and its 95 % confidence interval, from the means of blocks.

    After Theil and Sen: the median of the slopes between any two blocks, with the ranks that Kendall's test gives. A
    step that an allocator takes once moves a fitted line, and hardly that median; steps that go on are a slope to both.
    """
    count = min(BLOCKS, len(x))
    across, up = (np.array([block.mean() for block in np.array_split(values, count)]) for values in (x, y))
    first, later = np.triu_indices(count, k=1)
    slopes = np.sort((up[later] - up[first]) / (across[later] - across[first]))
    spread = 1.959964 * np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low, high = int((len(slopes) - spread) / 2), int(np.ceil((len(slopes) + spread) / 2))
    return float(np.median(slopes)), float(slopes[max(0, low)]), float(slopes[min(high, len(slopes) - 1)])
