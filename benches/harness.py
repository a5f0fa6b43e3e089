"""The harness: builds what is in Rust, runs the engine, times in CPU seconds, prints JSON lines and a table.

May not live here: a workload or a contender.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from replay import _engine, records
from replay.strategy import Strategy

HERE = Path(__file__).parent
DATA = Path(os.environ.get("PEERS_DATA") or HERE / ".data")
BATCH = 8_192

Result = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------- building


def build(package: str) -> Path:
    """Build one package of the benches' own workspace for this interpreter; give the folder's built file."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or DATA / "target")
    environment = {**os.environ, "PYO3_PYTHON": sys.executable, "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--release", "--quiet", "-p", package]
    subprocess.run([*command, "--manifest-path", str(HERE / "Cargo.toml")], check=True, env=environment)
    library = f"lib{package.removeprefix('bench-').replace('-', '_')}.{'dylib' if sys.platform == 'darwin' else 'so'}"
    built = target / "release" / library
    return built if built.exists() else target / "release" / package


def build_bare_loop() -> Any:
    """Build benches/bare_loop, where it is not built yet, and import it."""
    built = build("bench-bare-loop")
    module = DATA / "lib" / f"bare_loop{sysconfig.get_config_var('EXT_SUFFIX')}"
    module.parent.mkdir(parents=True, exist_ok=True)
    part = module.with_suffix(f".part-{os.getpid()}")
    shutil.copy(built, part)
    part.replace(module)
    spec = importlib.util.spec_from_file_location("bare_loop", module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


# ------------------------------------------------------------------------------------------------------- the engine


def setup(kind: str, price_decimals: int, fee: str, **changes: Any) -> dict[str, Any]:
    """Give the setup of one instrument on one venue, as replay.setup writes it; `kind` is what its feed carries."""
    instrument = {
        "symbol": "BENCH",
        "venue": 0,
        "tick": f"{10**-price_decimals:.{price_decimals}f}",
        "lot": "1",
        "price_decimals": price_decimals,
        "size_decimals": 0,
        "quote": "USD",
        "source": kind,
        "kinds": [kind],
    }
    if kind == "bar":
        instrument["bar_length"] = 0
    return {
        "seed": 7,
        "equity_every_ns": 60_000_000_000,
        "one_clock": True,
        "bar_lengths": [60_000_000_000],
        "currencies": [{"name": "USD", "decimals": 10}],
        "account": {"kind": "margin", "leverage": "2", "currency": "USD", "cash": {"USD": "1000000"}},
        "venues": [{"name": "venue", "fees": {"maker": fee, "taker": fee}}],
        "instruments": [instrument],
        "strategies": [{"name": "bench"}],
        **changes,
    }


class StubDesk:
    """Stands in for the engine's desk in a bare loop: takes targets, does nothing with them."""

    targets = 0

    def target(self, _symbol: str, _quantity: float) -> None:
        """Count one."""
        self.targets += 1


class Ran:
    """What a run of the engine came to."""

    def __init__(self, engine: _engine.Engine) -> None:
        self.state = engine.state()
        self.counters = engine.counters()
        self.digest = engine.digest()

    @property
    def fills(self) -> int:
        """Fills of all orders."""
        return sum(self.counters["fills"].values())

    @property
    def pnl(self) -> float:
        """Equity at the end, at the last marks, above the cash at the beginning."""
        return float(self.state["equity"]) - 1_000_000


def run_engine(strategy: Strategy, text: dict[str, Any], batches: NDArray[Any], sequencer: bool = True) -> Ran:
    """Run records through sequencer and engine, batch by batch, and take what they decide, as a session does."""
    as_json = json.dumps(text).encode()
    engine = _engine.Engine(as_json, [strategy])
    admit = _engine.Sequencer(as_json).admit
    view = records.as_bytes(batches)
    for start in range(0, len(view), BATCH * 64):
        batch = view[start : start + BATCH * 64]
        if sequencer:
            admitted, dead = admit(batch)
            assert not dead, dead[0]
            engine.run(admitted)
        else:
            engine.run(batch)
        engine.take_events()
        engine.take_excursions()
        engine.take_equity()
    engine.finish()
    return Ran(engine)


# --------------------------------------------------------------------------------------------------------- measuring


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Give the CPU seconds of this process over `work`, and what it gave."""
    gc.collect()
    begun = time.process_time()
    outcome = work()
    return time.process_time() - begun, outcome


def interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Run all contenders once a round, in turn, so that the noise of a shared machine spreads over all of them."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            times[name].append(cpu_seconds(work)[0])
    return times


def calibration() -> float:
    """Give the CPU seconds of a fixed piece of pure Python: how fast this machine is just now."""
    begun = time.process_time()
    total = 0.0
    for number in range(1_000_000):
        total += number * 0.5
    return time.process_time() - begun


# ----------------------------------------------------------------------------------------------------------- results


def seconds(what: str, rounds: list[float], unit: str = "CPU s") -> Result:
    """Give a result in seconds: the median of the rounds, and the best of them beside it."""
    return {
        "what": what,
        "figure": round(statistics.median(rounds), 4),
        "best": round(min(rounds), 4),
        "unit": unit,
        "rounds": len(rounds),
    }


def speed(what: str, per_item: list[float], unit: str) -> Result:
    """Give a result in millions of items a second: the median of the rounds, and the best of them beside it."""
    return {
        "what": what,
        "figure": round(1e-6 / statistics.median(per_item), 3),
        "best": round(1e-6 / min(per_item), 3),
        "unit": unit,
        "rounds": len(per_item),
    }


def ratio(what: str, over: list[float], under: list[float], **limit: float) -> Result:
    """Give the median of the rounds' ratios of two contenders, and the ratio of their best rounds beside it."""
    return {
        "what": what,
        "figure": round(statistics.median(a / b for a, b in zip(over, under, strict=True)), 3),
        "best": round(min(over) / min(under), 3),
        "unit": "x",
        "rounds": len(over),
        **limit,
    }


def judge(row: Result) -> bool | None:
    """Say whether a result keeps its limit; None where it has none.

    A ratio is judged by its median. A speed or a time is judged by its best round: the speed of a shared machine itself
    varies by half from one second to the next, and its best round is the one that tells of the code.
    """
    figure = row["figure"] if row["unit"] == "x" else row.get("best", row["figure"])
    if "at_least" in row:
        return bool(figure >= row["at_least"])
    if "at_most" in row:
        return bool(figure <= row["at_most"])
    return None


def report(bench: str, rows: list[Result]) -> bool:
    """Print each result as one JSON line and all of them as a table, and keep the lines; give whether limits are kept.

    A row has `what`, `figure`, `unit`, and where it has a limit `at_least` or `at_most`.
    """
    stamp = {
        "bench": bench,
        "at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "python": platform.python_version(),
        "calibration_s": round(min(calibration() for _ in range(5)), 4),
    }
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / "results.ndjson").open("a") as kept:
        for row in rows:
            row["kept"] = judge(row)
            line = json.dumps({**stamp, **row})
            print(line, flush=True)
            kept.write(line + "\n")
    print()
    width = max(len(row["what"]) for row in rows)
    print(f"{'':{width}s}  {'median':>9s} {'best':>9s}")
    for row in rows:
        best = f"{row['best']:9.4g}" if "best" in row else " " * 9
        limit = f">= {row['at_least']:g}" if "at_least" in row else f"<= {row['at_most']:g}" if "at_most" in row else ""
        verdict = {True: "kept", False: "MISSED", None: ""}[row["kept"]]
        print(f"{row['what']:{width}s}  {row['figure']:9.4g} {best} {row['unit']:16s} {limit:9s} {verdict}".rstrip())
    return all(row["kept"] is not False for row in rows)
