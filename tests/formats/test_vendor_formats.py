"""DBN, LOBSTER, Kaiko and hftbacktest: every field on its sample, and files that are cut, foreign or odd."""

from __future__ import annotations

import csv
import gzip
import struct
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.feeds import START_NS, instrument, opened, read_all, write

from replay.data import convert as data
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.tape import load
from replay.records import FLAG_CLEAR, FLAG_LAST_OF_EVENT, FLAG_SNAPSHOT, Kind, Side
from replay.units import parse_time

Find = Callable[[str], Path]
DBN = "databento-dbn/dbn-format-tests/test_data"


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(gzip.decompress(path.read_bytes()).decode().splitlines()))


@pytest.mark.data
@pytest.mark.parametrize("schema", ["trades", "tbbo", "mbp-1", "mbp-10", "ohlcv-1m", "ohlcv-1s", "bbo-1s"])
def test_every_version_of_dbn_gives_the_same_records(shared_data: Find, tmp_path: Path, schema: str) -> None:
    pytest.importorskip("pyarrow", reason="nothing is installed that reads zstd")
    folder = shared_data(f"{DBN}.{schema}.dbn").parent
    names = sorted(path.name for path in folder.glob(f"test_data.{schema}.*"))
    assert len(names) >= 3
    tapes = []
    for name in names:
        data.convert([folder / name], tmp_path / "t.npy")
        tapes.append(load(tmp_path / "t.npy"))
        assert [entry.symbol for entry in tapes[-1].header.instruments] == ["ESH1"]
    assert len({tape.records.tobytes() for tape in tapes}) == 1


