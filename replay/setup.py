"""The setup of a run: what the engine and the sequencer must know before the first record, as JSON.

May not live here: opening feeds, and defaults of the run file; `replay.config` has those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

from replay.config import RunConfig
from replay.config.hours import sessions_of
from replay.config.sections import SOURCES, FeedSpec, Fees, Instrument, Risk, Venue
from replay.errors import ConfigError, choose
from replay.feeds.tape import BAR_PRICES
from replay.strategy_loader import load_strategies
from replay.units import format_duration

if TYPE_CHECKING:
    from replay.feeds.tape import TapeHeader, TapeInstrument

__all__ = ["bar_lengths", "build", "load_strategies", "one_clock"]


def build(config: RunConfig, headers: Sequence[TapeHeader], *, trading_start_ns: int | None = None) -> bytes:
    """Return the Setup JSON for a run of `config` on feeds with these headers, in the order of the feeds.

    `trading_start_ns` is when commands are first taken; by default `from`, or the start of the data plus the warmup.
    Raises ConfigError where the run file and the data do not fit, naming both.
    """
    run, account = config.run, config.account
    venues = config.venues()
    lengths = bar_lengths(headers)
    setup: dict[str, Any] = {
        "seed": run.seed,
        "trading_start_ns": _trading_start(config, headers) if trading_start_ns is None else trading_start_ns,
        "equity_every_ns": run.equity_every.ns,
        "one_clock": one_clock(config, headers),
        "max_ahead_ns": run.max_ahead.ns,
        "max_gap_ns": run.max_gap.ns,
        "plausible_from_ns": run.plausible_from.ns,
        "late": run.late,
        "leap": run.leap,
        "gap": run.gap,
        "bar_lengths": lengths,
        "currencies": [{"name": entry.name, "decimals": entry.decimals} for entry in config.currencies()],
        "account": {
            "kind": account.kind,
            "leverage": str(account.leverage),
            "currency": account.currency,
            "cash": {name: str(amount) for name, amount in account.cash.items()},
        },
        "risk": _risk(config.risk),
        "venues": [_venue(venue) for venue in venues],
        "instruments": [
            _InstrumentSetup(config, headers, index, venues, lengths).entry() for index in range(len(config.instrument))
        ],
        "strategies": [{"name": spec.name} for spec in config.strategy],
    }
    return msgspec.json.encode(setup)


def bar_lengths(headers: Iterable[TapeHeader]) -> list[int]:
    """Return the run's table of bar lengths in ns: those of all headers, each once, in the order of their feeds."""
    return list(dict.fromkeys(length for header in headers for length in header.bar_lengths_ns))


def one_clock(config: RunConfig, headers: Iterable[TapeHeader]) -> bool:
    """Say whether all venues share one watermark: every feed has one time only, unshifted, and none stamps arrivals."""
    shifted = any(spec.clock_offset.ns != 0 or spec.receive_time == "stamp" for spec in config.feed)
    return not shifted and all(header.one_time for header in headers)


def _trading_start(config: RunConfig, headers: Sequence[TapeHeader]) -> int | None:
    run = config.run
    if run.warmup.ns == 0:
        return None
    if run.from_ is not None:
        return run.from_.ns
    starts = [header.first_ns for header in headers if header.first_ns is not None]
    return min(starts) + run.warmup.ns if starts else None


def _risk(risk: Risk) -> dict[str, Any]:
    """The limits of orders, and the switches that the tape alone decides; one that is not set leaves no key."""
    setup: dict[str, Any] = {
        "max_order_size": _optional(risk.max_order_size),
        "max_order_notional": _optional(risk.max_order_notional),
        "max_position": _optional(risk.max_position),
    }
    if (fall := risk.drawdown) is not None:
        share = None if fall.limit is None else f"{fall.limit.value:f}"
        setup["drawdown"] = {"share": share, "amount": _optional(fall.amount), "action": fall.action}
    if risk.position is not None:
        setup["position"] = {"limit": str(risk.position.limit), "action": risk.position.action}
    if (rate := risk.order_rate) is not None:
        setup["order_rate"] = {"orders": rate.orders, "per_ns": rate.per.ns, "action": rate.action}
    return setup


def _optional(value: str | None) -> str | None:
    return None if value is None else str(value)


def _venue(venue: Venue) -> dict[str, Any]:
    latency = venue.latency
    return {
        "name": venue.name,
        "fees": {
            "maker": str(venue.fees.maker),
            "taker": str(venue.fees.taker),
            "rounding": venue.fees.rounding,
            **_further_fees(venue.fees),
        },
        "latency_ns": {
            "entry": latency.entry.ns,
            "cancel": latency.cancel.ns,
            "amend": (latency.entry if latency.amend is None else latency.amend).ns,
            "response": latency.response.ns,
        },
        "beyond_top": venue.beyond_top,
        **({} if venue.shown_size == "once" else {"shown_size": venue.shown_size}),
        **({} if venue.crossed == "wait" else {"crossed": venue.crossed}),
        "slippage_ticks": venue.slippage_ticks,
        "print_at_limit": venue.print_at_limit,
        "bar_touch": venue.bar_touch,
        "bar_path": venue.bar_path,
        "bar_market": venue.bar_market,
        "max_share": str(venue.max_share),
        "bar_grace_ns": venue.bar_grace.ns,
    }


def _further_fees(fees: Fees) -> dict[str, str]:
    """What is charged beside the rates; what is not set leaves no key."""
    further = {name: getattr(fees, name) for name in ("per_share", "per_order", "minimum", "maximum_rate")}
    found = {name: str(value) for name, value in further.items() if value is not None}
    return found if fees.currency == "quote" else {**found, "currency": fees.currency}


