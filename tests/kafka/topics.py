"""What the tests of topics as feeds share: tapes, publishing them, and feeds of the run's instruments.

May not live here: assertions and brokers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from modes.market import INSTRUMENTS, header
from numpy.typing import NDArray

from replay.adapters.registry import open_feed
from replay.config.sections import FeedSpec, Instrument
from replay.data.publish import Publishing, publish
from replay.feeds import tape
from replay.feeds.feed import Feed
from replay.records import RECORD

RUN_INSTRUMENTS = [Instrument(**entry) for entry in INSTRUMENTS]  # type: ignore[arg-type]


def save(path: Path, records: NDArray[Any]) -> Path:
    tape.save(path, records, header())
    return path


def publish_tape(path: Path, uri: str, **how: Any) -> Any:
    return publish(str(path), uri, Publishing(**{"create": True, **how}))


def feed_of(uri: str, **entry: Any) -> Feed:
    return open_feed(FeedSpec(uri=uri, **entry), RUN_INSTRUMENTS, Path())


def all_records(feed: Feed, cursor: bytes | None = None) -> NDArray[Any]:
    found = [batch.records for batch in feed.batches(cursor)]
    return np.concatenate(found) if found else np.zeros(0, dtype=RECORD)
