"""How files are to be read: feeds and instruments, by a run file, or by guesses that are listed and may be overruled.

May not live here: what is done with the records, and the guesses themselves (replay.data.guess).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from replay.config import FeedSpec, Instrument, RunConfig, SymbolColumn, load
from replay.data import guess
from replay.errors import ConfigError, DataError, UsageError, choose
from replay.feeds.feed import Feed
from replay.feeds.format import Contents
from replay.units import format_duration, parse_duration


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is said about files where no run file says it; see `replay.data.convert.convert` for each."""

    format: str | None = None
    options: Mapping[str, str] = {}
    symbol: str | None = None
    records: guess.RowKind | None = None
    bar: str | None = None
    time: str | None = None
    stamp: Literal["start", "end"] | None = None
    receive: str | None = None
    columns: Sequence[str] = ()
    decimals: Sequence[str] = ()
    excess_decimals: Literal["error", "round"] = "error"
    delimiter: str = ","
    sizes: Literal["full", "none"] = "full"
    price: Literal["trade", "bid", "ask", "mid"] = "trade"
    clock_offset: str = "0s"


class Plan:
    """What to open: feeds, instruments, and what was guessed on the way."""

    def __init__(self) -> None:
        self.specs: list[FeedSpec] = []
        self.instruments: list[Instrument] = []
        self.base_dir = Path()
        self.has_venues = False
        self.guessed: list[str] = []
        self.flexible: set[str] = set()

    def feeds(self) -> list[Feed]:
        """Open the feeds, in their order."""
        return [open_feed(spec, self.instruments, self.base_dir) for spec in self.specs]

    def add_instruments(self, found: Sequence[Instrument], place: str, *, is_flexible: bool = False) -> None:
        """Add instruments. One that is there already must have the same scales, or both of them guessed ones: then
        the finer is taken of each."""
        for entry in found:
            index = next((place for place, other in enumerate(self.instruments) if other.symbol == entry.symbol), None)
            if index is None:
                self.instruments.append(entry)
                self.flexible |= {entry.symbol} if is_flexible else set()
                continue
            other = self.instruments[index]
            mine, theirs = (entry.price_decimals, entry.size_decimals), (other.price_decimals, other.size_decimals)
            wider = (max(mine[0], theirs[0]), max(mine[1], theirs[1]))
            may_widen = (is_flexible or mine == wider) and (entry.symbol in self.flexible or theirs == wider)
            if may_widen:
                self.instruments[index] = guess.plain_instrument(entry.symbol, *wider)
                self.flexible -= set() if is_flexible else {entry.symbol}
                continue
            if mine != theirs:
                raise ConfigError(
                    f"{entry.symbol!r} has {mine[0]} and {mine[1]} decimals of price and size here, "
                    f"{theirs[0]} and {theirs[1]} in a source before",
                    place=place,
                    remedy=f"give both: decimals {entry.symbol}={wider[0]},{wider[1]}",
                )


def make_plan(sources: Sequence[str | Path], run: str | Path | None, asked: Asked) -> Plan:
    """Plan how files are read: as a run file says, or else as their names and first rows suggest.

    Raises ConfigError for what nobody can know, DataError for what cannot be read.
    """
    plan = Plan()
    if run is not None:
        _plan_by_run(plan, load(run), sources)
        return plan
    _check_asked(asked)
    for source in sources:
        _plan_by_guess(plan, Path(source), asked)
    return plan


def _check_asked(asked: Asked) -> None:
    """Refuse values that could be of no file, before any file is looked at."""
    if len(asked.delimiter) != 1:
        raise UsageError(
            f"delimiter {asked.delimiter!r} is not one character", remedy="write it as ';', or $'\\t' for a tab"
        )
    for name, text in (("bar", asked.bar), ("clock_offset", asked.clock_offset)):
        try:
            if text is not None:
                parse_duration(text)
        except ValueError as error:
            raise UsageError(f"{name} {error}", remedy="write it as 1m, 250ms or 1d") from None


