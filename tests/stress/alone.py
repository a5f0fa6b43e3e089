"""Keeps proofs and benchmarks apart: one lock a machine and user, shared by proofs, exclusive to a benchmark.

May not live here: what is run. As a script: `alone.py bench PROGRAM ARGS...` takes the lock and becomes the program.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn


class NotAlone(Exception):
    """The other kind is running."""


def lock_path() -> Path:
    """Name the lock: what is shared is the machine, not the checkout."""
    return Path(tempfile.gettempdir()) / f"replay-measuring-{os.getuid()}.lock"


def take(kind: str) -> int:
    """Take the lock as "bench" or "stress" until the process ends, programs it becomes included; or raise NotAlone."""
    is_bench = kind == "bench"
    descriptor = os.open(lock_path(), os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, is_bench)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if is_bench else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        other = "a proof of ./dev stress or another benchmark" if is_bench else "a benchmark"
        raise NotAlone(f"{other} is running on this machine ({lock_path()}): wait for its end") from None
    return descriptor


def main(kind: str, *command: str) -> NoReturn:
    """Take the lock, then become the command."""
    try:
        take(kind)
    except NotAlone as error:
        print(f"dev: {error}", file=sys.stderr)
        sys.exit(2)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
