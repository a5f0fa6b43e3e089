"""`replay data`: conversion to tapes and back loses nothing; guesses are shown; tapes are described."""

from __future__ import annotations

import gzip
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from replay.data import convert as data
from replay.data.survey import FileInfo
from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.tape import TapeHeader, TapeInstrument, load, save
from replay.records import Kind, Side, empty

from .feeds import START_NS, trades, write

TRADES_CSV = (
    f"timestamp,symbol,price,size,side\n{START_NS},BTCUSDT,1.50,0.25,buy\n{START_NS + 5},ETHUSDT,2.125,3,sell\n"
)


def mixed_tape(path: Path) -> None:
    """A tape with every kind that has a text form, absent sides and largest values."""
    records = empty(7)
    records["ts_event"] = START_NS + np.arange(7)
    records["ts_recv"] = records["ts_event"] + 3
    records["instrument"] = [0, 1, 0, 1, 0, 1, 0]
    records["kind"] = [Kind.QUOTE, Kind.QUOTE, Kind.TRADE, Kind.TRADE, Kind.BAR, Kind.TRADE, Kind.QUOTE]
    records["a"] = [100, 7, 101, 8, 100, 9, 0]
    records["b"] = [101, 9, 5, 6, 105, 2**60, 100]
    records["c"] = [5, 1, 77, 0, 95, -4, 0]
    records["d"] = [6, 1, 0, 0, 101, 0, 2]
    records["e"] = [0, 0, 0, 0, 12_345, 0, 0]
    records["side"] = [0, 0, Side.BUY, Side.SELL, 0, 0, 0]
    instruments = [
        TapeInstrument(symbol="BTC,USDT", price_decimals=2, size_decimals=3),
        TapeInstrument(symbol='ETH"X"', price_decimals=0, size_decimals=0),
    ]
    save(path, records, TapeHeader(one_time=False, bar_lengths_ns=[60_000_000_000], instruments=instruments))


@pytest.mark.parametrize("kind", ["quote", "trade", "bar"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_tape_written_as_csv_and_read_again_is_the_same(tmp_path: Path, kind: str, suffix: str) -> None:
    mixed_tape(tmp_path / "t.npy")
    there = data.convert([tmp_path / "t.npy"], tmp_path / f"t{suffix}", records=kind)  # type: ignore[arg-type]
    back = data.convert(
        [tmp_path / f"t{suffix}"],
        tmp_path / "back.npy",
        decimals=["2,3", 'ETH"X"=0,0'],
        bar="1m" if kind == "bar" else None,
    )
    tape = load(tmp_path / "t.npy").records
    expected = tape[tape["kind"] == Kind[kind.upper()]]
    again = load(tmp_path / "back.npy")
    symbols = [entry.symbol for entry in again.header.instruments]
    mine = np.array([symbols.index(name) if name in symbols else 99 for name in ("BTC,USDT", 'ETH"X"')])
    expected = expected.copy()
    expected["instrument"] = mine[expected["instrument"]]
    assert np.array_equal(again.records, expected)
    assert there.written == back.written == len(expected)


def test_what_is_not_said_is_guessed_and_shown(tmp_path: Path) -> None:
    result = data.convert([write(tmp_path / "t.csv", TRADES_CSV)], tmp_path / "t.npy")
    tape = load(tmp_path / "t.npy")
    assert tape.records[["ts_event", "instrument", "kind", "a", "b", "side"]].tolist() == [
        (START_NS, 0, Kind.TRADE, 15, 25, Side.BUY),
        (START_NS + 5, 1, Kind.TRADE, 2125, 3, Side.SELL),
    ]
    scales = [(entry.symbol, entry.price_decimals, entry.size_decimals) for entry in tape.header.instruments]
    assert scales == [("BTCUSDT", 1, 2), ("ETHUSDT", 3, 0)], "as many decimals as the numbers need"
    text = str(result)
    assert "each row is a trade" in text
    assert "time in 'timestamp', unit ns" in text
    assert "BTCUSDT 1,2, ETHUSDT 3,0" in text


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1700000000", "s", START_NS),
        ("1700000000000", "ms", START_NS),
        ("1700000000000000", "us", START_NS),
        ("1700000000000000000", "ns", START_NS),
        ("2023-11-14T22:13:20Z", "iso", START_NS),
        ("20231114", "iso", START_NS - 80_000_000_000_000),
    ],
)
def test_the_unit_of_a_time_is_guessed_from_its_digits(tmp_path: Path, text: str, unit: str, expected: int) -> None:
    path = write(tmp_path / "t.csv", f"time,price,size\n{text},1,1\n")
    result = data.convert([path], tmp_path / "t.npy", symbol="X")
    assert load(tmp_path / "t.npy").records["ts_event"].tolist() == [expected]
    assert any(f"unit {unit}" in guess for guess in result.guessed)


