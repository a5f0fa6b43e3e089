"""Recorded markets, converted and run in the three modes: equal digests.

May not live here: results of a strategy that somebody published (test_strategies).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from replay import modes, verify
from replay.config import load
from replay.data import convert
from replay.result import Result

Shared = Callable[[str], Path]
STRATEGIES = Path(__file__).resolve().parents[2] / "strategies"

BARS = f"""
[[strategy]]
class = "{STRATEGIES}/sma_cross.py:SmaCross"
name = "sma"
params = {{ symbol = "BTCUSDT", fast = 20, slow = 50 }}
[[feed]]
uri = "FEED"
records = "bar"
symbol = "BTCUSDT"
bar = "1m"
time = {{ column = "timestamp", unit = "iso", zone = "UTC", stamp = "end" }}
excess_decimals = "round"
[[instrument]]
symbol = "BTCUSDT"
venue = "binance"
tick = "0.01"
lot = "0.00001"
price_decimals = 2
size_decimals = 8
quote = "USDT"
base = "BTC"
[[venue]]
name = "binance"
fees = {{ maker = "0.0002", taker = "0.0005" }}
[account]
kind = "margin"
leverage = "5"
currency = "USDT"
cash = {{ USDT = "100000" }}
"""

TICKS = f"""
[run]
equity_every = "1s"
[[strategy]]
class = "{STRATEGIES}/sma_cross.py:SmaCross"
name = "btc"
params = {{ symbol = "BTCUSDT", length = "1s", fast = 5, slow = 20, size = 0.01 }}
[[strategy]]
class = "{STRATEGIES}/breakout.py:Breakout"
name = "eth"
params = {{ symbol = "ETHUSDT", length = "5s", size = 0.1 }}
[[feed]]
uri = "FEED"
clock_offset = "1273ms"
[[instrument]]
symbol = "BTCUSDT"
venue = "binance"
tick = "0.1"
lot = "0.001"
quote = "USDT"
base = "BTC"
[[instrument]]
symbol = "ETHUSDT"
venue = "binance"
tick = "0.01"
lot = "0.001"
quote = "USDT"
base = "ETH"
[[venue]]
name = "binance"
fees = {{ maker = "0.0002", taker = "0.0005" }}
latency = {{ entry = "5ms", cancel = "5ms", response = "5ms" }}
[account]
kind = "margin"
leverage = "5"
currency = "USDT"
cash = {{ USDT = "100000" }}
"""


def _three_modes(text: str, feed: Path, folder: Path) -> list[Result]:
    run_file = folder / "run.toml"
    run_file.write_text(text.replace("FEED", str(feed)))
    config = load(run_file, ["metrics.port=0"])
    results = [
        modes.backtest(load(run_file), out=folder / "backtest"),
        modes.play(load(run_file), speed="max", out=folder / "play"),
        modes.paper(config, folder / "session"),
    ]
    for result, events in zip(results, ("backtest", "play", "session/events"), strict=True):
        assert hashlib.sha256((folder / events / "events.bin").read_bytes()).hexdigest() == result.digest
    assert verify.verify(folder / "session").equal
    return results


def test_minute_bars_as_text_and_as_a_tape_give_one_digest_in_three_modes(
    shared_data: Shared, tmp_path: Path
) -> None:
    source = shared_data("crypto-minute-bars/btc-perp-20211231-20220201_1m.csv.gz")
    (tmp_path / "text").mkdir()
    from_text = _three_modes(BARS, source, tmp_path / "text")
    tape = tmp_path / "bars.npy"
    convert(
        [source],
        tape,
        symbol="BTCUSDT",
        records="bar",
        bar="1m",
        time="timestamp",
        stamp="end",
        decimals=["2,8"],
        excess_decimals="round",
    )
    (tmp_path / "tape").mkdir()
    on_tape = BARS.split("records =")[0] + "\n[[instrument]]" + BARS.split("[[instrument]]")[1]
    from_tape = _three_modes(on_tape, tape, tmp_path / "tape")
    assert len({result.digest for result in from_text + from_tape}) == 1
    assert from_text[0].counts["engine"]["records"]["bar"] == 45_031
    assert from_text[0].counts["engine"]["events"]["fill"] == 998


@pytest.fixture(scope="module")
def capture(shared_data: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trades and best quotes of BTC and ETH, merged; the recorder's clock is 1.27 s behind."""
    tape = tmp_path_factory.mktemp("binance") / "capture.npy"
    sources = [
        shared_data("binance-ws-captures/usdm_btcusdt_20240808.gz"),
        shared_data("binance-ws-captures/usdm_ethusdt_20240808.gz"),
    ]
    convert(sources, tape)
    return tape


def test_recorded_trades_and_quotes_give_one_digest_in_three_modes(capture: Path, tmp_path: Path) -> None:
    results = _three_modes(TICKS, capture, tmp_path)
    assert len({result.digest for result in results}) == 1
    engine = results[0].counts["engine"]
    assert engine["records"]["quote"] == 120_081
    assert engine["records"]["trade"] == 35_389
    assert engine["events"]["fill"] > 10
    assert engine["events"]["triggered"] > 0


def test_a_recorder_whose_clock_is_behind_is_raised_and_counted(capture: Path, tmp_path: Path) -> None:
    run_file = tmp_path / "run.toml"
    run_file.write_text(TICKS.replace("FEED", str(capture)).replace('clock_offset = "1273ms"', ""))
    result = modes.backtest(load(run_file))
    assert result.counts["sequencer"]["raised"] == 155_470