def _plan_by_run(plan: Plan, config: RunConfig, sources: Sequence[str | Path]) -> None:
    plan.instruments = list(config.instrument)
    plan.base_dir = config.base_dir
    plan.has_venues = True
    plan.specs = list(config.feed)
    if sources:
        # The sources are read as the run file's first feed says, unless one of its feeds is that very file.
        feeds = {(config.base_dir / spec.uri).resolve(): spec for spec in config.feed}
        plan.specs = [
            feeds.get(Path(source).resolve(), msgspec.structs.replace(config.feed[0], uri=str(Path(source).resolve())))
            for source in sources
        ]


def _plan_by_guess(plan: Plan, path: Path, asked: Asked) -> None:
    place = str(path)
    format_name = asked.format or guess.format_of(path)
    spec = FeedSpec(uri=place, clock_offset=cast(Any, asked.clock_offset), excess_decimals=asked.excess_decimals)
    if format_name == "tape":
        _keep_tape(plan, path, spec, asked)
        return
    if guess.is_data_format(format_name):
        _plan_by_format(plan, path, msgspec.structs.replace(spec, format=format_name), asked)
        return
    if asked.options:
        raise UsageError(f"{path.name} is {format_name}, which has no options", remedy="name the format that has them")
    if asked.format is not None:
        spec = msgspec.structs.replace(spec, format=format_name)
        import_module("replay.adapters.registry").name_of(spec, Path())  # raises where there is no such format
    rows: guess.Rows | None = None
    if format_name != "binance":
        rows = guess.first_rows(path, format_name, asked.delimiter)
        spec = _text_spec(plan, spec, rows, asked)
    symbols = [spec.symbol] if isinstance(spec.symbol, str) else _symbols(path, format_name, spec, asked)
    if format_name == "binance" and asked.symbol is not None:
        symbols = [asked.symbol]
    if not symbols:
        raise DataError("no row names a symbol", reason="empty", place=place)
    given = _given_decimals(asked.decimals, symbols)
    step_ns: int | None = None
    is_flexible = given is None
    if given is None or (spec.records == "bar" and spec.bar is None):
        probing = msgspec.structs.replace(spec, excess_decimals="round", bar=spec.bar or cast(Any, "1s"))
        found, step_ns = guess.decimals_of(
            lambda entries: open_feed(probing, entries, Path()), symbols, place, wants_decimals=given is None
        )
        if given is None:
            given = found
            plan.guessed.append(f"{path.name}: {_decimals_note(found)}")
    if spec.records == "bar" and spec.bar is None:
        spec = _with_bar(plan, spec, step_ns, place)
    plan.specs.append(spec)
    plan.add_instruments(
        [guess.plain_instrument(name, *given[name]) for name in symbols], place, is_flexible=is_flexible
    )


def _plan_by_format(plan: Plan, path: Path, spec: FeedSpec, asked: Asked) -> None:
    """Plan a file that a format knows: symbols and kinds as it says, decimals too, or else by reading it once."""
    spec = msgspec.structs.replace(
        spec,
        options=dict(asked.options),
        symbol=asked.symbol,
        records=asked.records,
        bar=None if asked.bar is None else cast(Any, asked.bar),
        price=asked.price,
        sizes=asked.sizes,
    )
    contents: Contents = import_module("replay.adapters.registry").contents_of(spec, Path())
    symbols = [held.symbol for held in contents.instruments]
    if not symbols:
        raise DataError(
            f"nothing in it is of {asked.symbol!r}" if asked.symbol else "no row names a symbol",
            reason="empty",
            place=str(path),
        )
    plan.guessed.append(f"{path.name}: format {spec.format}")
    plan.guessed += [f"{path.name}: {note}" for note in contents.notes]
    given = _given_decimals(asked.decimals, symbols)
    is_flexible = given is None
    if given is None:
        given = {
            held.symbol: (held.price_decimals, held.size_decimals)
            for held in contents.instruments
            if held.price_decimals is not None and held.size_decimals is not None
        }
    if len(given) < len(symbols):
        probing = msgspec.structs.replace(spec, excess_decimals="round")
        found, _ = guess.decimals_of(lambda entries: open_feed(probing, entries, Path()), symbols, str(path))
        given = found | given
        plan.guessed.append(f"{path.name}: {_decimals_note(given)}")
    plan.specs.append(spec)
    plan.add_instruments(
        [guess.plain_instrument(name, *given[name]) for name in symbols], str(path), is_flexible=is_flexible
    )


