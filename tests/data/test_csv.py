"""CSV to records: what good files become, and that every bad one is a clear error or a dead letter, never silence."""

from __future__ import annotations

import gzip
import random
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import _engine
from replay.adapters.text import TextFeed
from replay.errors import ConfigError, DataError
from replay.records import BarPrice, Kind, Side, from_bytes

from .feeds import BARS, QUOTES, START_NS, TRADES, instrument, opened, read_all, write

TRADE_LAYOUT: dict[str, Any] = {
    "records": "trade",
    "instruments": [{"symbol": "X", "index": 0, "price_decimals": 2, "size_decimals": 3}],
    "symbol": "X",
    "time": {"column": "time", "unit": "ns"},
}


def decode(text: bytes, chunk: int = 1 << 20, **changes: Any) -> tuple[Any, list[Any], dict[str, int]]:
    decoder = _engine.CsvDecoder(msgspec.json.encode(TRADE_LAYOUT | changes))
    data, dead = bytearray(), []
    for start in range(0, len(text), chunk):
        part, rows = decoder.feed(text[start : start + chunk])
        data += part
        dead += rows
    part, rows = decoder.finish()
    return from_bytes(data + part), dead + rows, decoder.counters()


def test_a_trade_keeps_every_field_exactly(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"time,price,size,side,id\n{START_NS},61800.30,0.006,buy,5266583935\n")
    records, dead = read_all(opened(path, **TRADES))
    assert not dead
    (record,) = records.tolist()
    assert record == (START_NS, START_NS, 6180030, 6, 5266583935, 0, 0, 0, Kind.TRADE, Side.BUY, 0)


def test_a_quote_with_a_receive_time_keeps_both(tmp_path: Path) -> None:
    text = f"time,local,bid,ask,bid_size,ask_size\n{START_NS},{START_NS + 5},99.99,100.01,1.5,2\n"
    feed = opened(write(tmp_path / "q.csv", text), **QUOTES, receive={"column": "local", "unit": "ns"})
    records, _ = read_all(feed)
    assert records.tolist() == [(START_NS, START_NS + 5, 9999, 10001, 1500, 2000, 0, 0, Kind.QUOTE, 0, 0)]
    assert not feed.header.one_time


def test_a_bar_stamped_with_its_start_ends_a_length_later(tmp_path: Path) -> None:
    text = "time,Open,High,Low,Close,Volume\n2023-11-14 22:13:20,1,3,0.5,2,10\n"
    entry = BARS | {"time": {"column": "time", "unit": "iso", "stamp": "start"}, "price": "mid"}
    feed = opened(write(tmp_path / "b.csv", text), **entry)
    records, _ = read_all(feed)
    end_ns = START_NS + 60_000_000_000
    assert records.tolist() == [(end_ns, end_ns, 100, 300, 50, 200, 10_000, 0, Kind.BAR, BarPrice.MID, 0)]
    assert feed.header.bar_lengths_ns == [60_000_000_000]
    assert feed.header.first_ns == end_ns


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "end"])
def test_line_ends_a_byte_order_mark_and_a_missing_last_line_end_change_nothing(
    tmp_path: Path, line_end: str, mark: str, last: str
) -> None:
    lines = ["time,price,size", f"{START_NS},1.00,1", "", f"{START_NS + 1},2.00,2"]
    text = mark + line_end.join(lines) + (line_end if last else "")
    records, dead = read_all(opened(write(tmp_path / "t.csv", text), **TRADES))
    assert not dead
    assert records["a"].tolist() == [100, 200]


def test_quoted_fields_may_hold_delimiters_and_quotes() -> None:
    text = b'note,time,price,size\n"a, ""b"" c",1,"1.25",2\n  "x" ,2,1.5,3\r\nplain"quote,3,2,1\n'
    records, dead, counters = decode(text)
    assert not dead
    assert records["a"].tolist() == [125, 150, 200]
    assert counters["rows"] == 3


