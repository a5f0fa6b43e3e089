"""What is wrong with market data, before a strategy sees it: each finding with its count and its first records.

May not live here: repairs; nothing is changed, and whether a finding matters is for people to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.config import Instrument
from replay.data.plan import Asked, make_plan
from replay.errors import UsageError, choose
from replay.feeds.feed import Batch, Feed
from replay.feeds.tape import TapeHeader
from replay.records import FLAG_BAR_LENGTH_MASK, Kind
from replay.units import decimal_places, format_duration, format_time, parse_decimal, parse_duration, scaled

SHOWN = 5
"""Records of a finding that are named; all are counted."""

OUTLIER = Decimal("0.1")
"""How far a price may stand from both its neighbours, as a part of theirs."""

TICK_GAP_NS = 3_600_000_000_000
_DAY_NS = 86_400_000_000_000
_LONG_WEEKEND_NS = 5 * _DAY_NS
_IDS_KEPT = 1 << 17

MEANINGS = {
    "backwards": "received before the record ahead of it",
    "early": "received before they happened",
    "gaps": "after a pause",
    "duplicates": "the same once more",
    "crossed": "quotes whose bid is above their ask",
    "off_grid": "prices that are no multiple of the tick",
    "zero_sizes": "quotes, trades and bars of size 0",
    "outliers": "prices far from both their neighbours",
    "bad_bars": "bars whose extremes do not enclose open and close",
    "dead": "rows that give no record",
}
"""What `check` looks for, in the order in which it is told."""


class Finding(msgspec.Struct, kw_only=True):
    """One thing that is wrong: how often, and where first."""

    name: str
    count: int = 0
    first: list[str] = []

    def add(self, count: int, texts: Sequence[str]) -> None:
        """Count some more, and keep the first texts."""
        self.count += count
        self.first += texts[: SHOWN - len(self.first)]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one source. records: how many were looked at; not_checked: what could not be, and why."""

    path: str
    records: int
    findings: list[Finding]
    not_checked: list[str]
    guessed: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        found = ", ".join(f"{finding.count:,} {finding.name.replace('_', ' ')}" for finding in self.findings)
        lines = [f"{self.path}: {self.records:,} records; {found or 'nothing found'}"]
        lines += [f"  assumed: {text}" for text in self.guessed]
        for finding in self.findings:
            lines.append(f"  {finding.name.replace('_', ' ')}: {finding.count:,} {MEANINGS[finding.name]}")
            lines += [f"    {text}" for text in finding.first]
            if finding.count > len(finding.first):
                lines.append(f"    and {finding.count - len(finding.first):,} more")
        lines += [f"  not checked: {text}" for text in self.not_checked]
        return "\n".join(lines)


def check(
    source: str | Path,
    asked: Asked | None = None,
    *,
    run: str | Path | None = None,
    ticks: Sequence[str] = (),
    gap: str | None = None,
    outlier: Decimal = OUTLIER,
    ignore: Sequence[str] = (),
) -> Checked:
    """Look through a file of any format for what is wrong with it; several of its kinds and instruments at once.

    asked, run: how the file is read, as for a conversion. ticks: of prices, `0.25` for all or `ESH4=0.25`; those of a
    run file otherwise. gap: the longest pause that is none; by default an hour between ticks, one length between bars,
    five days between bars of a day or more. outlier: the part of a price by which it may leave both its neighbours.
    ignore: findings that are none.
    """
    for name in ignore:
        if name not in MEANINGS:
            raise UsageError(f"there is no check {name!r}", remedy=choose(name, MEANINGS))
    plan = make_plan([source], run, asked or Asked())
    grids = _grids(plan.instruments, ticks, has_ticks=run is not None)
    limit_ns = None if gap is None else _gap_ns(gap)
    (feed,) = plan.feeds()
    checker = _Checker(feed.header, [entry.symbol for entry in plan.instruments], grids, limit_ns, float(outlier))
    for batch in feed.batches():
        checker.take(batch)
    findings = [checker.found[name] for name in MEANINGS if checker.found[name].count and name not in ignore]
    return Checked(
        path=str(source),
        records=checker.rows,
        findings=findings,
        not_checked=_not_checked(feed, grids),
        guessed=plan.guessed,
    )


