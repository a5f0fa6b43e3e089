"""Feeds of what Python holds: arrays of records, data frames, ticks, generators and asynchronous iterators.

May not live here: the conversion to records (ticks, frames).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError, UsageError
from replay.feeds.feed import Batch, LiveFeed, StoredFeed
from replay.feeds.frames import frame_records, is_frame
from replay.feeds.tape import KIND_NAMES, BarPriceName, TapeHeader, TapeInstrument, first_bar_price
from replay.feeds.ticks import TickTable
from replay.records import FLAG_GAP_BEFORE, RECORD, Kind

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument, RunConfig
    from replay.feeds.feed import Feed

IN_MEMORY = "memory:"
"""The URI of such feeds in a configuration."""

PEEKED_ITEMS = 1_000
"""So many items of an iterator are looked at before the run, to see which kinds of ticks it carries."""

_BATCH_ROWS = 65_536
_BATCH_ITEMS = 1_024


def is_memory_feed(value: Any) -> bool:
    """Say whether `memory_feed` makes a feed of a value."""
    if isinstance(value, str | bytes) or hasattr(value, "header"):
        return False
    return isinstance(value, np.ndarray | Iterable | AsyncIterable) or callable(value) or is_frame(value)


def memory_feed(value: Any, spec: FeedSpec, config: RunConfig) -> Feed:
    """Make a feed of an array of records, a frame, ticks in a list, any iterable or asynchronous iterable of ticks.

    A callable is called for each reading and gives such an iterable: a session that is started again reads it anew and
    goes on behind what it has; other iterators cannot be read twice, and a restart marks the gap.
    """
    if isinstance(value, np.ndarray) and value.dtype == RECORD:
        return ArrayFeed(value, config, sizes=spec.sizes)
    if isinstance(value, np.ndarray) and value.dtype.names is None:
        raise UsageError(
            f"the array has dtype {value.dtype}, which is not that of records",
            remedy="make it with replay.records.empty(n), or give ticks or a data frame",
        )
    if isinstance(value, np.ndarray):
        value = {name: value[name] for name in value.dtype.names or ()}
    table = TickTable(config.instrument)
    if is_frame(value):
        return _array_feed(frame_records(value, table, config.instrument, spec), table, spec, config)
    if isinstance(value, list | tuple):
        return _array_feed(table.records(value), table, spec, config)
    if isinstance(value, AsyncIterable):
        return AsyncIteratorFeed(lambda: value, spec, config)
    if isinstance(value, Iterable):
        return IteratorFeed(lambda: value, spec, config, is_once=iter(value) is value)
    made = value()
    if isinstance(made, AsyncIterable):
        return AsyncIteratorFeed(value, spec, config, is_once=False)
    return IteratorFeed(value, spec, config, is_once=False)


def _array_feed(records: NDArray[Any], table: TickTable, spec: FeedSpec, config: RunConfig) -> ArrayFeed:
    lengths = [spec.bar.ns] if spec.bar is not None else []
    return ArrayFeed(records, config, bar_lengths_ns=lengths, sizes="none" if table.sizes is False else spec.sizes)


class ArrayFeed(StoredFeed):
    """An array of records as a stored feed; `instrument` is the place of the instrument in the run."""

    def __init__(
        self,
        records: NDArray[Any],
        config: RunConfig,
        *,
        bar_lengths_ns: Sequence[int] = (),
        sizes: Literal["full", "none"] = "full",
    ) -> None:
        if records.dtype != RECORD:
            raise UsageError(
                f"the array has dtype {records.dtype}, which is not that of records",
                remedy="make it with replay.records.empty(n)",
            )
        self._records = np.ascontiguousarray(records)
        super().__init__(IN_MEMORY, _header_of(self._records, config, bar_lengths_ns, sizes))

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give slices of the array, from the row that the cursor names."""
        for first in range(_row(cursor), len(self._records), _BATCH_ROWS):
            limit = min(first + _BATCH_ROWS, len(self._records))
            yield Batch(self._records[first:limit], _place(limit))