def test_a_dead_row_names_its_line() -> None:
    text = b'note,time,price,size\n"a",1,1,1\n\n"c",2,bad,1\nx,3,bad,1\n'
    _, dead, _ = decode(text)
    assert [(reason, line, column) for reason, line, column, _ in dead] == [
        ("bad_number", 4, "price"),
        ("bad_number", 5, "price"),
    ]
    assert dead[0][3] == b'"c",2,bad,1'


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_quote_that_is_left_open_kills_its_row_and_none_after_it(end: bytes) -> None:
    rows = [b"note,time,price,size", b"a,1,1,1", b'"open,2,1,1', b"b,3,1,1", b'"', b"c,4,1,1", b'"last,5,1,1']
    records, dead, counters = decode(end.join(rows) + end)
    assert [row[:2] for row in dead] == [("bad_row", 3), ("bad_row", 5), ("bad_row", 7)]
    assert records["a"].tolist() == [100, 100, 100]
    assert counters == {"rows": 6, "records": 3, "dead": 3, "rounded": 0}


def test_a_row_without_end_is_an_error_and_does_not_fill_the_memory() -> None:
    with pytest.raises(DataError, match="does not end within"):
        decode(b'note,time,price,size\n"' + b"x" * (1 << 21))


def test_fields_may_be_padded_with_blanks() -> None:
    records, dead, _ = decode(b"time, price ,size\n 1 ,\t1.50 , 2\n")
    assert (records["a"].tolist(), dead) == ([150], [])


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        ("{t},NaN,1", "not_finite", "price"),
        ("{t},inf,1", "not_finite", "price"),
        ("{t},-Infinity,1", "not_finite", "price"),
        ("{t},-1.00,1", "bad_price", "price"),
        ("{t},0,1", "bad_price", "price"),
        ("{t},0.00,1", "bad_price", "price"),
        ("{t},1.00,-1", "bad_size", "size"),
        ("{t},1.00,0", "bad_size", "size"),
        ("{t},abc,1", "bad_number", "price"),
        ("{t},1.2.3,1", "bad_number", "price"),
        ('{t},"1,000.00",1', "bad_number", "price"),
        ("{t},,1", "missing_field", "price"),
        ("{t},9223372036854775808,1", "overflow", "price"),
        ("{t},1.00,9223372036854775808", "overflow", "size"),
        ("{t},1e30,1", "overflow", "price"),
        ("{t},11529215046068470.00,1", "overflow", "price"),
        ("yesterday,1.00,1", "bad_time", "time"),
        ("99999999999999999999,1.00,1", "bad_time", "time"),
        (",1.00,1", "missing_field", "time"),
        ("{t},1.00", "bad_row", ""),
        ("{t},1.00,1,9", "bad_row", ""),
    ],
)
def test_a_bad_trade_is_a_dead_letter_with_reason_place_and_text(
    tmp_path: Path, row: str, reason: str, column: str
) -> None:
    bad = row.format(t=START_NS)
    text = f"time,price,size\n{START_NS},1.00,1\n{bad}\n{START_NS + 1},2.00,1\n"
    path = write(tmp_path / "t.csv", text)
    feed = opened(path, **TRADES)
    records, dead = read_all(feed)
    assert records["a"].tolist() == [100, 200], "the rows beside it live"
    (letter,) = dead
    assert letter.reason == reason
    assert letter.raw == bad.encode()
    assert letter.place == f"{path}:3" + (f", column {column!r}" if column else "")
    counters = feed.counters()
    assert counters["rows"] == counters["records"] + counters["dead"] == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [("1,3,2,2,1", "bad_bar"), ("3,2,1,2,1", "bad_bar"), ("1,2,-1,1,1", "bad_price"), ("1,2,1,2,-1", "bad_size")],
)
def test_a_bad_bar_is_a_dead_letter(tmp_path: Path, row: str, reason: str) -> None:
    path = write(tmp_path / "b.csv", f"time,open,high,low,close,volume\n2024-01-01 00:00,{row}\n")
    records, dead = read_all(opened(path, **BARS))
    assert not len(records)
    assert [letter.reason for letter in dead] == [reason]


def test_negative_prices_pass_where_the_instrument_allows_them(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"time,price,size\n{START_NS},-37.63,1\n{START_NS},0,1\n")
    records, dead = read_all(opened(path, [instrument(allow_negative_price=True)], **TRADES))
    assert (records["a"].tolist(), dead) == ([-3763, 0], [])


def test_off_grid_prices_and_crossed_and_locked_quotes_pass(tmp_path: Path) -> None:
    text = f"time,bid,ask,bid_size,ask_size\n{START_NS},1.07,1.01,1,1\n{START_NS},1.01,1.01,1,1\n"
    records, dead = read_all(opened(write(tmp_path / "q.csv", text), **QUOTES))
    assert (records["a"].tolist(), records["b"].tolist(), dead) == ([107, 101], [101, 101], [])


