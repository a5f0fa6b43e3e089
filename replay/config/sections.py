"""The sections of the run file as typed structures; each docstring is its entry in the reference table.

May not live here: reading, checks that span sections, and what a run does with its configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from replay import units
from replay.config.values import DecimalText, DurationText, ShareText, SizeText, Text, TimeText

PATH_SCHEMES = ("file", "follow", "tape", "csv", "ndjson", "binance", "session")
"""URI schemes after which comes a path."""

FEED_COLUMNS: dict[str, tuple[str, ...]] = {
    "quote": ("bid", "ask", "bid_size", "ask_size"),
    "trade": ("price", "size", "side", "id"),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""The fields that `columns` of a text feed can map, by kind of record."""

SOURCES = ("quote+trade", "quote", "trade", "bar")
"""Liquidity sources, the finest first."""


Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@cache
def text_fields(section: type[msgspec.Struct]) -> list[tuple[str, type[Text]]]:
    """List the fields of a section that hold checked text, with its kind."""
    found: list[tuple[str, type[Text]]] = []
    for name, hint in get_type_hints(section, include_extras=True).items():
        for kind in get_args(hint) if isinstance(hint, UnionType) else (hint,):
            if name in section.__struct_fields__ and isinstance(kind, type) and issubclass(kind, Text):
                found.append((name, kind))  # noqa: PERF401 (two loops and a test read better so)
    return found


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the run file. In Python its times, durations and decimals may be given as plain text or int."""

    def __post_init__(self) -> None:
        for name, text_type in text_fields(type(self)):
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
    plausible_from: an earlier time is taken for one in the wrong unit.
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
    plausible_from: TimeText = TimeText("1971-01-01")
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
    name: Annotated[str, msgspec.Meta(min_length=1)] = ""
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


class Kafka(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[kafka]`: how brokers are reached, by every feed, sink and control topic that does not say otherwise.

    security: `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    mechanism: how a password is proved, with sasl_plaintext and sasl_ssl.
    username: who logs in, with sasl_plaintext and sasl_ssl.
    password_env: the environment variable that holds the password.
    password_file: the file that holds the password (its last line feed is left out).
    ca_file: certificates (PEM) that a broker's own must be signed by; by default those of the system.
    certificate_file: this client's own certificate (PEM), where brokers ask for one.
    key_file: the private key of `certificate_file`, if it is not in the same file.
    key_password_env: the environment variable that holds the key's password.
    key_password_file: the file that holds the key's password.
    check_hostname: whether a broker's certificate must name the host that was connected to.
    request_timeout: how long a broker may take to answer.
    group_timeout: how long a worker of a group may be silent before its partitions go to the others.
    """

    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password_env: str | None = None
    key_password_file: str | None = None
    check_hostname: bool = True
    request_timeout: DurationText = DurationText("40s")
    group_timeout: DurationText = DurationText("10s")

    def located(self, place: Callable[[str], str]) -> Kafka:
        """Give the same with each path as `place` makes it."""
        files = {name: getattr(self, name) for name in self.__struct_fields__ if name.endswith("_file")}
        return msgspec.structs.replace(self, **{name: place(path) for name, path in files.items() if path is not None})


class FeedSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[feed]]`: a source of records. A tape knows all but its `uri` by itself; text files need their columns named.

    uri: a path relative to the run file (.npy, .csv, .csv.gz, .ndjson, ..), or sim:, follow:, stdin:, kafka:.
    format: the format of the file, where its name does not say it (see Formats of data files).
    options: what the format is told, such as `{ zone = "UTC" }`.
    records: what each row is; of a format that makes several kinds, the only one to take.
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
    price: which price the bars are of, where the data do not say it; of several, which ones fill.
    kafka: how the brokers of a kafka: feed are reached, where that is not as [kafka] says.
    message: of a kafka: feed, what each message is: frames of replay's own, or one row as JSON, MessagePack or CSV.
    header: of CSV messages, the names of their columns in order.
    scales: of numbers that are integers on a scale, the field and the decimals: `{ bid = 2 }` reads 12345 as 123.45.
    gaps: what happens where frames are missing: the next record is marked, or the run halts.
    idle: of a live kafka: feed that keeps its receive times: how long a partition without messages holds others back.
    dead_letters: a topic (kafka://host:port/topic) that also gets the messages that gave no record.
    """

    uri: Annotated[str, msgspec.Meta(min_length=1)]
    format: str | None = None
    options: dict[str, Any] = {}
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
    kafka: Kafka | None = None
    message: Literal["frames", "json", "msgpack", "csv"] | None = None
    header: list[str] = []
    scales: dict[str, Decimals] = {}
    gaps: Literal["mark", "halt"] = "mark"
    idle: DurationText = DurationText("10s")
    dead_letters: str | None = None

    @property
    def scheme(self) -> str | None:
        """The scheme of the URI, or None for a plain path."""
        match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", self.uri)
        return match[1].lower() if match else None

    @property
    def text_format(self) -> Literal["csv", "ndjson"] | None:
        """`csv` or `ndjson` where rows are text whose columns the run file names; None for all else."""
        if self.scheme == "kafka":
            return None if self.message in (None, "frames") else "csv" if self.message == "csv" else "ndjson"
        if self.format is not None:
            return self.format if self.format in ("csv", "ndjson") else None  # type: ignore[return-value]
        return text_format(self.uri)


class SinkSpec(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[sink]]`: where a paper session publishes what it decides, beside its own folder.

    uri: kafka://host:port/topic, or the URI of a sink of your own.
    format: how messages are written.
    kinds: which messages are published.
    create: partitions of the topic that is made where there is none yet; 0: it has to be there.
    max_message_bytes: a longer message stops the session; no more than the topic's max.message.bytes.
    max_behind: events that may wait while the broker is away; then the session waits, too.
    drain: how long an ending session waits for what is not published yet; the next start publishes the rest.
    kafka: how the brokers of a kafka: sink are reached, where that is not as [kafka] says.
    params: what a sink of your own wants to know.
    """

    uri: Annotated[str, msgspec.Meta(min_length=1)]
    format: Literal["json", "msgpack"] = "json"
    kinds: list[Literal["orders", "fills", "positions", "session"]] = msgspec.field(
        default_factory=lambda: ["orders", "fills", "positions", "session"]
    )
    create: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**30)] = 1_000_000
    max_behind: Annotated[int, msgspec.Meta(ge=1)] = 1_000_000
    drain: DurationText = DurationText("10s")
    kafka: Kafka | None = None
    params: dict[str, Any] = {}

    @property
    def scheme(self) -> str | None:
        """The scheme of the URI, or None where it has none."""
        match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", self.uri)
        return match[1].lower() if match else None


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Hours(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hours` of an instrument: its sessions by a rule, from the first day to the last one.

    zone: the zone that the times of day are in; its summer time is followed.
    open: time of day at which a session begins.
    close: time of day at which it ends; at or before the open, it is that of the next day.
    first: the first day that may have a session.
    last: the last one.
    days: the days of the week that have one.
    closed: days without one.
    early: days on which it ends earlier, and when: `{ "2024-11-29" = "13:00" }`.
    """

    zone: str
    open: str
    close: str
    first: str
    last: str
    days: list[Weekday] = msgspec.field(default_factory=lambda: list(WEEKDAYS[:5]))
    closed: list[str] = []
    early: dict[str, str] = {}


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
    hours: the same by a rule, in the market's own time.
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
    hours: Hours | None = None
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
    """`fees` of a venue: what an order pays is the sum of rates, per share and per order, within minimum and maximum.

    maker: rate of the traded value, for orders that rested; below 0 it is a rebate.
    taker: rate of the traded value, for orders that took.
    per_share: for each unit of size (a share, a contract), in the quote currency.
    per_order: for each order that is filled at all, in the quote currency.
    minimum: the least that an order pays, in the quote currency.
    maximum_rate: the most that an order pays, as a rate of its traded value; it goes before the minimum.
    currency: the quote currency, or what is received: then a buy pays in the base coin and holds less of it.
    rounding: on the running total of the order, or on each fill by itself.
    """

    maker: DecimalText = DecimalText("0")
    taker: DecimalText = DecimalText("0")
    per_share: DecimalText | None = None
    per_order: DecimalText | None = None
    minimum: DecimalText | None = None
    maximum_rate: DecimalText | None = None
    currency: Literal["quote", "received"] = "quote"
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
    fees: rates, per share and per order, with minimum and maximum.
    latency: of commands and answers.
    beyond_top: what takes more than is shown: walks ticks beyond it, has the rest one tick worse, all, or the top only.
    crossed: while a quote's bid is above its ask, orders wait, or are matched with each side as it is shown.
    shown_size: a size that a quote shows fills own orders once, or anew for each of them.
    slippage_ticks: added against market and stop orders.
    print_at_limit: on trade data alone, whether a print at a limit fills it.
    bar_touch: a bar that only touches a resting limit fills it.
    bar_path: the order of a bar's extremes.
    bar_market: market orders on bars fill at the next open, or at this close.
    max_share: the part of a bar's volume that own orders may take.
    bar_grace: an order that arrives this little after a bar's start still takes part in it.
    sizes: overrides what the feeds say about sizes.
    quiet: on live feeds, how far behind the wall clock the venue's own may lag before its silence passes time.
    """

    name: Annotated[str, msgspec.Meta(min_length=1)]
    fees: Fees = Fees()
    latency: Latency = Latency()
    beyond_top: Literal["walk", "next_tick", "all", "top"] = "walk"
    shown_size: Literal["once", "anew"] = "once"
    crossed: Literal["wait", "match"] = "wait"
    slippage_ticks: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    print_at_limit: Literal["none", "all"] = "none"
    bar_touch: bool = False
    bar_path: Literal["nearer", "ohlc", "worst"] = "nearer"
    bar_market: Literal["next_open", "this_close"] = "next_open"
    max_share: DecimalText = DecimalText("1.0")
    bar_grace: DurationText = DurationText("0s")
    sizes: Literal["full", "none"] | None = None
    quiet: DurationText = DurationText("1s")


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


RiskAction = Literal["alert", "pause", "flatten", "stop"]
"""What a risk switch does when it trips."""


class Drawdown(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.drawdown]`: a switch that trips when equity has fallen so far from its peak; a resume measures anew.

    limit: as a part of the peak, such as `"10%"`.
    amount: in the account's currency; with both, the first that is reached counts.
    action: what it does.
    """

    limit: ShareText | None = None
    amount: DecimalText | None = None
    action: RiskAction = "pause"