def _not_checked(feed: Feed, grids: Mapping[str, tuple[int, int]]) -> list[str]:
    texts = []
    without = [entry.symbol for entry in feed.header.instruments if entry.symbol not in grids]
    if without:
        texts.append(f"the grid of prices of {', '.join(without[:SHOWN])}: give --tick, or a run file")
    if any(entry.sizes == "none" for entry in feed.header.instruments):
        texts.append("sizes: the data carry none")
    return texts


def _grids(instruments: Sequence[Instrument], ticks: Sequence[str], *, has_ticks: bool) -> dict[str, tuple[int, int]]:
    """Return the tick of each instrument that has one: a factor for its raw prices, and the tick on that scale."""
    grids = {entry.symbol: _grid(str(entry.tick), entry.price_decimals) for entry in instruments if has_ticks}
    for text in ticks:
        name, equals, value = text.rpartition("=")
        try:
            tick = parse_decimal(value.strip())
        except ValueError as error:
            raise UsageError(f"{text!r} is no tick: {error}", remedy="write it as 0.25 or ESH4=0.25") from None
        if tick <= 0:
            raise UsageError(f"the tick {value} is not above 0", remedy="write it as 0.25 or ESH4=0.25")
        symbols = [entry.symbol for entry in instruments]
        if equals and name not in symbols:
            raise UsageError(f"the data have no instrument {name!r}", remedy=choose(name, symbols))
        grids |= {
            entry.symbol: _grid(value.strip(), entry.price_decimals)
            for entry in instruments
            if not equals or entry.symbol == name
        }
    return grids


def _grid(tick: str, decimals: int) -> tuple[int, int]:
    finer = max(decimals, decimal_places(tick))
    return 10 ** (finer - decimals), scaled(tick, finer)


def _gap_ns(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"gap: {error}", remedy='write it as "30m"') from None


class _Series:
    """What the check of one instrument's records of one kind remembers between batches."""

    def __init__(self) -> None:
        self.last_ns: int | None = None
        self.prices: list[tuple[int, float]] = []
        self.ids: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


