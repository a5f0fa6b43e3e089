"""The text formats on their samples: units, zones, ends of bars, sides, sizes; exact to the last digit of the text."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from data.feeds import instrument, opened, read_all, write

from replay.data import convert as data
from replay.errors import ConfigError, DataError
from replay.feeds.tape import load
from replay.records import FLAG_CLEAR, FLAG_LAST_OF_EVENT, FLAG_SNAPSHOT, Kind, Side
from replay.units import parse_time

Find = Callable[[str], Path]


def rows_of(path: Path) -> list[list[str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(text.decode().splitlines()))


@pytest.mark.data
def test_histdata_ticks_are_quotes_of_utc_minus_five_without_sizes(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("fx-ticks-truefx-histdata/quote_tick_data.csv.gz")
    with pytest.raises(ConfigError, match="does not say whose rows"):
        data.convert([path], tmp_path / "t.npy")
    conversion = data.convert([path], tmp_path / "t.npy", symbol="EURUSD")
    assert (conversion.records, conversion.dead, conversion.left_out) == (9_500, {}, {})
    tape = load(tmp_path / "t.npy")
    (entry,) = tape.header.instruments
    assert (entry.price_decimals, entry.sizes, entry.kinds) == (5, "none", ["quote"])
    rows = rows_of(path)
    assert tape.records["ts_event"][0] == parse_time("2020-01-01T22:00:00.065Z")
    assert tape.records["ts_event"][-1] == parse_time("2020-01-02T04:00:52.125Z")
    assert tape.records["a"].tolist() == [int(Decimal(row[1]) * 100_000) for row in rows]
    assert tape.records["b"].tolist() == [int(Decimal(row[2]) * 100_000) for row in rows]


def test_histdata_bars_end_a_minute_after_their_start(tmp_path: Path) -> None:
    text = "20120201 000000;1.3066;1.3067;1.3065;1.30665;0\n20120701 000100;1.3;1.4;1.2;1.3;0\n"
    path = write(tmp_path / "DAT_ASCII_EURUSD_M1_2012.csv", text)
    records, dead = read_all(opened(path, [instrument("EURUSD", 5, 0)], format="histdata"))
    assert dead == []
    # No summer time: both are five hours behind.
    assert records["ts_event"].tolist() == [parse_time("2012-02-01T05:01:00Z"), parse_time("2012-07-01T05:02:00Z")]
    assert [records[name][0] for name in "abcde"] == [130_660, 130_670, 130_650, 130_665, 0]
    with pytest.raises(DataError, match="is not of the format 'histdata'"):
        opened(write(tmp_path / "DAT_ASCII_X_T_2012.csv", "a,b\n"), [instrument("X")], format="histdata")


@pytest.mark.data
def test_truefx_is_in_utc(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("fx-ticks-truefx-histdata/usdjpy-ticks.csv")
    conversion = data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    assert (conversion.records, conversion.dead) == (1_000, {})
    assert [(entry.symbol, entry.price_decimals, entry.sizes) for entry in tape.header.instruments] == [
        ("USDJPY", 3, "none")
    ]
    assert tape.records["ts_event"][0] == parse_time("2013-01-01T22:00:00.295Z")
    assert tape.records["a"].tolist() == [int(Decimal(row[1]) * 1000) for row in rows_of(path)[1:]]


@pytest.mark.data
def test_tardis_trades_have_two_times_and_the_aggressors_side(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("tardis-csv/bitmex_trades_XBTUSD.csv")
    data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    rows = rows_of(path)[1:]
    assert tape.records["ts_event"].tolist() == [int(row[2]) * 1000 for row in rows]
    assert tape.records["ts_recv"].tolist() == [int(row[3]) * 1000 for row in rows]
    assert tape.records["a"].tolist() == [int(Decimal(row[6]) * 10) for row in rows]
    assert tape.records["b"].tolist() == [int(row[7]) for row in rows]
    sides = {"buy": int(Side.BUY), "sell": int(Side.SELL)}
    assert tape.records["side"].tolist() == [sides[row[5]] for row in rows]
    nanoseconds = shared_data("tardis-csv/trades_1.csv")
    data.convert([nanoseconds], tmp_path / "n.npy")
    assert load(tmp_path / "n.npy").records["ts_event"][0] == int(rows_of(nanoseconds)[1][2])


@pytest.mark.data
def test_tardis_snapshots_are_quotes_of_the_best_level(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("tardis-csv/binance-futures_book_snapshot_5_BTCUSDT.csv")
    data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    rows = rows_of(path)[1:]
    assert len(tape) == len(rows) == 10
    for record, row in zip(tape.records, rows, strict=True):
        ask, ask_size, bid, bid_size = (Decimal(text) for text in row[4:8])
        assert [int(record[name]) for name in "abcd"] == [bid * 100, ask * 100, bid_size * 1000, ask_size * 1000]


@pytest.mark.data
def test_tardis_changes_of_a_book_are_book_records_in_events(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("tardis-csv/deribit_incremental_book_L2_BTC-PERPETUAL.csv")
    conversion = data.convert([path], tmp_path / "t.npy")
    records = load(tmp_path / "t.npy").records
    rows = rows_of(path)[1:]
    assert conversion.dead == {} and set(records["kind"]) == {Kind.BOOK}
    assert records["a"].tolist() == [int(Decimal(row[6]) * 10) for row in rows]
    assert records["b"].tolist() == [int(row[7]) for row in rows]
    assert records["side"].tolist() == [Side.BUY if row[5] == "bid" else Side.SELL for row in rows]
    assert all(records["flags"] & FLAG_SNAPSHOT) and records["flags"][0] & FLAG_CLEAR
    assert np.flatnonzero(records["flags"] & FLAG_CLEAR).tolist() == [0]
    assert np.flatnonzero(records["flags"] & FLAG_LAST_OF_EVENT).tolist() == [len(rows) - 1]


def test_tardis_book_events_end_at_each_change_of_the_receive_time(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
    times = [1, 1, 2, 2, 3]
    text = header + "".join(f"d,X,{t},{t + 9},{'true' if t == 1 else 'false'},bid,{t}.5,{t % 3}\n" for t in times)
    records, dead = read_all(opened(write(tmp_path / "b.csv", text), [instrument("X", 1, 0)], format="tardis"))
    assert dead == [] and records["b"].tolist() == [1, 1, 2, 2, 0]
    assert (records["flags"] & FLAG_LAST_OF_EVENT > 0).tolist() == [False, True, False, True, True]
    assert (records["flags"] & FLAG_SNAPSHOT > 0).tolist() == [True, True, False, False, False]


def test_tardis_says_which_files_it_does_not_read(tmp_path: Path) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,funding_rate\nd,X,1,1,0.1\n"
    with pytest.raises(DataError, match=r"nothing is read from the columns .*funding_rate"):
        opened(write(tmp_path / "f.csv", text), [instrument("X")], format="tardis")


@pytest.mark.data
def test_yahoo_days_end_where_the_options_say(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("backtrader-datas/orcl-1995-2014.txt.gz")
    conversion = data.convert([path], tmp_path / "t.npy", options={"zone": "America/New_York", "close": "16:00"})
    tape = load(tmp_path / "t.npy")
    rows = rows_of(path)[1:]
    assert (conversion.records, conversion.dead) == (len(rows), {}) == (5_036, {})
    assert tape.header.bar_lengths_ns == [86_400_000_000_000]
    assert tape.records["ts_event"][0] == parse_time("1995-01-03T21:00:00Z")
    assert tape.records["ts_event"][130] == parse_time(f"{rows[130][0]}T20:00:00Z")  # summer time
    for name, column in zip("abcd", range(1, 5), strict=True):
        assert tape.records[name].tolist() == [int(Decimal(row[column]) * 10**6) for row in rows]
    assert tape.records["e"].tolist() == [int(row[6]) for row in rows]


@pytest.mark.data
def test_yahoo_prices_are_adjusted_exactly_and_rounded_once(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("backtrader-datas/yhoo-1996-2014.txt.gz")
    data.convert([path], tmp_path / "t.npy", options={"adjust": "close"})
    rows = rows_of(path)[1:]
    records = load(tmp_path / "t.npy").records
    assert records["d"].tolist() == [int(Decimal(row[5]) * 10**6) for row in rows]
    for name, column in (("a", 1), ("b", 2), ("c", 3)):
        expected = [
            int((Decimal(row[column]) * Decimal(row[5]) / Decimal(row[4])).quantize(Decimal("0.000001")) * 10**6)
            for row in rows
        ]
        assert records[name].tolist() == expected


def test_a_table_that_begins_with_its_newest_day_says_how_to_turn_it(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-03,1,1,1,1,1,5\n2024-01-02,1,1,1,1,1,5\n"
    with pytest.raises(DataError, match="begins with its newest row, 2024-01-03"):
        data.convert([write(tmp_path / "abc.csv", text)], tmp_path / "t.npy")


@pytest.mark.data
def test_backtrader_files_are_read_by_their_columns(shared_data: Find, tmp_path: Path) -> None:
    five = shared_data("backtrader-datas/2006-min-005.txt.gz")
    data.convert([five], tmp_path / "t.npy", symbol="IX")
    tape = load(tmp_path / "t.npy")
    assert tape.header.bar_lengths_ns == [300_000_000_000]
    assert tape.records["ts_event"][0] == parse_time("2006-01-02T09:05:00Z")  # the bar from 09:00
    week = shared_data("backtrader-datas/2006-week-001.txt.gz")
    data.convert([week], tmp_path / "w.npy", symbol="IX", options={"stamp": "end"})
    weekly = load(tmp_path / "w.npy")
    assert weekly.header.bar_lengths_ns == [7 * 86_400_000_000_000]
    assert weekly.records["ts_event"][0] == parse_time("2006-01-07")  # the end of Friday the 6th


@pytest.mark.data
def test_a_table_without_adjusted_closes_cannot_be_adjusted(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("backtrader-datas/2006-day-001.txt.gz")
    with pytest.raises(ConfigError, match="no column 'Adj Close'"):
        data.convert([path], tmp_path / "t.npy", symbol="IX", options={"adjust": "close"})
