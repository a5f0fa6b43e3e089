"""What the tests of feeds share: instruments, entries of a run file, and short ways to read everything.

May not live here: expectations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.adapters import open_feed
from replay.config import DecimalText, FeedSpec, Instrument
from replay.feeds.feed import Batch, DeadLetter, Feed, StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.records import RECORD, Kind, empty

START_NS = 1_700_000_000_000_000_000


def instrument(symbol: str = "BTCUSDT", price_decimals: int = 2, size_decimals: int = 3, **more: Any) -> Instrument:
    return Instrument(
        symbol=symbol,
        venue="sim",
        tick=DecimalText("1"),
        lot=DecimalText("1"),
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        quote="USDT",
        **more,
    )


def spec(**entry: Any) -> FeedSpec:
    """An entry [[feed]] from the values that TOML would give."""
    from replay.config.reading import _decode_text

    return msgspec.convert(entry, FeedSpec, dec_hook=_decode_text)


TRADES: dict[str, Any] = {"records": "trade", "symbol": "BTCUSDT", "time": {"column": "time", "unit": "ns"}}
QUOTES: dict[str, Any] = {"records": "quote", "symbol": "BTCUSDT", "time": {"column": "time", "unit": "ns"}}
BARS: dict[str, Any] = {"records": "bar", "symbol": "BTCUSDT", "bar": "1m", "time": {"column": "time", "unit": "iso"}}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def opened(path: Path, instruments: Sequence[Instrument] | None = None, **entry: Any) -> Feed:
    return open_feed(spec(uri=str(path), **entry), instruments or [instrument()], Path())


def read_all(feed: Feed, cursor: bytes | None = None) -> tuple[NDArray[Any], list[DeadLetter]]:
    records = [empty(0)]
    dead: list[DeadLetter] = []
    for batch in feed.batches(cursor):
        records.append(batch.records)
        dead += batch.dead
    return np.concatenate(records), dead


async def read_live(feed: Feed, count: int, cursor: bytes | None = None, seconds: float = 10) -> list[Batch]:
    """The batches of a live feed until `count` records have come, or it ends."""
    batches: list[Batch] = []
    source = feed.batches_async(cursor)

    async def read() -> None:
        async for batch in source:
            batches.append(batch)
            if sum(len(batch.records) for batch in batches) >= count:
                return

    try:
        await asyncio.wait_for(read(), seconds)
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    return batches


def joined(batches: Sequence[Batch]) -> NDArray[Any]:
    return np.concatenate([empty(0), *[batch.records for batch in batches]])


class ListedFeed(StoredFeed):
    """A feed of given records in batches of a given size."""

    def __init__(
        self,
        records: NDArray[Any],
        rows: int = 3,
        *,
        offset_ns: int = 0,
        symbols: Sequence[str] = ("BTCUSDT",),
        bar_lengths_ns: Sequence[int] = (),
        dead: dict[int, DeadLetter] | None = None,
    ) -> None:
        header = TapeHeader(
            one_time=False,
            bar_lengths_ns=list(bar_lengths_ns),
            instruments=[
                TapeInstrument(symbol=symbol, price_decimals=2, size_decimals=3, kinds=["trade"]) for symbol in symbols
            ],
            rows=len(records),
            first_ns=int(records["ts_recv"][0]) if len(records) else None,
            last_ns=int(records["ts_recv"].max()) if len(records) else None,
        )
        super().__init__("listed", header)
        self.clock_offset_ns = offset_ns
        self.all = records
        self.rows = rows
        self.dead = dead or {}

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        row = 0 if cursor is None else msgspec.json.decode(cursor, type=int)
        while row < len(self.all):
            limit = min(row + self.rows, len(self.all))
            dead = [letter for place, letter in self.dead.items() if row <= place < limit]
            yield Batch(self.all[row:limit].copy(), msgspec.json.encode(limit), dead)
            row = limit


def trades(times_ns: Sequence[int], mark: int = 0) -> NDArray[Any]:
    """Trades received at these times; their ids say whose and which they are."""
    records = np.zeros(len(times_ns), dtype=RECORD)
    records["ts_recv"] = records["ts_event"] = times_ns
    records["kind"] = Kind.TRADE
    records["a"] = records["b"] = 100
    records["c"] = mark * 1_000_000 + np.arange(len(times_ns))
    return records


async def collect(source: AsyncIterator[Batch]) -> list[Batch]:
    return [batch async for batch in source]
