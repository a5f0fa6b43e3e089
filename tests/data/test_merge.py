"""Merging: by receive time after the offset, feed, row; whatever the batches are cut like; from any cursor on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.feed import Batch, DeadLetter, LiveFeed
from replay.feeds.merge import merge
from replay.feeds.tape import TapeHeader
from replay.records import FLAG_SNAPSHOT, Kind, empty

from .feeds import ListedFeed, collect, joined, read_all, trades

TIMES = st.lists(st.integers(0, 30), max_size=20)
FEEDS = st.lists(st.tuples(TIMES, st.integers(1, 7), st.integers(-5, 5)), min_size=1, max_size=4)


def plainly_sorted(feeds: list[ListedFeed]) -> NDArray[Any]:
    """The contract, written as one sort: (largest ts_recv + offset so far, feed, row)."""
    rows: list[tuple[int, int, int]] = []
    for index, feed in enumerate(feeds):
        top_ns = -(2**63)
        for row, time_ns in enumerate(feed.all["ts_recv"].tolist()):
            top_ns = max(top_ns, time_ns + feed.clock_offset_ns)
            rows.append((top_ns, index, row))
    merged = empty(len(rows))
    for place, (_, index, row) in enumerate(sorted(rows)):
        merged[place] = feeds[index].all[row]
        merged["ts_recv"][place] += feeds[index].clock_offset_ns
    return merged


def listed(drawn: list[tuple[list[int], int, int]]) -> list[ListedFeed]:
    return [ListedFeed(trades(times, mark), rows, offset_ns=offset) for mark, (times, rows, offset) in enumerate(drawn)]


@given(drawn=FEEDS)
def test_merging_equals_a_plain_sort(drawn: list[tuple[list[int], int, int]]) -> None:
    feeds = listed(drawn)
    records, _ = read_all(merge(feeds))
    assert np.array_equal(records, plainly_sorted(feeds))


@given(drawn=FEEDS, data=st.data())
def test_going_on_from_any_cursor_gives_exactly_what_follows(
    drawn: list[tuple[list[int], int, int]], data: st.DataObject
) -> None:
    feeds = listed(drawn)
    for feed in feeds:
        places = data.draw(st.lists(st.integers(0, 19), max_size=4, unique=True))
        feed.dead = {place: DeadLetter("bad", str(place).encode(), feed.uri) for place in places}
    batches = list(merge(feeds).batches())
    for place, batch in enumerate(batches):
        rest = list(merge(feeds).batches(batch.cursor))
        assert np.array_equal(joined(rest), joined(batches[place + 1 :]))
        told = [letter for later in rest for letter in later.dead]
        assert told == [letter for later in batches[place + 1 :] for letter in later.dead], "no dead letter comes twice"
    reachable = sum(1 for feed in feeds for place in feed.dead if place < len(feed.all))
    assert sum(len(batch.dead) for batch in batches) == reachable


def test_at_one_time_the_earlier_feed_and_row_go_first() -> None:
    feeds = [ListedFeed(trades([5, 5, 7], 0)), ListedFeed(trades([5, 5, 6], 1), 1)]
    records, _ = read_all(merge(feeds))
    assert records["c"].tolist() == [0, 1, 1_000_000, 1_000_001, 1_000_002, 2]


def test_a_receive_time_that_goes_back_keeps_its_row_in_place() -> None:
    feeds = [ListedFeed(trades([10, 3, 11], 0)), ListedFeed(trades([4, 10], 1))]
    records, _ = read_all(merge(feeds))
    assert records["ts_recv"].tolist() == [4, 10, 3, 10, 11]


def test_one_feed_gets_its_clock_offset_too() -> None:
    feed = merge([ListedFeed(trades([1, 2]), offset_ns=-5)])
    records, _ = read_all(feed)
    assert records["ts_recv"].tolist() == [-4, -3]
    assert records["ts_event"].tolist() == [1, 2]
    assert (feed.header.first_ns, feed.header.last_ns, feed.header.one_time) == (-4, -3, False)


def test_an_offset_beyond_64_bits_is_an_error_not_a_wrap() -> None:
    with pytest.raises(DataError, match="64-bit"):
        read_all(merge([ListedFeed(trades([2**63 - 2]), offset_ns=5)]))


def test_bars_of_all_feeds_point_into_one_table_of_lengths() -> None:
    minute, hour = 60_000_000_000, 3_600_000_000_000
    first, second = trades([1, 2]), trades([3, 4])
    for records in (first, second):
        records["kind"] = Kind.BAR
    first["flags"] = [0, 1 | FLAG_SNAPSHOT]
    second["flags"] = [1, 9]
    feeds = [ListedFeed(first, bar_lengths_ns=[minute, hour]), ListedFeed(second, bar_lengths_ns=[7, minute])]
    merged = merge(feeds)
    assert merged.header.bar_lengths_ns == [minute, hour, 7]
    records, _ = read_all(merged)
    assert records["flags"].tolist() == [0, 1 | FLAG_SNAPSHOT, 0, 255], "an index without a length stays without one"


def test_the_header_tells_what_the_feeds_carry_together() -> None:
    one = ListedFeed(trades([1, 9]), symbols=("BTCUSDT", "ETHUSDT"))
    two = ListedFeed(trades([3]), symbols=("ETHUSDT", "SOLUSDT"))
    two.header = msgspec.structs.replace(
        two.header,
        instruments=[msgspec.structs.replace(entry, kinds=["quote"], sizes="none") for entry in two.header.instruments],
    )
    header = merge([one, two]).header
    assert [(entry.symbol, entry.kinds, entry.sizes) for entry in header.instruments] == [
        ("BTCUSDT", ["trade"], "full"),
        ("ETHUSDT", ["trade", "quote"], "none"),
        ("SOLUSDT", ["quote"], "none"),
    ]
    assert (header.rows, header.first_ns, header.last_ns) == (3, 1, 9)


def test_feeds_that_disagree_about_scales_are_refused() -> None:
    one, two = ListedFeed(trades([1])), ListedFeed(trades([1]))
    entry = msgspec.structs.replace(two.header.instruments[0], price_decimals=4)
    two.header = msgspec.structs.replace(two.header, instruments=[entry])
    with pytest.raises(ConfigError, match="has 4 and 3 decimals of price and size here, 2 and 3"):
        merge([one, two])


def test_a_cursor_of_other_feeds_is_refused() -> None:
    cursor = next(merge([ListedFeed(trades([1]))]).batches()).cursor
    with pytest.raises(DataError, match="has places of 1 feeds, and the run has 2"):
        read_all(merge([ListedFeed(trades([1])), ListedFeed(trades([1]))]), cursor)
    with pytest.raises(DataError, match="not one of merged feeds"):
        read_all(merge([ListedFeed(trades([1]))]), b'{"row":1}')


def test_no_feed_and_a_mixture_of_stored_and_live_ones_are_refused() -> None:
    with pytest.raises(ConfigError, match="there is no feed"):
        merge([])
    with pytest.raises(ConfigError, match="no common clock"):
        merge([ListedFeed(trades([1])), ScriptedFeed([])])


async def test_stored_feeds_merge_alike_on_the_event_loop() -> None:
    feeds = [ListedFeed(trades([1, 4], 0)), ListedFeed(trades([2, 3], 1))]
    batches = await collect(merge(feeds).batches_async())
    assert np.array_equal(joined(batches), plainly_sorted(feeds))


class ScriptedFeed(LiveFeed):
    """A live feed that gives records after pauses; a text instead of records is an error."""

    def __init__(self, script: list[tuple[float, list[int] | str]], mark: int = 0, offset_ns: int = 0) -> None:
        super().__init__("scripted", TapeHeader(one_time=False, instruments=[]))
        self.script = script
        self.mark = mark
        self.clock_offset_ns = offset_ns
        self.is_closed = False

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        begin = 0 if cursor is None else msgspec.json.decode(cursor, type=int)
        try:
            for place, (pause, times) in enumerate(self.script[begin:], begin + 1):
                await asyncio.sleep(pause)
                if isinstance(times, str):
                    raise DataError(times)
                yield Batch(trades(times, self.mark), msgspec.json.encode(place))
        finally:
            self.is_closed = True


async def test_live_feeds_come_as_they_arrive_and_go_on_where_each_stood() -> None:
    def feeds() -> list[ScriptedFeed]:
        return [ScriptedFeed([(0, [1]), (0.06, [2])], 0), ScriptedFeed([(0.03, [9]), (0.06, [10])], 1, offset_ns=100)]

    batches = await collect(merge(feeds()).batches_async())
    assert joined(batches)["ts_recv"].tolist() == [1, 109, 2, 110]
    rest = await collect(merge(feeds()).batches_async(batches[1].cursor))
    assert sorted(joined(rest)["ts_recv"].tolist()) == [2, 110]


async def test_an_error_of_one_live_feed_ends_the_others() -> None:
    quiet = ScriptedFeed([(60, [1])])
    with pytest.raises(DataError, match="it shrank"):
        await asyncio.wait_for(collect(merge([quiet, ScriptedFeed([(0, "it shrank")])]).batches_async()), 5)
    assert quiet.is_closed


async def test_whoever_stops_listening_closes_the_live_feeds() -> None:
    feeds = [ScriptedFeed([(0, [1]), (60, [2])]), ScriptedFeed([(60, [1])])]
    source = merge(feeds).batches_async()
    await anext(source)
    closing: Any = source
    await closing.aclose()
    assert all(feed.is_closed for feed in feeds)


def test_a_live_feed_cannot_be_iterated_as_a_stored_one() -> None:
    with pytest.raises(UsageError, match="is live"):
        ScriptedFeed([]).batches()
