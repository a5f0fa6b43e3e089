"""The interpreter while a live session runs: threads change quickly, and its set-up is not searched for garbage.

May not live here: anything about sessions.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

SWITCH_SECONDS = 50e-6
"""How long the thread that commits waits for the interpreter at most; 5 ms as it comes, and an order waits with it."""

_running = 0
_switch_seconds = 0.0


@contextlib.contextmanager
def live() -> Iterator[None]:
    """Keep the interpreter fit for a live run; call it once the run is set up.

    All objects that are there by now are taken out of the garbage collector's sight: it would look at some hundred
    thousand of them now and then, for tens of milliseconds. Several sessions of one process share it; the last one that
    ends puts things back.
    """
    global _running, _switch_seconds
    if _running == 0:
        _switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_SECONDS, _switch_seconds))
    _running += 1
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        _running -= 1
        if _running == 0:
            sys.setswitchinterval(_switch_seconds)
            gc.unfreeze()
