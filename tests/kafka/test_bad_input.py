"""Bad input to a session on Kafka: it is refused, or halts, with the fact and a remedy, and its data are untouched."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modes.market import header, market
from numpy.typing import NDArray
from support.broker import Broker, free_port

from replay.adapters.kafka.wire import FrameWriter, Place, Table
from replay.config import load
from replay.data.publish import Publishing, publish
from replay.errors import ReplayError
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.modes import paper_async
from replay.pipeline.journal import SEGMENT_HEADER, VERSION, JournalReader
from replay.pipeline.stop import Stop
from replay.records import Kind
from replay.session import LOCK_FILE

from .conftest import started, topic_name
from .topics import save

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

USERS = {"admin": "admin-canary", "desk": "desk-canary", "guest": "guest-canary"}
ROWS, ALL = 600, 900
RUN = """
[metrics]
port = 0
[account]
currency = "USDT"
leverage = "10"
cash = {{ USDT = "{cash}" }}
[kafka]
security = "sasl_ssl"
mechanism = "PLAIN"
username = "{user}"
password_env = "{user}_PASSWORD"
ca_file = "{ca_file}"
[[strategy]]
class = "modes.market:Busy"
[[instrument]]
symbol = "BTCUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"
[[instrument]]
symbol = "ETHUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"
[[feed]]
uri = "{ticks}?from=earliest"
"""


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("secure") / "broker", users=USERS)
    try:
        yield started(broker)
    finally:
        broker.kill()


@dataclass
class World:
    """A session that took its first ticks in order, and what it was made of."""

    broker: Broker
    scratch: Path
    ticks: str
    out: str
    records: NDArray[Any]

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.scratch / "session"

    def run_file(self, *, sinks: list[str] | None = None, ticks: str | None = None, **changed: str) -> Path:
        """Write a run file, the good one but for what is changed."""
        values = {"cash": "1000000", "user": "desk", "ca_file": str(self.broker.ca_file)}
        text = RUN.format(ticks=ticks or self.broker.uri(self.ticks), **{**values, **changed})
        text += "".join(
            f'[[sink]]\nuri = "{uri}"\n' for uri in ([self.broker.uri(self.out)] if sinks is None else sinks)
        )
        path = self.scratch / "run.toml"
        path.write_text(text)
        return path

    def start(self, run: Path, until: int) -> None:
        """Start the session; end it in order when it has so many ticks."""
        stop = Stop()

        def progress(done: int, _total: int | None, _time_ns: int | None) -> None:
            if done >= until:
                stop.request()

        async def work() -> None:
            async with asyncio.timeout(40):
                await paper_async(load(run), self.folder, stop=stop, progress=progress)

        asyncio.run(work())

    def publish(self, rows: int) -> None:
        """Have the topic hold so many ticks."""
        path = save(self.scratch / f"{rows}.npy", self.records[:rows])
        kafka = self.scratch / "publish.toml"
        kafka.write_text(
            RUN.format(cash="1", user="admin", ca_file=self.broker.ca_file, ticks=self.broker.uri(self.ticks)).replace(
                f"{self.broker.uri(self.ticks)}?from=earliest", str(path)
            )
        )
        publish(str(kafka), self.broker.uri(self.ticks), Publishing())

    def contents(self) -> dict[str, bytes]:
        """Read every file of the session but its lock."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK_FILE]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def refused(self, run: Path, match: str, remedy: str, *, halts: bool = False) -> ReplayError:
        """Start it: it is refused and each file is as it was, or it halts and nothing that was durable has changed."""
        before = self.contents()
        with pytest.raises(ReplayError, match=match) as caught:
            self.start(run, 10**9)
        error, text = caught.value, str(caught.value)
        assert remedy in (error.remedy or "")
        assert error.exit_code in (2, 4, 5)
        assert len(text.splitlines()) <= 5
        assert "canary" not in text + repr(error) + repr(error.__cause__)
        after = self.contents()
        if halts:
            kept = [name for name in before if name.startswith(("journal/", "dead-letters/", "events/events.bin"))]
            assert kept and all(after[name].startswith(before[name]) for name in kept)
        else:
            assert after == before
        return error

    def goes_on(self) -> None:
        """With the good run file it goes on and takes each tick once."""
        self.publish(ALL)
        self.start(self.run_file(), ALL)
        records = np.concatenate([frame.records for frame in JournalReader(self.folder / "journal").frames()])
        ticks = records[np.isin(records["kind"], (Kind.QUOTE, Kind.TRADE))]
        assert ticks.tobytes() == self.records.tobytes()