@pytest.mark.data
def test_dbn_trades_and_quotes_have_their_units_and_sides(shared_data: Find, tmp_path: Path) -> None:
    data.convert([shared_data(f"{DBN}.tbbo.dbn")], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    assert tape.records["kind"].tolist() == [Kind.QUOTE, Kind.TRADE] * 2, "the quote before the trade"
    trade = tape.records[1]
    decimals = tape.header.instruments[0].price_decimals
    assert (int(trade["a"]), int(trade["b"]), int(trade["side"])) == (372_025 * 10**decimals // 100, 5, Side.SELL)
    assert int(trade["ts_event"]) == parse_time("2020-12-28T13:00:00.098821953Z")
    assert int(trade["ts_recv"]) == parse_time("2020-12-28T13:00:00.099150057Z")
    data.convert([shared_data(f"{DBN}.ohlcv-1m.dbn")], tmp_path / "b.npy")
    bars = load(tmp_path / "b.npy")
    assert bars.header.bar_lengths_ns == [60_000_000_000] and bars.header.one_time
    assert bars.records["ts_event"][0] == parse_time("2020-12-28T13:01:00Z")
    data.convert([shared_data(f"{DBN}.mbp-1.dbn")], tmp_path / "q.npy", records="quote")
    assert set(load(tmp_path / "q.npy").records["kind"]) == {Kind.QUOTE}


@pytest.mark.data
def test_the_trades_of_a_day_of_orders_are_those_of_an_independent_decoder(shared_data: Find, tmp_path: Path) -> None:
    # KNOWN_GOOD D05: 68,792 records, 2,973 of them trades of 9,892 contracts together.
    pytest.importorskip("pyarrow", reason="nothing is installed that reads zstd")
    path = shared_data("databento-dbn/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    conversion = data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    assert (conversion.rows, conversion.records, conversion.dead) == (68_792, 2_973, {})
    assert conversion.left_out == {"orders": 68_792 - 2_973}
    assert int(tape.records["b"].sum()) == 9_892
    assert [(entry.symbol, entry.price_decimals) for entry in tape.header.instruments] == [("ESH4", 2)]
    assert (tape.records["a"] % 25 == 0).all()


@pytest.mark.data
def test_a_dbn_file_that_is_cut_says_where(shared_data: Find, tmp_path: Path) -> None:
    whole = shared_data(f"{DBN}.trades.dbn").read_bytes()
    cut = tmp_path / "t.dbn"
    cut.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="ends within a record") as caught:
        data.convert([cut], tmp_path / "t.npy")
    assert caught.value.place == f"{cut}, record 2"
    cut.write_bytes(whole[:60])
    with pytest.raises(DataError, match="ends within its head"):
        data.convert([cut], tmp_path / "t.npy")
    cut.write_bytes(b"DBZ" + whole[3:])
    with pytest.raises(DataError, match="is not of the format 'dbn'"):
        data.convert([cut], tmp_path / "t.npy")
    with pytest.raises(DataError, match="holds records of definition only"):
        data.convert([shared_data(f"{DBN}.definition.dbn")], tmp_path / "t.npy")


def test_without_a_zstd_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.dbn.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    for name in ("compression.zstd", "zstandard", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="compressed with zstd") as caught:
        data.convert([tmp_path / "t.dbn.zst"], tmp_path / "t.npy")
    assert "tickreplay[databento]" in str(caught.value.remedy)


def test_a_dbn_quote_without_a_price_has_no_such_side(tmp_path: Path) -> None:
    undefined = 2**63 - 1
    symbol = b"X".ljust(71, b"\0")
    metadata = b"TEST".ljust(16, b"\0") + struct.pack("<HQQQBBBH", 1, 0, 0, 0, 1, 0, 0, 71)
    metadata = metadata.ljust(100, b"\0") + struct.pack("<IIIII", 0, 0, 0, 0, 1)
    metadata += symbol + struct.pack("<III", 1, 20200101, 20991231) + b"7".ljust(71, b"\0")
    record = struct.pack("<BBHIQ", 20, 1, 1, 7, START_NS)
    record += struct.pack("<qIccBBQiI", 0, 0, b"A", b"N", 0, 0, START_NS + 5, 0, 0)
    record += struct.pack("<qqIIII", undefined, 2_500_000_000, 9, 4, 0, 0)
    path = tmp_path / "t.dbn"
    path.write_bytes(b"DBN\x03" + struct.pack("<I", len(metadata)) + metadata + record)
    records, dead = read_all(opened(path, [instrument("X", 1, 0)]))
    assert dead == []
    assert [int(records[name][0]) for name in "abcd"] == [0, 25, 0, 4]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "level"), [("first_10s_L50book_AAPL_2012-06-21_{}_50", 50), ("first_hour_L1book_AAPL_2012-06-21_{}_50", 1)]
)
def test_lobster_gives_executions_as_trades_and_the_best_level_as_quotes(
    shared_data: Find, tmp_path: Path, name: str, level: int
) -> None:
    messages = shared_data(f"lobster/{name.format('message')}.csv.gz")
    books = rows_of(shared_data(f"lobster/{name.format('orderbook')}.csv.gz"))
    rows = rows_of(messages)
    assert len(books[0]) == 4 * level
    conversion = data.convert([messages], tmp_path / "t.npy", decimals=["4,0"])
    tape = load(tmp_path / "t.npy")
    assert conversion.dead == {} and conversion.rows == 2 * len(rows)
    midnight_ns = parse_time("2012-06-21T04:00:00Z")
    expected: list[tuple[int, ...]] = []
    last: tuple[int, ...] = ()
    for row, book in zip(rows, books, strict=True):
        time_ns = midnight_ns + int(Decimal(row[0]) * 10**9)
        if row[1] in "456":
            side = Side.SELL if row[5] == "1" else Side.BUY
            expected.append((time_ns, Kind.TRADE, int(row[4]), int(row[3]), 0, 0, side))
        best = (int(book[2]), int(book[0]), int(book[3]), int(book[1]))
        if best != last:
            expected.append((time_ns, Kind.QUOTE, *best, Side.NONE))
            last = best
    names = ["ts_event", "kind", "a", "b", "c", "d", "side"]
    found = list(zip(*(tape.records[name].tolist() for name in names), strict=True))
    assert found == expected


