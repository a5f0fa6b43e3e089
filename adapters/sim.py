"""The simulated market: a synthetic market from a seed, released on the wall clock.

May not live here: how the market moves (engine_rs/ingest); it is the same market for the same seed and start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from replay import units
from replay.adapters.engine import engine
from replay.adapters.live import Stamper, options, whole_number
from replay.adapters.text import header_of
from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import Batch, LiveFeed, ReceiveTime
from replay.feeds.tape import TapeHeader
from replay.records import RECORD, from_bytes

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed

RATE = 20
"""Records a second, all instruments together, unless `?rate=` says otherwise."""

_LATENCY_MIN_NS = 200_000
_LATENCY_MAX_NS = 5_000_000
_AHEAD_RECORDS = 1_024
_SLEEP_SECONDS_MAX = 0.25
_DEFAULT_PRICE_TICKS = 1_000_000
_RECORDS_MAX = 2**62


class SimPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor: which market, and how many of its records went on."""

    seed: int
    start_ns: int
    made: int


class SimFeed(LiveFeed):
    """A market that began with the session. After a pause it first gives what happened meanwhile."""

    def __init__(
        self,
        spec: FeedSpec,
        header: TapeHeader,
        markets: list[dict[str, int]],
        receive: ReceiveTime,
        *,
        seed: int,
        rate: int,
        records: int | None,
    ) -> None:
        super().__init__(spec.uri, header, receive)
        self.clock_offset_ns = spec.clock_offset.ns
        self._markets = markets
        self._seed = seed
        self._rate = rate
        self._limit = records
        self._count = 0
        self._market(0)  # an impossible market is refused here

    async def batches_async(self, cursor: bytes | None = None) -> AsyncIterator[Batch]:
        """Give the market's records when their time has come."""
        place = SimPlace(self._seed, time.time_ns(), 0) if cursor is None else self._place(cursor)
        market = self._market(place.start_ns)
        market.skip(place.made)
        stamper = Stamper()
        made = place.made
        waiting = np.zeros(0, dtype=RECORD)
        while self._limit is None or made < self._limit:
            if not len(waiting):
                count = _AHEAD_RECORDS if self._limit is None else min(_AHEAD_RECORDS, self._limit - made)
                waiting = from_bytes(market.next(count))
            now_ns = time.time_ns()
            due = int(np.searchsorted(waiting["ts_recv"], now_ns, side="right"))
            if not due:
                await asyncio.sleep(min((int(waiting["ts_recv"][0]) - now_ns) / 1e9, _SLEEP_SECONDS_MAX))
                continue
            records, waiting = waiting[:due], waiting[due:]
            made += due
            self._count += due
            if self.receive_time == "stamp":
                stamper.stamp(records)
            yield Batch(records, msgspec.json.encode(SimPlace(place.seed, place.start_ns, made)))
            await asyncio.sleep(0)

    def counters(self) -> dict[str, int]:
        """Count the records since the feed was opened."""
        return {"rows": self._count, "records": self._count, "dead": 0, "rounded": 0}

    def _market(self, start_ns: int) -> Any:
        return engine().Synthetic(
            msgspec.json.encode(
                {
                    "seed": self._seed,
                    "start_ns": start_ns,
                    "interval_ns": 1_000_000_000 // self._rate,
                    "latency_min_ns": _LATENCY_MIN_NS,
                    "latency_max_ns": _LATENCY_MAX_NS,
                    "instruments": self._markets,
                }
            )
        )

    def _place(self, cursor: bytes) -> SimPlace:
        try:
            place = msgspec.json.decode(cursor, type=SimPlace)
        except msgspec.MsgspecError as error:
            raise DataError(f"the cursor is not one of a simulated market: {error}", reason="bad_cursor") from None
        if place.seed != self._seed:
            raise DataError(
                f"the session began with the market of seed {place.seed}, not {self._seed}",
                reason="bad_cursor",
                place=self.uri,
                remedy=f"set seed={place.seed} in the feed's URI, or start a new session",
            )
        return place


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open `sim:`, by default with every instrument of the run.

    Options: `?seed=7&rate=20&records=1000&price.BTCUSDT=60000`: rate in records a second, records ends the market.
    """
    found = options(spec, ("seed", "rate", "records"), ("price.",))
    named = spec.symbol if isinstance(spec.symbol, str) else None
    prices = {name.removeprefix("price."): text for name, text in found.items() if name.startswith("price.")}
    symbols = [entry.symbol for entry in instruments]
    for symbol in prices:
        if symbol not in symbols:
            raise ConfigError(f"{spec.uri!r}: there is no instrument {symbol!r}", remedy=choose(symbol, symbols))
    markets = [
        _market(spec, index, entry, prices.get(entry.symbol))
        for index, entry in enumerate(instruments)
        if named is None or entry.symbol == named
    ]
    limit = found.get("records")
    receive: ReceiveTime = spec.receive_time or "stamp"
    return SimFeed(
        spec,
        header_of(spec, instruments, ["quote", "trade"], one_time=False),
        markets,
        receive,
        seed=whole_number(spec, "seed", found.get("seed", "0"), 0, 2**63 - 1),
        rate=whole_number(spec, "rate", found.get("rate", str(RATE)), 1, 1_000_000),
        records=None if limit is None else whole_number(spec, "records", limit, 0, _RECORDS_MAX),
    )


def _market(spec: FeedSpec, index: int, entry: Instrument, price: str | None) -> dict[str, int]:
    tick = units.scaled(entry.tick, entry.price_decimals)
    try:
        start = tick * _DEFAULT_PRICE_TICKS if price is None else units.scaled(price, entry.price_decimals)
    except ValueError as error:
        raise ConfigError(f"{spec.uri!r}: price.{entry.symbol}: {error}") from None
    return {
        "index": index,
        "tick": tick,
        "lot": units.scaled(entry.lot, entry.size_decimals),
        "price": start - start % tick,
        # A step moves the price by up to a basis point; the spread is up to half of that.
        "step_ticks": max(1, start // tick // 10_000),
        "spread_ticks": max(1, start // tick // 20_000),
        "size_lots": 10_000,
    }
