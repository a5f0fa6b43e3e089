"""Publishing: any feed to where others read it, by the publisher whose name the address begins with.

May not live here: what a publisher speaks (adapters plug in as `replay.publishers`), and the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from replay.data.sources import open_source
from replay.pipeline.pacing import Speed
from replay.pipeline.stop import Stop, stop_on_signals

ProgressCall = Callable[[int, int | None, int | None], None]


@dataclass
class Publishing:
    """How to publish.

    speed: of stored records against the wall clock, or `max`.
    create: make the topic where there is none.
    partitions: of the topic; None for those that it has (1 for a new one).
    by_instrument: as many partitions as instruments.
    """

    speed: Speed = "max"
    create: bool = False
    partitions: int | None = None
    by_instrument: bool = False
    stop: Stop = field(default_factory=Stop)
    progress: ProgressCall | None = None


def publish(source: str, address: str, how: Publishing, *, run: Path | None = None, feeds: tuple[str, ...] = ()) -> Any:
    """Publish a source to an address; give what was done, whose text says it.

    Goes on where an earlier start ended. Raises ConfigError for an address that nothing publishes to.
    """
    publisher = import_module("replay.adapters.registry").publisher(address)
    feed, kafka = open_source(source, run, feeds)
    with stop_on_signals(how.stop):
        return publisher(feed, address, kafka, how)
