"""What no single key of a run file can say: that its sections fit each other.

May not live here: checks that need the data or the strategy's class; `replay.setup` has those.
"""

from __future__ import annotations

from collections.abc import Sequence

from replay import units
from replay.config import toml
from replay.config.explain import dotted, missing_remedy
from replay.config.hours import mistake_of
from replay.config.run_config import RunConfig
from replay.config.sections import FEED_COLUMNS, Account, FeedSpec, Instrument, Kafka, Risk, Venue
from replay.config.values import DecimalText
from replay.errors import ConfigError, choose, nearest

_RATE_DECIMALS = 10
_SHARE_DECIMALS = 6
_LEVERAGE_DECIMALS = 4
_AMOUNT_DECIMALS = 24


class Checker:
    """Checks what no single key can say: that the sections fit each other."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def check(self) -> None:
        """Raise ConfigError at the first thing that does not fit."""
        self._check_run()
        self._check_strategies()
        self._check_instruments()
        self._check_feeds()
        self._check_venues()
        self._check_money()
        self._check_stats()
        self._check_kafka(self.config.kafka, ("kafka",))
        own = [("feed", index, feed.kafka) for index, feed in enumerate(self.config.feed)]
        own += [("sink", index, sink.kafka) for index, sink in enumerate(self.config.sink)]
        self._check_topics()
        for section, index, kafka in own:
            if kafka is not None:
                self._check_kafka(kafka, (section, index, "kafka"))

    def _check_topics(self) -> None:
        """Each sink has a topic of its own: one that others write into is refused, and what is read back never ends."""
        taken: dict[str, str] = {}
        for index, feed in enumerate(self.config.feed):
            if feed.idle.ns <= 0:
                raise self.fail("idle must be longer than nothing", "feed", index, "idle", remedy='write idle = "10s"')
            if feed.scheme == "kafka":
                taken.setdefault(_bare(feed.uri), f"[[feed]] {index + 1} reads it")
        for index, feed in enumerate(self.config.feed):
            if feed.dead_letters is not None and _bare(feed.dead_letters) in taken:
                raise self._two_uses(feed.dead_letters, taken, "feed", index, "dead_letters")
        for index, feed in enumerate(self.config.feed):
            if feed.dead_letters is not None:
                taken.setdefault(_bare(feed.dead_letters), f"the dead letters of [[feed]] {index + 1} go there")
        for index, sink in enumerate(self.config.sink):
            if sink.scheme != "kafka":
                continue
            if _bare(sink.uri) in taken:
                raise self._two_uses(sink.uri, taken, "sink", index, "uri")
            taken[_bare(sink.uri)] = f"[[sink]] {index + 1} publishes to it"

    def _two_uses(self, uri: str, taken: dict[str, str], *path: str | int) -> ConfigError:
        return self.fail(
            f"{_bare(uri)} has another use in this run: {taken[_bare(uri)]}", *path, remedy="give it a topic of its own"
        )

    def _check_kafka(self, kafka: Kafka, at: toml.Path) -> None:
        for first, second in (("password_env", "password_file"), ("key_password_env", "key_password_file")):
            if getattr(kafka, first) is not None and getattr(kafka, second) is not None:
                raise self.fail(f"{first} and {second} both name the password", *at, second, remedy="leave one out")
        if kafka.request_timeout.ns <= 0:
            raise self.fail("request_timeout must be longer than nothing", *at, "request_timeout")
        if not kafka.security.startswith("sasl_"):
            return
        if not kafka.username:
            raise self.fail(
                f"security = {kafka.security!r} wants a username", *at, remedy='add username = "...", or use "ssl"'
            )
        if kafka.password_env is None and kafka.password_file is None:
            raise self.fail(
                f"security = {kafka.security!r} wants a password",
                *at,
                remedy='add password_env = "NAME" (an environment variable), or password_file = "path"',
            )

    def fail(self, message: str, *path: str | int, remedy: str | None = None) -> ConfigError:
        """Make the error for the key at a path."""
        return ConfigError(message, place=self._where(path), remedy=remedy)

    def _where(self, path: toml.Path) -> str:
        place = self.config.place(*path)
        return dotted(path) if place == "the configuration" else place

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
            raise self.fail("there is no strategy", "strategy", remedy=missing_remedy(("strategy",)))
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
            raise self.fail("there is no instrument", "instrument", remedy=missing_remedy(("instrument",)))
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
            total = spec.price_decimals + spec.size_decimals + units.decimal_places(spec.multiplier)
            if total > _AMOUNT_DECIMALS:
                raise self.fail(
                    f"price, size and multiplier have {total} decimals together: at most {_AMOUNT_DECIMALS} are exact",
                    *(*at, "price_decimals"),
                )
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
        if spec.hours is not None:
            if spec.sessions is not None:
                raise self.fail("sessions and hours both say when it is open", *at, "hours", remedy="leave one out")
            mistake = mistake_of(spec.hours)
            if mistake is not None:
                raise self.fail(f"hours.{mistake[0]}: {mistake[1]}", *at, "hours", mistake[0])
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
            raise self.fail("there is no feed", "feed", remedy=missing_remedy(("feed",)))
        if self.config.warmup and self.config.run.from_ is not None:
            raise self.fail(
                "[[warmup]] and run.from both say what comes before trading",
                *("run", "from"),
                remedy="leave one out: run.from with run.warmup warms up from the feed's own past",
            )
        self._check_entries("feed", self.config.feed)
        self._check_entries("warmup", self.config.warmup)

    def _check_entries(self, section: str, specs: Sequence[FeedSpec]) -> None:
        symbols = [spec.symbol for spec in self.config.instrument]
        for index, spec in enumerate(specs):
            at = (section, index)
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
        for key, named in (("columns", spec.columns), ("scales", spec.scales)):
            for field in named:
                if field not in fields:
                    raise self.fail(
                        f"records of kind {spec.records} have no field {field!r}",
                        *(*at, key, field),
                        remedy=choose(field, fields),
                    )

    def _check_zone(self, zone: str, path: toml.Path) -> None:
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
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
                self._check_places(fee, _RATE_DECIMALS, f"fees.{rate}", (*at, "fees", rate))
            self._check_fees(venue, at)
            self._check_places(venue.max_share, _SHARE_DECIMALS, "max_share", (*at, "max_share"))
            if not 0 < venue.max_share.value <= 1:
                raise self.fail(f"max_share must be above 0 and at most 1, not {venue.max_share}", *at, "max_share")
            for name, value in (("bar_grace", venue.bar_grace), ("quiet", venue.quiet)):
                if value.ns < 0:
                    raise self.fail(f"{name} cannot be negative: {value}", *at, name)

    def _check_fees(self, venue: Venue, at: toml.Path) -> None:
        fees = venue.fees
        amounts = [(name, getattr(fees, name)) for name in ("per_share", "per_order", "minimum", "maximum_rate")]
        for name, value in amounts:
            if value is not None and value.value < 0:
                raise self.fail(f"fees.{name} cannot be negative: {value}", *at, "fees", name)
        if fees.maximum_rate is not None:
            if fees.maximum_rate.value > 1:
                raise self.fail(
                    f"fees.maximum_rate is a rate of the traded value, and {fees.maximum_rate} is above 1",
                    *(*at, "fees", "maximum_rate"),
                    remedy='write 0.5 % as "0.005"',
                )
            self._check_places(fees.maximum_rate, _RATE_DECIMALS, "fees.maximum_rate", (*at, "fees", "maximum_rate"))
        instruments = [spec for spec in self.config.instrument if spec.venue == venue.name]
        for spec in instruments:
            # Money is exact on at least price and size decimals, and fees on ten more.
            if fees.per_share is not None:
                self._check_places(
                    fees.per_share, spec.price_decimals + _RATE_DECIMALS, "fees.per_share", (*at, "fees")
                )
        if fees.currency == "quote":
            return
        for name, value in amounts[:3]:
            if value is not None:
                raise self.fail(
                    f'fees.{name} is an amount of the quote currency, and currency = "received" pays in coins',
                    *(*at, "fees", name),
                    remedy="leave one of the two out",
                )
        if self.config.account.kind != "cash":
            raise self.fail(
                "fees in what is received need coins that are owned",
                *(*at, "fees", "currency"),
                remedy='set kind = "cash" in [account], or currency = "quote"',
            )
        for spec in instruments:
            if spec.base is None or spec.multiplier.value != 1:
                raise self.fail(
                    f"fees of {spec.symbol!r} are paid in what is received, and it has no base coin",
                    *(*at, "fees", "currency"),
                    remedy=f'set base = "..." of {spec.symbol!r} (and no multiplier), or currency = "quote"',
                )

    def _check_stats(self) -> None:
        stats = self.config.stats
        if stats.benchmark_file is None:
            choices = ["buy_and_hold", "none", *(spec.symbol for spec in self.config.instrument)]
            if stats.benchmark not in choices:
                raise self.fail(
                    f"benchmark = {stats.benchmark!r} is neither a symbol of the run nor a .csv file",
                    *("stats", "benchmark"),
                    remedy=choose(stats.benchmark, choices),
                )
        if not -1 < stats.risk_free.value < 10:
            raise self.fail(
                f"risk_free is the return of a year, and {stats.risk_free} is not between -1 and 10",
                *("stats", "risk_free"),
                remedy='write 3 % as "0.03"',
            )

    def _check_places(self, number: DecimalText, decimals: int, name: str, path: toml.Path) -> None:
        if units.decimal_places(number) > decimals:
            raise self.fail(f"{name} {number} has more than {decimals} decimals", *path)

    def _check_money(self) -> None:
        account = self.config.account
        self._check_places(account.leverage, _LEVERAGE_DECIMALS, "leverage", ("account", "leverage"))
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
        self._check_risk(self.config.risk)

    def _check_risk(self, risk: Risk) -> None:
        for name, limit in (
            ("max_order_size", risk.max_order_size),
            ("max_order_notional", risk.max_order_notional),
            ("max_position", risk.max_position),
        ):
            if limit is not None and limit.value < 0:
                raise self.fail(f"risk.{name} cannot be negative: {limit}", "risk", name)
            coarsest = min(self.config.instrument, key=lambda spec: spec.size_decimals)
            if limit is not None and name != "max_order_notional":
                of = f"risk.{name} (in sizes of {coarsest.symbol!r})"
                self._check_places(limit, coarsest.size_decimals, of, ("risk", name))

        self._check_switches(risk)

    def _check_switches(self, risk: Risk) -> None:
        if (fall := risk.drawdown) is not None:
            if fall.limit is None and fall.amount is None:
                raise self.fail(
                    "risk.drawdown has neither limit nor amount",
                    *("risk", "drawdown"),
                    remedy='set limit = "10%", or amount = "5000" in the account\'s currency',
                )
            if fall.amount is not None and fall.amount.value <= 0:
                raise self.fail(f"risk.drawdown.amount must be above 0: {fall.amount}", "risk", "drawdown", "amount")
        if (held := risk.position) is not None:
            if held.limit.value < 0:
                raise self.fail(f"risk.position.limit cannot be negative: {held.limit}", "risk", "position", "limit")
            coarsest = min(self.config.instrument, key=lambda spec: spec.size_decimals)
            of = f"risk.position.limit (in sizes of {coarsest.symbol!r})"
            self._check_places(held.limit, coarsest.size_decimals, of, ("risk", "position", "limit"))
        for name, key, value in (
            ("order_rate", "per", None if risk.order_rate is None else risk.order_rate.per),
            ("stale_feed", "after", None if risk.stale_feed is None else risk.stale_feed.after),
            ("clock_jump", "limit", None if risk.clock_jump is None else risk.clock_jump.limit),
        ):
            if value is not None and value.ns <= 0:
                raise self.fail(f"risk.{name}.{key} must be longer than nothing: {value}", "risk", name, key)
        if risk.disk is not None and risk.disk.free is None and risk.disk.share is None:
            raise self.fail(
                "risk.disk has neither free nor share", "risk", "disk", remedy='set free = "2GiB", or share = "5%"'
            )

    def _check_account_currency(self, account: Account) -> None:
        for index, spec in enumerate(self.config.instrument):
            if spec.quote != account.currency:
                raise self.fail(
                    f"{spec.symbol!r} is quoted in {spec.quote}, and the account is kept in {account.currency}",
                    *("instrument", index, "quote"),
                    remedy="quote currencies are not converted: use one account currency, or a run per currency",
                )
        for name, amount in account.cash.items():
            bases = [spec.base for spec in self.config.instrument]
            if amount.value and name != account.currency and name not in bases:
                raise self.fail(
                    f"cash in {name} cannot be valued in {account.currency}",
                    *("account", "cash", name),
                    remedy=f'no instrument has base = "{name}" and quote = "{account.currency}"',
                )


def _bare(uri: str) -> str:
    """Give the address of a topic without its options."""
    return uri.partition("?")[0]
