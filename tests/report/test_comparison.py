"""Two runs side by side: what differs in configuration, statistics and events, and what is the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import replay
from replay import modes
from replay.config import load
from replay.feeds import tape
from replay.report import find_subject, subject_of, write_comparison
from replay.report.comparison import Comparison
from replay.result.result import Result
from replay.strategies.sma_cross import SmaCross


@pytest.fixture(scope="module")
def other(made: Path) -> Path:
    """Give the run folder of the same run with other parameters and a dearer venue."""
    sets = ["strategy.0.params.fast=4", "venue.0.fees.taker=0.0003"]
    modes.backtest(load(made / "run.toml", sets=sets), out=made / "other")
    return made / "other"


def compare(first: Path, second: Path) -> Comparison:
    return Comparison(find_subject(first), find_subject(second))


def test_a_run_is_the_same_as_itself(made: Path) -> None:
    comparison = compare(made / "out", made / "out")
    assert comparison.configuration() == []
    assert not any(re.search(r"[+1-9-]", pair.difference) for pair in comparison.statistics("all"))
    text = comparison.render()
    assert "The configurations are the same" in text and "Events: equal, " in text
    assert comparison.correlation() is None  # one day has none


def test_keys_that_differ_are_named_by_strategy_and_venue(made: Path, other: Path) -> None:
    changed = [(one.key, one.first, one.second) for one in compare(made / "out", other).configuration()]
    assert changed == [("strategy.a.params.fast", "5", "4"), ("venue.sim.fees.taker", "0.0001", "0.0003")]


def test_statistics_stand_beside_each_other_with_their_difference(made: Path, other: Path) -> None:
    comparison = compare(made / "out", other)
    pairs = {pair.key: pair for pair in comparison.statistics()}
    mine, theirs = Result.load(made / "out").stats, Result.load(other).stats
    assert mine["fees"] is not None and theirs["fees"] is not None
    assert pairs["fees"].difference == f"{theirs['fees'] - mine['fees']:+,.2f}"
    assert pairs["fees"].first == f"{mine['fees']:,.2f} USD"
    assert len(comparison.statistics("all")) > 100


def test_the_first_event_that_differs_is_shown(made: Path, other: Path) -> None:
    text = compare(made / "out", other).render()
    assert re.search(r"Events: different from event [\d,]+ on, at record [\d,]+", text)
    assert "Equity of A" in text and "Equity of B" in text and text.count("digest") >= 4


def test_a_run_in_memory_is_compared_but_for_its_events(made: Path) -> None:
    records = tape.load(made / "market.npy").records
    instruments = [
        {"symbol": name, "tick": "0.01", "lot": "0.001", "price_decimals": 2, "size_decimals": 3, "quote": "USD"}
        for name in ("SIM-A", "SIM-B")
    ]
    result = replay.backtest(
        SmaCross, records[:9_000].copy(), instruments=instruments, cash={"USD": 100_000}, params={"symbol": "SIM-A"}
    )
    text = Comparison(find_subject(made / "out"), subject_of(result)).render()
    assert "kept in memory" in text and "Configuration" not in text


def test_a_missing_event_log_is_told_and_the_rest_is_shown(made: Path, copied: Path) -> None:
    (copied / "out" / "events.bin").unlink()
    text = compare(made / "out", copied / "out").render()
    assert "has no event log" in text and "Sharpe ratio" in text


def test_money_of_two_currencies_has_no_difference(made: Path, copied: Path) -> None:
    file = copied / "out" / "result.json"
    file.write_text(file.read_text().replace('"currency": "USD"', '"currency": "EUR"'))
    pairs = {pair.key: pair for pair in compare(made / "out", copied / "out").statistics()}
    assert pairs["net_pnl"].difference == "" and pairs["net_pnl"].second.endswith(" EUR")
    assert pairs["win_rate"].difference == "0.00 %"


def test_a_page_of_the_comparison_is_written(made: Path, other: Path, tmp_path: Path) -> None:
    path = write_comparison(compare(made / "out", other), tmp_path / "compare.html")
    match = re.search(r'<script type="application/json" id="head">(.*?)</script>', path.read_text(), re.DOTALL)
    assert match is not None
    head = json.loads(match[1])
    assert [side["digest"] for side in head["sides"]] == [Result.load(f).digest for f in (made / "out", other)]
    assert len(head["changed"]) == 2 and not head["equal"] and "different from event" in head["events"]
