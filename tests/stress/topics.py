"""The world of sessions on Kafka: a topic that fills up, a run file, real `replay paper` processes, and the judge.

May not live here: what disturbs a session or a broker, and assertions about one kind of disturbance.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from kafka.publishing import expected, published
from modes.market import header, market
from support.broker import Broker, BrokerMissing, Message

from replay import modes
from replay.adapters.kafka.wire import decode, is_frame
from replay.config import load
from replay.data.publish import Publishing, publish
from replay.feeds import tape
from replay.pipeline.journal import JournalReader
from replay.records import Kind
from replay.verify import verify

from .proof import Broken, Unavailable, check
from .world import ReceiveTime, ledger_of, log_of, rows_of_text

ROOT = Path(__file__).resolve().parents[2]
Form = Literal["frames", "json"]
HEAD_ROWS = 40
"""Frames that are in the topic before its session starts: they say what it carries."""
STEP_NS = 50_000_000
TICKS, OUT, DEAD = "ticks", "out", "dead"

_RUN = """
[run]
seed = 7

[[strategy]]
class = "{strategy}"
name = "it"

[[feed]]
uri = "kafka://{servers}/{ticks}?from={start}{limit}"
{feed}
{sink}
[[instrument]]
symbol = "BTCUSDT"
venue = "one"
tick = "0.01"
lot = "0.001"
quote = "USDT"
base = "BTC"

[[instrument]]
symbol = "ETHUSDT"
venue = "two"
tick = "0.01"
lot = "0.001"
quote = "USDT"
base = "ETH"

[[venue]]
name = "one"
fees = {{ maker = "0.0001", taker = "0.0004" }}
latency = {latency}

[[venue]]
name = "two"
fees = {{ maker = "0.0001", taker = "0.0004" }}
latency = {latency}

[account]
currency = "USDT"
kind = "margin"
leverage = "10"
cash = {{ USDT = "1000000" }}

[metrics]
port = {port}

