"""Live feeds: a file that grows, standard input, the simulated market; and going on after a restart."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.adapters import open_feed
from replay.adapters.follow import FollowFeed
from replay.adapters.stdin import StdinFeed
from replay.adapters.text import header_of, ndjson_decoding
from replay.errors import ConfigError, DataError
from replay.feeds.feed import Feed
from replay.records import FLAG_GAP_BEFORE, Kind

from .feeds import QUOTES, START_NS, TRADES, instrument, joined, read_live, spec, write

KEPT = TRADES | {"receive_time": "keep"}


def follow(path: Path, **entry: Any) -> Feed:
    return open_feed(spec(uri=f"follow:{path}?poll_ms=1", **entry), [instrument()], Path())


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def row(number: int) -> str:
    return f"{START_NS + number},{number + 1}.00,1\n"


async def test_a_growing_file_gives_each_row_once_its_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n" + row(0))
    feed = follow(path, **KEPT)
    reading = asyncio.create_task(read_live(feed, 3))
    await asyncio.sleep(0.05)
    append(path, row(1) + row(2)[:-3])
    await asyncio.sleep(0.05)
    assert not reading.done(), "half a row waits"
    append(path, row(2)[-3:])
    records = joined(await reading)
    assert records["a"].tolist() == [100, 200, 300]
    assert np.array_equal(records["ts_recv"], records["ts_event"])
    assert feed.header.one_time


async def test_following_goes_on_at_its_byte_and_keeps_its_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n" + "".join(row(number) for number in range(10)))
    batches = await read_live(follow(path, **KEPT), 10)
    append(path, row(10) + "bad,1,1\n" + row(11))
    rest = await read_live(follow(path, **KEPT), 2, batches[-1].cursor)
    assert joined(rest)["a"].tolist() == [1100, 1200]
    assert [letter.place for batch in rest for letter in batch.dead] == [f"{path}:13, column 'time'"]


async def test_a_stamped_row_is_received_when_it_arrives(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ndjson", f'{{"time":{START_NS},"price":1,"size":1}}\n')
    before_ns = time.time_ns()
    feed = follow(path, **TRADES)
    (batch,) = await read_live(feed, 1)
    assert feed.receive_time == "stamp"
    assert not feed.header.one_time
    assert batch.records["ts_event"].tolist() == [START_NS]
    assert before_ns <= int(batch.records["ts_recv"][0]) <= time.time_ns()


async def test_a_file_with_a_receive_column_keeps_its_times(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"time,local,price,size\n{START_NS},{START_NS + 7},1,1\n")
    feed = follow(path, **TRADES, receive={"column": "local", "unit": "ns"})
    assert joined(await read_live(feed, 1))["ts_recv"].tolist() == [START_NS + 7]


async def test_a_file_that_shrank_is_an_error_while_it_is_followed_and_after_a_restart(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n" + row(0) + row(1))
    feed = follow(path, **KEPT)
    reading = asyncio.create_task(read_live(feed, 3))
    await asyncio.sleep(0.05)
    os.truncate(path, 20)
    with pytest.raises(DataError, match="it shrank") as caught:
        await reading
    assert caught.value.reason == "shrank"
    path = write(tmp_path / "u.csv", "time,price,size\n" + row(0))
    cursor = (await read_live(follow(path, **KEPT), 1))[-1].cursor
    os.truncate(path, 20)
    with pytest.raises(DataError, match="it shrank"):
        await read_live(follow(path, **KEPT), 1, cursor)


async def test_a_file_that_is_another_one_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n" + row(0))
    cursor = (await read_live(follow(path, **KEPT), 1))[-1].cursor
    write(path, "time,price,size\n" + row(5) + row(6))
    with pytest.raises(DataError, match="are not those that it read"):
        await read_live(follow(path, **KEPT), 1, cursor)
    reading = asyncio.create_task(read_live(follow(path, **KEPT), 9))
    await asyncio.sleep(0.05)
    os.replace(write(tmp_path / "new.csv", "time,price,size\n" + row(0) * 9), path)
    with pytest.raises(DataError, match="was replaced"):
        await reading


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        follow(tmp_path / "t.csv", **TRADES)
    with pytest.raises(ConfigError, match="CSV or NDJSON"):
        follow(tmp_path / "t.npy", **TRADES)
    with pytest.raises(ConfigError, match="compressed"):
        follow(write(tmp_path / "t.csv", b"\x1f\x8b..."), **TRADES)
    path = write(tmp_path / "u.csv", "time,price,size\n")
    with pytest.raises(ConfigError, match="unknown option 'pol_ms'") as caught:
        open_feed(spec(uri=f"follow:{path}?pol_ms=1", **TRADES), [instrument()], Path())
    assert "poll_ms" in str(caught.value.remedy)


async def test_a_header_that_does_not_fit_is_an_error_of_the_first_read(tmp_path: Path) -> None:
    feed = follow(write(tmp_path / "t.csv", "time;price;size\n"), **TRADES)
    assert isinstance(feed, FollowFeed)
    with pytest.raises(ConfigError, match="the header is one column"):
        await read_live(feed, 1)


def piped(descriptor: int, **entry: Any) -> StdinFeed:
    one = spec(uri="stdin:", **entry)
    return StdinFeed(
        one,
        header_of(one, [instrument()], ["trade"], one_time=True),
        ndjson_decoding(one, [instrument()]),
        one.receive_time or "stamp",
        descriptor,
    )


async def test_standard_input_is_read_as_it_comes_to_its_end() -> None:
    reader, writer = os.pipe()
    feed = piped(reader, **KEPT)
    reading = asyncio.create_task(read_live(feed, 99))
    os.write(writer, b'{"time":1,"price":1,"size":1}\n{"time":2,"pr')
    await asyncio.sleep(0.05)
    os.write(writer, b'ice":2,"size":1}\nnonsense\n{"time":3,"price":3,"size":1}')
    await asyncio.sleep(0.05)
    os.close(writer)
    batches = await reading
    os.close(reader)
    assert joined(batches)["a"].tolist() == [100, 200, 300], "the last line may lack its end"
    assert joined(batches)["flags"].tolist() == [0, 0, 0]
    assert [letter.place for batch in batches for letter in batch.dead] == ["stdin:3"]


async def test_after_a_restart_the_first_record_from_standard_input_marks_the_gap() -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"time":1,"price":1,"size":1}\n{"time":2,"price":1,"size":1}\n')
    os.close(writer)
    records = joined(await read_live(piped(reader, **KEPT), 9, b'{"line":5}'))
    os.close(reader)
    assert records["flags"].tolist() == [FLAG_GAP_BEFORE, 0]


async def test_standard_input_may_be_a_regular_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ndjson", '{"time":1,"price":1,"size":1}\n' * 5000)
    with path.open("rb") as file:
        assert len(joined(await read_live(piped(file.fileno(), **KEPT), 99_999))) == 5000


async def test_nobody_waits_for_standard_input_after_the_run_is_stopped() -> None:
    reader, writer = os.pipe()
    feed = piped(reader, **KEPT)
    with pytest.raises(TimeoutError):
        await read_live(feed, 1, seconds=0.05)
    os.close(writer)
    await asyncio.sleep(0.05)
    os.close(reader)


def sim(query: str, **entry: Any) -> Feed:
    return open_feed(spec(uri=f"sim:?{query}", **entry), [instrument(), instrument("ETHUSDT", 2, 2)], Path())


async def test_the_simulated_market_comes_on_the_wall_clock() -> None:
    before_ns = time.time_ns()
    feed = sim("seed=3&rate=1000&records=300")
    records = joined(await read_live(feed, 300))
    assert len(records) == 300
    assert set(np.unique(records["instrument"]).tolist()) == {0, 1}
    assert set(np.unique(records["kind"]).tolist()) == {Kind.QUOTE, Kind.TRADE}
    assert before_ns < int(records["ts_event"][0])
    assert bool(np.all(records["ts_recv"] >= records["ts_event"]))
    assert bool(np.all(np.diff(records["ts_recv"]) >= 0))
    assert (time.time_ns() - before_ns) > 200_000_000


async def test_the_simulated_market_goes_on_as_the_same_market() -> None:
    whole = await read_live(sim("seed=3&rate=2000&records=400"), 400)
    cursor = whole[0].cursor
    taken = len(whole[0].records)
    rest = joined(await read_live(sim("seed=3&rate=2000&records=400"), 400 - taken, cursor))
    assert np.array_equal(rest["ts_event"], joined(whole)["ts_event"][taken:])
    assert np.array_equal(rest["a"], joined(whole)["a"][taken:])
    with pytest.raises(DataError, match="began with the market of seed 3, not 4"):
        await read_live(sim("seed=4"), 1, cursor)


async def test_the_simulated_market_has_the_prices_and_instruments_asked_for() -> None:
    records = joined(await read_live(sim("rate=100000&records=500&price.ETHUSDT=3000", symbol="ETHUSDT"), 500))
    assert set(records["instrument"].tolist()) == {1}
    quotes = records[records["kind"] == Kind.QUOTE]
    assert abs(int(quotes["a"][0]) - 300_000) < 3_000


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sed=1", "unknown option 'sed'"),
        ("rate=0", "rate must be between 1"),
        ("rate=fast", "rate must be a whole number"),
        ("price.DOGE=1", "there is no instrument 'DOGE'"),
        ("price.BTCUSDT=1.005", "more than 2 decimals"),
        ("price.BTCUSDT=0.01", "cannot make a market"),
    ],
)
def test_an_impossible_market_is_refused(query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sim(query)


def test_quotes_follow_too(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", "time,bid,ask,bid_size,ask_size\n1,1,2,1,1\n")
    records = joined(asyncio.run(read_live(follow(path, **QUOTES), 1)))
    assert records["kind"].tolist() == [Kind.QUOTE]
