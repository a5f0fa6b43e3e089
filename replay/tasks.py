"""Tasks: how one that runs beside a session is ended for sure.

May not live here: what tasks do.
"""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN_S = 0.2


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it is over, whatever it ends with.

    One cancellation is not enough: `asyncio.wait_for` of Python 3.11, and what libraries make of it, swallows one that
    comes at the moment at which the awaited thing is done.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()  # it has been looked at: asyncio need not complain
