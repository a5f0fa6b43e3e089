"""A session over a world in a process of its own, to be killed: FOLDER FILE ROWS RECEIVE_TIME SEED; run it with -m.

May not live here: assertions.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from .world import World, run_session


def main(folder: str, path: str, rows: str, receive_time: str, seed: str) -> int:
    world = World(Path(path), int(rows), "stamp" if receive_time == "stamp" else "keep")
    print("ready", flush=True)
    print(run_session(Path(folder), world.feed(), random.Random(int(seed))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
