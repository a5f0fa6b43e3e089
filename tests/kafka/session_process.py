"""A paper session on a topic in a process of its own, to be killed: FOLDER URI [RECEIVE_TIME].

May not live here: assertions.
"""

from __future__ import annotations

import sys

from modes.market import SETTINGS, Busy

import replay


def main(folder: str, uri: str, receive_time: str = "keep") -> int:
    try:
        options = {"receive_time": receive_time}
        result = replay.paper(Busy, uri, session=folder, metrics={"port": 0}, feed_options=options, **SETTINGS)
    except replay.ReplayError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    print(result.digest, result.interrupted, flush=True)
    return 130 if result.interrupted else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
