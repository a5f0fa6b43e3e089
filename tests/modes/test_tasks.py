"""Tasks that run beside a session end when they are told to, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio

from replay.tasks import end_task


async def test_a_task_that_swallows_cancellations_is_cancelled_again_until_it_is_over() -> None:
    swallowed = 0

    async def watch() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:  # what wait_for does when its future is done at the same moment
                if swallowed == 2:
                    raise
                swallowed += 1

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await asyncio.wait_for(end_task(task), 5)
    assert task.cancelled()
    assert swallowed == 2


async def test_a_task_that_failed_is_over_and_nobody_complains() -> None:
    async def fail() -> None:
        raise OSError("gone")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end_task(task)
    assert task.done()