def test_a_day_that_a_bar_only_names_is_its_start_and_the_commonest_step_its_length(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day:02d},1,1,1,1,5\n" for day in (1, 2, 3, 4, 5, 8, 9))
    result = data.convert(
        [write(tmp_path / "d.csv", "Date,Open,High,Low,Close,Volume\n" + rows)], tmp_path / "d.npy", symbol="X"
    )
    tape = load(tmp_path / "d.npy")
    assert tape.header.bar_lengths_ns == [86_400_000_000_000]
    assert str(tape.records["ts_event"].astype("M8[ns]").astype("M8[D]")[0]) == "2024-01-02"
    assert any("a bar's time is its start" in guess for guess in result.guessed)


def test_an_option_overrules_a_guess(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "px;qty;when;who\n1,5;2;1700000000;BTC\n".replace("1,5", "1.5"))
    result = data.convert(
        [path], tmp_path / "t.npy", symbol="{who}", records="trade", time="when,s", columns=["price=px", "size=qty"],
        decimals=["4,4"], delimiter=";",
    )  # fmt: skip
    assert load(tmp_path / "t.npy").records[["ts_event", "a", "b"]].tolist() == [(START_NS, 15_000, 20_000)]
    assert result.guessed == []


def test_several_sources_are_merged_in_the_order_of_their_receive_times(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", "time,price,size\n1,1,1\n4,1,1\n")
    two = write(tmp_path / "b.csv", "time,price,size\n2,2,1\n3,2,1\n")
    data.convert([one], tmp_path / "a.npy", symbol="A", time="time,ns")
    data.convert([two], tmp_path / "b.npy", symbol="B", time="time,ns")
    result = data.convert([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path / "all.npy")
    tape = load(tmp_path / "all.npy")
    assert tape.records[["ts_recv", "instrument"]].tolist() == [(1, 0), (2, 1), (3, 1), (4, 0)]
    assert [entry.symbol for entry in tape.header.instruments] == ["A", "B"]
    assert result.rows == result.records == result.written == 4


def test_dead_rows_are_kept_beside_the_tape_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n1,1,1\n2,nan,1\n3,x,1\n")
    result = data.convert([path], tmp_path / "t.npy", symbol="X", time="time,ns")
    assert (result.rows, result.written, result.dead) == (3, 1, {"not_finite": 1, "bad_number": 1})
    lines = (tmp_path / "t.npy.dead-letters.ndjson").read_bytes().splitlines()
    assert msgspec.json.decode(lines[0]) == {
        "reason": "not_finite",
        "place": f"{path}:3, column 'price'",
        "raw": "2,nan,1",
    }
    assert "dead: 1 rows, not_finite" in str(result)
    data.convert([write(path, "time,price,size\n1,1,1\n")], tmp_path / "u.npy", symbol="X", time="time,ns")
    assert not (tmp_path / "u.npy.dead-letters.ndjson").exists()


def test_a_run_file_says_how_to_read(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "when,p,q\n1,1.5,1\n")
    write(
        tmp_path / "run.toml",
        """
[[strategy]]
class = "x.py:X"
[[feed]]
uri = "t.csv"
records = "trade"
symbol = "BTC"
time = { column = "when", unit = "ns" }
columns = { price = "p", size = "q" }
[[instrument]]
symbol = "BTC"
venue = "binance"
tick = "0.1"
lot = "1"
price_decimals = 2
quote = "USD"
[account]
currency = "USD"
cash = { USD = "1" }
""",
    )
    data.convert([], tmp_path / "t.npy", run=tmp_path / "run.toml")
    tape = load(tmp_path / "t.npy")
    assert tape.records["a"].tolist() == [150]
    assert tape.header.instruments[0].venue == "binance"
    data.convert([tmp_path / "t.csv"], tmp_path / "u.npy", run=tmp_path / "run.toml")
    assert np.array_equal(load(tmp_path / "u.npy").records, tape.records)


def test_what_cannot_be_converted_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", TRADES_CSV)
    with pytest.raises(UsageError, match="nothing to convert"):
        data.convert([], tmp_path / "x.npy")
    with pytest.raises(UsageError, match="says no format to write"):
        data.convert([path], tmp_path / "x.xlsx")
    with pytest.raises(UsageError, match="both a source and the destination"):
        data.convert([path], path)
    with pytest.raises(ConfigError, match="no unit of time"):
        data.convert([path], tmp_path / "x.npy", time="timestamp,sec")
    with pytest.raises(UsageError, match="names no column"):
        data.convert([path], tmp_path / "x.npy", columns=["price"])
    with pytest.raises(UsageError, match="are no decimals"):
        data.convert([path], tmp_path / "x.npy", decimals=["two"])
    with pytest.raises(ConfigError, match="tell neither quotes, trades nor bars"):
        data.convert([write(tmp_path / "odd.csv", "time,a,b\n1,2,3\n")], tmp_path / "x.npy", symbol="X")
    with pytest.raises(ConfigError, match="does not say whose rows"):
        data.convert([write(tmp_path / "who.csv", "time,price,size\n1,2,3\n")], tmp_path / "x.npy")
    with pytest.raises(ConfigError, match="no known suffix"):
        data.convert([write(tmp_path / "x.bin", "?")], tmp_path / "x.npy")
    with pytest.raises(DataError, match="more than 9 decimals"):
        fine = write(tmp_path / "fine.csv", "time,price,size\n1,1,12.30000000001\n")
        data.convert([fine], tmp_path / "x.npy", symbol="X")
    mixed_tape(tmp_path / "t.npy")
    with pytest.raises(UsageError, match="quote and trade and bar"):
        data.convert([tmp_path / "t.npy"], tmp_path / "x.csv")
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("x.") and entry.name != "x.bin"]


def test_the_same_records_give_the_same_compressed_bytes(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    for name in ("a.csv.gz", "b.csv.gz"):
        data.convert([tmp_path / "t.npy"], tmp_path / name, records="quote")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).count(b"\n") == 4


def test_info_counts_what_a_tape_holds(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    info = data.tape_info(tmp_path / "t.npy")
    assert info.counts == {"BTC,USDT": {"quote": 2, "trade": 1, "bar": 1}, 'ETH"X"': {"quote": 1, "trade": 2}}
    assert (info.late, info.raised, info.crossed) == (0, 0, 0)
    records = trades([10, 12, 11])
    records["ts_recv"] -= np.array([0, 3, 5_000_000])
    header = TapeHeader(one_time=False, instruments=[TapeInstrument(symbol="X", price_decimals=0, size_decimals=0)])
    save(tmp_path / "u.npy", records, header)
    info = data.tape_info(tmp_path / "u.npy")
    assert (info.late, info.raised, info.clock_offset_ns) == (1, 2, 5_000_000)
    assert 'clock_offset = "5ms" makes it good' in str(info)


def test_head_shows_the_first_records(tmp_path: Path) -> None:
    mixed_tape(tmp_path / "t.npy")
    text = str(data.head(tmp_path / "t.npy", 5))
    lines = text.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("BTC,USDT  quote  bid 1.00 x 0.005  ask 1.01 x 0.006")
    assert "bought 0.005 at 1.01  id 77" in lines[2]
    assert "1m trade  1.00 1.05 0.95 1.01  volume 12.345" in lines[4]
    assert lines[0].startswith("2023-11-14T22:13:20.000000003Z  event 2023-11-14T22:13:20Z")


def test_the_beginning_of_a_text_file_is_shown_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv.gz", gzip.compress(b"time,price\r\n1,2\n3,4\n"))
    assert str(data.head(path, 2)) == "time,price\n1,2"
    with pytest.raises(UsageError, match="rows must be 0 or more"):
        data.head(path, -1)


def test_info_of_a_text_file_proposes_the_feed_that_reads_it(tmp_path: Path) -> None:
    header = "Date,Open,High,Low,Close,Volume"
    path = write(tmp_path / "b.csv", f"{header}\n2006-01-02,3578.73,3605.95,3578.73,3604.33,0\n")
    text = str(data.info(path))
    assert f"csv, {path.stat().st_size} bytes" in text
    assert "Open    3578.73" in text
    assert 'time = { column = "Date", unit = "iso", stamp = "start" }' in text
    path = write(
        tmp_path / "t.ndjson", f'{{"ts_event":{START_NS},"ts_recv":{START_NS},"symbol":"X","price":1,"size":1}}\n'
    )
    entry = tomllib.loads("\n".join(_feed_of(path)))["feed"][0]
    assert entry == {
        "uri": str(path),
        "records": "trade",
        "symbol": {"column": "symbol"},
        "time": {"column": "ts_event", "unit": "ns"},
        "receive": {"column": "ts_recv", "unit": "ns"},
    }
    odd = write(tmp_path / "odd.csv", "when,what\n1,2\n")
    assert "the columns do not tell" in str(data.info(odd))
    capture = write(tmp_path / "c.gz", b'1 {"data":{"s":"BTCUSDT"}}\n')
    assert "symbols: BTCUSDT" in str(data.info(capture))


def _feed_of(path: Path) -> list[str]:
    found = data.info(path)
    assert isinstance(found, FileInfo)
    return found.feed


def test_the_synthetic_tape_is_known_again(tmp_path: Path) -> None:
    calls: list[int] = []
    data.synthetic_tape(tmp_path / "s.npy", seed=1, records=70_000, progress=lambda done, *_: calls.append(done))
    assert calls == [65_536, 70_000]
    assert data.is_synthetic_tape(tmp_path / "s.npy", seed=1, records=70_000)
    assert not data.is_synthetic_tape(tmp_path / "s.npy", seed=2, records=70_000)
    assert not data.is_synthetic_tape(tmp_path / "s.npy", seed=1, records=70_001)
    assert not data.is_synthetic_tape(tmp_path / "absent.npy")
    write(tmp_path / "s.npy", "no tape")
    assert not data.is_synthetic_tape(tmp_path / "s.npy", seed=1, records=70_000)


@pytest.mark.data
def test_the_recorded_minute_bars_are_read_whole(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    path = shared_data("crypto-minute-bars/btc-perp-20211231-20220201_1m.csv.gz")
    result = data.convert([path], tmp_path / "b.npy", symbol="BTC", decimals=["2,8"], excess_decimals="round")
    tape = load(tmp_path / "b.npy")
    assert (result.rows, result.dead, result.rounded) == (45_031, {}, 10)
    assert tape.header.bar_lengths_ns == [60_000_000_000]
    first = tape.records[0].tolist()
    assert first[:7] == (1_640_991_660_000_000_000,) * 2 + (
        4_631_900,
        4_638_500,
        4_631_900,
        4_637_700,
        230_041_372_950_000,
    )
    assert str(tape.records["ts_event"].astype("M8[ns]").astype("M8[s]")[-1]) == "2022-02-01T05:31:00"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "bar"),
    [
        ("2006-day-001.txt.gz", 255, 86_400),
        ("2006-min-005.txt.gz", 2_142, 300),
        ("2006-week-001.txt.gz", 52, 604_800),
        ("orcl-1995-2014.txt.gz", 5_036, 86_400),
        ("yhoo-1996-2014.txt.gz", 4_713, 86_400),
    ],
)
def test_recorded_daily_and_minute_files_need_only_a_symbol(
    shared_data: Callable[[str], Path], tmp_path: Path, name: str, rows: int, bar: int
) -> None:
    result = data.convert([shared_data(f"backtrader-datas/{name}")], tmp_path / "t.npy", symbol="X")
    assert (result.written, result.dead) == (rows, {})
    assert result.header.bar_lengths_ns == [bar * 1_000_000_000]


@pytest.mark.data
def test_recorded_captures_need_nothing_but_their_names(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    paths = [shared_data(f"binance-ws-captures/usdm_{name}_20240808.gz") for name in ("btcusdt", "ethusdt")]
    data.convert(paths, tmp_path / "u.npy")
    info = data.tape_info(tmp_path / "u.npy")
    assert info.counts == {"BTCUSDT": {"quote": 66_089, "trade": 21_313}, "ETHUSDT": {"quote": 53_992, "trade": 14_076}}
    assert 1_200_000_000 < info.clock_offset_ns < 1_300_000_000, "the recorder's clock is behind"
