"""The builder of a result: takes what a run decides as it goes on, in bounded memory, and makes the result of it.

May not live here: what a result says (result.py), how a statistic is computed (stats/), what an event means
(projections.py), who runs the engine.
"""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import events as event_log
from replay.errors import JournalError, disk_remedy
from replay.result.benchmark import BUY_AND_HOLD, HeldMarks, Levels, returns_of_path
from replay.result.event_tables import EVENT_BATCH_BYTES, FROM_EVENTS, EventTables, table_from_events
from replay.result.marks import MarkSampler, SamplerState
from replay.result.order_count import OrderCount
from replay.result.projections import SCHEMAS, TRADES, RunScales, equity_table
from replay.result.result import (
    EVENTS_FILE,
    RESULT_FILE,
    RESULT_VERSION,
    Result,
    Source,
    encode_document,
    folder_sources,
)
from replay.result.tables import Table, TableWriter, replace_file
from replay.result.trade_rows import TradeProjection
from replay.stats.drawdown import DrawdownTracker
from replay.stats.exposure import ExposureTracker
from replay.stats.periods import PeriodCloses, period_of
from replay.stats.summary import Figures, Summarised, Summary, TradeColumns, summarise

_SPOOL_BYTES = 16 * 1024 * 1024
_POINT_BATCH = 16_384

Opened = TypeVar("Opened")


