"""Switches, commands and warm-ups over snapshots: what a start recovers is what was there, wherever it is cut.

May not live here: what a command or a switch does (tests/control), and warm-ups by themselves (tests/modes).
"""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import replay
from replay import records
from replay._engine import Engine
from replay.config import load
from replay.feeds.tape import TapeWriter
from replay.modes import paper
from replay.pipeline.commands import CommandCause, OperatorCommand, command_record
from replay.pipeline.journal import JournalReader
from replay.pipeline.pipeline import Pipeline
from replay.pipeline.risk import RiskSwitches
from replay.records import as_bytes
from replay.running import Run
from replay.strategy_loader import load_strategies

from .sessions import OFTEN, SETTINGS, Crash, CrashingFeed, CutFeed, Rich

_market: Any = import_module("tests.modes.market")  # by name: the type checker knows that folder as another package
ROWS = 1_500
COMMANDS = {
    150: OperatorCommand.PAUSE,
    260: OperatorCommand.RESUME,
    420: OperatorCommand.CANCEL_ALL,
    600: OperatorCommand.FLATTEN,
    760: OperatorCommand.RESUME,
    1_200: OperatorCommand.FLATTEN,
    1_206: OperatorCommand.RESUME,
}
RISK: dict[str, Any] = {
    "drawdown": {"amount": "0.3", "action": "pause"},
    "position": {"limit": "0.5", "action": "alert"},
    "order_rate": {"orders": 4, "per": "2s", "action": "pause"},
}
State = tuple[dict[str, Any], str, int]


def commanded(seed: int) -> Any:
    """A tape with operators' commands on it, and a resume every now and then, so that switches trip again and again."""
    made = _market.market(ROWS, seed)
    made = made[made["a"] > 0]
    pieces, first = [], 0
    wanted = {**dict.fromkeys(range(80, ROWS, 90), OperatorCommand.RESUME), **COMMANDS}
    for row, command in sorted(wanted.items()):
        pieces.append(made[first:row])
        pieces.append(command_record(command, CommandCause.OPERATOR, int(made["ts_recv"][row - 1])))
        first = row
    return records.joined([*pieces, made[first:]])


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """State of trading, of the engine's account and records at each start, once it has recovered."""
    states: list[State] = []
    begins = Run.begins

    def noted(self: Run) -> None:
        states.append(state_of(self.opened.engine))
        begins(self)

    monkeypatch.setattr(Run, "begins", noted)
    return states


def state_of(engine: Any) -> State:
    return engine.trading(), engine.digest(), engine.seq


def states_of(folder: Path, strategy: Any) -> dict[int, State]:
    """What the journal gives after each of its records, run by an engine that nothing ever disturbed."""
    engine = Engine((folder / "setup.json").read_bytes(), [strategy])
    found = {0: state_of(engine)}
    for frame in JournalReader(folder / "journal").frames():
        for row in range(len(frame.records)):
            engine.run(as_bytes(frame.records[row : row + 1]).data)
            found[engine.seq] = state_of(engine)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_switches_and_commands_are_after_a_start_as_they_were_at_that_record(
    tmp_path: Path, begun: list[State], seed: int
) -> None:
    tape = commanded(seed)
    settings = {**SETTINGS, "risk": RISK, "metrics": {"port": 0}, "log": {"level": "error"}}
    expected = replay.backtest(Rich, CutFeed(tape, [ROWS]), risk=RISK, **SETTINGS)
    folder, dice = tmp_path / "s", random.Random(seed)
    options = {**OFTEN, "snapshot_records": 60}
    for _ in range(12):
        try:
            feed = CrashingFeed(tape, [dice.choice([3, 20, 45])], dice.randrange(2, 12))
            replay.paper(Rich, feed, session=folder, session_options=options, **settings)
            break
        except Crash:
            pass
    result = replay.paper(Rich, CutFeed(tape, [40]), session=folder, session_options=options, **settings)
    assert result.digest == expected.digest
    assert result.document["trading"] == expected.document["trading"]
    truth = states_of(folder, Rich())
    assert len(begun) >= 6 and len({state[2] for state in begun}) >= 5
    for state in begun:
        assert state == truth[state[2]], f"recovered at record {state[2]}"
    seen = {state["state"] for state, _, _ in truth.values()}
    causes = {state["cause"] for state, _, _ in truth.values()}
    assert seen == {"active", "paused"} and {"operator", "drawdown", "order_rate"} <= causes
    assert all(switch["trips"] for switch in result.document["trading"]["switches"].values())


