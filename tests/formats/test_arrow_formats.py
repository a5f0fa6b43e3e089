"""Parquet both ways and Feather: nothing is lost, numbers of every type are exact, columns are found or named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.feeds import START_NS, instrument, opened, read_all
from data.test_convert import mixed_tape
from hypothesis import given
from hypothesis import strategies as st

from replay.adapters.formats.columns import DECIMALS_MAX, Numbers, decimals_of, scaled
from replay.data import convert as data
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.tape import TapeHeader, TapeInstrument, load, save
from replay.records import Kind, Side, empty
from replay.units import parse_time

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'tickreplay[parquet]'")
pq = pytest.importorskip("pyarrow.parquet")

Find = Callable[[str], Path]


def table(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@given(st.integers(-(10**15), 10**15), st.integers(0, DECIMALS_MAX))
def test_a_float_stands_for_the_decimal_that_it_was_made_of(raw: int, decimals: int) -> None:
    value = np.array([float(Decimal(raw).scaleb(-decimals))])
    made, excess = scaled(Numbers(value), decimals)
    assert not excess.any()
    assert made.tolist() == [raw]


@given(st.integers(1, 2**53), st.integers(0, 9))
def test_noise_in_the_last_bit_of_a_float_is_no_decimal(raw: int, decimals: int) -> None:
    value = float(Decimal(raw).scaleb(-decimals))
    for noisy in (np.nextafter(value, np.inf), np.nextafter(value, 0)):
        assert scaled(Numbers(np.array([noisy])), decimals)[1].tolist() == [False]
        if raw < 2**40:
            assert scaled(Numbers(np.array([noisy])), decimals)[0].tolist() == [raw]


def test_the_fewest_decimals_that_all_numbers_need_are_found() -> None:
    assert decimals_of([Numbers(np.array([1.5, 0.25, 100.0])), Numbers(np.array([7, 9]))]) == 2
    assert decimals_of([Numbers(np.array([1500, 2500]), 3)]) == 1
    assert decimals_of([Numbers(np.array([0.0, np.nan]))]) == 0
    assert decimals_of([Numbers(np.array([1 / 3]))]) is None


def test_a_tape_written_as_parquet_and_read_again_is_the_same(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    records = tape.records.copy()
    records["b"][5] = 10**14  # decimals of 18 digits, at the finest scale of the file
    save(tmp_path / "t.npy", records, tape.header)
    data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
    data.convert([tmp_path / "t.parquet"], tmp_path / "back.npy")
    assert load(tmp_path / "back.npy").records.tobytes() == records.tobytes()
    assert (tmp_path / "back.tape.json").read_text() == (tmp_path / "t.tape.json").read_text()


def test_every_kind_of_record_survives_parquet(tmp_path: Path) -> None:
    kinds = [Kind.BOOK, Kind.ORDER, Kind.FUNDING, Kind.STATUS, Kind.CLOCK, Kind.COMMAND, Kind.TRADE]
    records = empty(len(kinds))
    records["ts_event"] = records["ts_recv"] = START_NS + np.arange(len(kinds))
    records["kind"] = kinds
    for number, name in enumerate("abc"):
        records[name] = np.arange(len(kinds)) + 100 * (number + 1)
    records["side"][:2], records["flags"] = Side.SELL, 1 << 9
    header = TapeHeader(one_time=True, instruments=[TapeInstrument(symbol="X", price_decimals=2, size_decimals=3)])
    save(tmp_path / "t.npy", records, header)
    data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
    data.convert([tmp_path / "t.parquet"], tmp_path / "back.npy")
    assert load(tmp_path / "back.npy").records.tobytes() == records.tobytes()


def test_other_tools_read_the_prices_of_a_parquet_tape_as_decimals(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    records = load(tmp_path / "t.npy").records[:5].copy()
    save(tmp_path / "t.npy", records, load(tmp_path / "t.npy").header)
    data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert [rows[0][name] for name in ("symbol", "kind", "bid", "ask", "bid_size")] == [
        "BTC,USDT", "quote", Decimal("1.00"), Decimal("1.01"), Decimal("0.005"),
    ]  # fmt: skip
    assert rows[1]["bid"] == Decimal(7)
    assert (rows[2]["side"], rows[2]["id"], rows[2]["price"]) == ("buy", 77, Decimal("1.01"))
    assert (rows[4]["volume"], rows[4]["bar_length_ns"], rows[4]["bar_price"]) == (
        Decimal("12.345"), 60_000_000_000, "trade",
    )  # fmt: skip


def test_a_number_of_more_than_18_digits_is_refused(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")  # has 2^60 at 0 decimals beside an instrument of 3
    with pytest.raises(DataError, match="more than 18 digits at 3 decimals"):
        data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists() and not (tmp_path / "t.parquet.part").exists()


def test_a_parquet_tape_is_a_feed_on_the_runs_own_scale(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    records = load(tmp_path / "t.npy").records[:5].copy()
    save(tmp_path / "t.npy", records, load(tmp_path / "t.npy").header)
    data.convert([tmp_path / "t.npy"], tmp_path / "t.parquet")
    feed = opened(tmp_path / "t.parquet", [instrument("ETH"), instrument("BTC,USDT", 4, 3)])
    found, _ = read_all(feed)
    assert found["a"].tolist() == [10_000, 10_100, 10_000]
    assert set(found["instrument"]) == {1}
    assert feed.counters()["ignored_not_wanted"] == 2
    with pytest.raises(DataError, match="more than the 1 decimals"):
        opened(tmp_path / "t.parquet", [instrument("BTC,USDT", 1, 3)])


def test_numbers_of_every_type_are_read_exactly(tmp_path: Path) -> None:
    times = pa.array([1, 2, 3], pa.int64())
    columns: dict[str, Any] = {
        "decimal": pa.array([Decimal("1.10"), Decimal("2.25"), Decimal("3.00")], pa.decimal128(12, 2)),
        "text": pa.array(["1.1", "2.25", "3"]),
        "float": pa.array([1.1, 2.25, 3.0]),
        "float32": pa.array([1.1, 2.25, 3.0], pa.float32()),
    }
    for name, column in columns.items():
        path = table(tmp_path / f"{name}.parquet", ts=times, price=column, size=pa.array([1, 2, 3]))
        feed = opened(path, [instrument("X", 2, 0)], symbol="X", options={"unit": "ns"})
        assert read_all(feed)[0]["a"].tolist() == [110, 225, 300], name


def test_rows_that_give_no_record_are_dead_letters_with_their_numbers(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet",
        timestamp=pa.array([START_NS, START_NS + 1, None, START_NS + 3, START_NS + 4]),
        price=pa.array([1.5, float("nan"), 1.0, -1.0, 2.0]),
        size=pa.array([1.0, 1.0, 1.0, 1.0, 0.0]),
    )
    feed = opened(path, [instrument("X", 1, 0)], symbol="X")
    records, dead = read_all(feed)
    assert records["a"].tolist() == [15]
    assert [(letter.reason, letter.place) for letter in dead] == [
        ("not_finite", f"{path}:2, column 'price'"),
        ("bad_time", f"{path}:3, column 'time'"),
        ("bad_price", f"{path}:4, column 'price'"),
        ("bad_size", f"{path}:5, column 'size'"),
    ]
    assert json.loads(dead[3].raw)["price"] == 2.0
    assert feed.counters() == {"rows": 5, "records": 1, "dead": 4, "rounded": 0}


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", when=pa.array([START_NS]), p=pa.array([1.5]), qty=pa.array([2]))
    with pytest.raises(ConfigError, match="tell neither quotes, trades nor bars"):
        data.convert([path], tmp_path / "t.npy", symbol="X")
    with pytest.raises(ConfigError, match="is known as a time"):
        data.convert([path], tmp_path / "t.npy", symbol="X", options={"price": "p"})
    with pytest.raises(ConfigError, match="there is no column 'wen'") as caught:
        data.convert([path], tmp_path / "t.npy", symbol="X", options={"time": "wen", "price": "p"})
    assert "did you mean 'when'" in str(caught.value.remedy)
    data.convert([path], tmp_path / "t.npy", symbol="X", options={"time": "when", "price": "p"})
    assert load(tmp_path / "t.npy").records["ts_event"].tolist() == [START_NS]


def test_a_local_timestamp_is_of_the_zone_that_is_named(tmp_path: Path) -> None:
    stamp = pa.array([parse_time("2024-07-01T09:30:00Z")]).cast(pa.timestamp("ns"))
    path = table(tmp_path / "t.parquet", time=stamp, bid=pa.array([1.5]), ask=pa.array([1.75]))
    data.convert([path], tmp_path / "t.npy", symbol="X", options={"zone": "America/New_York"})
    tape = load(tmp_path / "t.npy")
    assert tape.records["ts_event"].tolist() == [parse_time("2024-07-01T13:30:00Z")]
    assert tape.header.instruments[0].sizes == "none"


def test_what_is_no_parquet_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="is not of the format 'parquet'"):
        data.convert([tmp_path / "t.parquet"], tmp_path / "t.npy")


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match="need pyarrow") as caught:
        data.convert([tmp_path / "t.parquet"], tmp_path / "t.npy")
    assert caught.value.remedy == "pip install 'tickreplay[parquet]'"


@pytest.mark.data
def test_one_set_of_trades_in_three_encodings_gives_one_tape(shared_data: Find, tmp_path: Path) -> None:
    for suffix in ("feather", "parquet"):
        data.convert([shared_data(f"ccxt-freqtrade/XRP_ETH-trades.{suffix}")], tmp_path / f"{suffix}.npy")
    first, second = load(tmp_path / "feather.npy"), load(tmp_path / "parquet.npy")
    assert len(first) == 12_477
    assert first.records.tobytes() == second.records.tobytes()
    assert [entry.symbol for entry in first.header.instruments] == ["XRP/ETH"]

    listed = json.loads(
        gzip.decompress(shared_data("ccxt-freqtrade/XRP_ETH-trades.json.gz").read_bytes()), parse_float=Decimal
    )
    entry = first.header.instruments[0]
    assert first.records["ts_event"].tolist() == [row[0] * 1_000_000 for row in listed]
    assert first.records["c"].tolist() == [int(row[1]) for row in listed]
    assert first.records["side"].tolist() == [Side.BUY if row[3] == "buy" else Side.SELL for row in listed]
    assert first.records["a"].tolist() == [int(row[4].scaleb(entry.price_decimals)) for row in listed]
    assert first.records["b"].tolist() == [int(row[5].scaleb(entry.size_decimals)) for row in listed]


@pytest.mark.data
def test_freqtrades_candles_know_pair_and_timeframe_by_their_name(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("ccxt-freqtrade/UNITTEST_BTC-1m.feather")
    data.convert([path], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    listed = json.loads(shared_data("ccxt-freqtrade/UNITTEST_BTC-1m.json").read_text(), parse_float=Decimal)
    assert len(tape) == len(listed) == 13_681
    assert tape.header.bar_lengths_ns == [60_000_000_000]
    assert [(entry.symbol, entry.kinds) for entry in tape.header.instruments] == [("UNITTEST/BTC", ["bar"])]
    assert tape.records["ts_event"].tolist() == [row[0] * 1_000_000 + 60_000_000_000 for row in listed]
    for number, name in enumerate("abcde", start=1):
        # The feather file's floats carry noise in their last bit; the JSON file has the text.
        assert tape.records[name].tolist() == [int(Decimal(row[number]).scaleb(8)) for row in listed]
    mark = shared_data("ccxt-freqtrade/XRP_USDT_USDT-1h-mark.feather")
    data.convert([mark], tmp_path / "m.npy")
    (entry,) = load(tmp_path / "m.npy").header.instruments
    assert (entry.symbol, entry.sizes) == ("XRP/USDT:USDT", "none")
    with pytest.raises(ConfigError, match="holds funding rates"):
        data.convert([shared_data("ccxt-freqtrade/XRP_USDT_USDT-8h-funding_rate.feather")], tmp_path / "f.npy")


@pytest.mark.data
def test_quotes_and_trades_of_two_files_make_one_tape(shared_data: Find, tmp_path: Path) -> None:
    paths = [shared_data(f"crypto-trades-quotes-small/btcusdt-{what}.parquet") for what in ("trades", "quotes")]
    conversion = data.convert(paths, tmp_path / "t.npy", symbol="BTC/USDT")
    assert (conversion.records, conversion.dead) == (2_001 + 451, {})
    trades = load(tmp_path / "t.npy").records
    trades = trades[trades["kind"] == Kind.TRADE]
    source = pq.read_table(paths[0]).to_pylist()
    assert trades["side"].tolist() == [Side.SELL if row["buyer_maker"] == "True" else Side.BUY for row in source]
    assert trades["b"].tolist() == [int(Decimal(repr(row["quantity"])).scaleb(6).to_integral_value()) for row in source]
