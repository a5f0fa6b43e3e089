"""A publishing session in a process of its own, to be killed: FOLDER URI ROWS PAUSE_S; PYTHONPATH names tests/.

May not live here: assertions.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from modes.market import SETTINGS, Busy, CutFeed, market

import replay

SEED = 3


def main(folder: str, uri: str, rows: str, pause_s: str) -> int:
    dice = random.Random()  # other batches at every start: the topic must not depend on them
    feed = CutFeed(market(int(rows), SEED), [dice.randrange(1, 60) for _ in range(97)], pause_s=float(pause_s))
    try:
        result = replay.paper(Busy, feed, session=Path(folder), sink=[{"uri": uri}], metrics={"port": 0}, **SETTINGS)
    except replay.ReplayError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    print(result.digest, result.interrupted, flush=True)
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
