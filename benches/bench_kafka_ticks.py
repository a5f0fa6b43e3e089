"""Ticks: topics of others, one tick a message as JSON, Kafka to strategy, beside aiokafka alone over the same topic.

May not live here: the broker, the messages and aiokafka alone (kafka_side).

    .venv/bin/python benches/bench_kafka_ticks.py [--rounds 5] [--messages 400000]

The messages have their prices and sizes as text, as exchanges write them, and are read as a data set
(`replay.backtest`) and as a live feed by a paper session that journals every record. The strategy has no handler.
aiokafka alone takes as many messages at a time, with the same fetch settings and checksums, and decodes nothing.
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
from replay import Strategy
from replay.adapters.kafka.feed import MESSAGES_MAX

TOPIC = "ticks"
TICKS_A_SECOND = 250_000
RUN: dict[str, Any] = {"instruments": kafka_side.ONE_INSTRUMENT, "cash": {"USD": 1_000_000}, "log": {"level": "error"}}
FEED: dict[str, Any] = {
    "message": "json",
    "records": "quote",
    "symbol": {"column": "s"},
    "time": {"column": "ts", "unit": "ms"},
}


class NoHandler(Strategy):
    """Takes what comes and does nothing."""


def alone(servers: str, messages: str) -> Lap:
    """Read with aiokafka and nothing else."""
    return kafka_side.alone(servers, TOPIC, int(messages), max_records=MESSAGES_MAX, check_crcs=True, per_message=1)


def data_set(servers: str, _messages: str) -> Lap:
    """Run a backtest over the topic."""
    lap = Lap()
    uri = kafka_side.uri(servers, TOPIC, "?from=earliest&to=latest")
    progress = lambda done, _total, _time: lap.reached(done)  # noqa: E731
    replay.backtest(NoHandler, uri, feed_options=FEED, progress=progress, **RUN)
    return lap


def paper(servers: str, messages: str) -> Lap:
    """Run a paper session from the topic's start until it has everything."""
    from replay.pipeline.stop import Stop

    lap, stop = Lap(), Stop()

    def progress(done: int, _total: int | None, _time: int | None) -> None:
        lap.reached(done)
        if done >= int(messages):
            stop.request()

    with tempfile.TemporaryDirectory(prefix="bench-session-", dir=harness.DATA) as folder:
        asyncio.run(
            replay.paper_async(
                NoHandler,
                kafka_side.uri(servers, TOPIC, "?from=earliest"),
                feed_options=FEED,
                session=Path(folder) / "session",
                progress=progress,
                stop=stop,
                metrics={"port": 0},
                **RUN,
            )
        )
    return lap


CHILDREN: dict[str, Callable[..., Lap]] = {"aiokafka": alone, "backtest": data_set, "paper": paper}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=400_000)
    parser.add_argument("--child")
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        return kafka_side.run_child(CHILDREN, arguments.child, rest)

    load = kafka_side.load_note()
    with kafka_side.broker() as servers:
        texts = kafka_side.tick_texts(kafka_side.quotes(arguments.messages))
        kafka_side.send_texts(servers, TOPIC, texts)
        kafka_side.child(__file__, "aiokafka", [servers, str(arguments.messages)])  # warms the broker
        contenders = {name: [servers, str(arguments.messages)] for name in CHILDREN}
        found = kafka_side.rounds(__file__, contenders, arguments.rounds)

    cpu = {name: kafka_side.column(figures, "cpu_s") for name, figures in found.items()}
    wall = {name: kafka_side.column(figures, "wall_s") for name, figures in found.items()}
    rows: list[harness.Result] = []
    for name in CHILDREN:
        limit = {"at_least": TICKS_A_SECOND / 1e6} if name != "aiokafka" else {}
        rows.append({**harness.speed(f"{name}, ticks by CPU time", cpu[name], "M ticks/CPU s"), **limit})
        rows.append({**harness.speed(f"{name}, ticks by wall time", wall[name], "M ticks/s"), **limit})
    for name in ("backtest", "paper"):
        rows.append(harness.ratio(f"{name} / aiokafka, speed by CPU time", cpu["aiokafka"], cpu[name]))
        rows.append(harness.ratio(f"{name} / aiokafka, speed by wall time", wall["aiokafka"], wall[name]))
    rows.append(load)
    return 0 if harness.report("kafka_ticks", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