class PositionSwitch(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.position]`: a switch that trips when the account holds more of an instrument, long or short.

    limit: in units of the instrument.
    action: what it does.
    """

    limit: DecimalText
    action: RiskAction = "flatten"


class OrderRate(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.order_rate]`: a switch that trips at the order beyond so many in a time of the tape.

    orders: how many new orders all strategies may send.
    per: in how much tape time.
    action: what it does.
    """

    orders: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    per: DurationText = DurationText("1s")
    action: RiskAction = "pause"


class StaleFeed(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.stale_feed]`: a switch that trips when a live feed gives no tick for so long by the wall clock.

    after: how long.
    action: what it does.
    """

    after: DurationText
    action: RiskAction = "pause"


class ClockJump(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.clock_jump]`: a switch that trips when the machine's clock leaps, forward or back.

    limit: how far it may.
    action: what it does.
    """

    limit: DurationText = DurationText("1s")
    action: RiskAction = "pause"


class DiskSwitch(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk.disk]`: a switch that trips when the disk under a session is nearly full.

    free: the least that must be free.
    share: the least part that must be free, such as `"5%"`; with both, the larger counts.
    action: what it does.
    """

    free: SizeText | None = None
    share: ShareText | None = None
    action: RiskAction = "stop"


class Risk(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk]`: limits that each order is checked against before it leaves, and switches; none by default.

    max_order_size: of one order, in units of the instrument.
    max_order_notional: of one order, in its quote currency.
    max_position: of one instrument, long or short.
    drawdown: the switch for lost equity.
    position: the switch for what is held.
    order_rate: the switch for too many orders.
    stale_feed: the switch for a silent feed.
    clock_jump: the switch for a clock that leaps.
    disk: the switch for a disk that is nearly full.
    """

    max_order_size: DecimalText | None = None
    max_order_notional: DecimalText | None = None
    max_position: DecimalText | None = None
    drawdown: Drawdown | None = None
    position: PositionSwitch | None = None
    order_rate: OrderRate | None = None
    stale_feed: StaleFeed | None = None
    clock_jump: ClockJump | None = None
    disk: DiskSwitch | None = None