class ResultBuilder:
    """Takes a run's events, equity points and records as they come, and makes the Result of them.

    With a folder, the event log and the Arrow files are written as the run goes on. Without, the event log is kept in
    memory, and in a temporary file when it grows; fills, orders and positions are made from it when they are asked for.
    Either way a run of any length needs bounded memory.
    """

    def __init__(
        self,
        setup: bytes,
        ledger_scales: Sequence[int],
        *,
        folder: str | Path | None = None,
        name: str = "run",
        periods_per_year: float = 365.0,
        risk_free: float = 0.0,
        benchmark: str | Levels | None = None,
        keeps_events: bool = True,
        on_marks: Callable[[bytes], None] | None = None,
        is_provisional: bool = False,
    ) -> None:
        """Start with the engine's setup and `Engine.ledger_scales()`.

        `keeps_events=False` leaves events.bin to another sink. `on_marks` is given the samples of the series of marks
        as they are made. `risk_free` is a return per period; `benchmark` is "buy_and_hold", a symbol or a series. With
        `is_provisional` the tables are written beside the old ones until `publish`, which puts
        them in their place, or `discard`. Raises JournalError where the folder cannot be written.
        """
        self._scales = RunScales(setup, ledger_scales)
        self._name = name
        self._folder = Path(folder) if folder is not None else None
        self._periods_per_year = periods_per_year
        self._risk_free = risk_free
        self._closes = PeriodCloses(period_of(periods_per_year))
        self._benchmark: HeldMarks | Levels | None = None
        if isinstance(benchmark, str):
            only = None if benchmark == BUY_AND_HOLD else benchmark
            self._benchmark = HeldMarks(self._scales.symbols, self._closes.period, only)
        else:
            self._benchmark = benchmark
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalError(
                    f"cannot make the run folder: {error.strerror}",
                    place=str(self._folder),
                    remedy=disk_remedy(error, self._folder),
                ) from error
        self._is_provisional = is_provisional and self._folder is not None
        written = SCHEMAS if self._folder is not None else [name for name in SCHEMAS if name not in FROM_EVENTS]
        self._targets = {name: self._target(name) for name in written}
        self._writers = {name: TableWriter(name, SCHEMAS[name], target) for name, target in self._targets.items()}
        self._flushes = self._first_flushes()
        self._events = self._open_events() if keeps_events or self._folder is None else None
        self._projections = EventTables(self._scales) if self._folder is not None else None
        self._trades = TradeProjection(self._scales)
        self._orders = OrderCount()
        self._fill_count = 0
        is_held = isinstance(self._benchmark, HeldMarks)
        self._marks = MarkSampler(self._scales, self._closes.period if is_held else None)
        self._on_marks = on_marks
        self._pending_events: list[bytes] = []
        self._pending_excursions: list[bytes] = []
        self._has_excursions = True
        self._pending_event_bytes = 0
        self._pending_points: list[NDArray[Any]] = []
        self._pending_point_count = 0
        self._event_count = 0
        self._drawdown: DrawdownTracker | None = None
        self._exposure = ExposureTracker()
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._start_equity = self._scales.start_equity
        self._end_equity: float | None = None
        self._engine_marks: dict[str, tuple[float | None, float | None]] = {}
        self._is_closed = False

    # -- what comes in

    def add_events(self, data: bytes, excursions: bytes | None = None) -> None:
        """Take events of `Engine.take_events()` in their order (n * 128 bytes), and of `Engine.take_excursions()` those
        of the fills among them; a run that is given none has no excursions of its round trips.
        """
        if not data:
            return
        if self._events is not None:
            _guard_disk(lambda: self._write_events(data), self._place(EVENTS_FILE))
        self._event_count += len(data) // event_log.EVENT_BYTES
        self._pending_events.append(data)
        if excursions is None:
            self._has_excursions = False
        else:
            self._pending_excursions.append(excursions)
        self._pending_event_bytes += len(data)
        if self._pending_event_bytes >= EVENT_BATCH_BYTES:
            self._project_events()

    def add_equity(self, data: bytes) -> None:
        """Take equity points of `Engine.take_equity()` in their order."""
        if not data:
            return
        points = np.frombuffer(data, dtype=event_log.EQUITY)
        self._pending_points.append(points)
        self._pending_point_count += len(points)
        if self._pending_point_count >= _POINT_BATCH:
            self._project_equity()

    def add_records(self, records: NDArray[Any]) -> None:
        """Take the admitted records of the tape, for buy and hold and the series of marks; only a few are looked at."""
        samples = self._marks.add(records)
        if len(samples):
            if self._on_marks is not None:
                self._on_marks(samples.tobytes())
            self.add_marks(samples)

    def add_marks(self, samples: NDArray[Any]) -> None:
        """Take samples of the series of marks that were made before (dtype replay.result.marks.SAMPLE)."""
        if isinstance(self._benchmark, HeldMarks):
            self._benchmark.add(samples)
        self._writers["marks"].add(self._marks.table(samples))

    def mark_state(self) -> SamplerState:
        """Give what a snapshot needs of the marks; events, equity points and samples are kept by others."""
        return self._marks.state()

    def restore_marks(self, state: SamplerState) -> None:
        """Go on with the marks from a snapshot."""
        self._marks.restore(state)

    def publish(self) -> None:
        """Put provisional tables in the place of the old ones; they go on being written there."""
        if not self._is_provisional:
            return
        self._is_provisional = False
        for name, target in list(self._targets.items()):
            assert isinstance(target, Path)
            final = target.with_name(f"{name}.arrow")
            _guard_disk(partial(target.replace, final), str(final))
            self._targets[name] = final

    def discard(self) -> None:
        """Throw provisional tables away: the old ones stay as they were."""
        self._is_closed = True
        for name, target in self._targets.items():
            with contextlib.suppress(JournalError):
                self._writers[name].close()
            if self._is_provisional and isinstance(target, Path):
                target.unlink(missing_ok=True)

    def flush(self) -> None:
        """Bring all that came in so far to the files."""
        self._flushes = self._first_flushes()
        for _ in range(self.parts):
            self.flush_part()

    def flush_part(self) -> None:
        """Bring a part of what came in to its file, so that others can read it; called again, the next part.

        All of it at once would hold a live session's loop for so long that orders wait.
        """
        name = self._flushes[0]
        self._flushes.rotate(-1)
        if name in self._writers:
            self._writers[name].flush()
            return
        self._project_events()
        self._project_equity()
        if self._events is not None:
            _guard_disk(self._events.flush, self._place(EVENTS_FILE))

    @property
    def parts(self) -> int:
        """How many parts `flush_part` has."""
        return len(self._flushes)

    def _first_flushes(self) -> deque[str]:
        """Give what is flushed, in order: the events, then the tables that they were written to."""
        return deque([EVENTS_FILE, *self._writers])

    # -- what comes out

    def summary(self) -> Summary:
        """Compute the statistics of what came in so far."""
        return self._summarised().values

    def _summarised(self) -> Summarised:
        self._project_events()
        self._project_equity()
        self.add_marks(self._marks.flush())
        currency = self._scales.account_currency
        fees = self._trades.fees()
        is_known = all(name == currency or amount == 0.0 for name, amount in fees.items())
        baseline = self._start_equity
        figures = Figures(
            periods_per_year=self._periods_per_year,
            risk_free=self._risk_free,
            benchmark=self._benchmark_returns(),
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            start_equity=baseline,
            end_equity=self._end_equity if self._end_equity is not None else baseline,
            returns=self._closes.returns(baseline) if baseline is not None else np.zeros(0),
            maximum_drawdown=self._drawdown.maximum if self._drawdown is not None else None,
            longest_drawdown_ns=self._drawdown.longest_ns if self._drawdown is not None else None,
            fees=fees.get(currency, 0.0) if is_known else None,
            orders=self._orders.count,
            fills=self._fill_count,
            trades=self._trade_columns(),
            exposure=self._exposure,
            traded_value=self._trades.traded().get(currency, 0.0),
            marks={**self._marks.ends(), **self._engine_marks},
        )
        return summarise(figures)

    def _benchmark_returns(self) -> NDArray[np.float64] | None:
        """Give the benchmark's return in each of the run's periods; None without one."""
        numbers = self._closes.numbers()
        if isinstance(self._benchmark, HeldMarks):
            return returns_of_path(self._benchmark.path(numbers, {**self._marks.ends(), **self._engine_marks}))
        if self._benchmark is not None:
            return returns_of_path(self._benchmark.path(self._closes.period, numbers, self._start_ns))
        return None

    def _trade_columns(self) -> TradeColumns:
        """Read the round trips so far back from their file: they need no memory while the run goes on."""
        self._writers["trades"].flush()
        target = self._targets["trades"]
        if isinstance(target, Path):
            table = Table.read("trades", TRADES, target)
        else:
            place = target.tell()
            target.seek(0)
            table = Table.read("trades", TRADES, target)
            target.seek(place)
        table = table.slice(~np.isnan(table["net"]) & (table["currency"] == self._scales.account_currency))
        return TradeColumns(
            net=table["net"],
            gross=table["gross"],
            fees=table["fees"],
            entry_values=table["entry_value"],
            durations_ns=(table.integers("exit_time") - table.integers("entry_time")).astype(np.float64),
            is_long=(table["side"] == "long").astype(np.float64),
            mae=table["mae"] if self._has_excursions else None,
            mfe=table["mfe"] if self._has_excursions else None,
        )

    def finish(
        self,
        *,
        digest: str,
        state: Mapping[str, Any] | None = None,
        counts: Mapping[str, Any] | None = None,
        timings: Mapping[str, float] | None = None,
        interrupted: bool = False,
        versions: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Result:
        """Write what is left and give the Result; with a folder, result.json is written last.

        `state` is `Engine.state()`: it gives the last equity point and exact marks, too. `extra` adds entries to
        result.json. May be called once.
        """
        self._take_state(state or {})
        summarised = self._summarised()
        if self._projections is not None:
            self._writers["orders"].add(self._projections.open_orders())
        self.close()
        document: dict[str, Any] = {
            "result_version": RESULT_VERSION,
            "name": self._name,
            "digest": digest,
            "events": self._event_count,
            "interrupted": interrupted,
            "currency": self._scales.account_currency,
            "statistics": summarised.values,
            "undefined": summarised.reasons,
            "counts": dict(counts or {}),
            "timings": dict(timings or {}),
            "state": dict(state or {}),
            "instruments": [
                {
                    "symbol": row.symbol,
                    "price_decimals": row.price_decimals,
                    "size_decimals": row.size_decimals,
                    "multiplier": str(row.multiplier),
                    "quote": row.quote,
                }
                for row in self._scales.instruments
            ],
            "strategies": list(self._scales.strategies),
            "currencies": [
                {"name": name, "decimals": decimals, "ledger_scale": scale}
                for name, decimals, scale in zip(
                    self._scales.currencies, self._scales.currency_decimals, self._scales.ledger_scales, strict=True
                )
            ],
            "versions": {**_versions(), **(versions or {})},
            **(extra or {}),
        }
        # Through JSON and back: a result in memory is then what the loaded one is.
        document = msgspec.json.decode(encode_document(document))
        result = Result(document, self._result_sources())
        if self._folder is not None:
            replace_file(self._folder / RESULT_FILE, result.to_json(indent=2))
        return result

    def close(self) -> None:
        """Close all files with what they have; for a run that fails before `finish`. May be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        steps: list[Callable[[], object]] = [self.flush, *(writer.close for writer in self._writers.values())]
        if self._events is not None and self._folder is not None:
            closing = self._events.close
            steps.append(lambda: _guard_disk(closing, self._place(EVENTS_FILE)))
        first_error: JournalError | None = None
        for step in steps:
            try:
                step()
            except JournalError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    # -- inside

    def _take_state(self, state: Mapping[str, Any]) -> None:
        """Take the engine's own marks where it has them, and its equity at the end as the last point."""
        self.add_marks(self._marks.flush())
        seen = self._marks.ends()
        for symbol, (first, last) in state.get("marks", {}).items():
            earlier, later = seen.get(symbol, (None, None))
            # The engine's first mark may lie in the warmup, before trading began.
            is_whole = self._scales.trading_start_ns is None and first is not None
            self._engine_marks[symbol] = (float(first) if is_whole else earlier, later if last is None else float(last))
        if state.get("equity") is None:
            return
        self._project_equity()
        now_ns = int(state["now_ns"])
        if now_ns == event_log.ABSENT:
            return  # no record was taken: there is no time yet
        equity = float(state["equity"])
        if self._end_ns is not None and (now_ns < self._end_ns or (now_ns, equity) == (self._end_ns, self._end_equity)):
            return
        cash = float(state.get("balances", {}).get(self._scales.account_currency, 0.0))
        point = np.zeros(1, dtype=event_log.EQUITY)
        point[0] = (now_ns, max(int(state.get("seq", 0)) - 1, 0), equity, cash, self._exposure_now(state))
        self.add_equity(point.tobytes())

    def _exposure_now(self, state: Mapping[str, Any]) -> float:
        multipliers = {row.symbol: float(row.multiplier) for row in self._scales.instruments}
        marks = self._engine_marks
        total = 0.0
        for row in state.get("positions", []):
            symbol = row["symbol"]
            mark = marks.get(symbol, (None, None))[1] or 0.0
            total += abs(float(row["quantity"]) * mark * multipliers[symbol])
        return total

    def _project_events(self) -> None:
        if not self._pending_events:
            return
        events = event_log.from_bytes(b"".join(self._pending_events))
        excursions = np.frombuffer(b"".join(self._pending_excursions), dtype=event_log.EXCURSION)
        self._pending_events, self._pending_excursions, self._pending_event_bytes = [], [], 0
        self._orders.add(events["order_id"][events["kind"] != event_log.EventKind.POSTING])
        if self._projections is not None:
            for name, table in self._projections.add(events).items():
                self._writers[name].add(table)
        fills = events[events["kind"] == event_log.EventKind.FILL]
        if not len(fills):
            return
        self._fill_count += len(fills)
        trades = self._trades.add(fills, excursions if self._has_excursions else None)
        self._writers["trades"].add(trades)

    def _project_equity(self) -> None:
        if not self._pending_points:
            return
        points = np.concatenate(self._pending_points)
        self._pending_points, self._pending_point_count = [], 0
        self._writers["equity"].add(equity_table(points))
        start_ns = self._scales.trading_start_ns
        if start_ns is not None and self._start_ns is None:
            points = points[points["ts"] >= start_ns]
            if not len(points):
                return
        ts = np.ascontiguousarray(points["ts"])
        equity = np.ascontiguousarray(points["equity"])
        if self._start_ns is None:
            self._start_ns = int(ts[0])
            if self._start_equity is None:
                self._start_equity = float(equity[0])
            self._drawdown = DrawdownTracker(self._start_ns, self._start_equity)
        assert self._drawdown is not None
        self._drawdown.add(ts, equity)
        self._exposure.add(ts, equity, points["exposure"])
        self._closes.add(ts, equity)
        self._end_ns = int(ts[-1])
        self._end_equity = float(equity[-1])

    def _target(self, name: str) -> Path | IO[bytes]:
        if self._folder is not None:
            return self._folder / (f"{name}.arrow.part" if self._is_provisional else f"{name}.arrow")
        return _Spool(max_size=_SPOOL_BYTES)

    def _open_events(self) -> IO[bytes]:
        if self._folder is None:
            return _Spool(max_size=_SPOOL_BYTES)
        path = self._folder / EVENTS_FILE
        return _guard_disk(lambda: open(path, "wb"), str(path))

    def _write_events(self, data: bytes) -> None:
        assert self._events is not None
        self._events.write(data)

    def _place(self, file: str) -> str:
        return str(self._folder / file) if self._folder is not None else f"<{file}>"

    def _result_sources(self) -> dict[str, Source]:
        if self._folder is not None:
            return dict(folder_sources(self._folder))
        events, scales = self._events, self._scales
        assert events is not None, "a run without a folder keeps its events"
        made: dict[str, Source] = {name: partial(table_from_events, name, events, scales) for name in FROM_EVENTS}
        return {**self._targets, **made, "events": events}


class _Spool(tempfile.SpooledTemporaryFile[bytes]):
    """A file in memory that moves to the disk when it grows, and goes with whoever holds it."""

    def __del__(self) -> None:
        self.close()


def _guard_disk(step: Callable[[], Opened], place: str) -> Opened:
    try:
        return step()
    except OSError as error:
        raise JournalError(
            f"cannot write: {error.strerror or error}", place=place, remedy=disk_remedy(error, place)
        ) from error


def _versions() -> dict[str, str]:
    try:
        own = version("tickreplay")
    except PackageNotFoundError:
        own = "not installed"
    return {"replay": own, "python": platform.python_version(), "numpy": np.__version__}
