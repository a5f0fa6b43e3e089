"""`replay demo`: one synthetic market, one strategy, three clocks, three equal digests.

May not live here: how the market is made; that is `replay.data.convert`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from replay.cli.screen import Progress
from replay.config import load
from replay.errors import EXIT_DIFFERS, EXIT_DONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from replay.result.result import Result

RUN_FILE = """\
# The demo's run. Change it and run it again: replay backtest runs/demo/run.toml
[run]
seed = 7
equity_every = "1m"
periods_per_year = 365

[[strategy]]
class = "replay.strategies.sma_cross:SmaCross"
name = "sma"
params = { symbol = "SIM-A", length = "1m", fast = 20, slow = 50, size = 100.0 }

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


QUIET_SESSION = ("metrics.port=0", "log.level=warning")
"""What the paper session of the demo has of its own: it takes any free port, so that a real one is not in its way."""


class Run(NamedTuple):
    """One of the three runs of the demo."""

    name: str
    result: Result
    seconds: float


def demo(
    *,
    out: Annotated[Path, Parameter(help="The folder for the market, the run file and the results.")] = Path(
        "runs/demo"
    ),
) -> int:
    """Run the moving-average example as backtest, replay and paper session, and show that the digests are equal."""
    from replay import modes

    out.mkdir(parents=True, exist_ok=True)
    make_market(out / "market.npy")
    run_file = out / "run.toml"
    run_file.write_text(RUN_FILE)
    config = load(run_file)
    session_config = load(run_file, sets=QUIET_SESSION)
    for name in ("backtest", "replay", "session"):
        shutil.rmtree(out / name, ignore_errors=True)
    runs = [
        _timed("backtest", lambda progress: modes.backtest(config, out=out / "backtest", progress=progress)),
        _timed("replay", lambda progress: modes.play(config, speed="max", out=out / "replay", progress=progress)),
        _timed("paper", lambda progress: modes.paper(session_config, out / "session", progress=progress)),
    ]
    print(runs[0].result.report(width=shutil.get_terminal_size().columns))
    print()
    for run in runs:
        print(f"{run.name:<10} {run.result.digest}  {run.seconds:5.1f} s")
    digests = {run.result.digest for run in runs}
    if len(digests) != 1:
        print("\nThe digests DIFFER; `replay verify` on two of the folders names the first event that does.")
        return EXIT_DIFFERS
    print(f"\nThe three digests are equal. Everything is in {out}; run it your way: replay backtest {run_file}")
    return EXIT_DONE


def make_market(path: Path) -> None:
    """Write the synthetic market, unless this version has written it here before."""
    from replay.data import convert as data

    if data.is_synthetic_tape(path):
        return
    with Progress("synthetic market") as progress:
        data.synthetic_tape(path, progress=progress)


def _timed(name: str, run: Callable[[Progress], Result]) -> Run:
    begun = time.perf_counter()
    with Progress(name) as progress:
        result = run(progress)
    return Run(name, result, time.perf_counter() - begun)