class IteratorFeed(StoredFeed):
    """Ticks of an iterable, taken as the run goes on: it may be longer than memory.

    Its first items are looked at beforehand; a kind of tick that only comes later is refused, since the run could not
    have known of it.
    """

    def __init__(
        self, source: Callable[[], Iterable[Any]], spec: FeedSpec, config: RunConfig, *, is_once: bool
    ) -> None:
        self._source = source
        self._instruments = config.instrument
        self.is_once = is_once
        self._iterator: Iterator[Any] = iter(source())
        self._peeked = list(islice(self._iterator, PEEKED_ITEMS))
        self._table = TickTable(config.instrument, sizes=False if spec.sizes == "none" else None)
        known = self._table.records(self._peeked)
        header = _header_of(known, config, _bar_lengths(spec), "none" if self._table.sizes is False else "full")
        if self._peeked and len(self._peeked) == PEEKED_ITEMS:
            header = msgspec.structs.replace(header, rows=None, last_ns=None)
        super().__init__(IN_MEMORY, header)
        self._kinds = {index: dict(kinds) for index, kinds in self._table.kinds.items()}
        self._is_taken = False

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the ticks after a cursor; an iterator that cannot be read twice marks what is missing before it."""
        row = _row(cursor)
        is_after_gap = False
        items: Iterator[Any]
        if not self._is_taken:
            self._is_taken = True
            items = _chain(self._peeked, self._iterator)
        elif self.is_once:
            raise UsageError("an iterator can be read only once", remedy="give a list, or a function that makes it")
        else:
            items = iter(self._source())
        if row and self.is_once:
            is_after_gap = True
        elif row:
            next(islice(items, row - 1, row), None)
        while piece := list(islice(items, _BATCH_ITEMS)):
            records = self._table.records(piece, row)
            _refuse_new_kinds(self._table, self._kinds, row)
            row += len(piece)
            if is_after_gap and len(records):
                records["flags"][0] |= FLAG_GAP_BEFORE
                is_after_gap = False
            yield Batch(records, _place(row))


class AsyncIteratorFeed(LiveFeed):
    """Ticks of an asynchronous iterable, as they come; each item is a tick, or a list of those that came together.

    Receive times are stamped at arrival, or kept where the feed's options say `receive_time = "keep"`.
    """

    def __init__(
        self, source: Callable[[], AsyncIterable[Any]], spec: FeedSpec, config: RunConfig, *, is_once: bool = True
    ) -> None:
        kinds: list[str] = [spec.records] if spec.records is not None else [] if spec.bar is None else ["bar"]
        if not kinds:
            raise ConfigError(
                "an asynchronous iterator does not say which kind of ticks will come",
                remedy='add feed_options={"records": "quote"}, or "trade", or "bar"',
            )
        receive = spec.receive_time or "stamp"
        header = TapeHeader(
            one_time=receive == "keep" and spec.receive is None,
            bar_lengths_ns=_bar_lengths(spec) or _instrument_bars(config.instrument),
            instruments=[_tape_instrument(entry, kinds, spec.sizes) for entry in config.instrument],
        )
        super().__init__(IN_MEMORY, header, receive)
        self.clock_offset_ns = spec.clock_offset.ns
        self._source = source
        self.is_once = is_once
        self._table = TickTable(config.instrument, sizes=spec.sizes != "none")
        self._kinds = {index: dict.fromkeys(kinds) for index in range(len(config.instrument))}

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the ticks as they come; after a restart the first record is flagged, unless the source begins anew."""
        import time

        row = _row(cursor)
        is_after_gap = bool(row) and self.is_once
        to_skip = 0 if self.is_once else row
        async for item in self._source():
            items = item if isinstance(item, list | tuple) else [item]
            if to_skip:
                known = min(to_skip, len(items))
                to_skip -= known
                items = items[known:]
                if not items:
                    continue
            records = self._table.records(items, row)
            _refuse_new_kinds(self._table, self._kinds, row)
            row += len(items)
            if self.receive_time == "stamp":
                records["ts_recv"] = time.time_ns()
            elif self.header.one_time and not np.array_equal(records["ts_event"], records["ts_recv"]):
                raise DataError(
                    "a tick has a receive time of its own",
                    place=f"item {row - len(items)} or later",
                    remedy='say so: feed_options={"receive": {"column": "received"}}',
                )
            if is_after_gap and len(records):
                records["flags"][0] |= FLAG_GAP_BEFORE
                is_after_gap = False
            yield Batch(records, _place(row))


def _chain(first: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from rest


def _refuse_new_kinds(table: TickTable, known: dict[int, dict[str, None]], row: int) -> None:
    for index, kinds in table.kinds.items():
        for kind in kinds:
            if kind not in known.get(index, {}):
                raise DataError(
                    f"a {kind} came that the run was not prepared for",
                    place=f"item {row} or later",
                    remedy="let one tick of each kind and instrument be among the first 1,000, or use one feed a kind",
                )


def _row(cursor: bytes | None) -> int:
    return 0 if cursor is None else int(msgspec.json.decode(cursor)["row"])


def _place(row: int) -> bytes:
    return msgspec.json.encode({"row": row})


def _bar_lengths(spec: FeedSpec) -> list[int]:
    return [spec.bar.ns] if spec.bar is not None else []


def _instrument_bars(instruments: Sequence[Instrument]) -> list[int]:
    return list(dict.fromkeys(entry.bar.ns for entry in instruments if entry.bar is not None))


def _header_of(
    records: NDArray[Any], config: RunConfig, bar_lengths_ns: Sequence[int], sizes: Literal["full", "none"]
) -> TapeHeader:
    lengths = list(bar_lengths_ns) or _instrument_bars(config.instrument)
    is_bar = records["kind"] == Kind.BAR
    if not lengths and is_bar.any():
        lengths = [_bar_length(records[is_bar])]
    return TapeHeader(
        one_time=bool(np.array_equal(records["ts_event"], records["ts_recv"])),
        bar_lengths_ns=list(dict.fromkeys(lengths)),
        instruments=[
            _tape_instrument(
                spec,
                [
                    KIND_NAMES[kind]
                    for kind in (Kind.QUOTE, Kind.TRADE, Kind.BAR)
                    if bool(((records["instrument"] == index) & (records["kind"] == kind)).any())
                ],
                sizes,
                first_bar_price(records["side"][is_bar & (records["instrument"] == index)]),
            )
            for index, spec in enumerate(config.instrument)
        ],
        rows=len(records),
        first_ns=int(records["ts_recv"][0]) if len(records) else None,
        last_ns=int(records["ts_recv"][-1]) if len(records) else None,
    )


def _bar_length(bars: NDArray[Any]) -> int:
    """Take the shortest step between two bars of one instrument for their length."""
    ends = np.unique(bars["ts_event"][bars["instrument"] == bars["instrument"][0]])
    if len(ends) < 2:
        raise UsageError("the length of the bars is not known", remedy='add "bar": "1m" to the instrument')
    return int(np.diff(ends).min())


def _tape_instrument(
    entry: Instrument,
    kinds: list[str],
    sizes: Literal["full", "none"],
    bar_price: BarPriceName | msgspec.UnsetType = msgspec.UNSET,
) -> TapeInstrument:
    return TapeInstrument(
        symbol=entry.symbol,
        price_decimals=entry.price_decimals,
        size_decimals=entry.size_decimals,
        sizes=sizes,
        kinds=kinds,
        bar_price=bar_price,
    )
