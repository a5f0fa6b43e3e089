"""The glance: what an observer is shown of a running run, and who takes it now and then without holding the run up.

May not live here: how it is drawn, and what the observer does to the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import events as event_log
from replay.health import SessionInfo, State
from replay.pipeline.pacing import Advance, PlayState, Speed, TapePacer
from replay.result.projections import RunScales, fills_table
from replay.stats.chart import thin
from replay.tasks import end_task

if TYPE_CHECKING:
    from replay.opening import Opened
    from replay.pipeline.outbox import Effects
    from replay.pipeline.pipeline import Pipeline

PER_SECOND = 10.0
"""How often a run is looked at, at most."""
ORDERS_SHOWN = 20
"""The newest working orders that a glance lists."""
FILLS_SHOWN = 20
"""The last fills that a glance lists."""
CURVE_POINTS = 120
"""Points of a glance's equity curve, at most."""

_SHARE = 50
"""After a look that took t, the next one comes after this many t at the earliest: at most 2 % of a run's time."""
_PENDING_BYTES_MAX = 1 << 20
_CURVE_KEPT = 4_096

_DOING = {
    Advance.RUN: "running",
    Advance.PAUSE: "paused",
    Advance.STEP: "stepping",
    Advance.NEXT_FILL: "to the next fill",
    Advance.NEXT_DAY: "to the next day",
    Advance.SEEK: "seeking",
}


class GlancePrice(msgspec.Struct, frozen=True):
    """The market of one instrument; what it has not shown yet, or does not have, is None."""

    symbol: str
    bid: float | None
    ask: float | None
    last: float | None
    """The last trade, or the close of the last bar."""
    mark: float | None
    """What positions are valued at."""
    decimals: int
    """Decimals of its prices."""


class GlancePosition(msgspec.Struct, frozen=True):
    """One strategy's position in one instrument; money is in the instrument's quote currency."""

    strategy: str
    symbol: str
    quantity: float
    average_price: float
    unrealised: float | None
    """Value at the mark less cost; None before any mark."""
    realised: float
    """Before fees."""
    fees: float


class GlanceOrder(msgspec.Struct, frozen=True):
    """A working order, as its strategy knows it. Quantities and prices as decimal text."""

    order_id: int
    strategy: str
    symbol: str
    side: str
    type: str
    quantity: str
    filled: str
    limit: str | None
    stop: str | None
    state: str


class GlanceFill(msgspec.Struct, frozen=True):
    """A fill. `time_ns` is the venue's."""

    time_ns: int
    strategy: str
    symbol: str
    side: str
    price: float
    size: float
    fee: float
    fee_currency: str
    liquidity: str
    order_id: int


class Glance(msgspec.Struct, frozen=True):
    """A run at one moment: it never changes; the next moment is another glance."""

    name: str
    """Name of the run."""
    state: str
    """starting, recovering, running, paused, stepping, to the next fill, to the next day, seeking, ended or failed."""
    speed: Speed | None
    """How fast tape time passes; None where the feed is live."""
    time_ns: int | None
    """Time on the tape; None before the first record."""
    records: int
    """Records taken so far."""
    total: int | None
    """Records that the tape has; None: unknown."""
    rate: float
    """Records per second of wall time, of late."""
    currency: str
    """The account's currency: that of equity and cash."""
    equity: float | None
    cash: float
    prices: tuple[GlancePrice, ...]
    positions: tuple[GlancePosition, ...]
    """Those held, and those that were."""
    working: int
    """How many orders work."""
    orders: tuple[GlanceOrder, ...]
    """The newest of them, ascending."""
    in_flight: int
    """Commands under way to their venues."""
    fills: int
    """Fills so far."""
    last_fills: tuple[GlanceFill, ...]
    """The last of them, the newest last."""
    equity_curve: tuple[float, ...]
    """Equity from the start of the run until now, thinned."""
    trading: str
    """Whether strategies may trade: active, paused or stopped."""
    events: int
    rejected: int
    late: int
    stale: int
    dead_letters: int