@pytest.fixture
def world(secure: Broker, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    for user, password in USERS.items():
        monkeypatch.setenv(f"{user}_PASSWORD", password)
    records = market(2 * ALL)
    records["ts_event"] = records["ts_recv"]
    records = records[records["a"] > 0][:ALL]  # what the sequencer refuses is not on a tape
    name = topic_name(request.node.name)
    made = World(secure, tmp_path, f"{name}-ticks", f"{name}-out", records)
    for topic in (made.ticks, made.out):
        secure.create_topic(topic)
        secure.allow("desk", "all", topic)
    secure.allow("desk", "write", "replay-", resource="transactional_id", prefix=True)
    made.publish(ROWS)
    made.start(made.run_file(), ROWS)
    return made


def test_a_wrong_broker_address(world: World) -> None:
    away = f"kafka://127.0.0.1:{free_port()}"
    world.refused(world.run_file(ticks=f"{away}/{world.ticks}"), r"no broker answers at 127\.0\.0\.1", "address")
    world.refused(world.run_file(sinks=[f"{away}/x"]), r"no broker of Kafka answers at 127\.0\.0\.1", "host and port")
    world.goes_on()


def test_a_missing_topic(world: World) -> None:
    world.refused(world.run_file(ticks=world.broker.uri("no-such")), "there is no topic 'no-such'", "--create")
    world.refused(
        world.run_file(sinks=[world.broker.uri("no-such")]), "no right to the topic|no topic", "on the broker"
    )
    world.goes_on()


def test_no_right_to_read_or_write(world: World) -> None:
    guest = world.run_file(user="guest", sinks=[])
    world.refused(guest, "no right to see it", "--create")
    world.broker.allow("guest", "describe", world.ticks)
    world.refused(guest, "gives no right to this topic", "Read")
    secret = world.broker.create_topic(f"{world.out}-secret")
    world.refused(world.run_file(sinks=[world.broker.uri(secret)]), "no right to the topic", "allow READ")
    world.goes_on()


def test_a_message_too_large(world: World) -> None:
    tiny = world.broker.create_topic(f"{world.out}-tiny", config={"max.message.bytes": "500"})
    world.broker.allow("desk", "all", tiny)
    run = world.run_file(sinks=[world.broker.uri(tiny)])
    error = world.refused(run, "refuses messages of up to", "max.message.bytes", halts=True)
    assert error.exit_code == 4
    world.goes_on()


def frame(world: World, table: TapeHeader) -> bytes:
    """Make the frame that would come next."""
    writer = FrameWriter(Table.of(table))
    return writer.encode(Place(ROWS, ROWS + 100, ROWS, 7), world.records[ROWS : ROWS + 100])


def test_an_unknown_version_of_frames(world: World) -> None:
    data = bytearray(frame(world, header()))
    data[4] = 2
    world.broker.produce(world.ticks, [bytes(data)])
    error = world.refused(world.run_file(), "has version 2 of its format", "nothing was changed", halts=True)
    assert error.exit_code == 4
    assert f"{world.ticks}, partition 0, offset" in str(error)


def test_another_instrument_table_than_the_run_files(world: World) -> None:
    finer = [
        TapeInstrument(symbol=entry.symbol, price_decimals=4, size_decimals=3, kinds=entry.kinds)
        for entry in header().instruments
    ]
    world.broker.produce(world.ticks, [frame(world, TapeHeader(one_time=True, instruments=finer))])
    match = r"\(4, 3, 'full'\) in the frame's instrument table and \(2, 3, 'full'\)"
    error = world.refused(world.run_file(), match, "begin a new session", halts=True)
    assert error.exit_code == 4


def test_a_journal_of_a_newer_version(world: World) -> None:
    last = max((world.folder / "journal").glob("*.journal"))
    data = bytearray(last.read_bytes())
    head = data[: SEGMENT_HEADER.size]
    head[8:12] = struct.pack("<I", VERSION + 1)
    head[60:64] = struct.pack("<I", zlib.crc32(head[:60]))
    last.write_bytes(head + data[SEGMENT_HEADER.size :])
    match = f"format version {VERSION + 1}, this program reads {VERSION}"
    error = world.refused(world.run_file(), match, "version of replay that wrote it")
    assert error.exit_code == 5
    last.write_bytes(data)
    world.goes_on()


def test_a_session_folder_of_another_run_file(world: World) -> None:
    error = world.refused(world.run_file(cash="5"), r"account\.cash\.USDT was '1000000', now it is '5'", "--session")
    assert error.exit_code == 2
    other = world.broker.uri(world.out)
    world.refused(world.run_file(ticks=other, sinks=[]), "no frame of replay's", 'message = "json"')
    world.goes_on()


@pytest.mark.parametrize(
    ("sinks", "match"),
    [
        (lambda world: [world.broker.uri(world.out)] * 2, r"another use in this run: \[\[sink\]\] 1 publishes to it"),
        (lambda world: [world.broker.uri(world.ticks)], r"another use in this run: \[\[feed\]\] 1 reads it"),
    ],
)
def test_two_sinks_on_one_topic_and_a_sink_on_the_feeds_own(
    world: World, sinks: Callable[[World], list[str]], match: str
) -> None:
    error = world.refused(world.run_file(sinks=sinks(world)), match, "a topic of its own")
    assert error.exit_code == 2
    world.goes_on()


def test_two_sessions_on_one_topic(world: World) -> None:
    other = World(world.broker, world.scratch / "other", world.ticks, world.out, world.records)
    other.scratch.mkdir()
    with pytest.raises(ReplayError, match="has written into the topic") as caught:
        other.start(other.run_file(), ROWS)
    assert (caught.value.exit_code, len(str(caught.value).splitlines())) == (4, 2)
    assert "topic of its own" in (caught.value.remedy or "")
    world.goes_on()