[session]
snapshot_records = {snapshot_records}
commit_every = "{commit_every}"
{kafka}
"""

_JSON_FEED = """message = "json"
records = "quote"
symbol = { column = "s" }
time = { column = "t", unit = "ns" }
columns = { bid = "b", ask = "a", bid_size = "B", ask_size = "A" }
"""


@dataclass(frozen=True)
class Topics:
    """The topics of one session, what fills the first, and how the session reads it."""

    scratch: Path
    broker: Broker
    name: str
    form: Form
    receive_time: ReceiveTime
    rows: int
    seed: int
    partitions: int = 1
    out_partitions: int = 1
    sink_format: str = "json"
    servers: str = ""
    """The host:port that the session connects to; by default the broker's own."""
    commit_every: str = "5ms"
    snapshot_records: int = 1_000_000
    max_behind: int = 1_000_000
    kafka: Mapping[str, str] = field(default_factory=dict)
    """The session's [kafka]."""
    port: int = 0
    """Of the session's metrics; 0: any."""
    strategy: str = ""
    """By default one that trades often."""

    def topic(self, role: str) -> str:
        """Name one of the topics."""
        return f"{self.name}-{role}"

    def create(self) -> None:
        """Make the topics, and the head of the first where it needs one."""
        self.broker.create_topic(self.topic(TICKS), partitions=self.partitions)
        self.broker.create_topic(self.topic(OUT), partitions=self.out_partitions)
        self.broker.create_topic(self.topic(DEAD))
        self.scratch.mkdir(parents=True, exist_ok=True)
        if self.form == "frames":
            whole = named_market(self.rows, self.seed)
            tape.save(self.tape_path, whole, header())
            tape.save(self.scratch / "head.npy", whole[:HEAD_ROWS], header())
            publish(str(self.scratch / "head.npy"), self.broker.uri(self.topic(TICKS)), Publishing())

    @property
    def tape_path(self) -> Path:
        """The tape that is published as frames."""
        return self.scratch / "ticks.npy"

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.scratch / "session"

    @property
    def printed(self) -> Path:
        """What all processes of the session printed."""
        return self.scratch / "printed.txt"

    # -- run files

    def run_file(self, *, is_data_set: bool = False) -> Path:
        """Write the session's run file, or that of a backtest of the topic as it is now."""
        is_kept = self.receive_time == "keep"
        feed = "" if self.form == "frames" else _JSON_FEED
        if self.form == "json" and is_kept:
            feed += 'receive = { column = "r", unit = "ns" }\n'
        if not is_data_set:
            feed += f'receive_time = "{self.receive_time}"\n'
            feed += f'dead_letters = "kafka://{self._servers}/{self.topic(DEAD)}"\n'
        sink = (
            f'[[sink]]\nuri = "kafka://{self._servers}/{self.topic(OUT)}"\nformat = "{self.sink_format}"\n'
            f'drain = "60s"\nmax_behind = {self.max_behind}\n'
        )
        slow = '{ entry = "150ms", cancel = "100ms", response = "70ms" }'
        quick = '{ entry = "1us", cancel = "1us", response = "1us" }'
        text = _RUN.format(
            strategy=self.strategy or ("modes.market:Busy" if is_kept else "stress.world:Hasty"),
            servers=self.broker.bootstrap if is_data_set else self._servers,
            ticks=self.topic(TICKS),
            start="earliest",
            limit="&to=latest" if is_data_set else "",
            feed=feed,
            sink="" if is_data_set else sink,
            latency=slow if is_kept else quick,
            port=self.port,
            snapshot_records=self.snapshot_records,
            commit_every=self.commit_every,
            kafka="\n[kafka]\n" + "".join(f'{key} = "{value}"\n' for key, value in self.kafka.items()),
        )
        path = self.scratch / ("data-set.toml" if is_data_set else "run.toml")
        path.write_text(text)
        return path

    @property
    def _servers(self) -> str:
        return self.servers or self.broker.bootstrap

    # -- what fills the topic

    def publishing(self, seconds: float) -> TapePublisher | JsonPublisher:
        """Start to fill the topic, in about so many seconds."""
        if self.form == "frames":
            speed = max(0.1, self.rows * STEP_NS / 1e9 / seconds)
            uri = self.broker.uri(self.topic(TICKS))
            command = [sys.executable, "-m", "replay", "publish", str(self.tape_path), uri, "--speed", f"{speed:.2f}x"]
            return TapePublisher(command, self.scratch / "published.txt")
        return JsonPublisher(self, seconds)

    def messages(self) -> list[bytes]:
        """Write the JSON messages, in order; some cannot be read, some the sequencer refuses."""
        names = ("t", "r", "s", "b", "a", "B", "A")
        lines = [line.rstrip("\n").split(",") for line in rows_of_text(self.rows, self.seed)]
        return [
            msgspec.json.encode(dict(zip(names, [int(fields[0]), int(fields[1]), *fields[2:]], strict=True)))
            for fields in lines
        ]

    # -- the session

    def start(self, *program: str) -> subprocess.Popen[bytes]:
        """Start a process of the session: `replay paper`, or another program with the same arguments."""
        module = program or ("-m", "replay")
        command = [sys.executable, *module, "paper", str(self.run_file()), "--session", str(self.folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
        with self.printed.open("ab") as printed:
            return subprocess.Popen(command, stdout=printed, stderr=printed, cwd=ROOT, env=environment)

    def wait_until_started(self, process: subprocess.Popen[bytes], starts: int, seconds: float = 60.0) -> None:
        """Wait until one more process than `starts` is recovered and connected, or it has ended."""

        def is_over() -> bool:
            return self.starts() > starts or process.poll() is not None

        wait_for(is_over, seconds, lambda: f"the session does not start: {self._last_words()}", every_s=0.01)

    def starts(self) -> int:
        """Count the processes that said so."""
        return self.printed_text().count("session started")

    def printed_text(self) -> str:
        """Read what the session's processes printed."""
        return self.printed.read_text(errors="replace") if self.printed.exists() else ""

    def taken_rows(self) -> list[int]:
        """Give the rows on the session's tape as it is now."""
        return list(tape_rows(self.folder, self.form))

    def wait_until_all_is_taken(self, process: subprocess.Popen[bytes], rows: int, seconds: float = 120.0) -> None:
        """Wait until tape and dead letters together hold so many rows."""

        def is_taken() -> bool:
            check(process.poll() is None, f"the session ended with code {process.returncode}: {self._last_words()}")
            return len(self.taken_rows()) + count_dead(self.folder) >= rows

        wait_for(is_taken, seconds, lambda: f"the session does not take all: {self._last_words()}")

    def end(self, process: subprocess.Popen[bytes], seconds: float = 90.0) -> None:
        """End the session in order."""
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Broken(f"the session did not end within {seconds} s: {self._last_words()}") from None
        check(code == 130, f"the session ended with code {code}: {self._last_words()}")

    def _last_words(self) -> str:
        return self.printed_text()[-2_000:]

    # -- the judge

    def judge(self) -> dict[str, int]:
        """Hold a session that ended in order, and the topics, against each other; give figures."""
        rows = self._judge_offsets()
        events = self._judge_log()
        self.judge_topic()
        return {"rows": rows, "events": events}

    def _judge_offsets(self) -> int:
        """Each row is on the tape once or in the dead letters once, and each dead message has its place."""
        places = self.places()
        taken, dead = self.taken_rows(), list(dead_rows(self.folder))
        check(len(taken) == len(set(taken)), f"rows are on the tape twice: {_twice(taken)}")
        check(len(dead) == len(set(dead)), f"rows are in the dead letters twice: {_twice(dead)}")
        both = sorted([*taken, *dead])
        if both != sorted(places):
            missing, more = sorted(set(places) - set(both)), sorted(set(both) - set(places))
            raise Broken(f"of {len(places)} rows {missing[:5]} ({len(missing)}) are nowhere, {more[:5]} are not theirs")
        for row, place in dead_places(self.folder):
            partition, offset = places[row]
            wanted = f"partition {partition}, offset {offset}"
            check(wanted in place, f"the dead letter of row {row} names {place}, not {wanted}")
        if self.form == "json":
            self._judge_dead_topic(places)
        return len(both)

    def _judge_dead_topic(self, places: Mapping[int, tuple[int, int]]) -> None:
        wanted = {places[row] for row, _ in dead_places(self.folder)}
        sent = self.broker.read(self.topic(DEAD))
        found = {(int(message.headers["partition"]), int(message.headers["offset"])) for message in sent}
        check(found == wanted, f"the dead-letter topic holds {len(found)} messages, not the {len(wanted)} dead ones")

    def _judge_log(self) -> int:
        log = log_of(self.folder)
        if self.receive_time == "keep":
            out = self.scratch / "undisturbed"
            result = modes.backtest(load(self.run_file(is_data_set=True)), out=out / "events")
            check(hashlib.sha256(log).hexdigest() == result.digest, "the event log is not that of the topic's backtest")
            have, want = ledger_of(self.folder), ledger_of(out)
            for key in want.keys() - {"interrupted"}:
                check(
                    have[key] == want[key], f"{key} is not that of the topic's backtest: {have[key]!r}, {want[key]!r}"
                )
        outcome = verify(self.folder)
        check(outcome.equal, f"the event log is not that of a backtest of the journal: {outcome}")
        return len(log) // 128

    def judge_topic(self) -> None:
        """The output topic holds each message of the event log once, in order, and nothing else."""
        found = published(self.broker.read(self.topic(OUT)), self.out_partitions)
        wanted = expected(self.folder, self.out_partitions)
        for number, (have, want) in enumerate(zip(found, wanted, strict=True)):
            ids, wanted_ids = [row[:2] for row in have], [row[:2] for row in want]
            check(
                ids == wanted_ids,
                f"partition {number} of the output topic holds {len(ids)} messages, not the {len(want)} of the log; "
                f"twice: {_twice(ids)}, missing: {sorted(set(wanted_ids) - set(ids))[:5]}",
            )
            check(have == want, f"partition {number} of the output topic says otherwise than the event log")

    def places(self) -> dict[int, tuple[int, int]]:
        """Read the topic: where each row lies."""
        found: dict[int, tuple[int, int]] = {}
        for message in self.broker.read(self.topic(TICKS)):
            for row in self._rows_of(message):
                place = (message.partition, message.offset)
                check(row not in found, f"the publisher is wrong: row {row} lies at {found.get(row)} and at {place}")
                found[row] = place
        return found

    def _rows_of(self, message: Message) -> list[int]:
        assert message.value is not None
        if self.form == "json":
            return [row_of_text(message.value)]
        assert is_frame(message.value)
        return rows_of_records(decode(message.value, "").records)


def named_market(rows: int, seed: int) -> Any:
    """Make a market whose records name their row: quotes by their ask size, trades by their id."""
    made = market(rows, seed, step_ns=STEP_NS)
    quotes = made["kind"] == Kind.QUOTE
    made["d"][quotes] = np.flatnonzero(quotes) + 1
    return made


def rows_of_records(found: Any) -> list[int]:
    """Give the rows that records of a named market are."""
    rows: list[int] = np.where(found["kind"] == Kind.QUOTE, found["d"].astype(np.int64) - 1, found["c"]).tolist()
    return rows


def row_of_text(raw: bytes | str) -> int:
    """Give the row that a JSON message is, also where it cannot be read."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    return int(text.split('"A":"')[1].split('"')[0].replace(".", "")) - 1


def tape_rows(folder: Path, form: Form) -> Iterator[int]:
    """Give the rows that are on the tape, in its order."""
    if not (folder / "journal").is_dir():
        return
    for frame in JournalReader(folder / "journal").frames():
        found = frame.records[np.isin(frame.records["kind"], (Kind.QUOTE, Kind.TRADE))]
        yield from rows_of_records(found) if form == "frames" else (found["d"] - 1).tolist()


def dead_rows(folder: Path) -> Iterator[int]:
    """Give the rows that are in the dead letters."""
    for letter in _letters(folder):
        if "record" in letter:
            record = letter["record"]
            yield int(record["c"]) if record["kind"] == "trade" else int(record["d"]) - 1
        else:
            yield row_of_text(letter["raw"])


def dead_places(folder: Path) -> list[tuple[int, str]]:
    """Give row and place of the dead letters that are messages, not records that were refused later."""
    letters = [letter for letter in _letters(folder) if "record" not in letter]
    return [(row_of_text(letter["raw"]), letter["place"]) for letter in letters]


def count_dead(folder: Path) -> int:
    """Count the dead letters."""
    return len(_letters(folder))


def _letters(folder: Path) -> list[dict[str, Any]]:
    path = folder / "dead-letters" / "dead-letters.ndjson"
    if not path.exists():
        return []
    data = path.read_bytes()
    return [msgspec.json.decode(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def _twice(values: list[Any]) -> list[Any]:
    seen: set[Any] = set()
    return sorted({value for value in values if value in seen or seen.add(value)})[:5]  # type: ignore[func-returns-value]


def wait_for(what: Callable[[], bool], seconds: float, words: Callable[[], str], every_s: float = 0.1) -> None:
    """Wait until something is so; break the proof where it does not become so in time."""
    limit_s = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < limit_s, f"not within {seconds} s: {words()}" if time.monotonic() >= limit_s else "")
        time.sleep(every_s)


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    """Run a broker for a proof; a machine that cannot makes the proof unavailable."""
    try:
        broker.start()
    except BrokerMissing as lack:
        raise Unavailable(str(lack)) from None
    try:
        yield broker
    finally:
        broker.kill()


# -- publishers


class TapePublisher:
    """`replay publish` in a process of its own; started again it goes on behind what the topic holds."""

    def __init__(self, command: list[str], printed: Path) -> None:
        self._command = command
        self._printed = printed
        self._start()

    def _start(self) -> None:
        with self._printed.open("ab") as printed:
            self._process = subprocess.Popen(self._command, stdout=printed, stderr=printed, cwd=ROOT)

    def disturb(self) -> None:
        """Kill it, and start it again."""
        self._process.kill()
        self._process.wait()
        self._start()

    def finish(self, seconds: float = 120.0) -> None:
        """Wait until all is published; where it gave up meanwhile it is started again."""
        limit_s = time.monotonic() + seconds
        while self._process.wait(max(1.0, limit_s - time.monotonic())) != 0:
            check(time.monotonic() < limit_s, f"nothing is published: {self._printed.read_text()[-1_000:]}")
            time.sleep(0.2)
            self._start()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class JsonPublisher:
    """A forked process that publishes messages one by one as time goes by, stamped when they are sent."""

    def __init__(self, topics: Topics, seconds: float) -> None:
        self._child = os.fork()
        if self._child == 0:
            code = 1
            try:
                printed = os.open(topics.scratch / "published.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(printed, 1)
                os.dup2(printed, 2)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                asyncio.run(_publish_messages(topics, seconds))
                code = 0
            finally:
                os._exit(code)

    def disturb(self) -> None:
        """Leave it alone: it does not know how to go on."""

    def finish(self, seconds: float = 120.0) -> None:
        """Wait until all is published."""
        limit_s = time.monotonic() + seconds
        while True:
            child, status = os.waitpid(self._child, os.WNOHANG)
            if child:
                self._child = 0
                check(os.waitstatus_to_exitcode(status) == 0, "the publisher failed")
                return
            check(time.monotonic() < limit_s, "nothing is published")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once."""
        if self._child:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
            self._child = 0


async def _publish_messages(topics: Topics, seconds: float) -> None:
    from aiokafka import AIOKafkaProducer

    messages = topics.messages()
    name = topics.topic(TICKS)
    producer = AIOKafkaProducer(
        **topics.broker.client_options(), enable_idempotence=True, acks="all", request_timeout_ms=300_000
    )
    await producer.start()
    began_s, sent, limit = time.monotonic(), [], 0
    while limit < len(messages):
        first, limit = limit, min(len(messages), 1 + int((time.monotonic() - began_s) / seconds * len(messages)))
        for row in range(first, limit):
            message = messages[row]
            if topics.receive_time == "stamp":
                now = b'{"t":%d' % time.time_ns()
                message = now + message[message.index(b",") :]
            sent.append(await producer.send(name, message, partition=row % topics.partitions))
        await asyncio.sleep(0.002)
    await asyncio.gather(*sent)
    await producer.stop()