RUN = """
[[strategy]]
class = "trader.py:Trader"
name = "trader"

[[feed]]
uri = "after.npy"

[[warmup]]
uri = "before.npy"

[[instrument]]
symbol = "BTCUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"

[[instrument]]
symbol = "ETHUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"

[account]
leverage = "10"
currency = "USDT"
cash = { USDT = "1000000" }

[risk.order_rate]
orders = 1
per = "20s"
action = "pause"

[session]
snapshot_records = 50
snapshot_every = "0s"
commit_every = "0s"

[metrics]
port = 0

[log]
level = "error"
"""
TRADER = """
from replay import Strategy

class Trader(Strategy):
    def on_start(self):
        self.average = self.bars("BTCUSDT", "5s").sma(3)
        self.seen = 0

    def on_quote(self, quote):
        self.seen += 1
        if self.seen % 7 == 0 and self.average.ready:
            self.target("BTCUSDT", 1 if quote.bid > self.average else -1)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_session_cut_in_its_warmup_or_after_it_goes_on_as_it_was(
    tmp_path: Path, begun: list[State], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    made = _market.market(900, seed)
    made["ts_event"] = made["ts_recv"]
    made = made[made["a"] > 0]
    for name, part in (("before", made[:500]), ("after", made[500:])):
        with TapeWriter(tmp_path / f"{name}.npy", _market.header()) as writer:
            writer.append(part)
    (tmp_path / "run.toml").write_text(RUN)
    (tmp_path / "trader.py").write_text(TRADER)
    monkeypatch.setattr("replay.adapters.tape.BATCH_ROWS", 40)
    config = load(tmp_path / "run.toml")
    expected = paper(config, tmp_path / "undisturbed")
    assert expected.counts["engine"]["rejections"]["order_rate"] and expected.counts["engine"]["orders"]["market"]
    begun.clear()
    folder, dice = tmp_path / "s", random.Random(seed)
    decide = Pipeline._decide
    for _ in range(10):
        left = dice.randrange(1, 9)

        def crashing(self: Any, *rows: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            decide(self, *rows)

        monkeypatch.setattr("replay.pipeline.pipeline.Pipeline._decide", crashing)
        try:
            paper(config, folder)
            break
        except Crash:
            pass
    monkeypatch.setattr("replay.pipeline.pipeline.Pipeline._decide", decide)
    result = paper(config, folder)
    assert result.digest == expected.digest
    assert result.document["trading"] == expected.document["trading"]
    truth = states_of(tmp_path / "undisturbed", load_strategies(config)[0])
    for state in begun:
        assert state == truth[state[2]], f"recovered at record {state[2]}"
    assert any(0 < state[2] < 500 for state in begun), "in its warm-up"
    assert any(500 < state[2] < len(made) for state in begun), "after it"


def test_a_start_does_not_tell_of_trips_again_that_were_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(RiskSwitches, "_tell", lambda self, name, action, facts: told.append(name))
    tape = commanded(1)
    settings = {**SETTINGS, "risk": RISK, "metrics": {"port": 0}, "log": {"level": "error"}}
    with pytest.raises(Crash):
        replay.paper(Rich, CrashingFeed(tape, [50], 20), session=tmp_path / "s", session_options=OFTEN, **settings)
    before = len(told)
    result = replay.paper(Rich, CutFeed(tape, [50]), session=tmp_path / "s", session_options=OFTEN, **settings)
    trips = sum(switch["trips"] for switch in result.document["trading"]["switches"].values())
    assert 0 < before < len(told) <= trips
