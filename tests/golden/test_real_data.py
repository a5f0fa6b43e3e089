"""Recorded markets through the whole path: convert, backtest, replay and paper session, all of one digest.

What the strategies earn there is tested against published results elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.data

BARS_RUN = """\
[run]
seed = 7
[[strategy]]
class = "replay.strategies.sma_cross:SmaCross"
params = { symbol = "BTCUSDT", fast = 20, slow = 50 }
[[feed]]
uri = "SOURCE"
records = "bar"
symbol = "BTCUSDT"
bar = "1m"
time = { column = "timestamp" }
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
fees = { maker = "0.0002", taker = "0.0005" }
[account]
leverage = "2"
currency = "USDT"
cash = { USDT = "100000" }
"""

TICKS_RUN = """\
[run]
seed = 7
equity_every = "1s"
[[strategy]]
class = "replay.strategies.sma_cross:SmaCross"
name = "btc"
params = { symbol = "BTCUSDT", length = "1s", fast = 5, slow = 20, size = 0.1 }
[[strategy]]
class = "replay.strategies.breakout:Breakout"
name = "eth"
params = { symbol = "ETHUSDT", length = "5s", size = 0.1 }
[[feed]]
uri = "binance:SOURCE/usdm_*_20240808.gz"
clock_offset = "1273ms"
[[instrument]]
symbol = "BTCUSDT"
venue = "usdm"
tick = "0.1"
lot = "0.001"
quote = "USDT"
[[instrument]]
symbol = "ETHUSDT"
venue = "usdm"
tick = "0.01"
lot = "0.001"
quote = "USDT"
[[venue]]
name = "usdm"
fees = { maker = "0.0002", taker = "0.0004" }
latency = { entry = "5ms", cancel = "5ms", response = "5ms" }
[account]
leverage = "5"
currency = "USDT"
cash = { USDT = "100000" }
"""


def replay(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "replay", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def result(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return value


@pytest.mark.parametrize(
    ("data_set", "name", "text", "records"),
    [
        ("crypto-minute-bars", "btc-perp-20211231-20220201_1m.csv.gz", BARS_RUN, {"bar": 45_031}),
        ("binance-ws-captures", "", TICKS_RUN, {"quote": 120_081, "trade": 35_389}),
    ],
)
def test_recorded_data_give_one_digest_in_every_mode(
    data_set: str,
    name: str,
    text: str,
    records: dict[str, int],
    tmp_path: Path,
    shared_data: Callable[[str], Path],
) -> None:
    source = shared_data(data_set) / name
    (tmp_path / "run.toml").write_text(text.replace("SOURCE", str(source)))
    replay("data", "convert", "--run", "run.toml", "tape.npy", folder=tmp_path)
    from_tape = ["--feed", "tape.npy"]
    replay("backtest", "--out", "source", folder=tmp_path)
    replay("backtest", *from_tape, "--out", "tape", folder=tmp_path)
    replay("play", *from_tape, "--speed", "max", "--out", "play", folder=tmp_path)
    replay("paper", *from_tape, "--session", "session", "--set", "metrics.port=0", folder=tmp_path)
    digests = {run: result(tmp_path / run)["digest"] for run in ("source", "tape", "play", "session/events")}
    assert len(set(digests.values())) == 1, digests
    found = result(tmp_path / "tape")
    assert found["statistics"]["fills"] > 10
    assert {kind: count for kind, count in found["counts"]["engine"]["records"].items() if count} == records
    assert replay("verify", "session", folder=tmp_path).startswith("equal, ")


def test_a_recorder_whose_clock_is_behind_is_raised_and_counted(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    text = TICKS_RUN.replace("SOURCE", str(shared_data("binance-ws-captures")))
    (tmp_path / "run.toml").write_text(text.replace('clock_offset = "1273ms"\n', ""))
    replay("backtest", "--out", "out", folder=tmp_path)
    assert result(tmp_path / "out")["counts"]["sequencer"]["raised"] == 155_470
