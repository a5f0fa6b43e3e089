"""The warm-up: stored records that go on the tape before a run's feeds, while commands are still refused.

May not live here: when trading starts (modes decide), and the loop that takes the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from replay.errors import ConfigError
from replay.feeds.feed import Batch, Feed
from replay.feeds.merge import merge
from replay.feeds.tape import TapeHeader
from replay.units import format_duration, format_time


class Warmup:
    """Gives what its feeds hold from before the start of trading; what is later is left out and counted."""

    def __init__(self, open_feeds: Callable[[], Sequence[Feed]], header: TapeHeader, limit_ns: int) -> None:
        """Take how the feeds are opened, what the run's own feeds carry, and when trading starts."""
        self.limit_ns = limit_ns
        self.outside = 0
        """Records left out."""
        self._open_feeds = open_feeds
        self._header = header
        self._feed: Feed | None = None

    def open(self) -> None:
        """Open the feeds, if that has not been done. Raises ConfigError where they do not fit the run's own."""
        if self._feed is None:
            feeds = self._open_feeds()
            for feed in feeds:
                self._check(feed)
            self._feed = merge(feeds, bar_lengths_ns=self._header.bar_lengths_ns)

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all."""
        self.open()
        assert self._feed is not None
        for batch in self._feed.batches(cursor):
            is_before = batch.records["ts_recv"] < self.limit_ns
            if is_before.all():
                yield batch
                continue
            self.outside += int(len(batch.records) - np.count_nonzero(is_before))
            yield batch._replace(records=batch.records[is_before])

    def _check(self, feed: Feed) -> None:
        place = f"[[warmup]] {feed.uri}"
        if feed.live:
            raise ConfigError(
                "a warm-up needs stored data, and this is live", place=place, remedy="name a tape, a file or a range"
            )
        if feed.header.first_ns is not None and feed.header.first_ns >= self.limit_ns:
            raise ConfigError(
                f"begins at {format_time(feed.header.first_ns)}, and trading starts at {format_time(self.limit_ns)}",
                place=place,
                remedy="a warm-up holds what lies before: take older data, or leave it out",
            )
        if self._header.one_time and not feed.header.one_time:
            raise ConfigError(
                "has receive times of its own, and the run's feeds have one time only",
                place=place,
                remedy="warm up from data with one time, or run feeds with receive times",
            )
        carried = {entry.symbol: entry for entry in self._header.instruments}
        for entry in feed.header.instruments:
            own = carried.get(entry.symbol)
            if own is None:
                continue
            scales, wanted = (entry.price_decimals, entry.size_decimals), (own.price_decimals, own.size_decimals)
            if scales != wanted:
                raise ConfigError(
                    f"{entry.symbol!r} has {scales[0]} and {scales[1]} decimals of price and size here, "
                    f"{wanted[0]} and {wanted[1]} in the run's feeds",
                    place=place,
                    remedy="convert it with the same decimals",
                )
            strange = [kind for kind in entry.kinds if kind not in own.kinds]
            if strange:
                raise ConfigError(
                    f"carries {' and '.join(strange)} of {entry.symbol!r}, the run's feeds {' and '.join(own.kinds)}",
                    place=place,
                    remedy="warm up from the kinds of data that the run goes on with",
                )
        lengths = [length for length in feed.header.bar_lengths_ns if length not in self._header.bar_lengths_ns]
        if lengths:
            raise ConfigError(
                f"carries bars of {format_duration(lengths[0])}, and the run's feeds do not",
                place=place,
                remedy="warm up from bars of the lengths that the run goes on with",
            )
