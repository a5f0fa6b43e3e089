"""The run file: read as the contract has it, written back equal, and every mistake named with place and remedy.

No strategy is imported and no feed opened here.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import config
from replay.errors import ConfigError, UsageError

from .run_file import RUN_FILE, changed

RUN_PATH = Path("my/run.toml")


def error_of(text: str, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, path=RUN_PATH, **options)
    return caught.value


def test_the_contract_is_read_as_it_stands() -> None:
    run = config.parse(RUN_FILE, path=RUN_PATH)
    assert run.run.seed == 7
    assert run.run.from_ is not None
    assert run.run.first_ns == 1_640_995_200_000_000_000 - 2 * 3_600 * 10**9
    assert run.run.equity_every.ns == 60 * 10**9
    assert run.strategy[0].class_ == "strategies/sma_cross.py:SmaCross"
    assert run.strategy[0].params == {"symbol": "BTCUSDT", "fast": 20, "slow": 50}
    assert run.feed[0].bar is not None
    assert run.feed[0].bar.ns == 60 * 10**9
    assert run.feed[0].receive == config.TimeColumn(column="local_time", unit="ns")
    assert run.instrument[0].tick.value == Decimal("0.01")
    assert run.instrument[0].size_decimals == 8
    assert run.venues()[0].fees.taker == "0.0005"
    assert run.account.cash["USDT"].value == 100_000
    assert run.metrics.port == 9109
    assert run.metrics.host == "127.0.0.1"
    assert run.base_dir == Path("my").resolve()
    assert [entry.name for entry in run.currencies()] == ["USDT", "BTC"]


def test_a_resolved_file_loads_to_an_equal_config() -> None:
    run = config.parse(RUN_FILE, path=RUN_PATH)
    text = config.resolved(run)
    again = config.parse(text, path=Path("elsewhere/config.toml"))
    assert again == run
    assert config.resolved(again) == text


def test_a_resolved_file_can_keep_its_paths_relative_to_its_folder(tmp_path: Path) -> None:
    run = config.parse(RUN_FILE, path=tmp_path / "run.toml")
    folder = tmp_path / "runs" / "one"
    text = config.resolved(run, folder)
    assert 'uri = "../../data/btcusdt-1m.csv.gz"' in text
    assert config.parse(text, path=folder / "config.toml") == run


def test_a_resolved_file_states_what_was_set(tmp_path: Path) -> None:
    run = config.parse(RUN_FILE, path=RUN_PATH, sets=["strategy.0.params.fast=10", "account.leverage=2.5"])
    again = config.parse(config.resolved(run))
    assert again.strategy[0].params["fast"] == 10
    assert again.account.leverage == "2.5"
    assert again == run


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8) | st.booleans(),
        max_size=4,
    ),
    st.integers(0, 2**63 - 1),
)
def test_any_parameters_survive_being_resolved(params: dict[str, Any], seed: int) -> None:
    data = {
        "run": {"seed": seed},
        "strategy": [{"class": "a:B", "params": params}],
        "feed": [{"uri": "tape.npy"}],
        "instrument": [{"symbol": "X", "tick": "0.01", "lot": 1, "quote": "USD"}],
        "account": {"currency": "USD", "cash": {"USD": 1000}},
    }
    run = config.from_mapping(data)
    assert config.parse(config.resolved(run)) == run


def test_decimals_default_to_those_of_tick_and_lot() -> None:
    text = changed("price_decimals = 2\n", "").replace("size_decimals = 8\n", "")
    spec = config.parse(text).instrument[0]
    assert (spec.price_decimals, spec.size_decimals) == (2, 5)


def test_without_venues_each_name_gets_one_without_fees() -> None:
    start, end = RUN_FILE.index("[[venue]]"), RUN_FILE.index("[account]")
    run = config.parse(RUN_FILE[:start] + RUN_FILE[end:])
    assert [(venue.name, venue.fees.taker, venue.latency.entry.ns) for venue in run.venues()] == [("binance", "0", 0)]


def test_currencies_have_their_usual_decimals_unless_named() -> None:
    assert [config.default_decimals(name) for name in ("USD", "JPY", "BTC")] == [2, 0, 8]
    run = config.parse(RUN_FILE + '[[currency]]\nname = "USDT"\ndecimals = 6\n')
    assert [(entry.name, entry.decimals) for entry in run.currencies()] == [("USDT", 6), ("BTC", 8)]


def test_a_byte_order_mark_and_carriage_returns_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + RUN_FILE.replace("\n", "\r\n").encode())
    assert config.load(path) == config.parse(RUN_FILE, base_dir=tmp_path)


CASES = [
    ("[run]", "run = 5\n[rum]", 1, "run must be a table, not an integer", None),
    ("[[feed]]", "[feed]", 11, "feed must be a list", "[[feed]] with two brackets"),
    ('"data/btcusdt-1m.csv.gz"', '""', 12, "feed.0.uri must be text in quotes of length >= 1", None),
    ('base = "BTC"', 'base = "BTC"\nsessions = 5', 29, "sessions must be a list", None),
    ('base = "BTC"', 'base = "BTC"\nsessions = [["2024-01-01"]]', 29, "sessions.0 must be a list of length 2", None),
    ('USDT = "100000"', "USDT = true", 37, "account.cash.USDT must be a decimal number", None),
    # text before, text after, line, words of the message, words of the remedy
    ("seed = 7", "sed = 7", 2, "unknown key 'sed' in [run]", "did you mean 'seed'? choices: seed, from, until"),
    ("seed = 7", "zzz = 7", 2, "unknown key 'zzz' in [run]", "choices: seed, from, until"),
    ("seed = 7", 'seed = "7"', 2, "run.seed must be an integer, not text", None),
    ("seed = 7", "seed = true", 2, "run.seed must be an integer, not true or false", None),
    ("seed = 7", "seed = 7.0", 2, "run.seed must be an integer, not a float", None),
    ("seed = 7", "seed = -1", 2, "run.seed must be an integer >= 0", None),
    ("seed = 7", "seed = = 7", 2, "this is not TOML", None),
    ("seed = 7", 'seed = "7', 2, "this is not TOML", None),
    ("seed = 7", "seed = 7\nseed = 8", 3, "this is not TOML", None),
    ('kind = "margin"', 'kind = "margn"', 34, "account.kind cannot be 'margn'", "did you mean 'margin'? choices: cash"),
    ("[account]", "[acount]", 33, "unknown key 'acount' in the run file", "did you mean 'account'?"),
    ("[[venue]]", "[venue]", 29, "venue must be a list", "[[venue]] with two brackets"),
    ("params = {", "parms = {", 10, "unknown key 'parms' in [[strategy]]", "did you mean 'params'?"),
    ("params = { symbol", "params = 5 # { symbol", 10, "strategy.0.params must be a table", None),
    ("maker =", "makr =", 31, "unknown key 'makr' in venue.0.fees", "did you mean 'maker'? choices: maker, taker"),
    ('unit = "iso"', 'unit = "isso"', 16, "feed.0.time.unit cannot be 'isso'", "did you mean 'iso'?"),
    ('symbol = "BTCUSDT"\nbar', 'symbol = { colum = "x" }\nbar', 14, "unknown key 'colum'", "did you mean 'column'?"),
    ('symbol = "BTCUSDT"\nbar', "symbol = 5\nbar", 14, "feed.0.symbol must be text in quotes or a table", None),
    ('tick = "0.01"\n', "", 20, "[[instrument]] lacks the key 'tick'", 'add tick = "0.01"'),
    ('class = "strategies/sma_cross.py:SmaCross"\n', "", 7, "[[strategy]] lacks the key 'class'", "add class ="),
    ('tick = "0.01"', "tick = 0.01", 23, "tick must be exact, but 0.01 is a binary float", 'quote it, as in "0.01"'),
    ('"0.0005" }', "0.0005 }", 31, "venue.0.fees.taker must be exact", 'quote it, as in "0.0005"'),
    ('USDT = "100000"', "USDT = 100000.5", 37, "account.cash.USDT must be exact", "quote it"),
    ('tick = "0.01"', 'tick = "a cent"', 23, "is not a decimal number", None),
    ('tick = "0.01"', 'tick = "nan"', 23, "is not a decimal number", None),
    ('tick = "0.01"', "tick = true", 23, "must be a decimal number in quotes", None),
    ('tick = "0.01"', 'tick = "0"', 23, "tick must be above 0", None),
    ('tick = "0.01"', 'tick = "0.001"', 25, "tick 0.001 does not fit price_decimals = 2", "set price_decimals = 3"),
    ('lot = "0.00001"', 'lot = "0.000000001"', 26, "does not fit size_decimals = 8", "set size_decimals = 9"),
    ("price_decimals = 2", "price_decimals = 19", 25, "must be an integer <= 18", None),
    ("price_decimals = 2", "price_decimals = 18", 25, "price, size and multiplier have 26 decimals together", None),
    ('warmup = "2h"', 'warmup = "2 hours"', 4, "'2 hours' is not a duration", None),
    ('warmup = "2h"', "warmup = 2", 4, "run.warmup must be a duration with its unit", None),
    ('warmup = "2h"', 'warmup = "-2h"', 4, "run.warmup cannot be negative", None),
    ('equity_every = "1m"', 'equity_every = "0s"', 5, "run.equity_every must be longer than nothing", None),
    ("periods_per_year = 365", "periods_per_year = 0", 6, "must be an integer >= 1", None),
    ('"2022-01-01T00:00:00Z"', "2022-01-01T00:00:00Z", 3, "run.from must be a time in quotes", None),
    ('"2022-01-01T00:00:00Z"', '"2022-01-01T00:00:00"', 3, "names no time zone", None),
    ('warmup = "2h"', 'until = "2022-01-01"', 4, "until 2022-01-01 is not after from 2022-01-01T00:00:00Z", None),
    (":SmaCross", "", 8, "names no class", "file.py:Class"),
    ('records = "bar"', 'records = "bars"', 13, "feed.0.records cannot be 'bars'", "did you mean 'bar'?"),
    ('records = "bar"\n', "", 11, "is text and lacks the key 'records'", "add records"),
    ('bar = "1m"\n', "", 11, "is text and lacks the key 'bar'", 'add bar = "1m"'),
    ('records = "bar"', 'records = "trade"', 18, "records of kind trade have no field 'open'", "choices: price, size"),
    ("{ open =", "{ opne =", 18, "records of kind bar have no field 'opne'", "did you mean 'open'?"),
    ('symbol = "BTCUSDT"\nbar', 'symbol = "BTCUSD"\nbar', 14, "'BTCUSD' has no [[instrument]]", "'BTCUSDT'?"),
    ('zone = "UTC"', 'zone = "Europe/Berln"', 16, "no time zone 'Europe/Berln'", "'Europe/Berlin'"),
    ('name = "binance"', 'name = "binanse"', 22, "names the venue 'binance', which has no [[venue]]", "'binanse'?"),
    ('entry = "0ms"', 'entry = "-1ms"', 32, "latency.entry cannot be negative", None),
    ('taker = "0.0005"', 'taker = "5"', 31, "fees.taker is a rate", "0.05 %"),
    ('taker = "0.0005"', 'per_share = "-0.1"', 31, "fees.per_share cannot be negative", None),
    ('taker = "0.0005"', 'minimum = "-1"', 31, "fees.minimum cannot be negative", None),
    ('taker = "0.0005"', 'maximum_rate = "5"', 31, "fees.maximum_rate is a rate", "0.5 %"),
    ('taker = "0.0005"', 'currency = "received"', 31, "need coins that are owned", 'set kind = "cash"'),
    ('taker = "0.0005"', 'currency = "received", per_order = "1"', 31, "fees.per_order is an amount", "one of the two"),
    ('leverage = "2"', 'leverage = "0.5"', 35, "leverage must be 1 or more", None),
    ('kind = "margin"', 'kind = "cash"', 35, "a cash account borrows nothing", "leave leverage out"),
    ('quote = "USDT"', 'quote = "USD"', 27, "is quoted in USD, and the account is kept in USDT", None),
    ('cash = { USDT = "100000" }', 'cash = { USDT = "-1" }', 37, "cash cannot be negative", None),
    ('cash = { USDT = "100000" }', 'cash = { ETH = "1" }', 37, "cash in ETH cannot be valued in USDT", None),
    ('cash = { USDT = "100000" }', 'cash = { USDT = "1.000000001" }', 37, "more than the currency's 8 decimals", None),
    ("port = 9109", "port = 91090", 39, "must be an integer <= 65535", None),
    ("port = 9109", 'port = 9109\n[risk]\nmax_order_size = "-1"', 41, "risk.max_order_size cannot be negative", None),
    (
        'base = "BTC"',
        'base = "BTC"\nsessions = [["2024-01-01T14:30:00Z", "2024-01-01T14:00:00Z"]]',
        29,
        "a session ends before it begins",
        None,
    ),
    (
        'base = "BTC"',
        'base = "BTC"\nsessions = [["2024-01-02", "2024-01-03"],\n["2024-01-01", "2024-01-02"]]',
        30,
        "begins before the one ahead of it ends",
        "in order",
    ),
]


@pytest.mark.parametrize(("before", "after", "line", "message", "remedy"), CASES)
def test_a_mistake_is_named_with_its_line(before: str, after: str, line: int, message: str, remedy: str | None) -> None:
    error = error_of(changed(before, after))
    assert error.place == f"my/run.toml:{line}"
    assert message in error.message
    if remedy is not None:
        assert error.remedy is not None
        assert remedy in error.remedy
    assert error.exit_code == 2
    assert len(str(error).splitlines()) <= 5


@pytest.mark.parametrize("section", ["strategy", "instrument", "venue"])
def test_two_entries_of_one_name_are_refused(section: str) -> None:
    start = RUN_FILE.index(f"[[{section}]]")
    block = RUN_FILE[start : RUN_FILE.index("\n[", start) + 1]
    error = error_of(RUN_FILE + block)
    assert "stands here twice" in error.message
    assert error.place is not None
    assert int(error.place.rpartition(":")[2]) > RUN_FILE.count("\n")


@pytest.mark.parametrize("section", ["strategy", "feed", "instrument", "account"])
def test_a_missing_section_is_named(section: str) -> None:
    text = RUN_FILE.replace(f"[[{section}]]", "[[currency]]").replace(f"[{section}]", "[risk]")
    head = "[[" if f"[[{section}]]" in RUN_FILE else "["
    start = text.index(f"{head}currency" if head == "[[" else "[risk")
    end = text.find("\n[", start + 1)
    error = error_of(text[:start] + text[end + 1 :])
    assert f"lacks the key '{section}'" in error.message
    assert error.place == "my/run.toml"


def test_a_missing_run_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run file"):
        config.load(tmp_path / "none.toml")


def test_a_folder_as_run_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)


def test_a_run_file_that_is_not_utf8_says_at_which_byte(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"[run]\nseed = 7 # \xff")
    with pytest.raises(ConfigError, match="byte 17 is not UTF-8"):
        config.load(path)


@pytest.mark.parametrize(
    ("expression", "message", "remedy"),
    [
        ("a", "is not PATH=VALUE", "--set strategy.0.params.fast=10"),
        ("=5", "is not PATH=VALUE", None),
        ("run..seed=5", "is not PATH=VALUE", None),
        ("run.x=1", "unknown key 'x' in [run]", "choices: seed"),
        ("run.sed=1", "unknown key 'sed' in [run]", "did you mean 'seed'"),
        ("strategy.fast=1", "strategy is a list, and 'fast' is no index", "name the entry: strategy.0.fast"),
        ("strategy.3.name=x", "strategy has no entry 3", "the entries are 0 to 0"),
        ("run.seed=[1", "neither a TOML value nor a bare word", "quote it"),
        ("run.seed=", "neither a TOML value nor a bare word", None),
        ("run.seed.x=1", "run.seed is an integer and has no keys", None),
        ("run.0=1", "run is a table, and 0 is no key", "choices: seed"),
        ("run.seed=abc", "run.seed must be an integer, not text", None),
        ("account.kind=cash", "a cash account borrows nothing", None),
    ],
)
def test_a_bad_set_expression_is_named(expression: str, message: str, remedy: str | None) -> None:
    error = error_of(RUN_FILE, sets=[expression])
    assert message in error.message
    assert error.place in (f"--set {expression}", "my/run.toml:35")
    if remedy is not None:
        assert error.remedy is not None
        assert remedy in error.remedy


def test_set_takes_toml_values_bare_words_and_exact_decimals() -> None:
    run = config.parse(
        RUN_FILE,
        sets=[
            "strategy.0.params.fast=10",
            "strategy.0.params.ratio=0.5",
            "strategy.0.params.mode=quick",
            "strategy.0.params.levels=[1, 2]",
            "run.warmup=3h",
            "run.until=2022-02-01T00:00:00Z",
            "account.leverage=1.5",
            "account.cash.USDT=5000.25",
            "log.format=json",
            "risk.max_position=2",
            "currency.0={ name = 'USDT', decimals = 6 }",
        ],
    )
    assert run.strategy[0].params == {
        "symbol": "BTCUSDT",
        "fast": 10,
        "slow": 50,
        "ratio": 0.5,
        "mode": "quick",
        "levels": [1, 2],
    }
    assert run.run.warmup == "3h"
    assert run.run.limit_ns == 1_643_673_600_000_000_000
    assert run.account.leverage == "1.5"
    assert run.account.cash["USDT"] == "5000.25"
    assert run.log.format == "json"
    assert run.risk.max_position == "2"
    assert run.currencies()[0].decimals == 6


def test_a_later_set_overrides_an_earlier_one() -> None:
    assert config.parse(RUN_FILE, sets=["run.seed=1", "run.seed=2"]).run.seed == 2


def test_feed_keeps_the_columns_for_the_same_text_format_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    same = config.parse(RUN_FILE, path=RUN_PATH, feed="other.csv")
    assert same.feed[0].uri == str(tmp_path / "other.csv")
    assert same.feed[0].records == "bar"
    followed = config.parse(RUN_FILE, path=RUN_PATH, feed="follow:other.csv")
    assert followed.feed[0].uri == f"follow:{tmp_path / 'other.csv'}"
    assert followed.feed[0].symbol == "BTCUSDT"
    tape = config.parse(RUN_FILE, path=RUN_PATH, feed="tape.npy")
    assert tape.feed == [config.FeedSpec(uri=str(tmp_path / "tape.npy"))]
    several = config.parse(RUN_FILE, path=RUN_PATH, feed=["sim:", "tape.npy"])
    assert [spec.uri for spec in several.feed] == ["sim:", str(tmp_path / "tape.npy")]


def test_an_error_in_a_replaced_feed_names_the_option() -> None:
    error = error_of(RUN_FILE, feed="ticks.ndjson")
    assert error.place == "--feed ticks.ndjson"
    with pytest.raises(UsageError):
        config.parse(RUN_FILE, feed=[])


def test_python_values_are_checked_by_the_same_rules() -> None:
    data: dict[str, Any] = {
        "strategy": [{"class": "a:B"}],
        "feed": [{"uri": "tape.npy"}],
        "instrument": [{"symbol": "X", "tick": 0.01, "lot": 1, "quote": "USD"}],
        "account": {"currency": "USD", "cash": {"USD": 1000}},
    }
    with pytest.raises(ConfigError, match=r"instrument\.0\.tick must be exact"):
        config.from_mapping(data)
    data["instrument"][0]["tick"] = Decimal("0.01")
    run = config.from_mapping(data)
    assert run.instrument[0].tick == "0.01"
    assert run.strategy[0].name == "B"
    data["instrument"][0]["multiplier"] = "0"
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(data)
    assert caught.value.place == "instrument.0.multiplier"


def test_sections_take_plain_values_in_python() -> None:
    spec = config.Instrument(symbol="X", tick="0.01", lot=1, quote="USD")  # type: ignore[arg-type]
    assert spec.tick.value == Decimal("0.01")
    assert (spec.price_decimals, spec.size_decimals) == (2, 0)


def test_the_reference_names_every_key_and_says_what_it_is() -> None:
    rows = [line for line in config.schema_markdown().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    for row in rows:
        assert not row.endswith("|  |"), row


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        config.parse(text)


@given(st.sampled_from(RUN_FILE.splitlines()), st.integers(0, 60), st.sampled_from("\"'[]{}=,. 0x\n#\\-"))
def test_a_damaged_run_file_is_read_or_refused_with_a_config_error(line: str, at: int, character: str) -> None:
    damaged = line[:at] + character + line[at:]
    try:
        config.parse(RUN_FILE.replace(line, damaged, 1), path=RUN_PATH)
    except ConfigError as error:
        assert error.place
