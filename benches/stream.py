"""One streamed backtest in a process of its own, for bench_memory: prints its peak of memory above the import's.

May not live here: any import but of the standard library before the one that is measured.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path


def resident_mb() -> float:
    """Give the resident set of this process now, in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


bare_mb = resident_mb()

import replay  # noqa: E402
from replay import Quote, Strategy  # noqa: E402

import_mb = resident_mb()


class Swing(Strategy):
    """Buys low and sells high, so that events, orders and fills come about all along the tape."""

    def on_start(self) -> None:
        """Begin without a side."""
        self.side = 0

    def on_quote(self, quote: Quote) -> None:
        """Turn at both ends of the swing."""
        side = 1 if quote.bid < 101.0 else -1 if quote.bid > 104.0 else self.side
        if side != self.side:
            self.side = side
            self.target("BENCH", side)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = replay.backtest(
            Swing,
            sys.argv[1],
            out=Path(folder) / "run",
            instruments={"symbol": "BENCH", "tick": "0.01", "lot": "1", "quote": "USD"},
            cash={"USD": 1_000_000},
            account={"currency": "USD"},
        )
        fills = len(result.fills)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        json.dumps(
            {
                "peak_mb": round(peak_mb - import_mb, 1),
                "import_mb": round(import_mb - bare_mb, 1),
                "cpu_s": round(sum(os.times()[:2]), 2),
                "fills": fills,
                "digest": result.digest,
            }
        )
    )


if __name__ == "__main__":
    main()