def test_a_quote_may_lack_a_side(tmp_path: Path) -> None:
    text = "time,bid,ask,bid_size,ask_size\n1,,1.01,,5\n2,1.00,0,5,0\n3,0,1,5,1\n4,1,,5,5\n"
    records, dead = read_all(opened(write(tmp_path / "q.csv", text), **QUOTES))
    assert records[["a", "b", "c", "d"]].tolist() == [(0, 101, 0, 5000), (100, 0, 5000, 0)]
    assert [letter.reason for letter in dead] == ["bad_price", "missing_field"]


def test_a_feed_without_sizes_needs_none(tmp_path: Path) -> None:
    feed = opened(write(tmp_path / "q.csv", "time,bid,ask\n1,1.00,1.01\n"), **QUOTES, sizes="none")
    records, dead = read_all(feed)
    assert (records[["a", "b", "c", "d"]].tolist(), dead) == ([(100, 101, 0, 0)], [])
    assert feed.header.instruments[0].sizes == "none"


@pytest.mark.parametrize(
    ("column", "text", "side"),
    [
        ("side", "BUY", Side.BUY),
        ("side", "s", Side.SELL),
        ("side", "", Side.NONE),
        ("is_buyer_maker", "True", Side.SELL),
        ("is_buyer_maker", "false", Side.BUY),
    ],
)
def test_the_side_is_the_aggressors(tmp_path: Path, column: str, text: str, side: Side) -> None:
    path = write(tmp_path / "t.csv", f"time,price,size,{column}\n1,1,1,{text}\n")
    records, dead = read_all(opened(path, **TRADES, columns={"side": column}))
    assert (records["side"].tolist(), dead) == ([side], [])


def test_a_boolean_side_in_a_column_of_another_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size,side\n1,1,1,true\n")
    assert [letter.reason for letter in read_all(opened(path, **TRADES))[1]] == ["bad_side"]


def test_rows_are_told_apart_by_their_symbol_and_unknown_ones_are_dead(tmp_path: Path) -> None:
    text = "time,price,size,sym\n1,1.00,1,BTCUSDT\n2,1.000,1,ETHUSDT\n3,1,1,DOGE\n4,1,1,\n"
    entry = TRADES | {"symbol": {"column": "sym"}}
    feed = opened(write(tmp_path / "t.csv", text), [instrument(), instrument("ETHUSDT", 3, 0)], **entry)
    records, dead = read_all(feed)
    assert records[["instrument", "a", "b"]].tolist() == [(0, 100, 1000), (1, 1000, 1)]
    assert [(letter.reason, letter.raw) for letter in dead] == [
        ("unknown_symbol", b"3,1,1,DOGE"),
        ("missing_field", b"4,1,1,"),
    ]


def test_excess_decimals_stop_the_feed_after_the_rows_before_and_name_the_number(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n1,1.00,1\n2,1.00,12.30000000001\n3,1.00,1\n")
    feed = opened(path, **TRADES)
    batches = feed.batches()
    first = next(batches)
    assert first.records["ts_event"].tolist() == [1]
    with pytest.raises(DataError, match=r"12\.30000000001 has more than the 3 decimals of BTCUSDT") as caught:
        next(batches)
    assert caught.value.place == f"{path}, line 3, column 'size'"
    assert caught.value.reason == "excess_decimals"
    assert "excess_decimals" in str(caught.value.remedy)
    with pytest.raises(DataError, match=r"12\.30000000001"):
        next(feed.batches(first.cursor))


def test_excess_decimals_are_rounded_half_to_even_and_counted_on_request(tmp_path: Path) -> None:
    text = "time,price,size\n1,1.005,1\n2,1.015,12.30000000001\n3,1.10,1.100000\n"
    feed = opened(write(tmp_path / "t.csv", text), **TRADES, excess_decimals="round")
    records, dead = read_all(feed)
    assert (records["a"].tolist(), records["b"].tolist(), dead) == ([100, 102, 110], [1000, 12300, 1100], [])
    assert feed.counters()["rounded"] == 3


def test_a_missing_column_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "timestmp,price,size\n1,1,1\n")
    with pytest.raises(ConfigError, match="there is no column 'timestamp' among 'timestmp', 'price', 'size'") as caught:
        opened(path, **TRADES | {"time": {"column": "timestamp", "unit": "ns"}})
    assert caught.value.remedy == "did you mean 'timestmp'?"
    assert caught.value.place == f"{path}, line 1"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_wrong_delimiter_names_the_columns_found_and_the_right_one(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "t.csv", f"time,price,size\n{START_NS},1,1\n".replace(",", delimiter))
    with pytest.raises(ConfigError, match="the header is one column") as caught:
        opened(path, **TRADES)
    assert repr(delimiter).strip("'") in str(caught.value.remedy)
    assert len(read_all(opened(path, **TRADES, delimiter=delimiter))[0]) == 1


