"""Kafka for the benches: a broker of their own, topics filled, and aiokafka alone, the contender that all run beside.

May not live here: a workload's sessions, and limits.

Each round of a contender is a process of its own; it begins to count with the first answer of the broker, so that
start and imports are not measured, and ends with the last record. Both sides read with the same fetch settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
import workload
from numpy.typing import NDArray

from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.reader import TopicReader
from replay.adapters.kafka.topics import SETTINGS
from replay.data.publish import Publishing
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument

START = Path(__file__).resolve().parents[1] / "deploy" / "kafka" / "start"
ONE_INSTRUMENT = {"symbol": "BENCH", "tick": "0.01", "lot": "1", "quote": "USD"}
_CHILD_SECONDS = 120


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Start a broker with empty topics; give its host:port."""
    harness.DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", dir=harness.DATA) as folder:
        port = free_port()
        command = [str(START), "--owner", str(os.getpid()), "--heap", "512m", f"{folder}/broker", str(port)]
        started = subprocess.run(command, capture_output=True, text=True, check=False)
        if started.returncode:
            raise SystemExit(f"no broker, no bench: {started.stderr.strip()}")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            subprocess.run([str(START), "--stop", f"{folder}/broker"], capture_output=True, check=False)


def free_port() -> int:
    """Find a port that is free, and the next one with it (the controller's)."""
    while True:
        with socket.socket() as found, socket.socket() as beside:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
            with contextlib.suppress(OSError):
                beside.bind(("127.0.0.1", port + 1))
                return port


def uri(servers: str, topic: str, options: str = "") -> str:
    """Name a topic as a run file does."""
    return f"kafka://{servers}/{topic}{options}"


# ------------------------------------------------------------------------------------------------------------ filling


def quotes(count: int) -> NDArray[Any]:
    """Give the first quotes of W2."""
    columns = {name: values[:count] for name, values in workload.load("w2_quotes").items()}
    records: NDArray[Any] = workload.quote_records(columns)
    return records


class Quotes(StoredFeed):
    """Quotes of one instrument as a feed, a piece at a time."""

    def __init__(self, quotes: NDArray[Any], piece_rows: int = 65_536) -> None:
        instrument = TapeInstrument(
            symbol="BENCH", price_decimals=workload.QUOTE_PRICE_DECIMALS, size_decimals=0, kinds=["quote"]
        )
        super().__init__("bench:", TapeHeader(one_time=True, instruments=[instrument]))
        self._quotes, self._piece_rows = quotes, piece_rows

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the pieces after a cursor."""
        row = 0 if cursor is None else int(cursor)
        while row < len(self._quotes):
            piece = self._quotes[row : row + self._piece_rows]
            row += len(piece)
            yield Batch(piece, b"%d" % row)


def publish_frames(servers: str, topic: str, records: NDArray[Any], frame_rows: int = 1_000) -> None:
    """Publish quotes as `replay publish` does."""
    from replay.adapters.kafka import publish

    publish.FRAME_ROWS = frame_rows
    publish.publish(Quotes(records), uri(servers, topic), None, Publishing(create=True))


def send_texts(servers: str, topic: str, texts: Sequence[bytes], *, is_new: bool = True) -> None:
    """Send messages in large batches."""
    asyncio.run(_send_texts(servers, topic, texts, is_new))


async def _send_texts(servers: str, topic: str, texts: Sequence[bytes], is_new: bool) -> None:
    from aiokafka import AIOKafkaProducer

    if is_new:
        await make_topic(servers, topic)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", max_batch_size=256 << 10)
    await producer.start()
    try:
        sent = []
        batch = producer.create_batch()
        for text in texts:
            if batch.append(key=None, value=text, timestamp=None) is None:
                sent.append(await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                batch.append(key=None, value=text, timestamp=None)
        sent.append(await producer.send_batch(batch, topic, partition=0))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def make_topic(servers: str, topic: str) -> None:
    """Make a topic of one partition that keeps what it gets."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=SETTINGS)])
    finally:
        await admin.close()


