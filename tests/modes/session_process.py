"""A paper session in a process of its own, to be killed: FOLDER ROWS SEED PAUSE_S [STRATEGY]; run it with -m.

May not live here: assertions.
"""

from __future__ import annotations

import random
import sys

import replay

from .market import SETTINGS, Busy, CutFeed, Raises, market


def main(folder: str, rows: str, seed: str, pause_s: str, strategy: str = "Busy") -> int:
    dice = random.Random()  # other batches at every start: the event log must not depend on them
    sizes = [dice.randrange(1, 60) for _ in range(97)]
    feed = CutFeed(market(int(rows), int(seed)), sizes, pause_s=float(pause_s), dead_every=501)
    kinds = {"Busy": Busy, "Raises": Raises}
    try:
        result = replay.paper(kinds[strategy], feed, session=folder, metrics={"port": 0}, **SETTINGS)
    except replay.ReplayError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    print(result.digest, result.interrupted, flush=True)
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