class Trail:
    """A sink that keeps what glances say of the past: the last fills, and a thinned series of the equity.

    To take something costs next to nothing; it is looked at when a glance is taken, or when much has come together.
    """

    name = "glance"

    def __init__(self, setup: bytes, ledger_scales: list[int]) -> None:
        self.scales = RunScales(setup, ledger_scales)
        self.multipliers = {row.symbol: float(row.multiplier) for row in self.scales.instruments}
        self._waiting_events: list[bytes] = []
        self._waiting_points: list[bytes] = []
        self._waiting_bytes = 0
        self._last_fills: deque[Any] = deque(maxlen=FILLS_SHOWN)
        self._shown_fills: tuple[GlanceFill, ...] = ()
        self._equity = np.zeros(0)
        self._every = 1
        self._points = 0

    def write(self, effects: Effects) -> None:
        """Take effects."""
        if effects.events:
            self._waiting_events.append(effects.events)
        if effects.equity:
            self._waiting_points.append(effects.equity)
        self._waiting_bytes += len(effects.events) + len(effects.equity)
        if self._waiting_bytes > _PENDING_BYTES_MAX:
            self._look()

    def close(self) -> None:
        """Do nothing: there is nothing to finish."""

    def fills(self) -> tuple[GlanceFill, ...]:
        """Give the last fills, the newest last."""
        self._look()
        return self._shown_fills

    def curve(self) -> tuple[float, ...]:
        """Give the equity from the start until now, thinned."""
        self._look()
        return tuple(thin(self._equity, CURVE_POINTS).tolist())

    def _look(self) -> None:
        events, points = b"".join(self._waiting_events), b"".join(self._waiting_points)
        self._waiting_events, self._waiting_points, self._waiting_bytes = [], [], 0
        if events:
            self._look_at_events(event_log.from_bytes(events))
        if points:
            self._look_at_points(np.frombuffer(points, dtype=event_log.EQUITY)["equity"])

    def _look_at_events(self, events: NDArray[Any]) -> None:
        fills = events[events["kind"] == event_log.EventKind.FILL][-FILLS_SHOWN:]
        if len(fills):
            rows = fills_table(fills, self.scales).rows()
            self._last_fills.extend(msgspec.convert(_fill_row(row), GlanceFill) for row in rows)
            self._shown_fills = tuple(self._last_fills)

    def _look_at_points(self, equity: NDArray[np.float64]) -> None:
        """Keep every n-th point; when too many are kept, every second of them."""
        first = -self._points % self._every
        self._points += len(equity)
        self._equity = np.concatenate([self._equity, equity[first :: self._every]])
        while len(self._equity) > _CURVE_KEPT:
            self._equity = self._equity[::2]
            self._every *= 2


