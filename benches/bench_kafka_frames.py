"""Frames: Kafka to strategy, beside what aiokafka alone hands over of the same topic.

May not live here: the broker, the topic and aiokafka alone (kafka_side).

    .venv/bin/python benches/bench_kafka_frames.py [--rounds 5] [--records 3000000]

A topic of quotes in frames of 1,000 records is read as a data set (`replay.backtest`), and as a live feed by a paper
session that journals every record. The strategy has no handler: what is measured is the way to it; a contender of its
own has an empty `on_quote`. aiokafka alone has the same fetch settings and takes as many messages at a time. It is run
as it comes, with its checksums, and that is what a limit stands beside: both hand over what they have proved. It is run
without them, too, as replay's reader has it, which proves each frame's CRC-32 instead: what no proof at all would cost.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import kafka_side
from kafka_side import Lap

import replay
from replay import Quote, Strategy
from replay.adapters.kafka.feed import FRAMES_MAX

FRAME_ROWS = 1_000
TOPIC = "frames"
RUN: dict[str, Any] = {"instruments": kafka_side.ONE_INSTRUMENT, "cash": {"USD": 1_000_000}, "log": {"level": "error"}}


class NoHandler(Strategy):
    """Takes what comes and does nothing; the engine follows quotes and account all the same."""


class EmptyHandler(Strategy):
    """Is called for each quote and does nothing."""

    def on_quote(self, quote: Quote) -> None:
        """Do nothing."""


def alone(servers: str, frames: str, check_crcs: bool = False) -> Lap:
    """Read with aiokafka and nothing else."""
    return kafka_side.alone(
        servers, TOPIC, int(frames), max_records=FRAMES_MAX, check_crcs=check_crcs, per_message=FRAME_ROWS
    )


def data_set(servers: str, _frames: str, strategy: type[Strategy] = NoHandler) -> Lap:
    """Run a backtest over the topic."""
    lap = Lap()
    uri = kafka_side.uri(servers, TOPIC, "?from=earliest&to=latest")
    replay.backtest(strategy, uri, progress=lambda done, _total, _time: lap.reached(done), **RUN)
    return lap


def paper(servers: str, frames: str) -> Lap:
    """Run a paper session from the topic's start until it has everything."""
    from replay.pipeline.stop import Stop

    lap, stop, rows = Lap(), Stop(), int(frames) * FRAME_ROWS

    def progress(done: int, _total: int | None, _time: int | None) -> None:
        lap.reached(done)
        if done >= rows:
            stop.request()

    with tempfile.TemporaryDirectory(prefix="bench-session-", dir=harness.DATA) as folder:
        asyncio.run(
            replay.paper_async(
                NoHandler,
                kafka_side.uri(servers, TOPIC, "?from=earliest"),
                session=Path(folder) / "session",
                progress=progress,
                stop=stop,
                metrics={"port": 0},
                **RUN,
            )
        )
    return lap


CHILDREN: dict[str, Callable[..., Lap]] = {
    "aiokafka": lambda servers, frames: alone(servers, frames, True),
    "aiokafka without its checksums": alone,
    "backtest": data_set,
    "backtest, empty handler": lambda servers, frames: data_set(servers, frames, EmptyHandler),
    "paper": paper,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=3_000_000)
    parser.add_argument("--child")
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        return kafka_side.run_child(CHILDREN, arguments.child, rest)

    frames = arguments.records // FRAME_ROWS
    load = kafka_side.load_note()
    with kafka_side.broker() as servers:
        kafka_side.publish_frames(servers, TOPIC, kafka_side.quotes(frames * FRAME_ROWS), FRAME_ROWS)
        kafka_side.child(__file__, "aiokafka", [servers, str(frames)])  # warms the broker
        found = kafka_side.rounds(__file__, {name: [servers, str(frames)] for name in CHILDREN}, arguments.rounds)

    cpu = {name: kafka_side.column(figures, "cpu_s") for name, figures in found.items()}
    wall = {name: kafka_side.column(figures, "wall_s") for name, figures in found.items()}
    rows: list[harness.Result] = []
    for name in CHILDREN:
        rows.append(harness.speed(f"{name}, records by CPU time", cpu[name], "M records/CPU s"))
        rows.append(harness.speed(f"{name}, records by wall time", wall[name], "M records/s"))
    peer = "aiokafka without its checksums"
    proved = "aiokafka"
    for name in ("backtest", "backtest, empty handler", "paper"):
        limit = {"at_least": 0.9} if name == "backtest" else {}
        rows.append(harness.ratio(f"{name} / {proved}, speed by wall time", wall[proved], wall[name], **limit))
        rows.append(harness.ratio(f"{name} / {peer}, speed by wall time", wall[peer], wall[name]))
        rows.append(harness.ratio(f"{name} / {proved}, speed by CPU time", cpu[proved], cpu[name]))
        rows.append(harness.ratio(f"{name} / {peer}, speed by CPU time", cpu[peer], cpu[name]))
    rows.append(load)
    return 0 if harness.report("kafka_frames", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
