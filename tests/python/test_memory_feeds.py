"""Feeds of ticks, iterables, generators, frames and asynchronous iterators: the run of the records they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay import BarTick, QuoteTick, Strategy, TradeTick
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.frames import _scaled
from replay.feeds.ticks import scaled, time_ns

pd = pytest.importorskip("pandas")

SECOND_NS = 1_000_000_000
START = datetime(2024, 1, 2, tzinfo=UTC)
START_NS = 1_704_153_600 * SECOND_NS
INSTRUMENT = {"symbol": "ABC", "tick": "0.01", "lot": "0.1", "quote": "USD"}
SETTINGS: dict[str, Any] = {"instruments": INSTRUMENT, "cash": {"USD": 10_000}}


@pytest.mark.parametrize(
    ("kind", "args", "members", "fact", "remedy"),
    [
        (TradeTick, (), {"tim": 1, "price": 1}, "has no member 'tim'", "did you mean 'time'? choices: time, price"),
        (QuoteTick, (), {"time": 1, "bidd": 1}, "has no member 'bidd'", "did you mean 'bid'?"),
        (TradeTick, (), {"time": 1}, "lacks its member 'price'", "add price=.."),
        (BarTick, (), {"time": 1, "open": 1, "high": 1, "low": 1}, "lacks its member 'close'", "add close=.."),
        (TradeTick, (1, 2), {}, "takes its members by name, not 1", "write TradeTick(time=.., price=..)"),
    ],
)
def test_a_tick_with_a_wrong_member_is_told_with_the_nearest_name(
    kind: Any, args: tuple[Any, ...], members: dict[str, Any], fact: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        kind(*args, **members)
    assert caught.value.message == f"{kind.__name__} {fact}"
    assert (caught.value.remedy or "").startswith(remedy)


class Buys(Strategy):
    """Buys one at the third tick and notes what it saw."""

    def on_start(self) -> None:
        self.seen: list[tuple[float, ...]] = []

    def on_quote(self, quote: Any) -> None:
        self._see(quote.bid, quote.ask, quote.ts_event)

    def on_trade(self, trade: Any) -> None:
        self._see(trade.price, trade.size, trade.ts_event)

    def _see(self, *values: float) -> None:
        self.seen.append(values)
        if len(self.seen) == 3:
            self.buy("ABC", 1)


def some_quotes(count: int = 10) -> list[QuoteTick]:
    return [
        QuoteTick(
            time=START + timedelta(seconds=row),
            bid=Decimal("10.00") + row,
            ask=f"{10 + row}.01",
            bid_size=5,
            ask_size="7.5",
        )
        for row in range(count)
    ]


def as_mapping(tick: QuoteTick) -> dict[str, Any]:
    return {
        "time": tick.time,
        "bid": tick.bid,
        "ask": tick.ask,
        "bid_size": tick.bid_size,
        "ask_size": tick.ask_size,
    }


def frame_of(ticks: list[QuoteTick]) -> Any:
    rows = [{name: float(value) if name != "time" else value for name, value in as_mapping(t).items()} for t in ticks]
    return pd.DataFrame(rows)


def test_every_form_of_the_same_ticks_gives_the_same_digest() -> None:
    ticks = some_quotes()
    frame = frame_of(ticks)
    indexed = frame.set_index("time")
    plain = {name: frame[name].to_numpy() for name in ("bid", "ask", "bid_size", "ask_size")}
    plain["time"] = frame["time"].dt.tz_localize(None).to_numpy()
    exact = frame.astype({"bid": object})
    exact["bid"] = [Decimal(str(value)) for value in frame["bid"]]
    forms: dict[str, Any] = {
        "list": ticks,
        "tuple": tuple(ticks),
        "mappings": [as_mapping(tick) for tick in ticks],
        "generator": (tick for tick in ticks),
        "function": lambda: iter(ticks),
        "pandas": frame,
        "pandas, times in the index": indexed,
        "arrow": pa.Table.from_pandas(frame),
        "arrays": plain,
        "decimals": exact,
    }
    digests = {name: replay.backtest(Buys, form, **SETTINGS).digest for name, form in forms.items()}
    assert len(set(digests.values())) == 1, digests


def test_ticks_reach_the_strategy_as_they_were_written() -> None:
    strategy = Buys()
    result = replay.backtest(strategy, some_quotes(4), **SETTINGS)
    assert strategy.seen[::3] == [(10.0, 10.01, START_NS), (13.0, 13.01, START_NS + 3 * SECOND_NS)]
    assert result.fills["price"].tolist() == [12.01]


def test_columns_of_a_frame_may_have_other_names_and_units() -> None:
    frame = pd.DataFrame(
        {"when": [START_NS // 1_000_000 + 1000 * row for row in range(5)], "p": 10.5, "q": [1, 2, 3, 4, 5]}
    )
    strategy = Buys()
    options = {"records": "trade", "time": {"column": "when", "unit": "ms"}, "columns": {"price": "p", "size": "q"}}
    replay.backtest(strategy, frame, feed_options=options, **SETTINGS)
    assert strategy.seen == [(10.5, row + 1.0, START_NS + row * SECOND_NS) for row in range(5)]


def test_bars_of_a_frame_that_are_stamped_at_their_start_end_later() -> None:
    class Ends(Strategy):
        def on_start(self) -> None:
            self.ends: list[int] = []
            self.bars("ABC", "1m")

        def on_bar(self, bar: Any) -> None:
            self.ends.append(bar.end)

    times = pd.date_range(START, periods=3, freq="1min")
    frame = pd.DataFrame({"open": 1.5, "high": 2.0, "low": 1.0, "close": 1.25}, index=times)
    strategy = Ends()
    options = {"records": "bar", "bar": "1m", "symbol": "ABC", "time": {"column": "time", "stamp": "start"}}
    replay.backtest(strategy, frame, feed_options=options, **SETTINGS)
    assert strategy.ends == [START_NS + (row + 1) * 60 * SECOND_NS for row in range(3)]


def test_a_generator_longer_than_what_is_looked_at_is_taken_as_the_run_goes_on() -> None:
    taken: list[int] = []

    def forever() -> Iterator[TradeTick]:
        for row in count():
            taken.append(row)
            yield TradeTick(time=START_NS + row * SECOND_NS, price=10, size=1)

    class Stops(Strategy):
        def on_start(self) -> None:
            self.left = 5_000

        def on_trade(self, trade: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise RuntimeError("enough")

    with pytest.raises(replay.StrategyError):
        replay.backtest(Stops, forever(), **SETTINGS)
    assert 5_000 <= len(taken) < 10_000


def test_a_kind_of_tick_that_comes_late_is_refused_since_the_run_was_not_prepared_for_it() -> None:
    def ticks() -> Iterator[Any]:
        for row in range(2_000):
            yield TradeTick(time=START_NS + row, price=10, size=1)
        yield QuoteTick(time=START_NS + 3_000, bid=9, ask=10, bid_size=1, ask_size=1)

    with pytest.raises(DataError, match="a quote came that the run was not prepared for"):
        replay.backtest(Buys, ticks(), **SETTINGS)


def test_several_feeds_are_merged() -> None:
    quotes = [QuoteTick(time=START_NS + 2 * row, bid=9, ask=10) for row in range(3)]
    trades = [TradeTick(time=START_NS + 2 * row + 1, price=9.5) for row in range(3)]
    strategy = Buys()
    replay.backtest(strategy, [quotes, iter(trades)], **SETTINGS)
    assert [seen[-1] for seen in strategy.seen] == [START_NS + row for row in range(6)]


def test_an_asynchronous_iterator_is_a_live_feed_of_a_paper_session(tmp_path: Path) -> None:
    ticks = [TradeTick(time=START_NS + row * SECOND_NS, price=10 + row, size=2) for row in range(6)]

    async def live() -> AsyncIterator[Any]:
        yield ticks[0]
        await asyncio.sleep(0)
        yield ticks[1:4]  # what came together
        for tick in ticks[4:]:
            yield tick

    keep: dict[str, Any] = {"records": "trade", "receive_time": "keep"}
    quiet: dict[str, Any] = {"metrics": {"port": 0}}
    result = replay.paper(Buys, live, feed_options=keep, session=tmp_path / "s", **SETTINGS, **quiet)
    assert result.digest == replay.backtest(Buys, ticks, **SETTINGS).digest
    stamped = replay.paper(
        Buys(), live(), feed_options={"records": "trade"}, session=tmp_path / "t", **SETTINGS, **quiet
    )
    assert stamped.counts["records"] == 6


def test_a_session_started_again_goes_on_behind_what_it_has(tmp_path: Path) -> None:
    ticks = [TradeTick(time=START_NS + row * SECOND_NS, price=10 + row, size=2) for row in range(9)]

    def first(count: int) -> Any:
        async def live() -> AsyncIterator[Any]:
            for tick in ticks[:count]:
                yield tick

        return live

    keep: dict[str, Any] = {"feed_options": {"records": "trade", "receive_time": "keep"}, "metrics": {"port": 0}}
    replay.paper(Buys, first(4), session=tmp_path / "s", **keep, **SETTINGS)
    again = replay.paper(Buys, first(9), session=tmp_path / "s", **keep, **SETTINGS)
    assert again.digest == replay.backtest(Buys, ticks, **SETTINGS).digest


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ([TradeTick(time=0, price="10.001", size=1)], "10.001 has more than the 2 decimals"),
        ([TradeTick(time=0, price="ten", size=1)], "'ten' is no finite number"),
        ([TradeTick(time=0, price=float("nan"), size=1)], "nan is no finite number"),
        ([TradeTick(time=0, price=10, size=1, symbol="XYZ")], "'XYZ' is no instrument of the run"),
        ([TradeTick(time=0, price=10, size=1), TradeTick(time=0, price=10)], "lacks sizes, unlike the ticks before it"),
        ([TradeTick(time=START.replace(tzinfo=None), price=10)], "knows no zone"),
        ([{"time": 0, "price": 1, "colour": 2}], "a trade has no member 'colour'"),
        ([{"time": 0, "colour": 2}], "is no tick"),
        ([{"bid": 1, "ask": 2}], "lacks its time"),
        (iter([17]), "17 is no tick"),
        ([QuoteTick(time=0)], "neither bid nor ask"),
        ([TradeTick(time=0, price=10, side="left")], "'left' is no side"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_with_a_tick_is_said_with_its_place(feed: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        replay.backtest(Buys, feed, **SETTINGS)
    assert raised.value.place is not None
    assert raised.value.place.startswith("item")


def test_what_is_wrong_with_a_frame_is_said_with_its_row_and_column() -> None:
    good = pd.DataFrame({"time": [START, START], "price": [10.25, 10.5], "size": [1, 1]})
    with pytest.raises(DataError, match=r"10\.255 has more than the 2 decimals") as raised:
        replay.backtest(Buys, good.assign(price=[10.25, 10.255]), **SETTINGS)
    assert raised.value.place == "row 1, price"
    with pytest.raises(DataError, match="nan is no finite number"):
        replay.backtest(Buys, good.assign(size=[1, np.nan]), **SETTINGS)
    with pytest.raises(DataError, match="has no column 'time'"):
        replay.backtest(Buys, good.rename(columns={"time": "zeit"}), **SETTINGS)
    with pytest.raises(DataError, match="neither quotes, trades nor bars"):
        replay.backtest(Buys, good.rename(columns={"price": "preis"}), **SETTINGS)
    rounded = replay.backtest(
        Buys, good.assign(price=[10.25, 10.255]), feed_options={"excess_decimals": "round"}, **SETTINGS
    )
    assert rounded.counts["records"] == 2


def test_what_is_no_feed_and_an_unknown_kind_of_live_ticks_are_refused() -> None:
    async def live() -> AsyncIterator[Any]:
        yield TradeTick(time=0, price=1)

    with pytest.raises(UsageError, match="int is no feed"):
        replay.backtest(Buys, 17, **SETTINGS)
    with pytest.raises(ConfigError, match="does not say which kind of ticks"):
        replay.paper(Buys, live(), **SETTINGS)


def test_times_of_every_form_are_the_same_nanoseconds() -> None:
    east = START.astimezone(timezone(timedelta(hours=5)))
    forms: list[Any] = [
        START,
        east,
        "2024-01-02T00:00:00Z",
        START_NS,
        np.datetime64(START_NS, "ns"),
        np.int64(START_NS),
    ]
    assert {time_ns(form, "") for form in forms} == {START_NS}
    assert time_ns(START + timedelta(microseconds=1), "") == START_NS + 1_000


@given(st.integers(-(2**52), 2**52), st.integers(0, 8))
def test_a_float_column_is_read_as_its_shortest_decimal_form(whole: int, decimals: int) -> None:
    value = float(Decimal(whole).scaleb(-decimals))
    if repr(value) != repr(float(whole)) or decimals == 0:
        assert scaled(value, decimals, "") == whole
    column = np.array([value])
    assert _scaled(column, np.arange(1), decimals, "price", rounds=False).tolist() == [scaled(value, decimals, "")]


def test_bars_made_by_hand_trade_at_the_next_open() -> None:
    bars = [
        BarTick(time=START_NS + row * 60 * SECOND_NS, open=10 + row, high=12 + row, low=9 + row, close=11 + row)
        for row in range(1, 5)
    ]

    class BuysAtBar(Strategy):
        def on_start(self) -> None:
            self.bars("ABC", "1m")
            self.count = 0

        def on_bar(self, bar: Any) -> None:
            self.count += 1
            if self.count == 2:
                self.buy("ABC", 1)

    result = replay.backtest(BuysAtBar, bars, **SETTINGS)
    assert result.fills["price"].tolist() == [13.0]
