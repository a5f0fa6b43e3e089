"""The setup of a run: what the run file and the headers of the feeds make together, and where they do not fit.

The headers here are stand-ins with the same fields; no feed is opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from replay import config, setup
from replay.errors import ConfigError

from .run_file import RUN_FILE, changed

MINUTE_NS = 60 * 10**9


@dataclass
class HeaderInstrument:
    symbol: str = "BTCUSDT"
    price_decimals: int = 2
    size_decimals: int = 8
    kinds: list[str] = field(default_factory=lambda: ["bar"])
    sizes: str = "full"
    venue: str | None = None
    bar_price: Any = msgspec.UNSET


@dataclass
class Header:
    instruments: list[HeaderInstrument] = field(default_factory=lambda: [HeaderInstrument()])
    one_time: bool = True
    bar_lengths_ns: list[int] = field(default_factory=lambda: [MINUTE_NS])
    rows: int = 10
    first_ns: int | None = 1_000 * MINUTE_NS
    last_ns: int | None = 2_000 * MINUTE_NS


def built(text: str, *headers: Header, **options: Any) -> dict[str, Any]:
    feeds: Any = list(headers)
    value: dict[str, Any] = json.loads(setup.build(config.parse(text), feeds, **options))
    return value


def test_the_setup_says_what_the_run_file_says() -> None:
    made = built(RUN_FILE, Header())
    assert made["seed"] == 7
    assert made["equity_every_ns"] == MINUTE_NS
    assert made["trading_start_ns"] == 1_640_995_200_000_000_000
    assert made["bar_lengths"] == [MINUTE_NS]
    assert made["currencies"] == [{"name": "USDT", "decimals": 8}, {"name": "BTC", "decimals": 8}]
    assert made["account"] == {"kind": "margin", "leverage": "2", "currency": "USDT", "cash": {"USDT": "100000"}}
    assert made["venues"][0]["fees"] == {"maker": "0.0002", "taker": "0.0005", "rounding": "order"}
    assert made["strategies"] == [{"name": "sma"}]
    instrument = made["instruments"][0]
    assert (instrument["source"], instrument["kinds"], instrument["bar_length"]) == ("bar", ["bar"], 0)
    assert (instrument["tick"], instrument["price_decimals"], instrument["size_decimals"]) == ("0.01", 2, 8)


@pytest.mark.parametrize(
    ("kinds", "source"),
    [
        (["bar"], "bar"),
        (["trade", "bar"], "trade"),
        (["quote", "bar"], "quote"),
        (["quote", "trade"], "quote+trade"),
        (["bar", "trade", "quote"], "quote+trade"),
    ],
)
def test_the_finest_data_that_the_feeds_carry_decide(kinds: list[str], source: str) -> None:
    assert built(RUN_FILE, Header([HeaderInstrument(kinds=kinds)]))["instruments"][0]["source"] == source


def test_kinds_of_several_feeds_of_one_instrument_add_up() -> None:
    headers = [
        Header([HeaderInstrument(kinds=["trade"])], bar_lengths_ns=[]),
        Header([HeaderInstrument(kinds=["quote"])]),
    ]
    made = built(RUN_FILE, *headers)["instruments"][0]
    assert made["source"] == "quote+trade"
    assert made["kinds"] == ["quote", "trade"]


def test_the_run_file_can_name_the_source() -> None:
    text = changed('base = "BTC"', 'base = "BTC"\nsource = "trade"')
    header = Header([HeaderInstrument(kinds=["quote", "trade"])])
    assert built(text, header)["instruments"][0]["source"] == "trade"
    with pytest.raises(ConfigError, match="source = 'trade', but the feeds carry bar of 'BTCUSDT'"):
        built(text, Header())


def test_the_shortest_bars_fill_unless_a_length_is_named() -> None:
    header = Header(bar_lengths_ns=[60 * MINUTE_NS, MINUTE_NS, 5 * MINUTE_NS])
    made = built(RUN_FILE, header)
    assert made["bar_lengths"] == [60 * MINUTE_NS, MINUTE_NS, 5 * MINUTE_NS]
    assert made["instruments"][0]["bar_length"] == 1
    text = changed('base = "BTC"', 'base = "BTC"\nbar = "5m"')
    assert built(text, header)["instruments"][0]["bar_length"] == 2
    with pytest.raises(ConfigError, match="no such bars") as caught:
        built(text, Header())
    assert caught.value.remedy is not None
    assert "1m" in caught.value.remedy


def test_bar_lengths_of_all_feeds_form_one_table() -> None:
    headers: Any = [Header(bar_lengths_ns=[2, 1]), Header(bar_lengths_ns=[]), Header(bar_lengths_ns=[1, 3])]
    assert setup.bar_lengths(headers) == [2, 1, 3]


def test_one_clock_holds_only_where_no_feed_has_a_second_time() -> None:
    assert built(RUN_FILE, Header())["one_clock"] is True
    assert built(RUN_FILE, Header(one_time=False))["one_clock"] is False
    assert built(RUN_FILE, Header(), Header(one_time=False))["one_clock"] is False
    for option in ('receive_time = "stamp"', 'clock_offset = "5ms"'):
        assert built(changed('bar = "1m"', f'bar = "1m"\n{option}'), Header())["one_clock"] is False


def test_commands_are_taken_from_the_start_or_after_the_warmup() -> None:
    without = changed('from = "2022-01-01T00:00:00Z"\n', "")
    assert built(without, Header())["trading_start_ns"] == 1_000 * MINUTE_NS + 120 * MINUTE_NS
    assert built(without.replace('warmup = "2h"\n', ""), Header())["trading_start_ns"] is None
    assert built(RUN_FILE, Header(), trading_start_ns=5)["trading_start_ns"] == 5


@pytest.mark.parametrize(("key", "value"), [("price_decimals", 4), ("size_decimals", 5)])
def test_scales_that_differ_from_the_tape_are_named_on_both_sides(key: str, value: int) -> None:
    entry = HeaderInstrument()
    setattr(entry, key, value)
    mine = {"price_decimals": 2, "size_decimals": 8}[key]
    with pytest.raises(ConfigError, match=f"{key} = {mine} in the run file and {value} on the tape"):
        built(RUN_FILE, Header([entry]))


def test_an_instrument_that_no_feed_carries_is_named() -> None:
    with pytest.raises(ConfigError, match="no feed carries the instrument 'BTCUSDT'") as caught:
        built(RUN_FILE, Header([HeaderInstrument(symbol="BTCUSD")]))
    assert caught.value.remedy is not None
    assert "did you mean 'BTCUSD'?" in caught.value.remedy


def test_sizes_are_those_of_the_feeds_unless_the_venue_overrides() -> None:
    none = Header([HeaderInstrument(sizes="none")])
    assert built(RUN_FILE, Header())["instruments"][0]["sizes"] == "full"
    assert built(RUN_FILE, none)["instruments"][0]["sizes"] == "none"
    text = changed('name = "binance"', 'name = "binance"\nsizes = "full"')
    assert built(text, none)["instruments"][0]["sizes"] == "full"


def test_amends_take_as_long_as_entries_unless_named() -> None:
    text = changed('entry = "0ms"', 'entry = "3ms"')
    assert built(text, Header())["venues"][0]["latency_ns"]["amend"] == 3_000_000
    text = changed('entry = "0ms"', 'entry = "3ms", amend = "1ms"')
    assert built(text, Header())["venues"][0]["latency_ns"]["amend"] == 1_000_000


def test_bars_of_the_price_that_the_feed_names() -> None:
    text = changed('records = "bar"', 'records = "bar"\nprice = "mid"')
    assert built(text, Header())["instruments"][0]["bar_price"] == "mid"
    assert built(text, Header([HeaderInstrument(bar_price="bid")]))["instruments"][0]["bar_price"] == "mid"


@pytest.mark.parametrize(
    ("carried", "fills"),
    [
        (["bid"], "bid"),
        (["ask", "bid"], "bid"),
        (["bid", "trade"], "trade"),
        (["bid", msgspec.UNSET], "bid"),
        ([msgspec.UNSET], "trade"),
        ([], "trade"),
    ],
)
def test_else_bars_of_the_price_that_the_feeds_carry(carried: list[Any], fills: str) -> None:
    headers = [Header([HeaderInstrument(bar_price=price)]) for price in carried] or [
        Header([HeaderInstrument(kinds=["trade"])])
    ]
    assert built(RUN_FILE, *headers)["instruments"][0]["bar_price"] == fills


def test_sessions_are_written_in_nanoseconds() -> None:
    text = changed('base = "BTC"', 'base = "BTC"\nsessions = [["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"]]')
    assert built(text, Header())["instruments"][0]["sessions"] == [[10**9, 2 * 10**9]]