def _decimals_note(found: Mapping[str, tuple[int, int]]) -> str:
    return "decimals of price and size: " + ", ".join(f"{name} {price},{size}" for name, (price, size) in found.items())


def _keep_tape(plan: Plan, path: Path, spec: FeedSpec, asked: Asked) -> None:
    found = guess.tape_instruments(path)
    if asked.symbol is not None:
        symbols = [entry.symbol for entry in found]
        if asked.symbol not in symbols:
            raise ConfigError(
                f"the tape has no instrument {asked.symbol!r}", place=str(path), remedy=choose(asked.symbol, symbols)
            )
        found = [entry for entry in found if entry.symbol == asked.symbol]
        spec = msgspec.structs.replace(spec, symbol=asked.symbol)
    plan.specs.append(spec)
    plan.add_instruments(found, str(path))


def _text_spec(plan: Plan, spec: FeedSpec, rows: guess.Rows, asked: Asked) -> FeedSpec:
    """Complete a text feed's entry: with what was asked, else with what its names and first row suggest."""
    place = spec.uri
    name = Path(place).name
    columns = _given_columns(asked.columns)
    records = asked.records or guess.records_of(rows, columns, place)
    if asked.records is None:
        plan.guessed.append(f"{name}: each row is a {records}")
    time = guess.time_column(asked.time or guess.time_of(rows, place), rows, asked.stamp)
    if asked.time is None or "," not in asked.time:
        plan.guessed.append(f"{name}: time in {time.column!r}, unit {time.unit}")
    receive_name = asked.receive or guess.receive_of(rows)
    receive = None if receive_name is None else guess.time_column(receive_name, rows)
    if receive is not None and asked.receive is None:
        plan.guessed.append(f"{name}: receive time in {receive.column!r}, unit {receive.unit}")
    if records == "bar" and asked.stamp is None:
        plan.guessed.append(f"{name}: a bar's time is its {time.stamp}")
    return msgspec.structs.replace(
        spec,
        records=records,
        symbol=guess.symbol_choice(asked.symbol, rows, place),
        bar=None if asked.bar is None else cast(Any, asked.bar),
        time=time,
        receive=receive,
        columns=columns,
        delimiter=asked.delimiter,
        sizes=asked.sizes,
        price=asked.price,
    )


def _with_bar(plan: Plan, spec: FeedSpec, step_ns: int | None, place: str) -> FeedSpec:
    if step_ns is None:
        raise ConfigError(
            "the length of the bars cannot be told from the file", place=place, remedy='give it: bar "1m"'
        )
    length = format_duration(step_ns)
    plan.guessed.append(f"{Path(place).name}: bars of {length}, the commonest step between two rows")
    return msgspec.structs.replace(spec, bar=cast(Any, length))


def _symbols(path: Path, format_name: str, spec: FeedSpec, asked: Asked) -> list[str]:
    column = spec.symbol.column if isinstance(spec.symbol, SymbolColumn) else None
    return guess.symbols_in(path, format_name, column, asked.delimiter)


def _given_columns(pairs: Sequence[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise UsageError(f"{pair!r} names no column", remedy="write it as field=column, as in price=px")
        columns[name.strip()] = column.strip()
    return columns


def _given_decimals(texts: Sequence[str], symbols: Sequence[str]) -> dict[str, tuple[int, int]] | None:
    """Read `2,8` (for all) and `BTCUSDT=2,8`; None if that leaves a symbol without."""
    found: dict[str, tuple[int, int]] = {}
    for text in texts:
        name, equals, scales = text.rpartition("=")
        price_text, _, size_text = scales.partition(",")
        if not (price_text.strip().isdecimal() and size_text.strip().isdecimal()):
            raise UsageError(f"{text!r} are no decimals", remedy="write them as 2,8 or BTCUSDT=2,8: of price and size")
        pair = (int(price_text), int(size_text))
        for symbol in [name] if equals else symbols:
            found[symbol] = pair
    return {symbol: found[symbol] for symbol in symbols} if all(symbol in found for symbol in symbols) else None


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open a stored feed; raises UsageError for one that never ends."""
    feed: Feed = import_module("replay.adapters.registry").open_feed(spec, instruments, base_dir)
    if feed.live:
        raise UsageError(f"{spec.uri} is live: it has no end that a conversion could reach")
    return feed
