"""The bridge: asynchronous work done from plain code, on an event loop of its own.

May not live here: anything about Kafka. The loop runs on a thread of its own: a broker answers while an item is used,
and most of the work on both sides is done without the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from replay.interpreter import quick_switching

T = TypeVar("T")

QUEUE_MAX = 4
"""Items that may wait to be taken; then the work waits, too."""
_FULL_SECONDS = 0.002
_LOOK_SECONDS = 0.5


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end and give its result, or raise what it raised."""
    results: list[T] = []
    errors: list[BaseException] = []

    def target() -> None:
        try:
            results.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            errors.append(error)

    thread = threading.Thread(target=target, name="replay-kafka", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def iterate(work: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """Iterate over an asynchronous iterator, which runs ahead by a few items on a thread of its own."""
    with quick_switching():
        yield from _iterate(work)


def _iterate(work: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    items: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(QUEUE_MAX)
    stop = threading.Event()

    async def put(item: tuple[T | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                items.put_nowait(item)
                return
            except queue.Full:
                await asyncio.sleep(_FULL_SECONDS)

    async def pump() -> None:
        source = work()
        try:
            async for item in source:
                await put((item, None))
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (raised again by whoever iterates)
            await put((None, error))
        else:
            await put((None, None))
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    thread = threading.Thread(target=lambda: asyncio.run(pump()), name="replay-kafka", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item, error = items.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if not thread.is_alive() and items.empty():
                    raise RuntimeError("the thread that reads from Kafka ended without a word") from None
                continue
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()
