"""LEAN's zips: scales, zones, ends of bars, both sides of quotes, factor files and hours, against published values."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.feeds import instrument, opened, read_all, write

from replay.adapters.formats.factors import read_factors
from replay.data import convert as data
from replay.errors import ConfigError, DataError
from replay.feeds.tape import Tape, load
from replay.records import BarPrice, Kind
from replay.units import parse_time

Find = Callable[[str], Path]
DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


def rows_of(path: Path, entry: int = 0) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        return list(csv.reader(io.TextIOWrapper(archive.open(archive.namelist()[entry]), "utf-8")))


def lean(path: Path, name: str, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, text)
    return path


def converted(path: Path, tmp_path: Path, **more: Any) -> Tape:
    data.convert([path], tmp_path / "t.npy", **more)
    return load(tmp_path / "t.npy")


@pytest.mark.data
def test_trade_ticks_are_scaled_and_in_new_york_time(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("lean-equity-tick/equity/usa/tick/spy/20131007_trade.zip")
    tape = converted(path, tmp_path)
    rows = rows_of(path)
    assert len(tape) == len(rows) == 250_601
    assert [(entry.symbol, entry.kinds) for entry in tape.header.instruments] == [("SPY", ["trade"])]
    midnight_ns = parse_time("2013-10-07T04:00:00Z")
    assert tape.records["ts_event"].tolist() == [midnight_ns + int(row[0]) * 1_000_000 for row in rows]
    scale = 10 ** (4 - tape.header.instruments[0].price_decimals)
    assert (tape.records["a"] * scale).tolist() == [int(row[1]) for row in rows]
    assert tape.records["b"].tolist() == [int(row[2]) for row in rows]


@pytest.mark.data
def test_a_quote_tick_of_one_side_keeps_the_other_one(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("lean-equity-tick/equity/usa/tick/ibm/20131007_quote.zip")
    tape = converted(path, tmp_path, decimals=["4,0"])
    bid, ask = (0, 0), (0, 0)
    for record, row in zip(tape.records, rows_of(path), strict=True):
        bid = (int(row[1]), int(row[2])) if int(row[1]) else bid
        ask = (int(row[3]), int(row[4])) if int(row[3]) else ask
        assert (record["a"], record["c"], record["b"], record["d"]) == (*bid, *ask)


@pytest.mark.data
@pytest.mark.parametrize(("broker", "first"), [("fxcm", "05:00:17.007"), ("oanda", "00:00:08.715")])
def test_fx_ticks_are_of_their_brokers_zone_and_have_no_sizes(
    shared_data: Find, tmp_path: Path, broker: str, first: str
) -> None:
    path = shared_data(f"lean-fx-tick/forex/{broker}/tick/eurusd/20140508_quote.zip")
    tape = converted(path, tmp_path)
    assert tape.records["ts_event"][0] == parse_time(f"2014-05-08T{first}Z")
    assert tape.header.instruments[0].sizes == "none"
    assert tape.records["a"].tolist() == [int(Decimal(row[1]).scaleb(5)) for row in rows_of(path)]


@pytest.mark.data
def test_daily_bars_end_at_the_close_of_new_york_and_hours_an_hour_after_their_start(
    shared_data: Find, tmp_path: Path
) -> None:
    tape = converted(shared_data("lean-equity-bars/equity/usa/daily/spy.zip"), tmp_path, decimals=["4,0"])
    rows = rows_of(shared_data("lean-equity-bars/equity/usa/daily/spy.zip"))
    assert tape.header.bar_lengths_ns == [DAY_NS]
    assert tape.records["ts_event"][0] == parse_time("1998-01-02T21:00:00Z")
    assert tape.records["ts_event"][-1] == parse_time("2021-03-31T20:00:00Z")
    for number, name in enumerate("abcde", start=1):
        assert tape.records[name].tolist() == [int(row[number]) for row in rows]
    hourly = converted(shared_data("lean-equity-bars/equity/usa/hour/spy.zip"), tmp_path)
    assert hourly.records["ts_event"][0] == parse_time("1998-01-02T15:00:00Z")  # the bar from 09:00


@pytest.mark.data
def test_adjusted_prices_are_those_of_the_published_fill(shared_data: Find, tmp_path: Path) -> None:
    # KNOWN_GOOD S01: seen at 09:31, the ask's close of SPY on 2013-10-07 is 144.78172417 adjusted.
    folder = shared_data("lean-equity-bars/equity/usa/minute/spy")
    factors = shared_data("lean-reference/equity/usa/factor_files/spy.csv")
    conversion = data.convert([folder], tmp_path / "t.npy", options={"factors": str(factors), "hours": "09:30-16:00"})
    tape = load(tmp_path / "t.npy")
    assert conversion.dead == {} and conversion.left_out["outside_hours"] > 0
    at = tape.records[tape.records["ts_event"] == parse_time("2013-10-07T13:31:00Z")]
    assert at["kind"].tolist() == [Kind.QUOTE, Kind.BAR], "the quote comes first"
    assert at["b"][0] == 14_478_172_417
    assert tape.header.instruments[0].kinds == ["quote", "bar"]
    times_ns = tape.records["ts_event"]
    assert (np.diff(times_ns) >= 0).all()
    assert {int(one) for one in np.unique(times_ns // DAY_NS)} == {
        parse_time(f"2013-10-{day:02d}") // DAY_NS for day in (4, 7, 8, 9, 10, 11)
    }


@pytest.mark.data
def test_seconds_make_the_minutes_of_the_minute_file(shared_data: Find, tmp_path: Path) -> None:
    # KNOWN_GOOD D08, on the first of its days.
    regular = {"options": {"hours": "09:30-16:00", "files": "trade"}, "decimals": ["4,0"]}
    minutes = converted(
        shared_data("lean-equity-bars/equity/usa/minute/spy/20131007_trade.zip"), tmp_path, **regular
    ).records.copy()
    seconds = converted(
        shared_data("lean-equity-bars/equity/usa/second/spy/20131007_trade.zip"), tmp_path, **regular
    ).records
    ends_ns = -(-seconds["ts_event"] // MINUTE_NS) * MINUTE_NS
    assert len(minutes) == 390
    for minute in minutes:
        part = seconds[ends_ns == minute["ts_event"]]
        assert (part["a"][0], part["b"].max(), part["c"].min(), part["d"][-1]) == tuple(minute[name] for name in "abcd")


@pytest.mark.data
def test_quote_bars_are_quotes_of_their_closes_or_bars_of_either_side(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("lean-fx-bars/forex/oanda/minute/eurusd/20140502_quote.zip")
    rows = rows_of(path)
    closes = converted(path, tmp_path)
    assert set(closes.records["kind"]) == {Kind.QUOTE} and len(closes) == len(rows)
    assert closes.records["ts_event"][0] == parse_time("2014-05-02T00:01:00Z")
    assert closes.records["a"].tolist() == [int(Decimal(row[4]).scaleb(5)) for row in rows]
    assert closes.records["b"].tolist() == [int(Decimal(row[9]).scaleb(5)) for row in rows]
    bars = converted(path, tmp_path, options={"quote_bars": "bars"})
    assert len(bars) == 2 * len(rows) and bars.header.bar_lengths_ns == [MINUTE_NS]
    bids = bars.records[bars.records["side"] == BarPrice.BID]
    asks = bars.records[bars.records["side"] == BarPrice.ASK]
    for records, first in ((bids, 1), (asks, 6)):
        for number, name in enumerate("abcd"):
            assert records[name].tolist() == [int(Decimal(row[first + number]).scaleb(5)) for row in rows]


@pytest.mark.data
def test_the_months_of_a_future_are_instruments_merged_by_time(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("lean-futures/future/comex/tick/gc/20131008_trade.zip")
    conversion = data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    with zipfile.ZipFile(path) as archive:
        counts = {name: archive.read(name).count(b"\n") for name in archive.namelist()}
    assert conversion.rows == conversion.records + sum(conversion.dead.values())
    assert abs(conversion.rows - sum(counts.values())) <= len(counts), "the last line may have no end"
    assert "GC201312" in [entry.symbol for entry in tape.header.instruments]
    assert (np.diff(tape.records["ts_event"]) >= 0).all()
    assert conversion.dead == {"bad_size": 100}, "trades of size 0"
    one = converted(path, tmp_path, symbol="GC201312")
    assert [entry.symbol for entry in one.header.instruments] == ["GC201312"]
    assert len(one) == int(np.count_nonzero(tape.records["instrument"] == 2))


def test_an_empty_side_of_a_quote_bar_is_absent_and_no_dead_row(tmp_path: Path) -> None:
    text = (
        "34200000,,,,,,1000000,1000000,1000000,1000000,5\n"
        "34260000,990000,990000,990000,990000,3,1000000,1000000,1000000,x,5\n"
    )
    path = lean(tmp_path / "equity/usa/minute/abc/20131007_quote.zip", "20131007_abc_minute_quote.csv", text)
    records, dead = read_all(opened(path, [instrument("ABC", 2, 0)]))
    assert (records["a"].tolist(), records["c"].tolist(), records["b"].tolist()) == ([0], [0], [10_000])
    assert [letter.place for letter in dead] == [f"{path}/20131007_abc_minute_quote.csv:2, column 'ask_close'"]
    feed = opened(path, [instrument("ABC", 2, 0)], options={"quote_bars": "bars"})
    bars, dead = read_all(feed)
    assert bars["side"].tolist() == [BarPrice.ASK, BarPrice.BID]
    assert [letter.reason for letter in dead] == ["bad_number"]
    assert feed.counters()["ignored_no_quote"] == 1


def test_suspicious_ticks_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    path = lean(
        tmp_path / "equity/usa/tick/abc/20131007_trade.zip",
        "20131007_abc_Trade_Tick.csv",
        "34200000,1000000,5,P,0,0\n34200001,2000000,5,P,0,1\n34200002,1000000,5,P,0,0\n",
    )
    assert len(read_all(opened(path, [instrument("ABC", 2, 0)]))[0]) == 3
    records, _ = read_all(opened(path, [instrument("ABC", 2, 0)], options={"suspicious": "skip"}))
    assert records["a"].tolist() == [10_000, 10_000]


def test_a_file_outside_the_folders_says_what_is_missing(tmp_path: Path) -> None:
    path = lean(tmp_path / "20131007_trade.zip", "20131007_abc_Trade_Tick.csv", "34200000,1000000,5,P,0,0\n")
    with pytest.raises(ConfigError, match="resolution is unknown") as caught:
        opened(path, [instrument("ABC", 2, 0)], format="lean")
    assert "tick, second, minute, hour, daily" in str(caught.value.remedy)
    options = {"resolution": "tick", "security": "equity"}
    with pytest.raises(ConfigError, match="the zone of the times of equity/"):
        opened(path, [instrument("ABC", 2, 0)], format="lean", symbol="ABC", options=options)
    feed = opened(path, [instrument("ABC", 2, 0)], format="lean", symbol="ABC", options=options | {"zone": "UTC"})
    assert read_all(feed)[0]["ts_event"].tolist() == [parse_time("2013-10-07T09:30:00Z")]


def test_options_that_make_no_sense_name_their_form(tmp_path: Path) -> None:
    path = lean(tmp_path / "equity/usa/daily/abc.zip", "abc.csv", "20131007 00:00,1000000,1000000,1000000,1000000,5\n")
    for options, message in (
        ({"hours": "nine"}, "hours = 'nine' are none"),
        ({"close": "25:00"}, "is no time of day"),
        ({"factors": "none.csv"}, "there is no such file"),
        ({"security": "bond"}, "security 'bond' is not read"),
    ):
        with pytest.raises(ConfigError, match=message):
            opened(path, [instrument("ABC", 2, 0)], options=options)
    with pytest.raises(ConfigError, match="has bar records, not quotes"):
        opened(path, [instrument("ABC", 2, 0)], records="quote")


def test_factors_hold_up_to_their_day_and_are_exact(tmp_path: Path) -> None:
    factors = read_factors(write(tmp_path / "f.csv", "20130101,0.5,0.25,1\n20131007,0.8646266,0.5,1\n\n20501231,1,1,0"))
    assert [factors.of_day(parse_time(day)).split for day in ("2013-01-01", "2013-01-02", "2013-10-08")] == [
        Decimal("0.25"), Decimal("0.5"), 1,
    ]  # fmt: skip
    path = lean(
        tmp_path / "equity/usa/daily/abc.zip",
        "abc.csv",
        "20131007 00:00,1000001,1000001,1000001,1000001,5\n20131008 00:00,1000001,1000001,1000001,1000001,5\n",
    )
    feed = opened(path, [instrument("ABC", 8, 0)], options={"factors": str(tmp_path / "f.csv")})
    records, _ = read_all(feed)
    exact = Decimal("100.0001") * Decimal("0.8646266") * Decimal("0.5") * 10**8
    assert records["a"].tolist() == [round(exact), 10_000_010_000]
    assert records["e"].tolist() == [10, 5], "shares are more where the price was split"
    with pytest.raises(DataError, match="is no row of a factor file") as caught:
        read_factors(write(tmp_path / "bad.csv", "20130101,0.5,0.25,1\n20131007,one,1\n"))
    assert caught.value.place == f"{tmp_path}/bad.csv:2"
