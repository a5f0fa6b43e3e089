"""How late records are released at 1x, beside plain asyncio.sleep in the same run.

May not live here: tests. Run it on a quiet machine: python benches/bench_pacing.py [SECONDS].
"""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np
from numpy.typing import NDArray

from replay.pipeline.pacing import PlayControls, TapePacer

RATE = 100
"""Records a second, at random distances."""

MEDIAN_MAX_S = 0.3e-3
P99_MAX_S = 1.5e-3


def tape_times(seconds: float) -> NDArray[np.int64]:
    """Make receive times with exponential distances."""
    dice = np.random.default_rng(3)
    distances = dice.exponential(1e9 / RATE, int(seconds * RATE))
    return np.cumsum(distances).astype(np.int64) + 1_700_000_000_000_000_000


async def paced(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Release by the pacer; give the error of each release in seconds, measured here, not by the pacer itself."""
    pacer = TapePacer(PlayControls(1.0), lambda: 0)
    errors: list[int] = []
    start_ns = 0
    async for first, limit in pacer.slices(times_ns):
        now_ns = time.perf_counter_ns()
        if not start_ns:
            start_ns = now_ns - int(times_ns[0] - times_ns[0])
        errors += [now_ns - start_ns - int(times_ns[row] - times_ns[0]) for row in range(first, limit)]
    return np.array(errors[1:]) / 1e9


async def slept(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Release after plain asyncio.sleep."""
    start_ns = time.perf_counter_ns()
    errors: list[int] = []
    for due_ns in (times_ns - times_ns[0]).tolist():
        left_ns = start_ns + due_ns - time.perf_counter_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)
        errors.append(time.perf_counter_ns() - start_ns - due_ns)
    return np.array(errors[1:]) / 1e9


def main(seconds: float) -> int:
    """Measure both, print both; 1 where the pacer misses its bounds."""
    times_ns = tape_times(seconds)
    verdicts: list[bool] = []
    for name, release in (("asyncio.sleep", slept), ("pacer", paced)):
        cpu = time.process_time()
        wall = time.perf_counter()
        errors = np.abs(asyncio.run(release(times_ns)))
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
        median, p99, worst = (float(np.quantile(errors, q)) * 1e3 for q in (0.5, 0.99, 1.0))
        figures = f"median {median:.3f} ms  p99 {p99:.3f} ms  worst {worst:.3f} ms  CPU {share:.1%}"
        print(f"{name:14} {len(errors):6,} releases  {figures}")
        verdicts.append(median <= MEDIAN_MAX_S * 1e3 and p99 <= P99_MAX_S * 1e3)
    verdict = "kept" if verdicts[-1] else "MISSED"
    print(f"bounds: median {MEDIAN_MAX_S * 1e3:.1f} ms, p99 {P99_MAX_S * 1e3:.1f} ms: {verdict}")
    return 0 if verdicts[-1] else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