def test_an_empty_file_is_an_error_and_one_with_a_header_only_is_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is empty") as caught:
        opened(write(tmp_path / "empty.csv", ""), **TRADES)
    assert caught.value.reason == "empty"
    with pytest.raises(DataError, match="no header line"):
        opened(write(tmp_path / "blank.csv", "\n\n"), **TRADES)
    for text in ("time,price,size", "time,price,size\n"):
        assert len(read_all(opened(write(tmp_path / "header.csv", text), **TRADES))[0]) == 0


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path / "btcusdt.csv", "x")
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        opened(tmp_path / "btcusd.csv", **TRADES)
    assert "btcusdt.csv" in str(caught.value.remedy)


def test_a_truncated_gzip_gives_its_rows_and_then_an_error(tmp_path: Path) -> None:
    dice = random.Random(1)
    rows = "".join(f"{START_NS + number},1.00,{dice.randrange(1, 9999)}\n" for number in range(200_000))
    whole = gzip.compress(f"time,price,size\n{rows}".encode())
    path = write(tmp_path / "t.csv.gz", whole[: len(whole) // 2])
    feed = opened(path, **TRADES)
    count = 0
    with pytest.raises(DataError, match="is cut off after") as caught:
        for batch in feed.batches():
            count += len(batch.records)
    assert caught.value.reason == "truncated"
    assert str(path) in str(caught.value)
    assert count > 50_000


def test_a_file_that_only_pretends_to_be_gzip_is_read_as_what_it_is(tmp_path: Path) -> None:
    plain = write(tmp_path / "t.csv.gz", "time,price,size\n1,1,1\n")
    packed = write(tmp_path / "t.csv", gzip.compress(plain.read_bytes()))
    assert len(read_all(opened(plain, **TRADES))[0]) == len(read_all(opened(packed, **TRADES))[0]) == 1
    with pytest.raises(DataError, match="zstd"):
        opened(write(tmp_path / "z.csv", b"\x28\xb5\x2f\xfd..."), **TRADES)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("text", ["1700000000", "1700000000123", "1700000000123456789", "-5", "0", "1.5", "1e3"])
def test_a_time_in_the_wrong_unit_is_a_record_or_a_dead_letter_never_a_crash(unit: str, text: str) -> None:
    records, dead, _ = decode(f"time,price,size\n{text},1,1\n".encode(), time={"column": "time", "unit": unit})
    assert len(records) + len(dead) == 1
    if len(records):
        scale = {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
        assert int(records["ts_event"][0]) == int(Decimal(text).scaleb(scale))


def test_local_times_are_converted_with_the_rules_of_their_zone(tmp_path: Path) -> None:
    text = (
        "time,price,size\n"
        "2024-01-15 09:30:00,1,1\n"  # winter: UTC-5
        "2024-07-15 09:30:00,1,1\n"  # summer: UTC-4
        "2024-11-03 01:30:00,1,1\n"  # occurs twice: the first
        "2024-07-15 09:30:00Z,1,1\n"  # states its own zone: that contradicts the feed's
    )
    entry = TRADES | {"time": {"column": "time", "unit": "iso", "zone": "America/New_York"}}
    records, dead = read_all(opened(write(tmp_path / "t.csv", text), **entry))
    expected = ["2024-01-15T14:30", "2024-07-15T13:30", "2024-11-03T05:30"]
    assert records["ts_event"].astype("M8[ns]").astype("M8[m]").astype(str).tolist() == expected
    assert np.array_equal(records["ts_recv"], records["ts_event"])
    assert [letter.reason for letter in dead] == ["bad_time"]


def test_a_date_and_a_time_in_two_columns_are_one_time(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Date,Time,price,size\n2006-01-02,09:05:00,1,1\n")
    records, _ = read_all(opened(path, **TRADES | {"time": {"column": "Date+Time", "unit": "iso"}}))
    assert records["ts_event"].astype("M8[ns]").astype("M8[s]").astype(str).tolist() == ["2006-01-02T09:05:00"]


NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"-?[0-9]{0,12}\.?[0-9]{0,12}(e-?[0-9]{1,2})?", fullmatch=True),
    st.text(alphabet="0123456789.-+eE ", max_size=12),
)


@given(text=NUMBERS, decimals=st.integers(0, 9))
def test_numbers_are_those_of_decimal_exactly(text: str, decimals: int) -> None:
    entry = [{"symbol": "X", "index": 0, "price_decimals": decimals, "size_decimals": 0, "allow_negative_price": True}]
    row = f'time,price,size\n1,"{text}",1\n'.encode()
    records, dead, counters = decode(row, instruments=entry, excess_decimals="round")
    try:
        # What Decimal forgives, the decoder does not: underscores cannot come, blanks around are stripped by both.
        exact = Decimal(text.strip(" "))
    except ArithmeticError:
        assert [reason for reason, *_ in dead] in (["bad_number"], ["missing_field"])
        return
    scaled = exact.scaleb(decimals)
    rounded = scaled.to_integral_value(ROUND_HALF_EVEN)
    if abs(rounded) > 2**60:
        assert [reason for reason, *_ in dead] == ["overflow"]
    else:
        assert not dead
        assert int(records["a"][0]) == int(rounded)
        assert counters["rounded"] == int(scaled != rounded)


ROWS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 10**18), st.integers(1, 10**6), st.integers(1, 999)).map(
            lambda row: f"{row[0]},{row[1] / 100:.2f},{row[2]}"
        ),
        st.sampled_from(["", "x", '"1",2,3', '"a\nb",1,1', "1,nan,1", "1,1", "1,1,1,1", '1,"1"",1', "1,2,3\r"]),
    ),
    max_size=12,
)


