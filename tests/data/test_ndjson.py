"""NDJSON to records: numbers from their text, members by their names, and bad lines as dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import _engine
from replay.errors import DataError
from replay.records import Side, from_bytes

from .feeds import START_NS, TRADES, instrument, opened, read_all, write

LAYOUT: dict[str, Any] = {
    "records": "trade",
    "instruments": [{"symbol": "X", "index": 0, "price_decimals": 2, "size_decimals": 3}],
    "symbol": "X",
    "time": {"column": "time", "unit": "ns"},
}


def decode(text: bytes, chunk: int = 1 << 20) -> tuple[Any, list[Any], dict[str, int]]:
    decoder = _engine.NdjsonDecoder(msgspec.json.encode(LAYOUT))
    data, dead = bytearray(), []
    for start in range(0, len(text), chunk):
        part, rows = decoder.feed(text[start : start + chunk])
        data += part
        dead += rows
    part, rows = decoder.finish()
    return from_bytes(data + part), dead + rows, decoder.counters()


def test_numbers_are_read_from_their_text_and_never_as_floats(tmp_path: Path) -> None:
    # As floats these would be 90071992547409.92 and 0.30000000000000004.
    text = '{"time":1,"price":90071992547409.93,"size":"0.300"}\n{"time":2,"price":3e-1,"size":1}\n'
    records, dead = read_all(opened(write(tmp_path / "t.ndjson", text), **TRADES))
    assert not dead
    assert records[["a", "b"]].tolist() == [(9007199254740993, 300), (30, 1000)]


def test_members_may_be_nested_renamed_escaped_and_in_any_order(tmp_path: Path) -> None:
    text = '{"data":{"q":"2","p":"1.5","m":true},"ts":"2023-11-14T22:13:20Z","pair":"BTC\\/USDT","more":[{}]}\n'
    entry: dict[str, Any] = {
        "records": "trade",
        "symbol": {"column": "pair"},
        "time": {"column": "ts", "unit": "iso"},
        "columns": {"price": "data.p", "size": "data.q", "side": "data.m"},
    }
    feed = opened(write(tmp_path / "t.jsonl", text), [instrument("BTC/USDT")], **entry)
    records, dead = read_all(feed)
    assert records[["ts_event", "a", "b", "side"]].tolist() == []
    assert [letter.reason for letter in dead] == ["bad_side"], "a boolean is a side only where it is said whose"
    entry["columns"]["side"] = "data.maker"
    text = text.replace('"m"', '"maker"')
    records, dead = read_all(opened(write(tmp_path / "t.jsonl", text), [instrument("BTC/USDT")], **entry))
    assert records[["ts_event", "a", "b", "side"]].tolist() == [(START_NS, 150, 2000, Side.SELL)]
    assert not dead


def test_one_member_may_be_several_fields(tmp_path: Path) -> None:
    entry: dict[str, Any] = {
        "records": "quote",
        "symbol": "X",
        "time": {"column": "t", "unit": "ns"},
        "receive": {"column": "t", "unit": "ns"},
        "columns": {"bid": "p", "ask": "p", "bid_size": "n", "ask_size": "n"},
    }
    path = write(tmp_path / "t.ndjson", '{"t":5,"p":"1.5","n":2}\n{"t":6,"n":2}\n{"t":7,"p":"x","n":2}\n')
    records, dead = read_all(opened(path, [instrument("X")], **entry))
    assert records[["ts_event", "ts_recv", "a", "b", "c", "d"]].tolist() == [(5, 5, 150, 150, 2000, 2000)]
    assert [(letter.reason, letter.place.rpartition(", ")[2]) for letter in dead] == [
        ("missing_field", "column 'p'"),
        ("bad_number", "column 'p'"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "bad_json"),
        ("nonsense", "bad_json"),
        ("[1,2]", "bad_json"),
        ('{"time":1,"price":1,"size":1', "bad_json"),
        ('{"time":1,"price":01,"size":1}', "bad_json"),
        ('{"time":1,"price":"\\x","size":1}', "bad_json"),
        ('{"time":1,"price":NaN,"size":1}', "not_finite"),
        ('{"time":1,"price":-Infinity,"size":1}', "not_finite"),
        ('{"time":1,"price":null,"size":1}', "missing_field"),
        ('{"time":1,"size":1}', "missing_field"),
        ('{"time":1,"price":[1],"size":1}', "bad_number"),
        ('{"time":1,"price":"1,5","size":1}', "bad_number"),
        ('{"time":1,"price":1e400,"size":1}', "overflow"),
        ('{"time":true,"price":1,"size":1}', "bad_time"),
        ("{" * 200 + "}" * 200, "bad_json"),
    ],
)
def test_a_bad_line_is_a_dead_letter_and_the_lines_beside_it_live(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"time":1,"price":1,"size":1}'
    path = write(tmp_path / "t.ndjson", f"{good}\n{line}\n\n{good}")
    feed = opened(path, **TRADES)
    records, dead = read_all(feed)
    assert len(records) == 2
    assert [(letter.reason, letter.raw) for letter in dead] == [(reason, line.encode())]
    assert dead[0].place.startswith(f"{path}:2")
    assert feed.counters()["rows"] == 3


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        opened(write(tmp_path / "t.ndjson", ""), **TRADES)


def test_bytes_that_are_no_utf8_are_a_dead_letter(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ndjson", b'{"time":1,"price":"\xff\xfe","size":1}\n')
    assert [letter.reason for letter in read_all(opened(path, **TRADES))[1]] == ["bad_number"]


LINES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 10**18), st.integers(1, 10**6)).map(
            lambda row: f'{{"time":{row[0]},"price":{row[1] / 100:.2f},"size":1}}'
        ),
        st.sampled_from(["", "  ", "{}", "{", '{"time":1,"price":"x","size":1}', '{"time":1,"price":1,"size":2}\r']),
    ),
    max_size=10,
)


@given(lines=LINES, chunk=st.integers(1, 50))
def test_chunks_of_any_size_give_the_same_and_no_line_is_lost(lines: list[str], chunk: int) -> None:
    text = "\n".join(lines).encode()
    records, dead, counters = decode(text)
    again, same_dead, same_counters = decode(text, chunk)
    assert np.array_equal(again, records)
    assert (same_dead, same_counters) == (dead, counters)
    assert counters["rows"] == len(records) + len(dead) == len([line for line in lines if line.strip()])
