"""Kafka as a data set: what was published is read back record for record, and gives the digest of the file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka.topics import RUN_INSTRUMENTS, all_records, feed_of, publish_tape, save
from modes.market import SETTINGS, START_NS, Busy, market
from support.broker import Broker

import replay
from replay.adapters.kafka.wire import FrameWriter, Place, Table, decode
from replay.adapters.registry import open_feed
from replay.config.sections import FeedSpec
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds import tape as tapes
from replay.feeds.feed import Batch
from replay.records import FLAG_GAP_BEFORE, Kind
from replay.units import format_time

pytestmark = pytest.mark.kafka

ROWS = 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("tapes") / "market.npy", market(ROWS))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    from kafka.conftest import topic_name

    return topic_name(request.node.name)


@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_a_tape_published_and_read_back_gives_the_same_digest(
    broker: Broker, name: str, path: Path, partitions: int
) -> None:
    uri = broker.uri(name)
    done = publish_tape(path, uri, partitions=partitions)
    assert done.records == ROWS
    feed = feed_of(f"{uri}?from=earliest&to=latest")
    assert all_records(feed).tobytes() == tapes.load(path).records.tobytes()
    expected = replay.backtest(Busy, str(path), **SETTINGS)
    result = replay.backtest(Busy, f"{uri}?from=earliest&to=latest", **SETTINGS)
    assert result.digest == expected.digest
    assert result.counts["records"] > 0.9 * ROWS


def test_it_works_inside_a_running_loop_and_paced(broker: Broker, name: str, path: Path) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri)
    expected = replay.backtest(Busy, str(path), **SETTINGS).digest

    async def both() -> list[str]:
        stored = f"{uri}?to=latest"
        inside = replay.backtest(Busy, stored, **SETTINGS)
        beside = await replay.backtest_async(Busy, stored, **SETTINGS)
        paced = await replay.play_async(Busy, stored, speed="max", **SETTINGS)
        return [inside.digest, beside.digest, paced.digest]

    assert asyncio.run(both()) == [expected] * 3


def test_bars_of_several_lengths_come_back_with_theirs(broker: Broker, name: str, tmp_path: Path) -> None:
    made = replay.records.empty(300)
    times = START_NS + np.arange(300) * 60_000_000_000
    made["ts_event"] = made["ts_recv"] = times
    made["a"], made["b"], made["c"], made["d"], made["e"] = 10_000, 10_010, 9_990, 10_005, 7
    made["kind"] = Kind.BAR
    made["flags"] = np.arange(300) % 2
    lone = tapes.TapeHeader(
        one_time=True,
        bar_lengths_ns=[60_000_000_000, 300_000_000_000],
        instruments=[tapes.TapeInstrument(symbol="BTCUSDT", price_decimals=2, size_decimals=3, kinds=["bar"])],
    )
    path = tmp_path / "bars.npy"
    tapes.save(path, made, lone)
    publish_tape(path, broker.uri(name))
    feed = feed_of(f"{broker.uri(name)}?to=latest")
    assert feed.header.bar_lengths_ns == lone.bar_lengths_ns
    assert feed.header.one_time
    assert all_records(feed).tobytes() == made.tobytes()


def test_instruments_are_renumbered_and_those_not_named_are_dropped(broker: Broker, name: str, path: Path) -> None:
    publish_tape(path, broker.uri(name))
    spec = FeedSpec(uri=f"{broker.uri(name)}?to=latest")
    got = all_records(open_feed(spec, [RUN_INSTRUMENTS[1]], Path()))
    original = tapes.load(path).records
    expected = original[original["instrument"] == 1].copy()
    expected["instrument"] = 0
    assert got.tobytes() == expected.tobytes()
    swapped = all_records(open_feed(spec, RUN_INSTRUMENTS[::-1], Path()))
    assert (swapped["instrument"] == 1 - original["instrument"]).all()


@pytest.mark.parametrize("partitions", [1, 2])
def test_every_cursor_goes_on_with_the_record_after_it(broker: Broker, name: str, path: Path, partitions: int) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri, partitions=partitions)
    feed = feed_of(f"{uri}?to=latest")
    whole = tapes.load(path).records
    batches: list[Batch] = list(feed.batches())
    done = 0
    for batch in batches:
        done += len(batch.records)
        rest = all_records(feed, batch.cursor)
        assert rest.tobytes() == whole[done:].tobytes()


def test_from_and_to_are_offsets(broker: Broker, name: str, path: Path) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri)
    frames = [decode(message.value or b"", "here") for message in broker.read(name)]
    got = all_records(feed_of(f"{uri}?from=3&to=7"))
    assert got.tobytes() == b"".join(frame.records.tobytes() for frame in frames[3:7])
    assert all_records(feed_of(f"{uri}?from=0:3&to=0:7")).tobytes() == got.tobytes()


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("form", ["iso", "ns"])
def test_from_and_to_are_receive_times_to_the_nanosecond(
    broker: Broker, name: str, path: Path, partitions: int, form: str
) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri, partitions=partitions)
    whole = tapes.load(path).records
    first_ns, limit_ns = int(whole["ts_recv"][4_321]), int(whole["ts_recv"][12_345])
    texts = [format_time(time_ns) if form == "iso" else str(time_ns) for time_ns in (first_ns, limit_ns)]
    feed = feed_of(f"{uri}?from={texts[0]}&to={texts[1]}")
    assert all_records(feed).tobytes() == whole[4_321:12_345].tobytes()
    assert feed.header.first_ns == first_ns


def test_a_missing_range_halts_and_names_it(broker: Broker, name: str, path: Path) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri)
    cursor = next(iter(feed_of(f"{uri}?from=2&to=5").batches())).cursor
    stored = feed_of(f"{uri}?from=2&to=latest")
    first = next(iter(stored.batches()))
    broker.delete_records(name, {0: 9})
    with pytest.raises(DataError, match=r"offsets 2\.\.5 are needed, and the broker holds 9\.\.\d+: 2\.\.9 are gone"):
        feed_of(f"{uri}?from=2&to=5")
    with pytest.raises(DataError) as caught:
        list(stored.batches(cursor))
    assert caught.value.reason == "missing_range"
    assert f"{name}, partition 0" in (caught.value.place or "")
    assert "retention.ms=-1" in (caught.value.remedy or "")
    assert len(first.records)
    with pytest.raises(DataError, match="nothing is there from"):
        feed_of(f"{uri}?from=100000&to=latest")


def test_a_live_topic_is_refused_where_an_end_is_needed(broker: Broker, name: str, path: Path) -> None:
    uri = broker.uri(name)
    publish_tape(path, uri)
    with pytest.raises(UsageError, match="live"):
        replay.backtest(Busy, uri, **SETTINGS)


# -- what may be wrong with the frames


def writer_of(path: Path) -> tuple[FrameWriter, Any]:
    held = tapes.load(path)
    return FrameWriter(Table.of(held.header)), held.records


def test_a_damaged_frame_is_a_dead_letter_and_leaves_a_marked_gap(broker: Broker, topic: str, path: Path) -> None:
    writer, whole = writer_of(path)
    frames = [writer.encode(Place(at, at + 100, 0, 1), whole[at : at + 100]) for at in range(0, 500, 100)]
    broken = bytearray(frames[2])
    broken[-1] ^= 1
    broker.produce(topic, [frames[0], frames[1], bytes(broken), b"hello", frames[3], frames[4]])
    feed = feed_of(f"{broker.uri(topic)}?to=latest")
    batches = list(feed.batches())
    dead = [letter for batch in batches for letter in batch.dead]
    assert [(letter.reason, letter.place.rpartition("offset ")[2]) for letter in dead] == [
        ("bad_checksum", "2"),
        ("not_a_frame", "3"),
    ]
    assert dead[1].raw == b"hello"
    got = np.concatenate([batch.records for batch in batches])
    assert len(got) == 400
    assert np.flatnonzero(got["flags"] & FLAG_GAP_BEFORE).tolist() == [200]
    counts = feed.counters()
    assert (counts["gaps"], counts["dead"], counts["records"]) == (1, 2, 400)
    with pytest.raises(DataError, match=r"sequences 200\.\.300 are missing"):
        list(feed_of(f"{broker.uri(topic)}?to=latest", gaps="halt").batches())


def test_frames_that_come_twice_are_taken_once(broker: Broker, topic: str, path: Path) -> None:
    writer, whole = writer_of(path)
    frames = [writer.encode(Place(at, at + 100, 0, 1), whole[at : at + 100]) for at in range(0, 400, 100)]
    overlap = writer.encode(Place(150, 350, 0, 1), whole[150:350])
    broker.produce(topic, [frames[0], frames[1], frames[0], overlap, frames[2], frames[3]])
    feed = feed_of(f"{broker.uri(topic)}?to=latest")
    assert all_records(feed).tobytes() == whole[:400].tobytes()
    assert feed.counters()["duplicates"] == 100 + 50 + 100 + 50
    assert feed.counters()["gaps"] == 0


def test_two_publishers_on_one_topic_halt(broker: Broker, topic: str, path: Path) -> None:
    writer, whole = writer_of(path)
    broker.produce(
        topic,
        [writer.encode(Place(0, 100, 0, 1), whole[:100]), writer.encode(Place(0, 100, 0, 2), whole[100:200])],
    )
    with pytest.raises(DataError, match="two publish to one topic"):
        list(feed_of(f"{broker.uri(topic)}?to=latest").batches())


def test_another_instrument_table_than_the_runs_halts_and_names_both(broker: Broker, topic: str, path: Path) -> None:
    writer, whole = writer_of(path)
    held = tapes.load(path).header
    finer = [
        tapes.TapeInstrument(symbol=entry.symbol, price_decimals=4, size_decimals=3, kinds=entry.kinds)
        for entry in held.instruments
    ]
    other = FrameWriter(Table.of(tapes.TapeHeader(one_time=False, instruments=finer)))
    broker.produce(
        topic,
        [
            writer.encode(Place(0, 100, 0, 1), whole[:100]),
            other.encode(Place(100, 200, 100, 2), whole[100:200]),
        ],
    )
    feed = feed_of(f"{broker.uri(topic)}?to=latest")
    with pytest.raises(DataError, match=r"\(4, 3, 'full'\) .*table and \(2, 3, 'full'\)") as caught:
        list(feed.batches())
    assert caught.value.reason == "other_table"
    with pytest.raises(ConfigError, match="price_decimals = 2 in the run file and 4"):
        replay.backtest(Busy, f"{broker.uri(topic)}?from=1&to=latest", **SETTINGS)


def test_another_version_of_frames_halts(broker: Broker, topic: str, path: Path) -> None:
    writer, whole = writer_of(path)
    first = writer.encode(Place(0, 100, 0, 1), whole[:100])
    other = bytearray(first)
    other[4] = 2
    broker.produce(topic, [first, bytes(other)])
    with pytest.raises(DataError, match="version 2"):
        list(feed_of(f"{broker.uri(topic)}?to=latest").batches())


def test_a_topic_of_others_is_not_taken_for_frames(broker: Broker, topic: str) -> None:
    broker.produce(topic, [b'{"bid": 1}'])
    with pytest.raises(ConfigError, match="no frame of replay's") as caught:
        feed_of(f"{broker.uri(topic)}?to=latest")
    assert 'message = "json"' in (caught.value.remedy or "")


# -- addresses


def test_a_wrong_broker_address_says_so(tmp_path: Path) -> None:
    from support.broker import free_port

    with pytest.raises(DataError, match=r"no broker answers at 127\.0\.0\.1:") as caught:
        feed_of(f"kafka://127.0.0.1:{free_port()}/ticks?to=latest")
    assert "check the address" in (caught.value.remedy or "")


def test_a_missing_topic_is_named_with_the_nearest(broker: Broker, topic: str) -> None:
    with pytest.raises(ConfigError, match="there is no topic") as caught:
        feed_of(f"{broker.uri(topic[:-1])}?to=latest")
    assert "--create" in (caught.value.remedy or "")
    with pytest.raises(ConfigError, match="there is no topic"):
        publish_tape(save(Path(str(broker.folder)) / "m.npy", market(10)), broker.uri("never"), create=False)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("from=yesterday&to=latest", "neither an offset, a time"),
        ("form=1", "unknown option 'form'"),
        ("partitions=a&to=latest", "must be numbers"),
        ("partitions=4&to=latest", "there is no partition 4"),
    ],
)
def test_a_wrong_option_is_named(broker: Broker, topic: str, query: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        feed_of(f"{broker.uri(topic)}?{query}")