@given(rows=ROWS, chunk=st.integers(1, 40), mark=st.booleans())
def test_chunks_of_any_size_give_the_same_and_no_row_is_lost(rows: list[str], chunk: int, mark: bool) -> None:
    text = ("\ufeff" if mark else "").encode() + "\n".join(["time,price,size", *rows]).encode()
    whole_records, whole_dead, counters = decode(text)
    records, dead, same_counters = decode(text, chunk)
    assert np.array_equal(records, whole_records)
    assert (dead, same_counters) == (whole_dead, counters)
    assert counters["rows"] == len(records) + len(dead)


def test_going_on_from_any_cursor_gives_exactly_what_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.adapters.text.CHUNK_BYTES", 256)
    rows = [f"{START_NS + n},{n + 1}.00,{n % 7 + 1}" if n % 10 else f"bad,{n},1" for n in range(300)]
    text = "\n".join(["time,price,size", *rows]) + "\n"
    for path in (write(tmp_path / "t.csv", text), write(tmp_path / "t.csv.gz", gzip.compress(text.encode()))):
        feed = opened(path, **TRADES)
        assert isinstance(feed, TextFeed)
        batches = list(feed.batches())
        assert len(batches) > 10
        for place, batch in enumerate(batches):
            rest = list(feed.batches(batch.cursor))
            assert [later.cursor for later in rest] == [later.cursor for later in batches[place + 1 :]]
            for again, before in zip(rest, batches[place + 1 :], strict=True):
                assert np.array_equal(again.records, before.records)
                assert again.dead == before.dead


def test_a_file_that_became_shorter_than_its_cursor_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n1,1,1\n2,1,1\n")
    feed = opened(path, **TRADES)
    cursor = list(feed.batches())[-1].cursor
    write(path, "time,price,size\n")
    with pytest.raises(DataError, match="was read up to byte"):
        list(feed.batches(cursor))
    with pytest.raises(DataError, match="the cursor is not one of a text feed"):
        list(feed.batches(b'{"row":1}'))


def test_stored_rows_cannot_be_stamped_on_arrival(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,price,size\n")
    with pytest.raises(ConfigError, match="do not arrive"):
        opened(path, **TRADES, receive_time="stamp")
