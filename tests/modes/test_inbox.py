"""What a live feed gives last, and how it ends, is taken also where both come in together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from replay.errors import DataError
from replay.feeds.feed import Batch
from replay.pipeline.inbox import Inbox
from replay.pipeline.stop import Stop

from .market import market


async def source(error: Exception | None) -> AsyncIterator[Batch]:
    yield Batch(market(3), b"1")
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [None, DataError("the range is gone")])
async def test_the_end_of_a_feed_that_comes_with_its_last_batch_is_not_waited_for(error: Exception | None) -> None:
    async with Inbox(source(error), Stop()) as inbox:
        await asyncio.sleep(0.01)
        await asyncio.wait_for(inbox.wait(None), 1)
        batch = inbox.take()
        assert batch is not None and len(batch.records) == 3
        await asyncio.wait_for(inbox.wait(None), 1)
        if error is not None:
            with pytest.raises(DataError):
                inbox.take()
        else:
            assert inbox.take() is None
            assert inbox.has_ended
