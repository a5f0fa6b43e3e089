"""Topics of others: JSON, MessagePack and CSV of any shape, numbers exact, each dead message with its place."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec
import pytest
from kafka.topics import all_records, feed_of
from modes.market import START_NS
from support.broker import Broker

from replay.config import DurationText
from replay.errors import ConfigError, DataError
from replay.feeds.feed import Batch

pytestmark = pytest.mark.kafka

QUOTES: dict[str, Any] = {
    "message": "json",
    "records": "quote",
    "symbol": {"column": "s"},
    "time": {"column": "data.ts", "unit": "ns"},
    "columns": {"bid": "data.b", "ask": "data.a", "bid_size": "data.B", "ask_size": "data.A"},
}
MS = 1_000_000


def entry(**changed: Any) -> dict[str, Any]:
    from replay.config.sections import SymbolColumn, TimeColumn

    made = {**QUOTES, **changed}
    if isinstance(made["symbol"], dict):
        made["symbol"] = SymbolColumn(**made["symbol"])
    for key in ("time", "receive"):
        if isinstance(made.get(key), dict):
            made[key] = TimeColumn(**made[key])
    return made


def quote(number: int, **changed: Any) -> dict[str, Any]:
    at = START_NS + number * MS
    data = {"ts": at, "r": at, "b": "100.01", "a": "100.02", "B": "1.5", "A": "2", "junk": [0.1, {"x": 1.5}]}
    return {"s": "BTCUSDT" if number % 2 else "ETHUSDT", "data": {**data, **changed}, "more": None}


def dead_of(batches: list[Batch]) -> list[tuple[str, int]]:
    return [
        (letter.reason, int(letter.place.partition("offset ")[2].split(",")[0]))
        for batch in batches
        for letter in batch.dead
    ]


def test_json_of_a_foreign_shape_is_read_exactly(broker: Broker, topic: str) -> None:
    texts = [msgspec.json.encode(quote(n)) for n in range(100)]
    texts[7] = b'{"s":"BTCUSDT","data":{"ts":%d,"b":90071992547409.93,"a":90071992547409.94,"B":1,"A":1}}' % START_NS
    texts[8] = msgspec.json.format(msgspec.json.encode(quote(8)), indent=2)
    broker.produce(topic, texts)
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry())
    got = all_records(feed)
    assert len(got) == 100
    assert got["a"][7] == 9007199254740993, "a float would end with 2"
    assert got["a"][0] == 10001
    assert got["c"][0] == 1500
    assert got["instrument"].tolist()[:4] == [1, 0, 1, 0]
    assert feed.counters()["dead"] == 0


@pytest.mark.parametrize("message", ["json", "msgpack"])
def test_time_and_receive_may_name_one_field(message: str, broker: Broker, topic: str) -> None:
    encode = msgspec.json.encode if message == "json" else msgspec.msgpack.encode
    broker.produce(topic, [encode({**quote(n), "more": 1}) for n in range(10)])
    one = {"column": "data.ts", "unit": "ns"}
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry(message=message, time=one, receive=one))
    got = all_records(feed)
    assert got["ts_recv"].tolist() == got["ts_event"].tolist() == [START_NS + n * MS for n in range(10)]
    assert feed.counters()["dead"] == 0


def test_each_message_that_does_not_decode_is_a_dead_letter_with_its_offset(broker: Broker, topic: str) -> None:
    texts = [msgspec.json.encode(quote(n)) for n in range(50)]
    texts[3] = b"not json"
    texts[10] = msgspec.json.encode(quote(10, b="1e400"))
    texts[11] = b""
    texts[12] = b"\n\n"
    texts[20] = msgspec.json.encode({**quote(20), "s": "DOGE"})
    texts[49] = b'{"s":"BTCUSDT"}'
    broker.produce(topic, texts)
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry())
    batches = list(feed.batches())
    assert dead_of(batches) == [
        ("bad_json", 3),
        ("overflow", 10),
        ("empty", 11),
        ("empty", 12),
        ("unknown_symbol", 20),
        ("missing_field", 49),
    ]
    letters = [letter for batch in batches for letter in batch.dead]
    assert letters[0].raw == b"not json"
    assert "field 'data.b'" in letters[1].place
    counts = feed.counters()
    assert counts["rows"] == 50 == counts["records"] + counts["dead"]


def test_cursors_stand_between_messages(broker: Broker, topic: str) -> None:
    broker.produce(topic, [msgspec.json.encode(quote(n)) if n % 7 else b"x" for n in range(5_000)])
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry())
    whole = all_records(feed)
    done = 0
    batches = list(feed.batches())
    assert len(batches) > 1
    for batch in batches:
        done += len(batch.records)
        assert all_records(feed, batch.cursor).tobytes() == whole[done:].tobytes()
    assert sum(len(batch.dead) for batch in batches) == 715


def test_messages_of_several_partitions_are_merged_by_time(broker: Broker, topic: str) -> None:
    name = broker.create_topic(f"{topic}-3", partitions=3)
    numbers: list[list[int]] = [[], [], []]
    for n in range(3_000):
        numbers[n * n % 3].append(n)
    for partition, mine in enumerate(numbers):
        broker.produce(name, [msgspec.json.encode(quote(n)) for n in mine], partition=partition)
    feed = feed_of(f"{broker.uri(name)}?to=latest", **entry())
    got = all_records(feed)
    assert got["ts_recv"].tolist() == [START_NS + n * MS for n in range(3_000)]
    for batch in feed.batches():
        rest = all_records(feed, batch.cursor)
        assert (
            len(rest) == 3_000 - 1 - (int(batch.records["ts_recv"][-1]) - START_NS) // MS if len(batch.records) else 1
        )


def test_integers_on_a_scale_are_read_as_decimals(broker: Broker, topic: str) -> None:
    broker.produce(topic, [msgspec.json.encode(quote(1, b=10_001, a=10_002_0, B=15, A="20"))])
    got = all_records(feed_of(f"{broker.uri(topic)}?to=latest", **entry(scales={"bid": 2, "ask": 3, "bid_size": 1})))
    assert (got["a"][0], got["b"][0], got["c"][0], got["d"][0]) == (10_001, 10_002, 1_500, 20_000)
    with pytest.raises(DataError, match="more than the 2 decimals"):
        all_records(feed_of(f"{broker.uri(topic)}?to=latest", **entry(scales={"bid": 5})))


def test_numbers_finer_than_the_instrument_halt_at_their_message(broker: Broker, topic: str) -> None:
    texts = [msgspec.json.encode(quote(n)) for n in range(10)]
    texts[6] = msgspec.json.encode(quote(6, b="100.015"))
    broker.produce(topic, texts)
    batches: list[Batch] = []
    with pytest.raises(DataError, match=r"100\.015 has more than the 2 decimals") as caught:
        batches.extend(feed_of(f"{broker.uri(topic)}?to=latest", **entry()).batches())
    assert "partition 0, offset 6, member 'data.b'" in (caught.value.place or "")
    rounded = feed_of(f"{broker.uri(topic)}?to=latest", **entry(excess_decimals="round"))
    assert len(all_records(rounded)) == 10
    assert rounded.counters()["rounded"] == 1


def test_messagepack_is_read_exactly_and_its_floats_are_dead(broker: Broker, topic: str) -> None:
    values = [msgspec.msgpack.encode(quote(n)) for n in range(20)]
    values[4] = msgspec.msgpack.encode(quote(4, b=100.01))
    values[5] = msgspec.msgpack.encode(quote(5, b=100, a=101))
    values[6] = b"\xc1"
    values[7] = msgspec.msgpack.encode(quote(7, b="90071992547409.93", a="90071992547409.94"))
    broker.produce(topic, values)
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry(message="msgpack"))
    batches = list(feed.batches())
    assert dead_of(batches) == [("float_number", 4), ("bad_msgpack", 6)]
    got = all_records(feed)
    assert len(got) == 18
    assert got["a"].tolist()[4] == 10_000
    assert got["a"].tolist()[5] == 9007199254740993


def test_csv_messages_have_their_columns_from_the_run_file_and_may_hold_several_rows(
    broker: Broker, topic: str
) -> None:
    from replay.config.sections import TimeColumn

    csv: dict[str, Any] = {
        "message": "csv",
        "records": "trade",
        "symbol": "BTCUSDT",
        "time": TimeColumn(column="t", unit="ns"),
        "header": ["t", "price", "size", "side"],
    }
    rows = [b"%d,100.%02d,1,buy" % (START_NS + n * MS, n) for n in range(10)]
    broker.produce(topic, [rows[0], b"\n".join(rows[1:4]) + b"\n", b"broken", *rows[4:]])
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **csv)
    batches = list(feed.batches())
    assert all_records(feed)["a"].tolist() == [10_000 + n for n in range(10)]
    assert dead_of(batches) == [("bad_row", 2)]
    with pytest.raises(ConfigError, match="their columns are not named"):
        feed_of(f"{broker.uri(topic)}?to=latest", **{**csv, "header": []})
    with pytest.raises(ConfigError, match="no column 'price'"):
        feed_of(f"{broker.uri(topic)}?to=latest", **{**csv, "header": ["t", "px", "size"]})


def test_dead_messages_go_to_a_topic_of_their_own_with_their_place(broker: Broker, topic: str) -> None:
    letters = broker.create_topic(f"{topic}-dead")
    broker.produce(topic, [msgspec.json.encode(quote(0)), b"not json", msgspec.json.encode(quote(2))])
    feed = feed_of(f"{broker.uri(topic)}?to=latest", **entry(dead_letters=broker.uri(letters)))
    assert len(all_records(feed)) == 2
    (dead,) = broker.read(letters)
    assert dead.value == b"not json"
    assert {name: value for name, value in dead.headers.items() if name != "place"} == {
        "reason": b"bad_json",
        "topic": topic.encode(),
        "partition": b"0",
        "offset": b"1",
    }


def test_a_feed_measures_what_it_took_and_how_far_behind_it_is(broker: Broker, topic: str) -> None:
    broker.produce(topic, [msgspec.json.encode(quote(n)) for n in range(30)] + [b"x"])
    feed = feed_of(f"{broker.uri(topic)}?to=20", **entry())
    all_records(feed)
    seen = {measure.name: measure.value for measure in feed.measures()}
    assert seen["replay_kafka_feed_messages"] == 31
    assert seen["replay_kafka_feed_dead"] == 0
    assert seen["replay_kafka_feed_broker_reachable"] == 1
    assert set(seen) >= {"replay_kafka_feed_lag_offsets", "replay_kafka_feed_lag_seconds", "replay_kafka_feed_bytes"}


async def taken(feed: Any, count: int, cursor: bytes | None = None, seconds: float = 20.0) -> list[Batch]:
    """Read a live feed until it has given so many records."""
    batches: list[Batch] = []
    async with asyncio.timeout(seconds), contextlib.aclosing(feed.batches_async(cursor)) as source:
        async for batch in source:
            batches.append(batch)
            if sum(len(one.records) for one in batches) >= count:
                break
    return batches


def times_ms(batches: list[Batch]) -> list[int]:
    return [(int(time_ns) - START_NS) // MS for batch in batches for time_ns in batch.records["ts_recv"]]


def test_a_silent_partition_holds_the_others_back_for_a_while_only_and_nothing_of_it_is_lost(
    broker: Broker, topic: str
) -> None:
    name = broker.create_topic(f"{topic}-3", partitions=3)

    def put(numbers: list[int], partition: int) -> None:
        broker.produce(name, [msgspec.json.encode(quote(n)) for n in numbers], partition=partition)

    put([0, 2, 4], 0)
    put([1, 3], 1)  # the third partition has never had anything
    spec = entry(receive={"column": "data.r", "unit": "ns"}, idle=DurationText("1s"))
    feed = feed_of(f"{broker.uri(name)}?from=earliest", **spec)
    began_s = time.monotonic()
    first = asyncio.run(taken(feed, 5))
    assert time.monotonic() - began_s >= 1.0, "they waited for it"
    assert times_ms(first) == [0, 1, 2, 3, 4]
    put([3], 2)  # what comes that late comes behind what was given
    put([5], 0)
    rest = asyncio.run(taken(feed, 2, first[-1].cursor))
    assert times_ms(rest) == [3, 5]
    cut = next(batch for batch in first if len(batch.records))
    again = asyncio.run(taken(feed, 7 - len(cut.records), cut.cursor))
    assert sorted([*times_ms([cut]), *times_ms(again)]) == [0, 1, 2, 3, 3, 4, 5], "nothing is lost, nothing doubled"


def test_within_idle_the_order_of_partitions_is_kept(broker: Broker, topic: str) -> None:
    name = broker.create_topic(f"{topic}-2", partitions=2)
    spec = entry(receive={"column": "data.r", "unit": "ns"}, idle=DurationText("30s"))
    feed = feed_of(f"{broker.uri(name)}?from=earliest", **spec)
    broker.produce(name, [msgspec.json.encode(quote(n)) for n in (0, 2, 4)], partition=0)
    with pytest.raises(TimeoutError):  # within `idle` nothing is given that the other partition might precede
        asyncio.run(taken(feed, 1, seconds=2.0))
    broker.produce(name, [msgspec.json.encode(quote(n)) for n in (1, 3, 5)], partition=1)
    assert times_ms(asyncio.run(taken(feed, 4))) == [0, 1, 2, 3]