class _Checker:
    """Looks at batches one after the other; `found` has the findings by name."""

    def __init__(
        self,
        header: TapeHeader,
        symbols: list[str],
        grids: Mapping[str, tuple[int, int]],
        gap_ns: int | None,
        outlier: float,
    ) -> None:
        self.found = {name: Finding(name=name, first=[]) for name in MEANINGS}
        self.rows = 0
        self._header = header
        self._symbols = symbols
        self._grids = grids
        self._gap_ns = gap_ns
        self._outlier = outlier
        self._sizeless = {entry.symbol for entry in header.instruments if entry.sizes == "none"}
        self._top_ns: int | None = None
        self._series: dict[tuple[int, ...], _Series] = {}
        self._tail: NDArray[Any] | None = None

    def take(self, batch: Batch) -> None:
        """Look at one batch."""
        self.found["dead"].add(len(batch.dead), [f"{letter.place}: {letter.reason}" for letter in batch.dead[:SHOWN]])
        records = batch.records
        if not len(records):
            return
        rows = np.arange(self.rows, self.rows + len(records))
        self._times(records, rows)
        self._quotes_once_more(records, rows)
        for kind in np.unique(records["kind"]).tolist():
            of_kind = records["kind"] == kind
            for index in np.unique(records["instrument"][of_kind]).tolist():
                mine = of_kind & (records["instrument"] == index)
                if kind == Kind.BAR:
                    self._bar_series(records[mine], rows[mine], index)
                elif kind in (Kind.QUOTE, Kind.TRADE):
                    self._ticks(records[mine], rows[mine], kind, index)
        self.rows += len(records)

    def _note(self, name: str, records: NDArray[Any], rows: NDArray[np.int64], wrong: Any, text: Any = None) -> None:
        places = np.flatnonzero(wrong)
        if len(places):
            room = SHOWN - len(self.found[name].first)
            self.found[name].add(
                len(places),
                [
                    f"record {int(rows[place]):,} at {format_time(int(records['ts_event'][place]))}"
                    f" {self._symbol(int(records['instrument'][place]))}{': ' + text(place) if text else ''}"
                    for place in places[:room].tolist()
                ],
            )

    def _symbol(self, index: int) -> str:
        return self._symbols[index] if index < len(self._symbols) else f"instrument {index}"

    def _price(self, raw: Any, index: int) -> str:
        entry = next((one for one in self._header.instruments if one.symbol == self._symbol(index)), None)
        return f"{Decimal(int(raw)).scaleb(-(entry.price_decimals if entry else 0)):f}"

    def _times(self, records: NDArray[Any], rows: NDArray[np.int64]) -> None:
        times_ns = records["ts_recv"]
        tops_ns = np.maximum.accumulate(
            times_ns if self._top_ns is None else np.concatenate([[self._top_ns], times_ns])
        )
        before_ns = tops_ns if self._top_ns is not None else np.concatenate([[times_ns[0]], tops_ns])
        before_ns = before_ns[: len(times_ns)]
        self._note(
            "backwards",
            records,
            rows,
            times_ns < before_ns,
            lambda place: f"{format_duration(int(before_ns[place] - times_ns[place]))} back",
        )
        self._top_ns = int(tops_ns[-1])
        ahead_ns = records["ts_event"] - times_ns
        self._note("early", records, rows, ahead_ns > 0, lambda place: f"by {format_duration(int(ahead_ns[place]))}")

    def _quotes_once_more(self, records: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Find quotes that are equal to another of the same time, to the last byte."""
        quotes = records[records["kind"] == Kind.QUOTE]
        places = rows[records["kind"] == Kind.QUOTE]
        if not len(quotes):
            return
        held = self._tail if self._tail is not None else quotes[:0]
        together = np.concatenate([held, quotes])
        keys = np.ascontiguousarray(together).view(np.dtype((np.void, 64))).reshape(-1)
        _, firsts = np.unique(keys, return_index=True)
        again = np.ones(len(together), dtype=np.bool_)
        again[firsts] = False
        again[: len(held)] = False
        self._note("duplicates", quotes, places, again[len(held) :])
        self._tail = together[together["ts_recv"] == together["ts_recv"][-1]][-1024:].copy()

    def _gaps(self, records: NDArray[Any], rows: NDArray[np.int64], series: _Series, limit_ns: int) -> None:
        times_ns = records["ts_event"]
        before_ns = np.concatenate([[times_ns[0] if series.last_ns is None else series.last_ns], times_ns[:-1]])
        steps_ns = times_ns - before_ns
        self._note(
            "gaps", records, rows, steps_ns > limit_ns, lambda place: f"after {format_duration(int(steps_ns[place]))}"
        )
        series.last_ns = int(times_ns[-1])

    def _ticks(self, records: NDArray[Any], rows: NDArray[np.int64], kind: int, index: int) -> None:
        series = self._series.setdefault((kind, index), _Series())
        symbol = self._symbol(index)
        self._gaps(records, rows, series, TICK_GAP_NS if self._gap_ns is None else self._gap_ns)
        has_sizes = symbol not in self._sizeless
        if kind == Kind.TRADE:
            prices = records["a"].astype(np.float64)
            valid = np.ones(len(records), dtype=np.bool_)
            if has_sizes:
                self._note("zero_sizes", records, rows, records["b"] == 0)
            self._ids(records, rows, series)
            self._grid(records, rows, index, ("a",), valid)
        else:
            has_bid = (records["c"] > 0) if has_sizes else np.ones(len(records), np.bool_)
            has_ask = (records["d"] > 0) if has_sizes else np.ones(len(records), np.bool_)
            valid = has_bid & has_ask
            prices = (records["a"] + records["b"]) / 2.0
            self._note(
                "crossed",
                records,
                rows,
                valid & (records["a"] > records["b"]),
                lambda place: (
                    f"bid {self._price(records['a'][place], index)} above ask {self._price(records['b'][place], index)}"
                ),
            )
            self._note("zero_sizes", records, rows, ~has_bid & ~has_ask)
            self._grid(records, rows, index, ("a",), has_bid)
            self._grid(records, rows, index, ("b",), has_ask)
        self._spikes(records[valid], rows[valid], prices[valid], series, index)

    def _bar_series(self, records: NDArray[Any], rows: NDArray[np.int64], index: int) -> None:
        lengths = records["flags"] & FLAG_BAR_LENGTH_MASK
        for code in np.unique(lengths.astype(np.int64) << 8 | records["side"]).tolist():
            mine = (lengths == code >> 8) & (records["side"] == code & 0xFF)
            self._bars(records[mine], rows[mine], index, code)

    def _bars(self, records: NDArray[Any], rows: NDArray[np.int64], index: int, code: int) -> None:
        series = self._series.setdefault((Kind.BAR, index, code), _Series())
        listed = self._header.bar_lengths_ns
        length_ns = listed[code >> 8] if code >> 8 < len(listed) else TICK_GAP_NS
        limit_ns = _LONG_WEEKEND_NS * max(1, length_ns // _DAY_NS) if length_ns >= _DAY_NS else length_ns
        ends_ns = records["ts_event"]
        before_ns = np.concatenate([[-1 if series.last_ns is None else series.last_ns], ends_ns[:-1]])
        self._note("duplicates", records, rows, ends_ns == before_ns)
        self._gaps(records, rows, series, limit_ns if self._gap_ns is None else self._gap_ns)
        opens, highs, lows, closes = (records[name] for name in "abcd")
        outer, inner = np.maximum(opens, closes), np.minimum(opens, closes)
        self._note("bad_bars", records, rows, (lows > inner) | (highs < outer))
        if self._symbol(index) not in self._sizeless:
            self._note("zero_sizes", records, rows, records["e"] == 0)
        self._grid(records, rows, index, ("a", "b", "c", "d"), np.ones(len(records), np.bool_))
        far = (highs > outer * (1 + self._outlier)) | (lows < inner * (1 - self._outlier))
        self._note(
            "outliers",
            records,
            rows,
            far,
            lambda place: f"low {self._price(lows[place], index)}, high {self._price(highs[place], index)}",
        )
        self._spikes(records[~far], rows[~far], closes[~far].astype(np.float64), series, index)

    def _grid(
        self, records: NDArray[Any], rows: NDArray[np.int64], index: int, names: Sequence[str], valid: Any
    ) -> None:
        grid = self._grids.get(self._symbol(index))
        if grid is None:
            return
        factor, tick = grid
        off = np.stack([valid & (records[name] * factor % tick != 0) for name in names])

        def text(place: int) -> str:
            name = names[int(np.flatnonzero(off[:, place])[0])]
            return self._price(records[name][place], index)

        self._note("off_grid", records, rows, off.any(axis=0), text)

    def _ids(self, records: NDArray[Any], rows: NDArray[np.int64], series: _Series) -> None:
        """Find trades whose id was there before, among the last ones; trades without an id may well be equal."""
        ids = records["c"].astype(np.int64)
        held = len(series.ids)
        together = np.concatenate([series.ids, ids])
        _, firsts = np.unique(together, return_index=True)
        again = np.ones(len(together), dtype=np.bool_)
        again[firsts] = False
        self._note("duplicates", records, rows, again[held:] & (ids != 0), lambda place: f"trade id {int(ids[place])}")
        series.ids = together[-_IDS_KEPT:]

    def _spikes(
        self, records: NDArray[Any], rows: NDArray[np.int64], prices: NDArray[np.float64], series: _Series, index: int
    ) -> None:
        """Find prices that leave both their neighbours in one direction; each waits for its next neighbour."""
        if not len(records):
            return
        held = series.prices
        values = np.concatenate([[price for _, price in held], prices])
        places = np.concatenate([[row for row, _ in held], rows]).astype(np.int64)
        series.prices = list(zip(places[-2:].tolist(), values[-2:].tolist(), strict=True))
        if len(values) < 3:
            return
        before, here, after = values[:-2], values[1:-1], values[2:]
        high = (here > before * (1 + self._outlier)) & (here > after * (1 + self._outlier))
        low = (here < before * (1 - self._outlier)) & (here < after * (1 - self._outlier))
        wrong = np.flatnonzero(high | low)
        room = SHOWN - len(self.found["outliers"].first)
        self.found["outliers"].add(
            len(wrong),
            [
                f"record {int(places[place + 1]):,} {self._symbol(index)}: {self._price(here[place], index)} between "
                f"{self._price(before[place], index)} and {self._price(after[place], index)}"
                for place in wrong[:room].tolist()
            ],
        )