class Control(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[control]`: how a running session is commanded, beside the socket in its folder.

    topic: a topic of commands, as in `"kafka://host:9092/commands"`.
    kafka: how its brokers are reached, where that is not as [kafka] says.
    """

    topic: str | None = None
    kafka: Kafka | None = None


class Metrics(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metrics]`: the Prometheus endpoint. Without a port, paper serves on 9109 and the other modes write a file.

    port: the port to serve on; 0 takes a free one.
    host: the address to bind.
    stale: silence of a live feed after which /health/ready says no; "0s": never.
    """

    port: Port | None = None
    host: str = "127.0.0.1"
    stale: DurationText = DurationText("1m")


class Log(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: lines on stderr.

    format: for machines or for people.
    level: the least level that is written.
    """

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SessionSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[session]`: how a paper session keeps its journal and its snapshots; may change from start to start.

    snapshot_every: wall time between snapshots; 0s: none for this reason.
    snapshot_records: records between snapshots; 0: none for this reason, and with both 0 no snapshots at all.
    commit_every: how long a record that decides nothing waits for the disk at most; events are committed at once.
    commit_bytes: how much of the journal waits for the disk at most.
    segment_bytes: length of a journal segment.
    """

    snapshot_every: DurationText = DurationText("5m")
    snapshot_records: Count = 1_000_000
    commit_every: DurationText = DurationText("5ms")
    commit_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1 << 20
    segment_bytes: Annotated[int, msgspec.Meta(ge=1 << 12)] = 64 << 20


class Stats(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[stats]`: what the statistics of a run stand against; may change from start to start of a session.

    benchmark: `buy_and_hold` (all instruments in equal amounts), a symbol, a CSV file of times and levels, or `none`.
    risk_free: the return of a year without risk, as a decimal.
    """

    benchmark: Annotated[str, msgspec.Meta(min_length=1)] = "buy_and_hold"
    risk_free: DecimalText = DecimalText("0")

    @property
    def benchmark_file(self) -> str | None:
        """The path of the benchmark where it is a file."""
        return self.benchmark if self.benchmark.lower().endswith((".csv", ".csv.gz")) else None

    def risk_free_per_period(self, periods_per_year: int) -> float:
        """Give what the yearly rate comes to in one period."""
        return float((1.0 + float(self.risk_free.value)) ** (1.0 / periods_per_year) - 1.0)


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
    warmup: stored feeds that run before the others, while commands are refused.
    instrument: what is traded.
    venue: fees, latency and fill rules.
    account: the money.
    risk: limits on orders, and switches.
    control: how a running session is commanded.
    metrics: the Prometheus endpoint.
    log: lines on stderr.
    currency: precisions.
    kafka: how Kafka is reached.
    sink: where a session publishes.
    session: journal and snapshots of a paper session.
    stats: benchmark and risk-free rate.
    """

    run: Run = Run()
    strategy: list[StrategySpec]
    feed: list[FeedSpec]
    warmup: list[FeedSpec] = []
    instrument: list[Instrument]
    venue: list[Venue] = []
    account: Account
    risk: Risk = Risk()
    control: Control = Control()
    metrics: Metrics = Metrics()
    log: Log = Log()
    currency: list[Currency] = []
    kafka: Kafka = Kafka()
    sink: list[SinkSpec] = []
    session: SessionSection = SessionSection()
    stats: Stats = Stats()


def text_format(uri: str) -> Literal["csv", "ndjson"] | None:
    """Return the text format that a URI names by its scheme and suffix, or None."""
    scheme, _, rest = uri.partition(":")
    if scheme == "stdin":
        return "ndjson"
    name = (rest if scheme == "follow" else uri).partition("?")[0].lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv", ".txt")):
        return "csv"
    return "ndjson" if name.endswith((".ndjson", ".jsonl")) else None
