"""W2: two EMAs of the mid in plain Python on 5,000,000 quotes, flips by market orders.

May not live here: the data and the rule's numbers (workload).

    .venv/bin/python benches/bench_w2.py [--rounds 15] [--no-csp]

Beside it in the same run: the same handler in a bare PyO3 loop (the limit), the tightest plain Python loop, and csp,
which is installed into $PEERS_VENVS/csp (default ~/.cache/replay-benches/csp) the first time. All reach the same fills
and P&L on the whole tape; speeds are then taken on its first million quotes in many short rounds, spread over several
processes: where a process happens to put its objects makes the interpreter faster or slower in all of its rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import workload
from peers.python_lean import ema_flip

from replay import records
from replay.strategy import Strategy

if TYPE_CHECKING:
    from replay import Quote

CSP = "csp==0.19.1"
SLICE = 1_000_000
PROCESSES = 4


class EmaFlip(Strategy):
    """W2's rule as a user would write it."""

    first_mid: float
    alpha_fast: float = workload.ALPHA_FAST
    alpha_slow: float = workload.ALPHA_SLOW
    band: float = workload.BAND

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.fast = self.slow = self.first_mid
        self.side = 0

    def on_quote(self, quote: Quote) -> None:
        """Keep both averages; turn when their gap leaves the band."""
        mid = (quote.bid + quote.ask) * 0.5
        self.fast += self.alpha_fast * (mid - self.fast)
        self.slow += self.alpha_slow * (mid - self.slow)
        gap = self.fast - self.slow
        if gap > self.band and self.side <= 0:
            self.side = 1
            self.target("BENCH", 1)
        elif gap < -self.band and self.side >= 0:
            self.side = -1
            self.target("BENCH", -1)


def run_bare(bare_loop: Any, quotes: Any, first_mid: float) -> int:
    """Run the handler in the bare loop; give how often it turned."""
    strategy = EmaFlip(first_mid=first_mid)
    strategy._desk = desk = harness.StubDesk()  # type: ignore[assignment]
    bare_loop.quotes(records.as_bytes(quotes), strategy.on_quote, 10.0**workload.QUOTE_PRICE_DECIMALS, 1.0)
    return desk.targets


def csp_python() -> Path:
    """Give the interpreter of csp's own environment, made where it is missing, outside the checkout."""
    folder = Path(os.environ.get("PEERS_VENVS") or Path.home() / ".cache" / "replay-benches") / "csp"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", CSP], check=True)
    return python


def run_csp(python: Path) -> dict[str, Any]:
    """Run csp once over the whole tape, in a process of its own."""
    script = str(harness.HERE / "peers" / "csp_ema.py")
    numbers = json.dumps([workload.ALPHA_FAST, workload.ALPHA_SLOW, workload.BAND, workload.QUOTE_FEE])
    command = [str(python), script, str(workload.DATA / "w2_quotes"), numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def measure(rounds: int) -> dict[str, Any]:
    """Check the answers of all that run in this process, then time them: seconds a quote of each round."""
    bare_loop = harness.build_bare_loop()
    columns = workload.load("w2_quotes")
    first_mid = float(columns["bid"][0] + columns["ask"][0]) * 0.5
    quotes = workload.quote_records(columns)
    setup = harness.setup("quote", workload.QUOTE_PRICE_DECIMALS, str(workload.QUOTE_FEE))
    bids, asks = columns["bid"].tolist(), columns["ask"].tolist()
    alphas = (workload.ALPHA_FAST, workload.ALPHA_SLOW)

    def replay(count: int, sequencer: bool) -> harness.Ran:
        return harness.run_engine(EmaFlip(first_mid=first_mid), setup, quotes[:count], sequencer)

    def plain(count: int) -> tuple[int, float]:
        return ema_flip(bids[:count], asks[:count], first_mid, alphas, workload.BAND, workload.QUOTE_FEE)

    def contenders(count: int) -> dict[str, Callable[[], Any]]:
        return {
            "replay": partial(replay, count, True),
            "bare loop": partial(run_bare, bare_loop, quotes[:count], first_mid),
            "replay without its sequencer": partial(replay, count, False),
            "plain Python": partial(plain, count),
        }

    # Everybody reaches the same answer on the whole tape.
    answers = {name: work() for name, work in contenders(len(quotes)).items()}
    fills, pnl = answers["plain Python"]
    ran: harness.Ran = answers["replay"]
    assert ran.fills == fills == answers["bare loop"] and abs(ran.pnl - pnl) < 1e-6, (ran.fills, fills, ran.pnl, pnl)
    assert answers["replay without its sequencer"].digest == ran.digest
    assert ran.state["balanced"]
    times = harness.interleaved(contenders(SLICE), rounds)
    return {
        "per_quote": {name: [seconds / SLICE for seconds in all_rounds] for name, all_rounds in times.items()},
        "answer": {"fills": fills, "pnl": round(pnl, 6), "digest": ran.digest},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="in each of the processes")
    parser.add_argument("--no-csp", action="store_true", help="leave csp out")
    parser.add_argument("--one-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_process:
        print(json.dumps(measure(arguments.rounds)))
        return 0

    harness.build_bare_loop()
    workload.load("w2_quotes")
    per_quote: dict[str, list[float]] = {}
    answers: list[dict[str, Any]] = []
    for _ in range(PROCESSES):
        command = [sys.executable, __file__, "--one-process", "--rounds", str(arguments.rounds)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        answers.append(measured["answer"])
        for name, seconds in measured["per_quote"].items():
            per_quote.setdefault(name, []).extend(seconds)
        if not arguments.no_csp:
            answer = run_csp(csp_python())
            same = answer["fills"] == answers[-1]["fills"] and abs(answer["pnl"] - answers[-1]["pnl"]) < 1e-6
            assert same, (answer, answers[-1])
            per_quote.setdefault("csp", []).append(answer["cpu_s"] / len(workload.load("w2_quotes")["ts"]))
            # A round's ratio compares two neighbours: the mean of ours just before with csp's run.
            beside = sum(measured["per_quote"]["replay"]) / arguments.rounds
            per_quote.setdefault("replay beside csp", []).append(beside)
    assert all(answer == answers[0] for answer in answers), answers

    rows = [harness.speed(f"W2, {name}", seconds, "M quotes/CPU s") for name, seconds in per_quote.items()]
    rows[0]["at_least"] = 3.5
    rows.append(harness.ratio("W2, replay / bare loop", per_quote["bare loop"], per_quote["replay"], at_least=0.75))
    rows.append(harness.ratio("W2, replay / plain Python", per_quote["plain Python"], per_quote["replay"]))
    if "csp" in per_quote:
        rows.append(harness.ratio("W2, replay / csp", per_quote["csp"], per_quote["replay beside csp"], at_least=2.0))
    return 0 if harness.report("w2", [{**row, **answers[0]} for row in rows]) else 1


if __name__ == "__main__":
    sys.exit(main())