class Glances:
    """Takes a glance of a run at most so many times a second, and keeps the last one; any thread may read it.

    It is a task on the loop of the run: it has its turn when the run gives one, and costs nothing per record.
    """

    def __init__(self, per_second: float = PER_SECOND) -> None:
        self.latest: Glance | None = None
        """The last glance; None before the first."""
        self.number = 0
        """Counts the glances."""
        self._every_s = 1.0 / per_second
        self._trail: Trail | None = None
        self._news: asyncio.Event | None = None
        self._seen: tuple[int, float] = (0, 0.0)
        self._rate = 0.0

    def trail(self, opened: Opened) -> Trail:
        """Make the sink that a run needs to be watched by this; another run makes another."""
        self._trail = Trail(opened.setup, opened.engine.ledger_scales())
        self._seen, self._rate = (0, time.perf_counter()), 0.0
        return self._trail

    @contextlib.asynccontextmanager
    async def watching(self, pipeline: Pipeline, info: SessionInfo) -> AsyncIterator[None]:
        """Look at a run, that has this one's trail among its sinks, until the block ends: then once more."""
        self._take(pipeline, info)
        task = asyncio.create_task(self._watch(pipeline, info), name="replay-glances")
        try:
            yield
        except BaseException:
            await end_task(task)
            with contextlib.suppress(Exception):  # the error that ended the run is the one to tell
                self._take(pipeline, info)
            raise
        await end_task(task)
        self._take(pipeline, info)

    async def wait(self, after: int) -> None:
        """Wait for a glance with a higher number. On the loop of the run."""
        while self.number <= after:
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()

    async def _watch(self, pipeline: Pipeline, info: SessionInfo) -> None:
        while True:
            started_s = time.perf_counter()
            self._take(pipeline, info)
            await asyncio.sleep(max(self._every_s, _SHARE * (time.perf_counter() - started_s)))

    def _take(self, pipeline: Pipeline, info: SessionInfo) -> None:
        glance = self._look(pipeline, info)
        if glance == self.latest:
            return
        self.latest = glance
        self.number += 1
        if self._news is not None:
            self._news.set()
            self._news = None

    def _look(self, pipeline: Pipeline, info: SessionInfo) -> Glance:
        assert self._trail is not None, "the run was assembled with this one's trail"
        pace = pipeline.pacer.controls.state if isinstance(pipeline.pacer, TapePacer) else None
        flat_out: Speed | None = None if pipeline.feed.live else "max"
        seen = pipeline.engine.glance(ORDERS_SHOWN)
        prices = tuple(GlancePrice(*row) for row in seen["prices"])
        marks = {price.symbol: price.mark for price in prices}
        return Glance(
            name=info.name,
            state=_state(info, pace),
            speed=flat_out if pace is None else pace.speed,
            time_ns=seen["now_ns"],
            records=seen["seq"],
            total=pipeline.total,
            rate=self._rate_of(seen["seq"]) if pace is None or not pace.paused else 0.0,
            currency=seen["currency"],
            equity=seen["equity"],
            cash=seen["cash"],
            prices=prices,
            positions=tuple(_position(row, marks, self._trail.multipliers) for row in seen["positions"]),
            working=seen["working"],
            orders=tuple(msgspec.convert(row, GlanceOrder) for row in seen["orders"]),
            in_flight=seen["in_flight"],
            fills=pipeline.outbox.fills,
            last_fills=self._trail.fills(),
            equity_curve=self._trail.curve(),
            trading=seen["trading"],
            events=pipeline.outbox.events,
            rejected=seen["rejected"],
            late=seen["late"],
            stale=seen["stale"],
            dead_letters=sum(pipeline.dead_letters.counts.values()),
        )

    def _rate_of(self, records: int) -> float:
        """Give records a second, as an average in which the last second or so counts; 0 once it has all but died."""
        before, before_s = self._seen
        now_s = time.perf_counter()
        passed_s = now_s - before_s
        if passed_s >= self._every_s / 2:
            share = min(1.0, passed_s)
            self._rate += share * ((records - before) / passed_s - self._rate)
            self._seen = (records, now_s)
        return float(f"{self._rate:.3g}") if self._rate >= 0.5 else 0.0


def _position(row: dict[str, Any], marks: dict[str, float | None], multipliers: dict[str, float]) -> GlancePosition:
    quantity, average = row["quantity"], row["average_price"]
    mark = marks[row["symbol"]]
    unrealised = None if mark is None else quantity * (mark - average) * multipliers[row["symbol"]]
    return GlancePosition(
        strategy=row["strategy"],
        symbol=row["symbol"],
        quantity=quantity,
        average_price=average,
        unrealised=unrealised if quantity else 0.0,
        realised=float(row["realised"]),
        fees=float(row["fees"]),
    )


def _state(info: SessionInfo, pace: PlayState | None) -> str:
    if info.state == State.STOPPED:
        return "ended"
    if info.state != State.RUNNING or pace is None:
        return str(info.state)
    return _DOING[pace.advance]


def _fill_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"time_ns": row["time"], **row}
