"""The interpreter while threads share it: they change quickly, and the set-up of a live run is no garbage to look for.

May not live here: anything about sessions.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

SWITCH_SECONDS = 50e-6
"""How long a thread that has something to do waits for the interpreter at most.

It is 5 ms as it comes: an order waits that long for the thread that commits, and a thread that reads, after each of its
system calls, for the one that runs the strategy.
"""

_quick = 0
_frozen = 0
_switch_seconds = 0.0


@contextlib.contextmanager
def quick_switching() -> Iterator[None]:
    """Let threads change quickly. Several of a process share it; the last one that ends puts things back."""
    global _quick, _switch_seconds
    if _quick == 0:
        _switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_SECONDS, _switch_seconds))
    _quick += 1
    try:
        yield
    finally:
        _quick -= 1
        if _quick == 0:
            sys.setswitchinterval(_switch_seconds)


@contextlib.contextmanager
def live() -> Iterator[None]:
    """Keep the interpreter fit for a live run; enter it once the run is set up.

    All objects that are there by now are taken out of the garbage collector's sight: it would look at some hundred
    thousand of them now and then, for tens of milliseconds. They are not searched for garbage first: that would take as
    long, and copy all of them in a forked process. Several sessions of a process share it, too.
    """
    global _frozen
    _frozen += 1
    gc.freeze()
    try:
        with quick_switching():
            yield
    finally:
        _frozen -= 1
        if _frozen == 0:
            gc.unfreeze()
