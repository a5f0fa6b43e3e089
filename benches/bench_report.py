"""The report: seconds to write it, its size, and the time to its first picture in a browser.

May not live here: the workloads (workload), and what a report shows.

    .venv/bin/python benches/bench_report.py [--rounds 5]

Two runs: W1 (1,051,200 minute bars, 23,705 fills), and 1,000,000 quotes at uneven times with 20,000 fills. Writing is
a process of its own, `replay report`. The page is shown by a headless Chromium, where there is one, each time by a
new one. Times are CPU seconds: of the process, and of the one that shows the page until all of it is there. The wall's
stand beside them: they are what a user waits on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import workload
from bench_startup import child
from bench_w1 import SmaFlip

import replay
from replay.feeds.tape import TapeHeader, TapeInstrument, save
from replay.strategy import Strategy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.browser import find_browser, open_browser

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replay import Quote

QUOTES, FILLS = 1_000_000, 20_000
REPORT_SECONDS_MAX, PAGE_MB_MAX, PICTURE_SECONDS_MAX = 5.0, 10.0, 3.0


class Turner(Strategy):
    """Turns its position every so many quotes."""

    every_quotes: int = QUOTES // FILLS

    def on_start(self) -> None:
        """Begin to count."""
        self.seen = 0

    def on_quote(self, quote: Quote) -> None:
        """Turn when it is time."""
        self.seen += 1
        if self.seen % self.every_quotes == 1:
            self.target("BENCH", 1 if self.seen // self.every_quotes % 2 == 0 else -1)


def uneven_quotes() -> NDArray[Any]:
    """Give the first quotes of W2 at uneven times, to the microsecond."""
    records = workload.quote_records(workload.load("w2_quotes"))[:QUOTES]
    gaps_us = np.random.default_rng(5).exponential(300_000.0, QUOTES).astype(np.int64)
    records["ts_event"] = records["ts_recv"] = workload.START_NS + 1_000 * np.cumsum(gaps_us)
    return records


def make_run(folder: Path, kind: str, records: NDArray[Any], decimals: int, strategy: type[Strategy]) -> Path:
    """Write a tape, run a strategy over it and give the run's folder."""
    header = TapeHeader(
        one_time=True,
        bar_lengths_ns=[workload.MINUTE_NS] if kind == "bar" else [],
        instruments=[TapeInstrument(symbol="BENCH", price_decimals=decimals, size_decimals=0, kinds=[kind])],
    )
    save(folder / f"{kind}.npy", records, header)
    instrument = {
        "symbol": "BENCH",
        "tick": f"{10**-decimals:.{decimals}f}",
        "lot": "1",
        "price_decimals": decimals,
        "size_decimals": 0,
        "quote": "USD",
    }
    out = folder / f"{kind}-run"
    result = replay.backtest(
        strategy,
        folder / f"{kind}.npy",
        instruments=instrument,
        cash={"USD": 1_000_000},
        fees={"maker": "0.0005", "taker": "0.0005"},
        out=out,
    )
    print(f"{kind}: {len(records):,} records, {len(result.fills):,} fills", flush=True)
    return out


Seconds = tuple[list[float], list[float]]
"""Of the CPU and of the wall, one of each a round."""


def write_seconds(run: Path, rounds: int) -> Seconds:
    """Give the seconds of `replay report`."""
    pairs = [child([sys.executable, "-m", "replay", "report", str(run)]) for _ in range(rounds)]
    return [cpu for cpu, _ in pairs], [wall for _, wall in pairs]


async def picture_seconds(program: str, page_file: Path, rounds: int) -> Seconds:
    """Give the CPU seconds that a page takes, and the wall's to its first picture; a new browser has kept nothing."""
    cpu, wall = [], []
    for _ in range(rounds):
        async with open_browser(program) as page:
            await page.size(1400, 900)
            await page.call("Performance.enable")
            await page.open(page_file.as_uri())
            await page.until("document.documentElement?.dataset.ready === 'yes'")
            milliseconds = await page.run("performance.getEntriesByName('first-picture')[0].startTime")
            metrics = (await page.call("Performance.getMetrics"))["metrics"]
            cpu.append(next(one["value"] for one in metrics if one["name"] == "ProcessTime"))
            wall.append(milliseconds / 1_000)
    return cpu, wall


def row(what: str, measured: Seconds, at_most: float) -> harness.Result:
    """Give a result with its limit."""
    cpu, wall = measured
    return {**harness.seconds(what, cpu), "at_most": at_most, "wall_s": round(min(wall), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    rows = []
    program = find_browser()
    with tempfile.TemporaryDirectory(prefix="replay-bench-report-") as name:
        folder = Path(name)
        bars = workload.bar_records(workload.load("w1_minute"))
        runs = {
            "W1": make_run(folder, "bar", bars, workload.BAR_PRICE_DECIMALS, SmaFlip),
            "1 M quotes": make_run(folder, "quote", uneven_quotes(), workload.QUOTE_PRICE_DECIMALS, Turner),
        }
        for title, run in runs.items():
            rows.append(row(f"{title}: replay report", write_seconds(run, arguments.rounds), REPORT_SECONDS_MAX))
            megabytes = (run / "report.html").stat().st_size / 1e6
            rows.append({"what": f"{title}: size", "figure": megabytes, "unit": "MB", "at_most": PAGE_MB_MAX})
            if program is None:
                print("no Chromium on this machine: the first picture is not measured", flush=True)
                continue
            shown = asyncio.run(picture_seconds(program, run / "report.html", arguments.rounds))
            rows.append(row(f"{title}: the page", shown, PICTURE_SECONDS_MAX))
    return 0 if harness.report("report", rows) else 1


if __name__ == "__main__":
    sys.exit(main())
