"""The benchmark of a run: instruments bought and held, one of them, or levels from a file; period by period."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from replay import Strategy, config
from replay.config.run_config import absolute
from replay.errors import ConfigError, DataError
from replay.records import Kind, empty
from replay.result.benchmark import HeldMarks, Levels, returns_of_path
from replay.result.marks import MarkSampler, SamplerState
from replay.result.projections import RunScales
from replay.stats.periods import period_of

DAY = 86_400_000_000_000
HOUR = DAY // 24
FIRST_DAY = 19_723
"""2024-01-01, in days since the epoch."""


RUN_FILE = """
[[strategy]]
class = "holds.py:Holds"
[[feed]]
uri = "tape.npy"
[[instrument]]
symbol = "A"
tick = "0.01"
lot = "1"
quote = "USD"
[account]
currency = "USD"
cash = { USD = "1" }
[stats]
benchmark = "index.csv"
"""


class Holds(Strategy):
    """Buys one on the first trade and keeps it."""

    symbol: str = "A"

    def on_start(self) -> None:
        self.is_done = False

    def on_trade(self, trade: Any) -> None:
        if not self.is_done and trade.symbol == self.symbol:
            self.is_done = True
            self.buy(self.symbol, 100)


def trades(days: int, per_day: int = 5, instruments: int = 1) -> Any:
    dice = np.random.default_rng(8)
    tape = empty(days * per_day * instruments)
    count = len(tape)
    tape["kind"] = Kind.TRADE
    tape["ts_event"] = FIRST_DAY * DAY + np.arange(count) * (days * DAY // count) + dice.integers(0, 10**9, count)
    tape["a"] = 10_000 + np.cumsum(dice.integers(-60, 62, count))
    tape["b"] = 1_000
    tape["instrument"] = np.arange(count) % instruments
    tape["ts_recv"] = tape["ts_event"]
    return tape


def run(tape: Any, symbols: str = "A", **sections: Any) -> replay.Result:
    return replay.backtest(
        Holds,
        tape,
        instruments=[{"symbol": name, "tick": "0.01", "lot": "1", "quote": "USD"} for name in symbols],
        cash={"USD": "10000"},
        account={"leverage": "20"},
        venue=[{"name": "venue", "sizes": "none"}],
        **sections,
    )


def test_a_run_that_only_holds_has_a_beta_of_one_against_its_own_instrument() -> None:
    tape = trades(60)
    result = run(tape)
    found = result.stats
    # 10,000 buys 100 at some 100: all of it, so that the account is the instrument.
    first, last = tape["a"][0] / 100, tape["a"][-1] / 100
    assert found["benchmark_return"] == pytest.approx(last / first - 1)
    assert found["benchmark_return"] == pytest.approx(found["buy_and_hold_return"])
    assert found["beta"] == pytest.approx(1.0, abs=0.02) and found["r_squared"] == pytest.approx(1.0, abs=1e-3)
    assert found["tracking_error"] == pytest.approx(0.0, abs=0.02)
    assert "Against the benchmark: beta 1.0" in result.report()


def test_the_benchmark_may_be_one_symbol_or_none() -> None:
    tape = trades(40, instruments=2)
    alone = run(tape, "AB", stats={"benchmark": "B"})
    prices = tape["a"][tape["instrument"] == 1]
    assert alone.stats["benchmark_return"] == pytest.approx(prices[-1] / prices[0] - 1)
    both = run(tape, "AB").stats
    assert both["benchmark_return"] == pytest.approx(both["buy_and_hold_return"])
    without = run(tape, "AB", stats={"benchmark": "none"})
    assert without.stats["beta"] is None and without.undefined["beta"] == "no benchmark"
    assert without.digest == alone.digest


def test_a_file_of_levels_is_read_as_of_the_end_of_each_period(tmp_path: Path) -> None:
    rows = ["time,level", "2023-12-31,50", "2024-01-02,55", "2024-01-05T00:00:00Z,44"]
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "index.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    period, numbers = period_of(365), FIRST_DAY + np.arange(6)
    for name in ("index.csv", "index.csv.gz"):
        path = Levels.read(tmp_path / name).path(period, numbers, FIRST_DAY * DAY)
        assert path == pytest.approx([1.0, 1.1, 1.1, 1.1, 0.88, 0.88])
    assert returns_of_path(path) == pytest.approx([0.0, 0.1, 0.0, 0.0, -0.2, 0.0])
    result = run(trades(6), stats={"benchmark": str(tmp_path / "index.csv")}, run={"periods_per_year": 12})
    assert result.stats["benchmark_return"] == pytest.approx(-0.12)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("time,level\n", "no row after its header"),
        ("time,level\n2024-01-01,x\n", "no time and value in '2024-01-01,x'"),
        ("time,level\n2024-01-01,0\n", "must be above 0"),
        ("time,level\n2024-01-02,1\n2024-01-01,1\n", "is not after the row ahead of it"),
    ],
)
def test_a_file_that_is_no_series_of_levels_is_refused_with_its_row(tmp_path: Path, text: str, fact: str) -> None:
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(DataError, match=fact):
        Levels.read(tmp_path / "index.csv")
    with pytest.raises(DataError, match="cannot read the benchmark"):
        Levels.read(tmp_path / "nowhere.csv")


def test_a_benchmark_that_is_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither a symbol of the run"):
        run(trades(2), stats={"benchmark": "C"})
    with pytest.raises(ConfigError, match="risk_free is the return of a year"):
        run(trades(2), stats={"risk_free": "30"})


def test_the_risk_free_rate_is_a_year_s() -> None:
    tape = trades(60)
    with_rate, without = run(tape, stats={"risk_free": "0.05"}).stats, run(tape).stats
    volatility, sharpe = without["annualised_volatility"], without["sharpe_ratio"]
    assert volatility and sharpe
    per_period = 1.05 ** (1 / 365) - 1
    assert with_rate["sharpe_ratio"] == pytest.approx(sharpe - per_period * 365 / volatility)


def test_a_path_in_the_run_file_starts_at_the_run_file(tmp_path: Path) -> None:
    read = config.parse(RUN_FILE, base_dir=tmp_path / "runs")
    assert absolute(read).stats.benchmark == str(tmp_path / "runs" / "index.csv")
    assert absolute(read, tmp_path).stats.benchmark == "runs/index.csv"


def _setup(symbols: tuple[str, ...]) -> bytes:
    instruments = [
        {"symbol": symbol, "price_decimals": 2, "size_decimals": 0, "quote": "USD", "source": "trade"}
        for symbol in symbols
    ]
    setup = {
        "currencies": [{"name": "USD", "decimals": 2}],
        "strategies": [{"name": "s"}],
        "instruments": instruments,
        "account": {"currency": "USD", "cash": {"USD": "1"}},
        "equity_every_ns": HOUR,
    }
    return msgspec.json.encode(setup)


@given(st.lists(st.integers(0, 400), max_size=8), st.integers(1, 3))
def test_closing_marks_do_not_depend_on_batches_or_restarts(cuts: list[int], instruments: int) -> None:
    tape = trades(9, per_day=150 // instruments, instruments=instruments)
    symbols = tuple("ABC"[:instruments])
    period = period_of(365)
    numbers = FIRST_DAY + np.arange(9)

    def path(edges: list[int]) -> Any:
        scales = RunScales(_setup(symbols), [2])
        sampler, held = MarkSampler(scales, period), HeldMarks(symbols, period)
        for start, limit in zip(edges, [*edges[1:], len(tape)], strict=True):
            held.add(sampler.add(tape[start:limit]))
            state = sampler.state()
            assert isinstance(state, SamplerState)
            sampler = MarkSampler(scales, period)
            sampler.restore(state)
        held.add(sampler.flush())
        return held.path(numbers, sampler.ends())

    found = path(sorted({0, *cuts}))
    expected = []
    for instrument in range(instruments):
        own = tape[tape["instrument"] == instrument]
        last = [own["a"][own["ts_recv"] < (FIRST_DAY + day + 1) * DAY][-1] for day in range(9)]
        expected.append(np.array(last) / own["a"][0])
    assert found == pytest.approx(np.mean(expected, axis=0))
