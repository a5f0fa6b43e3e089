"""Forked children: each cycle's work in a process of its own, from a parent that has everything imported already.

May not live here: what the children do.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .proof import Broken

SECONDS_MAX = 180.0
"""A child that takes longer hangs: that breaks the proof."""


@dataclass(frozen=True)
class Failure:
    """An error of a child, as its user would meet it."""

    kind: str
    text: str
    exit_code: int | None
    place: str | None
    remedy: str | None
    trace: str


@dataclass(frozen=True)
class End:
    """How a child ended: killed, with a value, or with an error."""

    killed: bool
    value: Any = None
    error: Failure | None = None

    def result(self) -> Any:
        """Give the value of a child that ended by itself, or break the proof."""
        if self.killed:
            raise Broken("the child was killed, and nobody meant to")
        if self.error is not None:
            raise Broken(f"the child failed: {self.error.text}\n{self.error.trace}")
        return self.value


def forked(work: Callable[[], Any], log: Path, *, kill_after_s: float | None = None) -> End:
    """Run `work` in a child and say how that ended; what it prints is appended to `log`."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(work, log, writing)
    os.close(writing)
    try:
        return _await(child, reading, kill_after_s)
    finally:
        os.close(reading)


def _run_child(work: Callable[[], Any], log: Path, writing: int) -> None:
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - not the one that pytest captures
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        try:
            packed = pickle.dumps(End(False, work()))
        except BaseException as error:  # noqa: BLE001 - handed to the parent
            trace = traceback.format_exc()
            print(trace, file=sys.stderr, flush=True)
            exit_code, place, remedy = (getattr(error, name, None) for name in ("exit_code", "place", "remedy"))
            failure = Failure(type(error).__name__, str(error), exit_code, place, remedy, trace)
            packed = pickle.dumps(End(False, error=failure))
        with contextlib.suppress(OSError), open(writing, "wb") as pipe:
            pipe.write(packed)
        code = 0
    finally:
        os._exit(code)


def _await(child: int, reading: int, kill_after_s: float | None) -> End:
    limit_s = time.monotonic() + (SECONDS_MAX if kill_after_s is None else kill_after_s)
    pieces: list[bytes] = []
    hangs = False
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, limit_s - time.monotonic()))
        if not ready:
            hangs = kill_after_s is None
            os.kill(child, signal.SIGKILL)
            break
        piece = os.read(reading, 1 << 16)
        if not piece:
            break
        pieces.append(piece)
    _, status = os.waitpid(child, 0)
    if hangs:
        raise Broken(f"the child hung for {SECONDS_MAX} s")
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise Broken(f"the child died of signal {os.WTERMSIG(status)}")
        return End(True)
    if os.WEXITSTATUS(status) != 0 or not pieces:
        raise Broken(f"the child ended with code {os.WEXITSTATUS(status)} and said nothing")
    end: End = pickle.loads(b"".join(pieces))
    return end
