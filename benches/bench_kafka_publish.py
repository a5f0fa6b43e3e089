"""Publishing: a feed to frames in a topic, beside aiokafka alone sending the same bytes.

May not live here: the broker and the data (kafka_side).

    .venv/bin/python benches/bench_kafka_publish.py [--rounds 5] [--records 2000000]

`replay publish` encodes frames of 1,000 records, each with its checksum and the place where its feed goes on. The
contender sends the same messages, made before it counts, with the same settings and as many under way. Both end when
the broker has acknowledged all.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import harness
import kafka_side
from kafka_side import Lap

from replay.adapters.kafka import delivery, publish
from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.reader import TopicReader
from replay.data.publish import Publishing

FRAME_ROWS = publish.FRAME_ROWS


def ours(servers: str, topic: str, rows: str) -> Lap:
    """Publish quotes from memory."""
    lap = Lap()
    feed = kafka_side.Quotes(kafka_side.quotes(int(rows)))
    how = Publishing(create=True, progress=lambda sent, _total, _time: lap.reached(sent))
    publish.publish(feed, kafka_side.uri(servers, topic), None, how)
    lap.reached(int(rows))
    return lap


def alone(servers: str, topic: str, source: str, rows: str) -> Lap:
    """Send what `source` holds to a topic of its own, with aiokafka and nothing else."""
    lap = Lap()

    async def send() -> None:
        messages = await stored(servers, source)
        await kafka_side.make_topic(servers, topic)
        producer = kafka_side.producer(servers, topic)
        await producer.start()
        try:
            pending: deque[Any] = deque()
            sent = 0
            for message in messages:
                while len(pending) >= delivery.PENDING_MAX:
                    await pending.popleft()
                pending.append(
                    await producer.send(
                        topic,
                        value=message.value,
                        partition=0,
                        timestamp_ms=message.timestamp,
                        headers=list(message.headers),
                    )
                )
                sent += FRAME_ROWS
                if sent % 64_000 == 0:
                    lap.reached(sent)
            while pending:
                await pending.popleft()
        finally:
            await producer.stop()
        lap.reached(int(rows))

    asyncio.run(send())
    return lap


async def stored(servers: str, topic: str) -> list[Any]:
    """Read all messages of a topic."""
    found: list[Any] = []
    async with TopicReader(TopicAddress.parse(kafka_side.uri(servers, topic)), None) as reader:
        limit = (await reader.held())[0].limit
        reader.seek({0: 0})
        while len(found) < limit:
            found += (await reader.poll([0])).get(0, [])
    return found


CHILDREN: dict[str, Callable[..., Lap]] = {"aiokafka": alone, "replay publish": ours}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--child")
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        return kafka_side.run_child(CHILDREN, arguments.child, rest)

    rows_text = str(arguments.records)
    load = kafka_side.load_note()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CHILDREN}
    with kafka_side.broker() as servers:
        kafka_side.child(__file__, "replay publish", [servers, "source", rows_text])
        for turn in range(arguments.rounds):
            for name in CHILDREN:
                topic = f"{name.replace(' ', '-')}-{turn}"
                source = ["source"] if name == "aiokafka" else []
                found[name].append(kafka_side.child(__file__, name, [servers, topic, *source, rows_text]))
                asyncio.run(kafka_side.delete_topic(servers, topic))
                time.sleep(1.0)  # the broker deletes, and writes what it was sent to disk

    cpu = {name: kafka_side.column(figures, "cpu_s") for name, figures in found.items()}
    wall = {name: kafka_side.column(figures, "wall_s") for name, figures in found.items()}
    rows: list[harness.Result] = []
    for name in CHILDREN:
        rows.append(harness.speed(f"{name}, records by CPU time", cpu[name], "M records/CPU s"))
        rows.append(harness.speed(f"{name}, records by wall time", wall[name], "M records/s"))
    label = "replay publish / aiokafka, speed"
    rows.append(harness.ratio(f"{label} by CPU time", cpu["aiokafka"], cpu["replay publish"]))
    rows.append(harness.ratio(f"{label} by wall time", wall["aiokafka"], wall["replay publish"], at_least=0.9))
    rows.append(load)
    return 0 if harness.report("kafka_publish", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