class _InstrumentSetup:
    """What one instrument is in the run file, and what the feeds carry of it."""

    def __init__(
        self,
        config: RunConfig,
        headers: Sequence[TapeHeader],
        index: int,
        venues: Sequence[Venue],
        lengths: Sequence[int],
    ) -> None:
        self.config = config
        self.headers = headers
        self.index = index
        self.spec: Instrument = config.instrument[index]
        self.venue_index = [venue.name for venue in venues].index(self.spec.venue)
        self.venue = venues[self.venue_index]
        self.lengths = lengths
        self.carried: list[tuple[TapeHeader, TapeInstrument]] = [
            (header, entry) for header in headers for entry in header.instruments if entry.symbol == self.spec.symbol
        ]
        self.kinds = [
            kind for kind in ("quote", "trade", "bar") if any(kind in entry.kinds for _, entry in self.carried)
        ]

    def entry(self) -> dict[str, Any]:
        """Return the instrument's entry of the setup, checked against the headers."""
        self._check_carried()
        self._check_scales()
        spec, source = self.spec, self._source()
        return {
            "symbol": spec.symbol,
            "venue": self.venue_index,
            "tick": str(spec.tick),
            "lot": str(spec.lot),
            "price_decimals": spec.price_decimals,
            "size_decimals": spec.size_decimals,
            "quote": spec.quote,
            "base": spec.base,
            "multiplier": str(spec.multiplier),
            "min_notional": _optional(spec.min_notional),
            "allow_negative_price": spec.allow_negative_price,
            "source": source,
            "sizes": self._sizes(),
            "bar_length": self._bar_length(source),
            "bar_price": self._bar_price(),
            "kinds": self.kinds,
            "sessions": sessions_of(spec),
        }

    def _fail(self, message: str, key: str | None = None, remedy: str | None = None) -> ConfigError:
        path = ("instrument", self.index) if key is None else ("instrument", self.index, key)
        return ConfigError(message, place=self.config.place(*path), remedy=remedy)

    def _check_carried(self) -> None:
        if not self.carried:
            symbols = list(dict.fromkeys(entry.symbol for header in self.headers for entry in header.instruments))
            raise self._fail(
                f"no feed carries the instrument {self.spec.symbol!r}", "symbol", choose(self.spec.symbol, symbols)
            )

    def _check_scales(self) -> None:
        for _, entry in self.carried:
            for key, mine, theirs in (
                ("price_decimals", self.spec.price_decimals, entry.price_decimals),
                ("size_decimals", self.spec.size_decimals, entry.size_decimals),
            ):
                if mine != theirs:
                    raise self._fail(
                        f"{self.spec.symbol!r} has {key} = {mine} in the run file and {theirs} on the tape",
                        key,
                        f"set {key} = {theirs}, or convert the tape again",
                    )

    def _source(self) -> str:
        possible = [source for source in SOURCES if set(source.split("+")) <= set(self.kinds)]
        if self.spec.source is None:
            if not possible:
                raise self._fail(
                    f"the feeds carry neither quotes, trades nor bars of {self.spec.symbol!r}",
                    None,
                    "look at what the feed holds: `replay data info FILE`; its symbol and records must fit",
                )
            return possible[0]
        if self.spec.source not in possible:
            raise self._fail(
                f"source = {self.spec.source!r}, but the feeds carry {' and '.join(self.kinds) or 'nothing'} "
                f"of {self.spec.symbol!r}",
                "source",
                choose(self.spec.source, possible),
            )
        return self.spec.source

    def _sizes(self) -> str:
        if self.venue.sizes is not None:
            return self.venue.sizes
        return "none" if any(entry.sizes == "none" for _, entry in self.carried) else "full"

    def _bar_length(self, source: str) -> int | None:
        """Return the index of the length that fills: the one that the run file names, else the shortest."""
        carried = sorted(
            {length for header, entry in self.carried if "bar" in entry.kinds for length in header.bar_lengths_ns}
        )
        if self.spec.bar is not None:
            if self.spec.bar.ns not in carried:
                raise self._fail(
                    f"bar = {str(self.spec.bar)!r}, but the feeds carry no such bars of {self.spec.symbol!r}",
                    "bar",
                    choose(str(self.spec.bar), [format_duration(length) for length in carried]),
                )
            return self.lengths.index(self.spec.bar.ns)
        if not carried:
            if source == "bar":
                raise self._fail(f"the tape with bars of {self.spec.symbol!r} names no bar length")
            return None
        return self.lengths.index(carried[0])

    def _bar_price(self) -> str:
        """Of which price the bars are that fill: of those that the feeds carry, the first of BAR_PRICES."""
        found = {
            self._price_of(spec, entry)
            for spec, header in zip_longest(self.config.feed, self.headers)
            for entry in (() if header is None else header.instruments)
            if entry.symbol == self.spec.symbol and "bar" in entry.kinds
        }
        return next((price for price in BAR_PRICES if price in found), "trade")

    def _price_of(self, spec: FeedSpec | None, entry: TapeInstrument) -> str | None:
        """Of which price a feed's bars are: its entry in the run file, if it says so; else the data themselves."""
        is_about = spec is not None and spec.records == "bar" and _is_of(spec, self.spec.symbol)
        said = spec.price if spec is not None and is_about else None
        if said not in (None, "trade") or entry.bar_price is msgspec.UNSET:
            return said
        return entry.bar_price


def _is_of(spec: FeedSpec, symbol: str) -> bool:
    """Say whether a feed's entry is about an instrument."""
    return spec.symbol == symbol or not isinstance(spec.symbol, str)
