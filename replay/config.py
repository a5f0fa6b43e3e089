"""The run file: its sections as typed structures, read from TOML with errors that name file, line and choices.

May not live here: opening feeds, importing strategies, or anything that a run does with its configuration.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_type_hints

import msgspec

from replay import toml, units
from replay.errors import ConfigError, UsageError, choose

DEFAULT_RUN_FILE = "run.toml"

LIVE_SCHEMES = ("sim", "follow", "stdin")
"""URI schemes of the feeds that need nothing else and go on for ever."""

FEED_COLUMNS: dict[str, tuple[str, ...]] = {
    "quote": ("bid", "ask", "bid_size", "ask_size"),
    "trade": ("price", "size", "side", "id"),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""The fields that `columns` of a text feed can map, by kind of record."""

SOURCES = ("quote+trade", "quote", "trade", "bar")
"""Liquidity sources, the finest first."""

_CURRENCY_DECIMALS = {
    **dict.fromkeys(("USD", "EUR", "GBP", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"), 2),
    **dict.fromkeys(("HKD", "SGD", "CNY", "CNH", "INR", "MXN", "ZAR", "BRL", "TRY", "ILS", "THB"), 2),
    **dict.fromkeys(("JPY", "KRW", "CLP", "ISK", "VND", "HUF"), 0),
}
_OTHER_CURRENCY_DECIMALS = 8


class Text(str):
    """Text that was checked when it was read and that stands for an exact value."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a value from TOML or Python; raise ValueError with the remedy."""
        raise NotImplementedError


class DecimalText(Text):
    """A decimal number: TOML text or integer, never a float."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text, int or Decimal; a float has already lost its exact value and is refused."""
        if isinstance(value, float):
            raise ValueError(f'must be exact, but {value!r} is a binary float: quote it, as in "{value!r}"')
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            value = f"{value:f}" if isinstance(value, Decimal) else str(value)
        if not isinstance(value, str):
            raise ValueError(f'must be a decimal number in quotes, as in "0.01", not {_kind_of(value)}')
        units.parse_decimal(value)
        return cls(value)

    @property
    def value(self) -> Decimal:
        """The exact value."""
        return Decimal(str(self))


class DurationText(Text):
    """A duration such as `250us`, `30s`, `1d`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text only: a bare number would not say its unit."""
        if not isinstance(value, str):
            raise ValueError(f'must be a duration with its unit in quotes, as in "30s", not {_kind_of(value)}')
        units.parse_duration(value)
        return cls(value)

    @property
    def ns(self) -> int:
        """The duration in nanoseconds."""
        return units.parse_duration(str(self))


class TimeText(Text):
    """A time in RFC 3339 with its zone, or a date in UTC."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Take text: an unquoted TOML time is cut at the microsecond before it gets here, so it is refused."""
        if not isinstance(value, str):
            raise ValueError(f'must be a time in quotes, as in "2024-01-31T14:30:00Z", not {_kind_of(value)}')
        units.parse_time(value)
        return cls(value)

    @property
    def ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return units.parse_time(str(self))


Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@cache
def _text_fields(section: type[msgspec.Struct]) -> list[tuple[str, type[Text]]]:
    found: list[tuple[str, type[Text]]] = []
    for name, hint in get_type_hints(section, include_extras=True).items():
        for kind in get_args(hint) if isinstance(hint, UnionType) else (hint,):
            if name in section.__struct_fields__ and isinstance(kind, type) and issubclass(kind, Text):
                found.append((name, kind))  # noqa: PERF401 (two loops and a test read better so)
    return found


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the run file. In Python its times, durations and decimals may be given as plain text or int."""

    def __post_init__(self) -> None:
        for name, text_type in _text_fields(type(self)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, text_type):
                msgspec.structs.force_setattr(self, name, text_type.parse(value))


class Run(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[run]`: what holds for the run as a whole.

    seed: seeds the strategies' random numbers.
    from: the first time that is traded; the tape before it (and its warmup) is skipped.
    until: the run ends before this time.
    warmup: this long before `from` (or from the start) everything runs, but commands are refused.
    equity_every: one equity point per this much tape time, and one at each fill.
    periods_per_year: trading days in a year, for annualised statistics.
    max_ahead: a ts_event further than this above its ts_recv is a leap.
    max_gap: on data with one time, a longer step between two records is a gap.
    late: what happens to records older than their venue's watermark.
    leap: what happens to a leap.
    gap: what happens to a gap.
    """

    seed: Seed = 0
    from_: TimeText | None = msgspec.field(name="from", default=None)
    until: TimeText | None = None
    warmup: DurationText = DurationText("0s")
    equity_every: DurationText = DurationText("1m")
    periods_per_year: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 365
    max_ahead: DurationText = DurationText("10s")
    max_gap: DurationText = DurationText("30d")
    late: Literal["accept", "quarantine", "halt"] = "accept"
    leap: Literal["quarantine", "halt", "accept"] = "quarantine"
    gap: Literal["halt", "quarantine", "accept"] = "halt"

    @property
    def first_ns(self) -> int | None:
        """Where the tape starts: `from` less the warmup, or None for the beginning."""
        return None if self.from_ is None else self.from_.ns - self.warmup.ns

    @property
    def limit_ns(self) -> int | None:
        """The first time that is no longer taken, or None for the end."""
        return None if self.until is None else self.until.ns


class StrategySpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[strategy]]`: a strategy and its parameters; handlers are called in the order of these entries.

    class: `file.py:Class`, relative to the run file, or `package.module:Class`.
    name: the name in events, logs and metrics; the class's name if not given.
    params: values for the annotated attributes of the class.
    """

    class_: str = msgspec.field(name="class")
    name: str = ""
    params: dict[str, Any] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.class_.rpartition(":")[2])


class SymbolColumn(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`symbol = { column = .. }`: each row names its instrument.

    column: the column that holds the symbol.
    """

    column: str


class TimeColumn(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`time` and `receive` of a text feed: the column of a time and how it is written.

    column: the name of the column.
    unit: of integers since the epoch, or `iso` for RFC 3339 text.
    zone: the zone of ISO times that name none.
    stamp: whether a bar's time is its start or its end.
    """

    column: str
    unit: Literal["s", "ms", "us", "ns", "iso"] = "iso"
    zone: str = "UTC"
    stamp: Literal["start", "end"] = "end"


class FeedSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[feed]]`: a source of records. A tape knows all but its `uri` by itself; text files need their columns named.

    uri: a path relative to the run file (.npy, .csv, .csv.gz, .ndjson), or sim:, follow:, stdin:.
    records: what each row is.
    symbol: the instrument of all rows, or `{ column = "symbol" }`.
    bar: the length of bars.
    time: the column of the venue's time.
    receive: the column of a second time, at which the record was received.
    receive_time: keep the receive times of the data, or stamp records when they arrive; by default as the feed is.
    clock_offset: added to every receive time before feeds are merged.
    columns: the column of each (quote: bid, ask, bid_size, ask_size; trade: price, size, side, id; bar: open, ...).
    excess_decimals: what happens to numbers finer than the instrument's decimals; `round` counts them.
    delimiter: between the fields of a CSV row.
    sizes: `none` if the data carry no sizes: then any size fills at the top.
    price: which price the bars are of.
    """

    uri: str
    records: Literal["quote", "trade", "bar"] | None = None
    symbol: str | SymbolColumn | None = None
    bar: DurationText | None = None
    time: TimeColumn | None = None
    receive: TimeColumn | None = None
    receive_time: Literal["keep", "stamp"] | None = None
    clock_offset: DurationText = DurationText("0s")
    columns: dict[str, str] = {}
    excess_decimals: Literal["error", "round"] = "error"
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    sizes: Literal["full", "none"] = "full"
    price: Literal["trade", "bid", "ask", "mid"] = "trade"

    @property
    def scheme(self) -> str | None:
        """The scheme of the URI, or None for a plain path."""
        match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", self.uri)
        return match[1].lower() if match else None

    @property
    def text_format(self) -> Literal["csv", "ndjson"] | None:
        """`csv` or `ndjson` where rows are text whose columns the run file names; None for all else."""
        return text_format(self.uri)


class Instrument(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[instrument]]`: what is traded, and the grids of its prices and sizes.

    symbol: the name in feeds and strategies.
    venue: the venue's name; commands travel there and its rules fill them.
    tick: the grid of order prices.
    lot: the grid of order sizes.
    price_decimals: precision of the data, if finer than the tick.
    size_decimals: precision of the data, if finer than the lot.
    quote: the currency of prices and P&L.
    base: the coin or currency that is bought, where there is one.
    multiplier: the value of one unit of size per unit of price.
    min_notional: the smallest order by value.
    source: the data that fill orders; by default the finest that the feeds carry.
    bar: where several bar lengths come in, the length that fills; by default the shortest.
    sessions: UTC opens and closes, for DAY orders and bars by session.
    allow_negative_price: prices at and below zero are accepted.
    """

    symbol: Annotated[str, msgspec.Meta(min_length=1)]
    venue: Annotated[str, msgspec.Meta(min_length=1)] = "venue"
    tick: DecimalText
    lot: DecimalText
    price_decimals: Decimals = -1  # filled from the tick below
    size_decimals: Decimals = -1  # filled from the lot below
    quote: Annotated[str, msgspec.Meta(min_length=1)]
    base: str | None = None
    multiplier: DecimalText = DecimalText("1")
    min_notional: DecimalText | None = None
    source: Literal["quote+trade", "quote", "trade", "bar"] | None = None
    bar: DurationText | None = None
    sessions: list[tuple[TimeText, TimeText]] | None = None
    allow_negative_price: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.price_decimals < 0:
            msgspec.structs.force_setattr(self, "price_decimals", units.decimal_places(self.tick))
        if self.size_decimals < 0:
            msgspec.structs.force_setattr(self, "size_decimals", units.decimal_places(self.lot))
        if self.sessions is not None:
            parsed = [(TimeText.parse(opens), TimeText.parse(closes)) for opens, closes in self.sessions]
            msgspec.structs.force_setattr(self, "sessions", parsed)


class Fees(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fees` of a venue: rates of the traded value; a negative rate is a rebate.

    maker: for orders that rested.
    taker: for orders that took.
    rounding: on the running total of the order, or on each fill by itself.
    """

    maker: DecimalText = DecimalText("0")
    taker: DecimalText = DecimalText("0")
    rounding: Literal["order", "fill"] = "order"


class Latency(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`latency` of a venue: how long commands and answers travel.

    entry: from the strategy to the venue, for new orders.
    cancel: for cancels.
    amend: for amends; as `entry` if not given.
    response: from the venue back to the strategy.
    """

    entry: DurationText = DurationText("0ms")
    cancel: DurationText = DurationText("0ms")
    amend: DurationText | None = None
    response: DurationText = DurationText("0ms")


class Venue(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[venue]]`: fees, latency and fill rules. Leave out every [[venue]] for venues without fees and latency.

    name: the name that instruments refer to.
    fees: maker and taker rates.
    latency: of commands and answers.
    beyond_top: what takes more than the best price shows: walks ticks beyond it, all at the top, or gets the top only.
    slippage_ticks: added against market and stop orders.
    print_at_limit: on trade data alone, whether a print at a limit fills it.
    bar_touch: a bar that only touches a resting limit fills it.
    bar_path: the order of a bar's extremes.
    bar_market: market orders on bars fill at the next open, or at this close.
    max_share: the part of a bar's volume that own orders may take.
    bar_grace: an order that arrives this little after a bar's start still takes part in it.
    sizes: overrides what the feeds say about sizes.
    """

    name: Annotated[str, msgspec.Meta(min_length=1)]
    fees: Fees = Fees()
    latency: Latency = Latency()
    beyond_top: Literal["walk", "all", "top"] = "walk"
    slippage_ticks: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    print_at_limit: Literal["none", "all"] = "none"
    bar_touch: bool = False
    bar_path: Literal["nearer", "ohlc"] = "nearer"
    bar_market: Literal["next_open", "this_close"] = "next_open"
    max_share: DecimalText = DecimalText("1.0")
    bar_grace: DurationText = DurationText("0s")
    sizes: Literal["full", "none"] | None = None


class Account(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[account]`: the money.

    kind: `margin` (shorts, leverage limit) or `cash` (no shorts, no borrowing).
    leverage: how many times its equity the account may hold.
    currency: the currency of equity and statistics.
    cash: what the account starts with, by currency.
    """

    kind: Literal["margin", "cash"] = "margin"
    leverage: DecimalText = DecimalText("1")
    currency: Annotated[str, msgspec.Meta(min_length=1)]
    cash: dict[str, DecimalText]

    def __post_init__(self) -> None:
        super().__post_init__()
        cash = {name: DecimalText.parse(amount) for name, amount in self.cash.items()}
        msgspec.structs.force_setattr(self, "cash", cash)


class Risk(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk]`: limits that each order is checked against before it leaves; none by default.

    max_order_size: of one order, in units of the instrument.
    max_order_notional: of one order, in its quote currency.
    max_position: of one instrument, long or short.
    """

    max_order_size: DecimalText | None = None
    max_order_notional: DecimalText | None = None
    max_position: DecimalText | None = None


class Metrics(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metrics]`: the Prometheus endpoint. Without a port, paper serves on 9109 and the other modes write a file.

    port: the port to serve on; 0 takes a free one.
    host: the address to bind.
    """

    port: Port | None = None
    host: str = "127.0.0.1"


class Log(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: lines on stderr.

    format: for machines or for people.
    level: the least level that is written.
    """

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Currency(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[currency]]`: the precision of a currency where the default (2, 0 for JPY and its like, 8 for coins) is wrong.

    name: as in `quote`, `base` and `cash`.
    decimals: to which fees are rounded.
    """

    name: Annotated[str, msgspec.Meta(min_length=1)]
    decimals: Decimals


class RunFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole run file.

    run: what holds for the run as a whole.
    strategy: the strategies.
    feed: the sources of records.
    instrument: what is traded.
    venue: fees, latency and fill rules.
    account: the money.
    risk: limits on orders.
    metrics: the Prometheus endpoint.
    log: lines on stderr.
    currency: precisions.
    """

    run: Run = Run()
    strategy: list[StrategySpec]
    feed: list[FeedSpec]
    instrument: list[Instrument]
    venue: list[Venue] = []
    account: Account
    risk: Risk = Risk()
    metrics: Metrics = Metrics()
    log: Log = Log()
    currency: list[Currency] = []


class RunConfig(RunFile, frozen=True, kw_only=True, eq=False, forbid_unknown_fields=True):
    """A checked run file with the place it came from. Equal if the contents are, wherever the files lie."""

    base_dir: Path
    text: str = ""
    path: Path | None = None
    places: dict[toml.Path, str] = {}

    SECTIONS: ClassVar[tuple[str, ...]] = RunFile.__struct_fields__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfig) and _absolute(self) == _absolute(other)

    def __hash__(self) -> int:
        return hash(tuple(spec.uri for spec in self.feed))

    def place(self, *path: str | int) -> str:
        """Name the file and line of a key (or the command-line option that set it), or of its nearest parent."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return str(self.path) if self.path else "the configuration"

    def venues(self) -> list[Venue]:
        """The venues of the run, in the order of their index: as listed, or one without fees for each name."""
        if self.venue:
            return list(self.venue)
        return [Venue(name=name) for name in dict.fromkeys(spec.venue for spec in self.instrument)]

    def currencies(self) -> list[Currency]:
        """Every currency that the run names, the account's first, with its decimals."""
        named = {entry.name: entry.decimals for entry in self.currency}
        used = [self.account.currency, *self.account.cash]
        for spec in self.instrument:
            used += [spec.quote, *([spec.base] if spec.base else [])]
        return [
            Currency(name=name, decimals=named.get(name, default_decimals(name))) for name in dict.fromkeys([*used])
        ]


def default_decimals(currency: str) -> int:
    """Return the decimals of a currency that has no [[currency]] entry."""
    return _CURRENCY_DECIMALS.get(currency, _OTHER_CURRENCY_DECIMALS)


def text_format(uri: str) -> Literal["csv", "ndjson"] | None:
    """Return the text format that a URI names by its scheme and suffix, or None."""
    scheme, _, rest = uri.partition(":")
    if scheme == "stdin":
        return "ndjson"
    name = (rest if scheme == "follow" else uri).partition("?")[0].lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv", ".txt")):
        return "csv"
    return "ndjson" if name.endswith((".ndjson", ".jsonl")) else None


def load(
    path: str | Path = DEFAULT_RUN_FILE, sets: Sequence[str] = (), feed: str | Sequence[str] | None = None
) -> RunConfig:
    """Read and check a run file; `sets` are `a.b=value` in order, `feed` replaces the run file's feeds.

    Raises ConfigError, whose place is `file:line` or the option that is wrong.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no run file {str(path)!r}", remedy="name one, as in `replay backtest my/run.toml`"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"byte {error.start} is not UTF-8", place=str(path), remedy="save the file in UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path)) from None
    return parse(text, path=path, sets=sets, feed=feed)


def parse(
    text: str,
    *,
    path: Path | None = None,
    base_dir: Path | None = None,
    sets: Sequence[str] = (),
    feed: str | Sequence[str] | None = None,
) -> RunConfig:
    """Read and check the text of a run file; relative paths in it start at `base_dir`, by default the file's folder."""
    name = str(path) if path else "run file"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _toml_error(error, name, text) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", place=name) from None
    places: dict[toml.Path, str] = {where: f"{name}:{line}" for where, line in toml.lines(text).items()}
    for expression in sets:
        _apply_set(data, expression, places)
    if feed is not None:
        _replace_feeds(data, [feed] if isinstance(feed, str) else list(feed), places)
    folder = base_dir or (path.parent if path else Path())
    return _checked(data, folder.resolve(), text=text, path=path, places=places)


def from_mapping(data: Mapping[str, Any], *, base_dir: str | Path = ".") -> RunConfig:
    """Check a run file given as Python values: the same keys, the same rules; places are dotted keys."""
    return _checked(deepcopy(dict(data)), Path(base_dir).resolve(), text="", path=None, places={})


def resolved(config: RunConfig, folder: Path | None = None) -> str:
    """Write the complete run file with every default; loading it gives an equal config.

    Paths are absolute, or relative to `folder` if that is where the text will be stored.
    """
    data = msgspec.to_builtins(_absolute(config, folder), enc_hook=str)
    assert isinstance(data, dict)
    return "# Every key with its value in this run; loading it gives the same run.\n" + toml.dump(
        {key: value for key, value in data.items() if value != []}
    )


def schema_markdown() -> str:
    """Write the reference table of the run file from the docstrings of its sections."""
    parts: list[str] = []
    for section in (
        Run, StrategySpec, FeedSpec, TimeColumn, SymbolColumn, Instrument, Venue, Fees, Latency, Account, Risk, Metrics,
        Log, Currency,
    ):  # fmt: skip
        head, _, rest = (section.__doc__ or "").partition("\n")
        notes = dict(line.strip().split(": ", 1) for line in rest.splitlines() if ": " in line)
        title, _, sentence = head.partition(": ")
        parts += [f"### {title}", "", sentence[:1].upper() + sentence[1:], "", "| key | type | default | what it is |"]
        parts.append("|---|---|---|---|")
        for info in msgspec.structs.fields(section):
            default = "required" if info.required else _default_text(info)
            kind = _type_text(info.type)
            parts.append(f"| `{info.encode_name}` | {kind} | {default} | {notes.get(info.encode_name, '')} |")
        parts.append("")
    return "\n".join(parts)


# --- reading -----------------------------------------------------------------------------------------------------


def _checked(
    data: dict[str, Any], base_dir: Path, *, text: str, path: Path | None, places: dict[toml.Path, str]
) -> RunConfig:
    try:
        file = msgspec.convert(data, RunFile, dec_hook=_decode_text)
    except msgspec.ValidationError as error:
        raise _explain(error, data, places, str(path) if path else None) from None
    sections = {name: getattr(file, name) for name in RunFile.__struct_fields__}
    config = RunConfig(**sections, base_dir=base_dir, text=text, path=path, places=places)
    _Checker(config).check()
    return config


def _decode_text(kind: type, value: object) -> object:
    if issubclass(kind, Text):
        return kind.parse(value)
    raise NotImplementedError(kind)  # pragma: no cover (no other foreign type stands in a section)


def _toml_error(error: tomllib.TOMLDecodeError, name: str, text: str) -> ConfigError:
    message = str(error)
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    line = (match[1] if match else None) or str(text.count("\n") + 1)
    fact = message[: match.start()] if match else message
    column = f", column {match[2]}" if match and match[2] else ""
    return ConfigError(f"this is not TOML: {fact}{column}", place=f"{name}:{line}", remedy="see https://toml.io")


def _dotted(path: toml.Path) -> str:
    return ".".join(str(part) for part in path)


def _section_name(path: toml.Path) -> str:
    if not path:
        return "the run file"
    if len(path) == 1:
        return f"[{path[0]}]"
    if len(path) == 2 and isinstance(path[1], int):
        return f"[[{path[0]}]]"
    return _dotted(path)


def _place(path: toml.Path, places: Mapping[toml.Path, str], name: str | None) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return name or (_dotted(path) or "the configuration")


def _explain(
    error: msgspec.ValidationError, data: Mapping[str, Any], places: Mapping[toml.Path, str], name: str | None
) -> ConfigError:
    """Turn msgspec's message with its `$.path` into fact, place, choices and nearest name."""
    fact, _, where = str(error).rpartition(" - at `$")
    if not fact:
        fact, where = str(error), ""
    path = _parse_path(where.rstrip("`"), data)
    value = _value_at(data, path)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", fact, re.DOTALL)
    if unknown:
        key_path = (*path, unknown[1])
        return ConfigError(
            f"unknown key {unknown[1]!r} in {_section_name(path)}",
            place=_place(key_path, places, name),
            remedy=choose(unknown[1], _keys_at(path, value)),
        )
    missing = re.fullmatch(r"Object missing required field `(.*)`", fact)
    if missing:
        return ConfigError(
            f"{_section_name(path)} lacks the key {missing[1]!r}",
            place=_place(path, places, name),
            remedy=_missing_remedy((*path, missing[1])),
        )
    subject = _dotted(path)
    place = _place(path, places, name)
    if fact.startswith("Invalid enum value"):
        choices = _choices_at(path, value)
        return ConfigError(
            f"{subject} cannot be {value!r}", place=place, remedy=choose(str(value), [str(c) for c in choices])
        )
    expected = re.match(r"Expected `(.*?)`(.*?)(?:, got (.*))?$", fact)
    if expected:
        wanted = _wanted(expected[1], path) + (f" {expected[2].strip()}" if expected[2].strip() else "")
        shown = f"{_kind_of(value)} ({toml.value_text(value)})" if isinstance(value, _SHOWN) else _kind_of(value)
        return ConfigError(f"{subject} must be {wanted}, not {shown}", place=place, remedy=_type_remedy(path, value))
    return ConfigError(f"{subject}{' ' if fact.startswith('must ') else ': '}{fact}", place=place)


_SHOWN = (str, int, float)
_TYPE_NAMES = {
    "str": "text in quotes",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}


def _wanted(expected: str, path: toml.Path) -> str:
    names = [_TYPE_NAMES.get(part, part) for part in expected.split(" | ") if part != "null"]
    if expected.startswith("array") and len(path) == 1:
        return f"a list: begin each entry with [[{path[0]}]]"
    return " or ".join(names)


def _type_remedy(path: toml.Path, value: object) -> str | None:
    if len(path) == 1 and isinstance(value, Mapping) and path[0] in ("strategy", "feed", "instrument", "venue"):
        return f"write [[{path[0]}]] with two brackets: there may be several"
    return None


def _missing_remedy(path: toml.Path) -> str:
    examples = {
        "strategy": '[[strategy]] with class = "strategies/sma_cross.py:SmaCross"',
        "feed": '[[feed]] with uri = "data/market.npy"',
        "instrument": '[[instrument]] with symbol = "BTCUSDT", tick = "0.01", lot = "0.001", quote = "USDT"',
        "account": '[account] with currency = "USDT", cash = { USDT = "100000" }',
        "currency": 'currency = "USDT"',
        "cash": 'cash = { USDT = "100000" }',
        "class": 'class = "strategies/sma_cross.py:SmaCross"',
        "tick": 'tick = "0.01"',
        "lot": 'lot = "0.001"',
        "quote": 'quote = "USDT"',
        "uri": 'uri = "data/market.npy"',
    }
    example = examples.get(str(path[-1]))
    return f"add {example}" if example else f"add {path[-1]}"


def _kind_of(value: object) -> str:
    for kinds, name in (
        ((bool,), "true or false"),
        ((int,), "an integer"),
        ((float,), "a float"),
        ((str,), "text"),
        ((Mapping,), "a table"),
        ((list, tuple), "a list"),
    ):
        if isinstance(value, kinds):
            return name
    return "an unquoted time" if hasattr(value, "isoformat") else type(value).__name__


def _parse_path(where: str, data: Any) -> toml.Path:
    """Read msgspec's `.venue[0].fees[...]`; the dots of a map stand for the first key whose value cannot be read."""
    path: toml.Path = ()
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", where):
        part: str | int = key or index
        if index == "...":
            table = _value_at(data, path)
            part = next((name for name, item in table.items() if not _readable(item)), next(iter(table), "..."))
        elif index:
            part = int(index)
        path = (*path, part)
    return path


def _readable(value: object) -> bool:
    try:
        DecimalText.parse(value)
    except ValueError:
        return isinstance(value, str) and not value[:1].isdigit()
    return True


def _value_at(data: Any, path: toml.Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _type_at(path: toml.Path, value: object) -> Any:
    """Find msgspec's description of the type at a path; of a union, the member that the value looks like."""
    from msgspec import inspect

    def narrow(info: Any, present: object) -> Any:
        members: Iterable[Any] = info.types if isinstance(info, inspect.UnionType) else (info,)
        wanted = inspect.StructType if isinstance(present, Mapping) or present is None else inspect.LiteralType
        ordered = sorted(members, key=lambda member: not isinstance(member, wanted))
        return ordered[0]

    info: Any = inspect.type_info(RunFile)
    for position, part in enumerate(path):
        inner = value if position == len(path) - 1 else ({} if isinstance(path[position + 1], str) else [])
        if isinstance(info, inspect.StructType):
            found = [field.type for field in info.fields if field.encode_name == part]
            if not found:
                return None
            info = found[0]
        elif isinstance(info, inspect.ListType):
            info = info.item_type
        elif isinstance(info, inspect.DictType):
            info = info.value_type
        else:
            return None
        info = narrow(info, inner)
    return info


def _keys_at(path: toml.Path, value: object) -> list[str]:
    from msgspec import inspect

    info = _type_at(path, value)
    return [field.encode_name for field in info.fields] if isinstance(info, inspect.StructType) else []


def _choices_at(path: toml.Path, value: object) -> list[Any]:
    from msgspec import inspect

    info = _type_at(path, value)
    return list(info.values) if isinstance(info, inspect.LiteralType) else []


# --- the command line's changes ----------------------------------------------------------------------------------


def _apply_set(data: dict[str, Any], expression: str, places: dict[toml.Path, str]) -> None:
    place = f"--set {expression}"
    key_text, equals, value_text = expression.partition("=")
    keys = [part.strip() for part in key_text.split(".")]
    if not equals or not all(keys):
        raise ConfigError("is not PATH=VALUE", place=place, remedy="write it as --set strategy.0.params.fast=10")
    path: toml.Path = tuple(int(key) if key.isascii() and key.isdigit() else key for key in keys)
    exact = not (path[0] == "strategy" and "params" in path)
    value = _set_value(value_text.strip(), place, exact=exact)
    target: Any = data
    for position, part in enumerate(path):
        last = position == len(path) - 1
        _check_step(target, path, position, place)
        if last:
            _store(target, part, value)
        else:
            empty: Any = [] if isinstance(path[position + 1], int) else {}
            if isinstance(target, list):
                if part == len(target):
                    target.append(empty)
            elif part not in target:
                target[part] = empty
            target = target[part]
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    places[path] = place


def _check_step(target: Any, path: toml.Path, position: int, place: str) -> None:
    part, so_far = path[position], _dotted(path[:position]) or "the run file"
    if isinstance(target, list):
        if not isinstance(part, int):
            raise ConfigError(
                f"{so_far} is a list, and {part!r} is no index",
                place=place,
                remedy=f"name the entry: {so_far}.0.{_dotted(path[position:])}",
            )
        if part > len(target):
            raise ConfigError(
                f"{so_far} has no entry {part}", place=place, remedy=f"the entries are 0 to {len(target) - 1}"
            )
    elif not isinstance(target, dict):
        raise ConfigError(f"{so_far} is {_kind_of(target)} and has no keys", place=place)
    elif isinstance(part, int):
        raise ConfigError(f"{so_far} is a table, and {part} is no key", place=place, remedy=choose(str(part), target))


def _store(target: Any, part: str | int, value: object) -> None:
    if isinstance(target, list) and part == len(target):
        target.append(value)
    else:
        target[part] = value


def _set_value(text: str, place: str, *, exact: bool) -> object:
    """Read a TOML value; keep a float's text where the key is exact; take a bare word as text."""
    parse_float: Callable[[str], Any] = str if exact else float
    try:
        value: object = tomllib.loads(f"value = {text}", parse_float=parse_float)["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[^\s\"'\[\]{}=#,][^\"'\[\]{}\n]*", text):
            return text
        raise ConfigError(
            f"{text!r} is neither a TOML value nor a bare word",
            place=place,
            remedy="quote it for the shell too, as in --set 'run.warmup=\"2h\"'",
        ) from None
    return text if exact and hasattr(value, "isoformat") else value


def _replace_feeds(data: dict[str, Any], uris: list[str], places: dict[toml.Path, str]) -> None:
    if not uris:
        raise UsageError("--feed needs a URI")
    before = data.get("feed")
    only = before[0] if isinstance(before, list) and len(before) == 1 and isinstance(before[0], dict) else None
    feeds: list[dict[str, Any]] = []
    for uri in uris:
        # a path on the command line starts where the user stands, not where the run file lies
        located = _locate(uri, Path.cwd())
        kept_format = text_format(str(only.get("uri", ""))) if only else None
        keeps = only is not None and kept_format is not None and kept_format == text_format(located)
        feeds.append({**(only if keeps and only else {}), "uri": located})
    data["feed"] = feeds
    for known in [known for known in places if known[0] == "feed"]:
        del places[known]
    for index, uri in enumerate(uris):
        places["feed", index] = f"--feed {uri}"


# --- paths -------------------------------------------------------------------------------------------------------


def _locate(uri: str, base: Path, folder: Path | None = None) -> str:
    """Make the path in a URI absolute from `base`, or relative to `folder`; leave URIs without a path alone."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", uri)
    if scheme and scheme[1].lower() not in ("follow", "file"):
        return uri
    prefix, rest = (scheme[0], uri[scheme.end() :]) if scheme else ("", uri)
    path_text, mark, query = rest.partition("?")
    path = (base / path_text).resolve()
    if folder is not None:
        import os

        return f"{prefix}{os.path.relpath(path, folder.resolve())}{mark}{query}"
    return f"{prefix}{path}{mark}{query}"


def _locate_class(spec: str, base: Path, folder: Path | None) -> str:
    file, _, name = spec.rpartition(":")
    return f"{_locate(file, base, folder)}:{name}" if file.endswith(".py") else spec


def _absolute(config: RunConfig, folder: Path | None = None) -> RunFile:
    """Return the contents with paths that no longer depend on where the run file lies."""
    sections = {name: getattr(config, name) for name in RunFile.__struct_fields__}
    sections["feed"] = [
        msgspec.structs.replace(spec, uri=_locate(spec.uri, config.base_dir, folder)) for spec in config.feed
    ]
    sections["strategy"] = [
        msgspec.structs.replace(spec, class_=_locate_class(spec.class_, config.base_dir, folder))
        for spec in config.strategy
    ]
    return RunFile(**sections)


# --- what the sections mean together -----------------------------------------------------------------------------


class _Checker:
    """Checks what no single key can say: that the sections fit each other."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def check(self) -> None:
        self._check_run()
        self._check_strategies()
        self._check_instruments()
        self._check_feeds()
        self._check_venues()
        self._check_money()

    def fail(self, message: str, *path: str | int, remedy: str | None = None) -> ConfigError:
        return ConfigError(message, place=self._where(path), remedy=remedy)

    def _where(self, path: toml.Path) -> str:
        place = self.config.place(*path)
        return _dotted(path) if place == "the configuration" else place

    def _check_run(self) -> None:
        run = self.config.run
        if run.from_ is not None and run.until is not None and run.from_.ns >= run.until.ns:
            raise self.fail(f"until {run.until} is not after from {run.from_}", "run", "until")
        for name, value in (("warmup", run.warmup), ("max_ahead", run.max_ahead)):
            if value.ns < 0:
                raise self.fail(f"run.{name} cannot be negative: {value}", "run", name)
        for name, value in (("equity_every", run.equity_every), ("max_gap", run.max_gap)):
            if value.ns <= 0:
                raise self.fail(f"run.{name} must be longer than nothing: {value}", "run", name)

    def _check_strategies(self) -> None:
        if not self.config.strategy:
            raise self.fail("there is no strategy", "strategy", remedy=_missing_remedy(("strategy",)))
        self._check_unique("strategy", [spec.name for spec in self.config.strategy])
        for index, spec in enumerate(self.config.strategy):
            file, colon, name = spec.class_.rpartition(":")
            if not colon or not file or not name.isidentifier():
                raise self.fail(
                    f"{spec.class_!r} names no class",
                    "strategy",
                    index,
                    "class",
                    remedy="write it as 'file.py:Class' or 'package.module:Class'",
                )

    def _check_unique(self, section: str, names: Sequence[str], key: str = "name") -> None:
        for index, name in enumerate(names):
            first = names.index(name)
            if first < index:
                raise self.fail(
                    f"{section} {name!r} stands here twice, as entry {first} and entry {index}",
                    *(section, index, key),
                    remedy=f"give each [[{section}]] its own {key}",
                )

    def _check_instruments(self) -> None:
        if not self.config.instrument:
            raise self.fail("there is no instrument", "instrument", remedy=_missing_remedy(("instrument",)))
        self._check_unique("instrument", [spec.symbol for spec in self.config.instrument], "symbol")
        venues = [venue.name for venue in self.config.venue]
        for index, spec in enumerate(self.config.instrument):
            at = ("instrument", index)
            if venues and spec.venue not in venues:
                raise self.fail(
                    f"instrument {spec.symbol!r} names the venue {spec.venue!r}, which has no [[venue]]",
                    *(*at, "venue"),
                    remedy=choose(spec.venue, venues),
                )
            self._check_grid(spec.tick, spec.price_decimals, "tick", "price_decimals", at)
            self._check_grid(spec.lot, spec.size_decimals, "lot", "size_decimals", at)
            if spec.multiplier.value <= 0:
                raise self.fail(f"multiplier must be above 0, not {spec.multiplier}", *at, "multiplier")
            if spec.min_notional is not None and spec.min_notional.value < 0:
                raise self.fail(f"min_notional cannot be negative: {spec.min_notional}", *at, "min_notional")
            if spec.bar is not None and spec.bar.ns <= 0:
                raise self.fail(f"bar must be longer than nothing: {spec.bar}", *at, "bar")
            self._check_sessions(spec, at)

    def _check_grid(self, grid: DecimalText, decimals: int, name: str, key: str, at: toml.Path) -> None:
        if grid.value <= 0:
            raise self.fail(f"{name} must be above 0, not {grid}", *at, name)
        if units.decimal_places(grid) > decimals:
            raise self.fail(
                f"{name} {grid} does not fit {key} = {decimals}",
                *(*at, key),
                remedy=f"set {key} = {units.decimal_places(grid)} or more, or leave it out",
            )
        if units.scaled(grid, decimals) >= 2**63:
            raise self.fail(f"{name} {grid} at {decimals} decimals does not fit 64 bits", *at, name)

    def _check_sessions(self, spec: Instrument, at: toml.Path) -> None:
        end_ns: int | None = None
        for position, (opens, closes) in enumerate(spec.sessions or ()):
            if opens.ns >= closes.ns:
                raise self.fail(f"a session ends before it begins: {opens} to {closes}", *at, "sessions", position)
            if end_ns is not None and opens.ns < end_ns:
                raise self.fail(
                    f"the session from {opens} begins before the one ahead of it ends",
                    *(*at, "sessions", position),
                    remedy="list the sessions in order, without overlap",
                )
            end_ns = closes.ns

    def _check_feeds(self) -> None:
        if not self.config.feed:
            raise self.fail("there is no feed", "feed", remedy=_missing_remedy(("feed",)))
        symbols = [spec.symbol for spec in self.config.instrument]
        for index, spec in enumerate(self.config.feed):
            at = ("feed", index)
            if isinstance(spec.symbol, str) and spec.symbol not in symbols:
                raise self.fail(
                    f"the feed's symbol {spec.symbol!r} has no [[instrument]]",
                    *(*at, "symbol"),
                    remedy=choose(spec.symbol, symbols),
                )
            if spec.text_format is not None:
                self._check_text_feed(spec, at)
            for key, column in (("time", spec.time), ("receive", spec.receive)):
                if column is not None and column.zone != "UTC":
                    self._check_zone(column.zone, (*at, key, "zone"))
            if spec.bar is not None and spec.bar.ns <= 0:
                raise self.fail(f"bar must be longer than nothing: {spec.bar}", *at, "bar")

    def _check_text_feed(self, spec: FeedSpec, at: toml.Path) -> None:
        needed: list[tuple[str, object, str]] = [
            ("records", spec.records, 'records = "quote", "trade" or "bar"'),
            ("symbol", spec.symbol, 'symbol = "BTCUSDT", or symbol = { column = "symbol" }'),
            ("time", spec.time, 'time = { column = "timestamp", unit = "iso" }'),
        ]
        if spec.records == "bar":
            needed.append(("bar", spec.bar, 'bar = "1m"'))
        for key, value, example in needed:
            if value is None:
                raise self.fail(
                    f"the feed {spec.uri!r} is text and lacks the key {key!r}", *at, remedy=f"add {example}"
                )
        fields = FEED_COLUMNS[spec.records or "quote"]
        for field in spec.columns:
            if field not in fields:
                raise self.fail(
                    f"records of kind {spec.records} have no field {field!r}",
                    *(*at, "columns", field),
                    remedy=choose(field, fields),
                )

    def _check_zone(self, zone: str, path: toml.Path) -> None:
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            from replay.errors import nearest

            guess = nearest(zone, sorted(available_timezones()))
            remedy = f"did you mean {guess!r}?" if guess else "use a name such as 'America/New_York'"
            raise self.fail(f"there is no time zone {zone!r}", *path, remedy=remedy) from None

    def _check_venues(self) -> None:
        self._check_unique("venue", [venue.name for venue in self.config.venue])
        for index, venue in enumerate(self.config.venue):
            at = ("venue", index)
            latency = venue.latency
            for name, value in (
                ("entry", latency.entry),
                ("cancel", latency.cancel),
                ("amend", latency.amend),
                ("response", latency.response),
            ):
                if value is not None and value.ns < 0:
                    raise self.fail(f"latency.{name} cannot be negative: {value}", *at, "latency", name)
            for rate in ("maker", "taker"):
                fee: DecimalText = getattr(venue.fees, rate)
                if not -1 < fee.value < 1:
                    raise self.fail(
                        f"fees.{rate} is a rate of the traded value, and {fee} is not between -1 and 1",
                        *(*at, "fees", rate),
                        remedy='write 0.05 % as "0.0005"',
                    )
            if not 0 < venue.max_share.value <= 1:
                raise self.fail(f"max_share must be above 0 and at most 1, not {venue.max_share}", *at, "max_share")
            if venue.bar_grace.ns < 0:
                raise self.fail(f"bar_grace cannot be negative: {venue.bar_grace}", *at, "bar_grace")

    def _check_money(self) -> None:
        account = self.config.account
        if account.leverage.value < 1:
            raise self.fail(f"leverage must be 1 or more, not {account.leverage}", "account", "leverage")
        if account.kind == "cash" and account.leverage.value != 1:
            raise self.fail(
                f"a cash account borrows nothing, so its leverage is 1, not {account.leverage}",
                "account",
                "leverage",
                remedy='leave leverage out, or set kind = "margin"',
            )
        self._check_unique("currency", [entry.name for entry in self.config.currency])
        decimals = {entry.name: entry.decimals for entry in self.config.currencies()}
        for name, amount in account.cash.items():
            if amount.value < 0:
                raise self.fail(f"cash cannot be negative: {amount} {name}", "account", "cash", name)
            if units.decimal_places(amount) > decimals[name]:
                raise self.fail(
                    f"cash {amount} {name} has more than the currency's {decimals[name]} decimals",
                    *("account", "cash", name),
                    remedy=f'set [[currency]] name = "{name}", decimals = {units.decimal_places(amount)}',
                )
        self._check_account_currency(account)
        risk = self.config.risk
        for name, limit in (
            ("max_order_size", risk.max_order_size),
            ("max_order_notional", risk.max_order_notional),
            ("max_position", risk.max_position),
        ):
            if limit is not None and limit.value < 0:
                raise self.fail(f"risk.{name} cannot be negative: {limit}", "risk", name)

    def _check_account_currency(self, account: Account) -> None:
        named = [spec.quote for spec in self.config.instrument] + [
            spec.base for spec in self.config.instrument if spec.base
        ]
        known = list(dict.fromkeys([*named, *account.cash]))
        if account.currency not in known:
            raise self.fail(
                f"the account's currency {account.currency!r} is neither in its cash nor traded",
                "account",
                "currency",
                remedy=choose(account.currency, known),
            )


# --- the reference table -----------------------------------------------------------------------------------------


def _default_text(info: msgspec.structs.FieldInfo) -> str:
    if info.default_factory is not msgspec.NODEFAULT:
        return f"`{toml.value_text(info.default_factory())}`"
    if info.default is None or info.default in ("", -1):
        return "-"
    if isinstance(info.default, Section):
        return "its defaults"
    return f"`{toml.value_text(info.default)}`"


def _type_text(kind: Any) -> str:
    names = {
        DecimalText: "decimal", DurationText: "duration", TimeText: "time", str: "text", int: "integer", bool: "bool",
    }  # fmt: skip
    if kind in names:
        return names[kind]
    arguments = get_args(kind)
    if hasattr(kind, "__metadata__"):
        return _type_text(arguments[0])
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return ", ".join(f"`{argument}`" for argument in arguments)
    if isinstance(kind, type) and issubclass(kind, Section):
        return "table"
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return "table"
    if origin in (list, tuple):
        return "list"
    return " or ".join(_type_text(argument) for argument in arguments if argument is not type(None))