@pytest.mark.data
def test_lobster_says_what_belongs_together(shared_data: Find, tmp_path: Path) -> None:
    source = shared_data("lobster/AAPL_2012-06-21_34200000_57600000_message_10.csv.gz")
    lines = gzip.decompress(source.read_bytes()).decode().splitlines(keepends=True)
    path = write(tmp_path / "AAPL_2012-06-21_34200000_57600000_message_10.csv", "".join(lines))
    conversion = data.convert([path], tmp_path / "t.npy")
    assert any("no orderbook file stands beside it" in note for note in conversion.guessed)
    assert set(load(tmp_path / "t.npy").records["kind"]) == {Kind.TRADE}
    book = write(tmp_path / "AAPL_2012-06-21_34200000_57600000_orderbook_10.csv", "1,1,1,1\n" * 10)
    with pytest.raises(DataError, match="ends after 10 lines"):
        data.convert([path], tmp_path / "t.npy")
    with pytest.raises(ConfigError, match="the messages say what happened"):
        data.convert([book], tmp_path / "t.npy", format="lobster")


def test_kaikos_trades_have_the_takers_side(tmp_path: Path) -> None:
    text = (
        "id,exchange,symbol,date,price,amount,sell\n"
        "7,cb,btcusd,1577836800123,7160.69,0.00150000,true\n"
        "8,cb,btcusd,1577836801000,7160.7,1.25,false\n"
    )
    conversion = data.convert([write(tmp_path / "t.csv", text)], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    assert "t.csv: format kaiko" in conversion.guessed
    assert [(entry.symbol, entry.price_decimals, entry.size_decimals) for entry in tape.header.instruments] == [
        ("btcusd", 2, 4)
    ]
    assert tape.records["ts_event"].tolist() == [1_577_836_800_123_000_000, 1_577_836_801_000_000_000]
    assert tape.records["side"].tolist() == [Side.SELL, Side.BUY]
    assert tape.records["a"].tolist() == [716_069, 716_070]


def test_kaikos_bars_end_a_length_after_their_start(tmp_path: Path) -> None:
    text = "timestamp,open,high,low,close,volume\n1577836800000,1.5,2,1,1.75,10.5\n"
    path = write(tmp_path / "cb_btcusd_ohlcv_1m_2020.csv", text)
    data.convert([path], tmp_path / "t.npy", format="kaiko")
    tape = load(tmp_path / "t.npy")
    assert [entry.symbol for entry in tape.header.instruments] == ["BTCUSD"]
    assert tape.records["ts_event"].tolist() == [1_577_836_860_000_000_000]
    with pytest.raises(ConfigError, match="does not say how long its bars are"):
        data.convert([write(tmp_path / "x_btcusd_t.csv", text)], tmp_path / "t.npy", format="kaiko", symbol="X")


HFT = np.dtype(
    [
        ("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"),
        ("ival", "i8"), ("fval", "f8"),
    ]
)  # fmt: skip
BOTH, BUY, SELL = 3 << 30, 1 << 29, 1 << 28


def hft(path: Path, rows: list[tuple[int, int, int, float, float]]) -> Path:
    table = np.zeros(len(rows), dtype=HFT)
    for number, name in enumerate(("ev", "exch_ts", "local_ts", "px", "qty")):
        table[name] = [row[number] for row in rows]
    np.savez_compressed(path, data=table)
    return path


def test_hftbacktest_rows_are_trades_book_changes_and_best_quotes(tmp_path: Path) -> None:
    path = hft(
        tmp_path / "btcusdt_20240808.npz",
        [
            (BOTH | 3, START_NS, START_NS + 10, 0.0, 0.0),
            (BOTH | BUY | 4, START_NS, START_NS + 10, 100.5, 2.0),
            (BOTH | SELL | 4, START_NS, START_NS + 10, 100.6, 0.25),
            (BOTH | SELL | 2, START_NS + 1, START_NS + 11, 100.5, 0.5),
            (BOTH | BUY | 1, START_NS + 2, START_NS + 12, 100.5, 1.5),
            (BOTH | BUY | 5, START_NS + 3, START_NS + 13, 100.5, 1.5),
            (BOTH | SELL | 5, START_NS + 3, START_NS + 13, 100.6, 0.25),
            (BOTH | SELL | 5, START_NS + 4, START_NS + 14, 100.7, 3.0),
            ((1 << 30) | BUY | 1, START_NS + 2, START_NS + 15, 100.5, 1.5),
        ],
    )
    conversion = data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    records = tape.records
    assert [(entry.symbol, entry.price_decimals, entry.size_decimals) for entry in tape.header.instruments] == [
        ("BTCUSDT", 1, 2)
    ]
    assert records["kind"].tolist() == [Kind.BOOK] * 3 + [Kind.TRADE, Kind.BOOK, Kind.QUOTE, Kind.QUOTE]
    assert records["flags"][:3].tolist() == [
        FLAG_CLEAR, FLAG_SNAPSHOT, FLAG_SNAPSHOT | FLAG_LAST_OF_EVENT,
    ]  # fmt: skip
    trade = records[3]
    assert (int(trade["a"]), int(trade["b"]), int(trade["side"])) == (1005, 50, Side.SELL)
    assert (int(trade["ts_event"]), int(trade["ts_recv"])) == (START_NS + 1, START_NS + 11)
    assert [int(records[name][-1]) for name in "abcd"] == [1005, 1007, 150, 300]
    assert [int(records[name][-2]) for name in "abcd"] == [1005, 1006, 150, 25]
    assert conversion.rows == conversion.records + sum(conversion.left_out.values())
    assert conversion.left_out == {"sides": 1, "local_only": 1}


def test_a_message_of_a_book_is_not_cut_between_batches(tmp_path: Path) -> None:
    count = 70_000
    rows = [(BOTH | BUY | 1, START_NS + n // 3, START_NS + n // 3, 1.0 + n % 7, 1.0) for n in range(count)]
    feed = opened(hft(tmp_path / "x.npz", rows), [instrument("X", 0, 0)])
    batches = [batch.records for batch in feed.batches()]
    assert len(batches) == 2 and sum(map(len, batches)) == count
    records = np.concatenate(batches)
    ends = np.flatnonzero(records["flags"] & FLAG_LAST_OF_EVENT)
    assert ends.tolist() == [*range(2, count - 1, 3), count - 1]


def test_an_npz_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(DataError, match="it has no array 'data'"):
        data.convert([tmp_path / "x.npz"], tmp_path / "t.npy")
    np.savez(tmp_path / "x.npz", data=np.zeros((3, 6)))
    with pytest.raises(DataError, match="its rows have no ev"):
        data.convert([tmp_path / "x.npz"], tmp_path / "t.npy")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="is not of the format 'hftbacktest'"):
        data.convert([tmp_path / "x.npz"], tmp_path / "t.npy")


def test_a_halt_is_left_out_and_the_zone_may_be_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {"zone": "UTC"}
    path = write(tmp_path / "A_2012-06-21_1_2_message_1.csv", "34200.5,4,1,10,5853300,-1\n34201.5,7,0,0,-1,-1\n")
    feed = opened(path, [instrument("A", 2, 0)], format="lobster", options=options)
    records, _ = read_all(feed)
    assert records["ts_event"].tolist() == [parse_time("2012-06-21T09:30:00.5Z")]
    assert records["side"].tolist() == [Side.BUY], "a sell order that rested was taken by a buyer"
    assert feed.counters()["ignored_halts"] == 1