async def await_message(servers: str, topic: str, seconds: float = 30.0) -> None:
    """Wait until somebody has sent something to a topic of one partition."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        async with asyncio.timeout(seconds):
            while (await consumer.end_offsets([partition]))[partition] == 0:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
    finally:
        await consumer.stop()


def tick_texts(records: NDArray[Any]) -> list[bytes]:
    """Write quotes as JSON messages, one tick each, with the numbers as others write them."""
    scale = 10**workload.QUOTE_PRICE_DECIMALS
    columns = [records[name].tolist() for name in ("ts_event", "a", "b", "c", "d")]
    return [
        (
            f'{{"s":"BENCH","ts":{ts // 1_000_000},"bid":"{bid / scale:.2f}","ask":"{ask / scale:.2f}",'
            f'"bid_size":"{bid_size}","ask_size":"{ask_size}"}}'
        ).encode()
        for ts, bid, ask, bid_size, ask_size in zip(*columns, strict=True)
    ]


# --------------------------------------------------------------------------------------------------------- the rounds


class Lap:
    """The time of a round: from the first items on, so that what comes before is left out."""

    def __init__(self) -> None:
        self._begun: tuple[float, float, int] | None = None
        self._last = (0.0, 0.0, 0)

    def reached(self, count: int) -> None:
        """Note how many items there are by now."""
        now = (time.process_time(), time.perf_counter(), count)
        if self._begun is None and count:
            self._begun = now
        self._last = now

    def figures(self) -> dict[str, float]:
        """Give CPU and wall seconds an item."""
        assert self._begun is not None
        count = self._last[2] - self._begun[2]
        return {
            "items": count,
            "cpu_s": (self._last[0] - self._begun[0]) / count,
            "wall_s": (self._last[1] - self._begun[1]) / count,
        }


def alone(servers: str, topic: str, messages: int, *, max_records: int, check_crcs: bool, per_message: int) -> Lap:
    """Read a topic with aiokafka and nothing else, with the settings of replay's reader."""
    lap = Lap()

    async def read() -> None:
        from aiokafka import TopicPartition

        reader = TopicReader(
            TopicAddress.parse(uri(servers, topic)), None, check_crcs=check_crcs, messages_max=max_records
        )
        consumer = reader._make_consumer(check_crcs)
        partition = TopicPartition(topic, 0)
        await consumer.start()
        try:
            consumer.assign([partition])
            consumer.seek(partition, 0)
            taken = 0
            while taken < messages:
                for found in (await consumer.getmany(timeout_ms=200, max_records=max_records)).values():
                    taken += len(found)
                    lap.reached(taken * per_message)
        finally:
            await consumer.stop()

    asyncio.run(read())
    return lap


def rounds(script: str, contenders: Mapping[str, Sequence[str]], count: int) -> dict[str, list[dict[str, Any]]]:
    """Run each contender once a round, in turn, each in a process of its own; give what they print."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for _ in range(count):
        for name, arguments in contenders.items():
            found[name].append(child(script, name, arguments))
    return found


def child(script: str, name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run one contender and give what it prints last."""
    command = [sys.executable, script, "--child", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CHILD_SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def run_child(children: Mapping[str, Callable[..., Lap]], name: str, arguments: Sequence[str]) -> int:
    """Be the child: run one contender and print its figures."""
    print(json.dumps(children[name](*arguments).figures()))
    return 0


def load_note() -> dict[str, Any]:
    """Give the load of the machine, to be judged with the figures."""
    return {"what": "load of the machine (1 min)", "figure": round(os.getloadavg()[0], 2), "unit": ""}


def column(found: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Give one figure of all rounds."""
    return [float(figures[name]) for figures in found]


def producer(servers: str, topic: str) -> Any:
    """Make a producer with the settings of replay's publisher, flat out."""
    from aiokafka import AIOKafkaProducer

    from replay.adapters.kafka.connection import client_options
    from replay.adapters.kafka.publish import _MARGIN_BYTES
    from replay.adapters.kafka.wire import FRAME_BYTES_MAX

    return AIOKafkaProducer(
        **client_options(TopicAddress.parse(uri(servers, topic)), None),
        acks="all",
        enable_idempotence=True,
        max_batch_size=FRAME_BYTES_MAX - _MARGIN_BYTES,
        max_request_size=2 * FRAME_BYTES_MAX,
        linger_ms=2,
    )


async def delete_topic(servers: str, topic: str) -> None:
    """Delete a topic, so that the disk does not fill."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()
