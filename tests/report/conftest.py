"""A run of two strategies on the synthetic market, made once, that the tests of the report look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from replay import modes
from replay.config import load
from replay.data.market import synthetic_tape
from replay.result.result import Result

RUN_FILE = """\
[run]
seed = 7
equity_every = "1m"

[[strategy]]
class = "replay.strategies.sma_cross:SmaCross"
name = "a"
params = { symbol = "SIM-A", length = "1m", fast = 5, slow = 20, size = 50.0 }

[[strategy]]
class = "replay.strategies.sma_cross:SmaCross"
name = "b"
params = { symbol = "SIM-B", length = "1m", fast = 3, slow = 9, size = 20.0 }

[[feed]]
uri = "market.npy"

[[instrument]]
symbol = "SIM-A"
venue = "sim"
tick = "0.01"
lot = "0.001"
quote = "USD"

[[instrument]]
symbol = "SIM-B"
venue = "sim"
tick = "0.01"
lot = "0.001"
quote = "USD"

[[venue]]
name = "sim"
fees = { maker = "0.0000", taker = "0.0001" }
latency = { entry = "5ms", cancel = "5ms", response = "5ms" }

[account]
kind = "margin"
leverage = "5"
currency = "USD"
cash = { USD = "100000" }
"""

RECORDS = 120_000
"""Twelve hours of the market."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with market.npy, run.toml and the run folder `out`."""
    folder = tmp_path_factory.mktemp("report")
    synthetic_tape(folder / "market.npy", records=RECORDS)
    (folder / "run.toml").write_text(RUN_FILE)
    modes.backtest(load(folder / "run.toml"), out=folder / "out")
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """Give a copy of that folder, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture
def result(made: Path) -> Result:
    return Result.load(made / "out")
