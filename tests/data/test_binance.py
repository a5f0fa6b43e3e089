"""Raw captures to records: quotes and trades, what is counted and left out, and times of two clocks."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.adapters import open_feed
from replay.errors import DataError
from replay.feeds.merge import merge
from replay.records import Kind, Side

from .feeds import instrument, opened, read_all, spec, write

RECEIVED_NS = 1_723_161_255_088_169_167
QUOTE = '"e":"bookTicker","u":9,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510"'
TRADE = '"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":77,"p":"61800.30","q":"0.006"'
MAKER = ',"m":true'


def capture(*frames: str) -> str:
    return "".join(f"{RECEIVED_NS + place} {frame}\n" for place, frame in enumerate(frames))


def line(frame: str) -> str:
    return f"{RECEIVED_NS} {frame}"


def wrapped(stream: str, data: str) -> str:
    return f'{{"stream":"btcusdt@{stream}","data":{{{data}}}}}'


def read(tmp_path: Path, text: str, **entry: Any) -> tuple[Any, list[Any], dict[str, int]]:
    feed = opened(write(tmp_path / "capture.gz", gzip.compress(text.encode())), **entry)
    records, dead = read_all(feed)
    return records, dead, feed.counters()


def test_a_best_quote_has_the_transaction_time_and_the_time_of_its_line(tmp_path: Path) -> None:
    records, dead, _ = read(tmp_path, capture(wrapped("bookTicker", QUOTE + ',"T":1723161256313,"E":1723161256313')))
    expected = (1_723_161_256_313_000_000, RECEIVED_NS, 6180020, 6180030, 2507, 2510, 0, 0, Kind.QUOTE, 0, 0)
    assert (records.tolist(), dead) == ([expected], [])


def test_a_spot_quote_without_venue_time_takes_its_receive_time_plus_the_clock_offset(tmp_path: Path) -> None:
    text = capture(wrapped("bookTicker", QUOTE.replace('"e":"bookTicker",', "")))
    records, _, _ = read(tmp_path, text, clock_offset="1300ms")
    assert records["ts_event"].tolist() == [RECEIVED_NS + 1_300_000_000]
    assert records["ts_recv"].tolist() == [RECEIVED_NS], "the offset is added to it by merge, once"


@pytest.mark.parametrize(("maker", "side"), [("true", Side.SELL), ("false", Side.BUY)])
def test_where_the_buyer_was_the_maker_the_aggressor_sold(tmp_path: Path, maker: str, side: Side) -> None:
    records, dead, _ = read(tmp_path, capture(wrapped("trade", f'{TRADE},"X":"MARKET","m":{maker}')))
    expected = (1_723_161_256_322_000_000, RECEIVED_NS, 6180030, 6, 77, 0, 0, 0, Kind.TRADE, side, 0)
    assert (records.tolist(), dead) == ([expected], [])


def test_aggregate_trades_and_frames_without_their_stream_are_read_too(tmp_path: Path) -> None:
    aggregate = TRADE.replace('"trade"', '"aggTrade"').replace('"t":77', '"a":78,"f":1,"l":2') + ',"m":true'
    records, dead, _ = read(tmp_path, capture("{" + aggregate + "}", "{" + TRADE + ',"m":true}'))
    assert (records["c"].tolist(), dead) == ([78, 77], [])


def test_what_is_no_market_trade_of_a_named_instrument_is_counted_and_left_out(tmp_path: Path) -> None:
    text = capture(
        wrapped("depth@0ms", '"e":"depthUpdate","E":1,"s":"BTCUSDT","b":[],"a":[]'),
        '{"lastUpdateId":5,"bids":[["1","2"]],"asks":[]}',
        wrapped("trade", TRADE + ',"X":"INSURANCE_FUND","m":true'),
        wrapped("trade", TRADE.replace("0.006", "0").replace("61800.30", "0") + ',"X":"NA","m":true'),
        wrapped("trade", TRADE.replace("BTCUSDT", "ETHUSDT") + ',"X":"MARKET","m":true'),
        wrapped("markPrice", '"e":"markPriceUpdate","s":"BTCUSDT"'),
        wrapped("trade", TRADE + ',"m":true,"M":true'),
    )
    records, dead, counters = read(tmp_path, text)
    assert (len(records), dead) == (1, [])
    assert counters == {
        "rows": 7,
        "records": 1,
        "dead": 0,
        "rounded": 0,
        "ignored_depth": 1,
        "ignored_depth_snapshot": 1,
        "ignored_trade_not_market": 2,
        "ignored_not_named": 1,
        "ignored_other_stream": 1,
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("nonsense", "bad_row"),
        ("when {}", "bad_time"),
        ("99999999999999999999 {}", "bad_time"),
        (line("{"), "bad_json"),
        (line(wrapped("trade", TRADE)), "bad_side"),
        (line(wrapped("trade", TRADE.replace("61800.30", "-1") + MAKER)), "bad_price"),
        (line(wrapped("trade", TRADE.replace("0.006", "0") + MAKER)), "bad_size"),
        (line(wrapped("trade", TRADE.replace("61800.30", "NaN") + MAKER)), "not_finite"),
        (line(wrapped("trade", TRADE.replace('"T":1723161256322', '"T":9223372036855') + MAKER)), "bad_time"),
        (line(wrapped("bookTicker", QUOTE.replace("61800.20", "9" * 30))), "overflow"),
        (line(wrapped("bookTicker", QUOTE.replace("61800.20", "0"))), "bad_price"),
    ],
)
def test_a_bad_line_is_a_dead_letter(tmp_path: Path, bad: str, reason: str) -> None:
    good = capture(wrapped("trade", TRADE + ',"m":true'))
    records, dead, counters = read(tmp_path, good + bad + "\n" + good)
    assert len(records) == 2
    assert [(letter.reason, letter.raw) for letter in dead] == [(reason, bad.encode())]
    assert counters["rows"] == 3


def test_more_decimals_than_the_instrument_has_stop_the_feed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"61800\.305 \('p'\) has more than the 2 decimals") as caught:
        read(tmp_path, capture(wrapped("trade", TRADE.replace("61800.30", "61800.305") + ',"m":true')))
    assert "line 1" in str(caught.value)


def test_a_pattern_opens_several_captures_merged(tmp_path: Path) -> None:
    write(tmp_path / "usdm_a.gz", capture(wrapped("trade", TRADE + ',"m":true'), wrapped("bookTicker", QUOTE)))
    write(tmp_path / "usdm_b.gz", capture(wrapped("bookTicker", QUOTE)))
    feed = merge([open_feed(spec(uri="binance:usdm_*.gz"), [instrument()], tmp_path)])
    records, _ = read_all(feed)
    assert records["kind"].tolist() == [Kind.TRADE, Kind.QUOTE, Kind.QUOTE]
    assert records["ts_recv"].tolist() == [RECEIVED_NS, RECEIVED_NS, RECEIVED_NS + 1]


@pytest.mark.data
def test_the_recorded_futures_have_all_their_trades_and_best_quotes(shared_data: Callable[[str], Path]) -> None:
    paths = [shared_data(f"binance-ws-captures/usdm_{name}_20240808.gz") for name in ("btcusdt", "ethusdt")]
    instruments = [instrument("BTCUSDT", 2, 3), instrument("ETHUSDT", 2, 3)]
    feed = merge([opened(path, instruments, clock_offset="1300ms") for path in paths])
    records, dead = read_all(feed)
    assert not dead
    assert int(np.count_nonzero(records["kind"] == Kind.TRADE)) == 35_389
    assert int(np.count_nonzero(records["kind"] == Kind.QUOTE)) == 120_081
    assert bool(np.all(np.diff(records["ts_recv"]) >= 0))
    assert bool(np.all(records["ts_recv"] >= records["ts_event"])), "with the offset nothing comes before it happens"
    ids = records["c"][(records["kind"] == Kind.TRADE) & (records["instrument"] == 0)]
    assert bool(np.all(np.diff(ids) > 0))
    counters = feed.counters()
    assert counters["rows"] == len(records) + counters["ignored_depth"] + counters["ignored_depth_snapshot"]


@pytest.mark.data
def test_the_recorded_spot_market_is_read_whole(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("binance-ws-captures/spot_btcusdt_20240808.gz")
    feed = opened(path, [instrument("BTCUSDT", 2, 5)])
    records, dead = read_all(feed)
    kinds, counts = np.unique(records["kind"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {Kind.QUOTE: 28_040, Kind.TRADE: 9_757}
    assert not dead
    assert feed.counters()["rows"] == 41_249


@pytest.mark.data
def test_a_capture_of_another_exchange_is_left_out_line_by_line(shared_data: Callable[[str], Path]) -> None:
    feed = opened(shared_data("binance-ws-captures/hyperliquid_btcusd_20250126.gz"))
    records, dead = read_all(feed)
    assert (len(records), dead, feed.counters()["ignored_other_stream"]) == (0, [], 55)
