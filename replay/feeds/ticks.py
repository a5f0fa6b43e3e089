"""From ticks made by hand, or mappings with the same keys, to records: exactly, or with an error that names the item.

May not live here: feeds (memory), data frames (frames), and the checks that the sequencer makes of every record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError, choose
from replay.records import RECORD, Kind, Side
from replay.ticks import BarTick, QuoteTick, Tick, TradeTick
from replay.units import parse_time

if TYPE_CHECKING:
    from replay.config import Instrument

FIELDS: dict[str, tuple[str, ...]] = {
    "quote": ("bid", "ask", "bid_size", "ask_size"),
    "trade": ("price", "size", "side", "id"),
    "bar": ("open", "high", "low", "close", "volume"),
}
"""The members of each kind of tick beside time, received and symbol; prices come first."""

_TYPES: dict[str, type[Tick]] = {"quote": QuoteTick, "trade": TradeTick, "bar": BarTick}
_KINDS = {made: kind for kind, made in _TYPES.items()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RAW_MAX = 2**62
_PLACE = "item {row}"


def kind_of(names: Iterable[str]) -> str | None:
    """Say which kind of tick has these members; None for no kind."""
    known = set(names)
    if {"bid", "ask"} & known:
        return "quote"
    if {"open", "high", "low", "close"} <= known:
        return "bar"
    return "trade" if "price" in known else None


def is_tick(value: Any) -> bool:
    """Say whether a value is one tick: a tick of replay.ticks, or a mapping whose values are no columns."""
    if type(value) in _KINDS:
        return True
    return isinstance(value, Mapping) and not any(hasattr(one, "__array__") for one in value.values())


class TickTable:
    """Turns ticks into records of a run's instruments.

    kinds: the kinds of records that came, by the place of their instrument.
    sizes: whether the ticks carry sizes; None before the first. All do, or none does.
    """

    def __init__(self, instruments: Sequence[Instrument], *, sizes: bool | None = None) -> None:
        self._instruments = list(instruments)
        self._indexes = {entry.symbol: index for index, entry in enumerate(instruments)}
        self.kinds: dict[int, dict[str, None]] = {}
        self.sizes = sizes

    def records(self, items: Iterable[Any], first_row: int = 0) -> NDArray[Any]:
        """Convert ticks, or mappings with their members; `first_row` is the number of the first for messages.

        Raises DataError for what is no tick, an unknown symbol, and a value that is not exactly on the instrument's
        decimals.
        """
        rows = [self._row(item, row) for row, item in enumerate(items, first_row)]
        return np.array(rows, dtype=RECORD)

    def index(self, symbol: str | None, place: str) -> int:
        """Give the place of an instrument in the run; without a symbol that of the only one."""
        if symbol is None:
            if len(self._instruments) == 1:
                return 0
            raise DataError("has no symbol, and the run has several instruments", place=place, remedy="name its symbol")
        found = self._indexes.get(symbol)
        if found is None:
            raise DataError(
                f"{symbol!r} is no instrument of the run", place=place, remedy=choose(symbol, self._indexes)
            )
        return found

    def note(self, index: int, kind: str) -> None:
        """Remember that an instrument has records of a kind."""
        self.kinds.setdefault(index, {})[kind] = None

    def note_sizes(self, has_sizes: bool, place: str) -> None:
        """Remember whether ticks carry sizes; refuse a mixture, since the run takes one rule for all."""
        if self.sizes is None:
            self.sizes = has_sizes
        elif self.sizes != has_sizes:
            raise DataError(
                f"{'has' if has_sizes else 'lacks'} sizes, unlike the ticks before it",
                place=place,
                remedy="give every tick its sizes, or none",
            )

    def _row(self, item: Any, row: int) -> tuple[Any, ...]:
        place = _PLACE.format(row=row)
        tick = _tick(item, place)
        kind = _KINDS[type(tick)]
        index = self.index(tick.symbol, place)
        spec = self._instruments[index]
        self.note(index, kind)
        price, size = spec.price_decimals, spec.size_decimals
        ts_event = time_ns(tick.time, place)
        ts_recv = ts_event if tick.received is None else time_ns(tick.received, place)
        side = Side.NONE
        if isinstance(tick, QuoteTick):
            self.note_sizes(tick.bid_size is not None or tick.ask_size is not None, place)
            sides = (("bid", tick.bid, price), ("ask", tick.ask, price))
            shown = (("bid_size", tick.bid_size, size), ("ask_size", tick.ask_size, size))
            if tick.bid is None and tick.ask is None:
                raise DataError("has neither bid nor ask", place=place)
            numbers = [scaled(value, places, f"{place}, {name}") for name, value, places in (*sides, *shown)]
        elif isinstance(tick, TradeTick):
            self.note_sizes(tick.size is not None, place)
            side = _side(tick.side, place)
            numbers = [scaled(tick.price, price, f"{place}, price"), scaled(tick.size, size, f"{place}, size"), tick.id]
        else:
            self.note_sizes(tick.volume is not None, place)
            numbers = [scaled(getattr(tick, name), price, f"{place}, {name}") for name in FIELDS["bar"][:4]]
            numbers.append(scaled(tick.volume, size, f"{place}, volume"))
        numbers += [0] * (5 - len(numbers))
        return (ts_event, ts_recv, *numbers, index, Kind[kind.upper()], side, 0)


def time_ns(value: Any, place: str) -> int:
    """Give a time as ns since the epoch; raise DataError for what is none, or has no zone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DataError(f"the time {value} knows no zone", place=place, remedy="give it tzinfo, e.g. datetime.UTC")
        span = value - _EPOCH
        return (span.days * 86_400 + span.seconds) * 1_000_000_000 + span.microseconds * 1_000
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[ns]").astype(np.int64))
    if isinstance(value, str):
        try:
            return parse_time(value)
        except ValueError as error:
            raise DataError(str(error), place=place) from None
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise DataError(
        f"{value!r} is no time", place=place, remedy="give ns since the epoch, RFC 3339 text, or a datetime with a zone"
    )


def scaled(value: Any, decimals: int, place: str) -> int:
    """Give a number as an integer of 10^-decimals, None as 0; raise DataError where it is finer or no number."""
    if value is None:
        return 0
    try:
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        number = exact.scaleb(decimals)
        whole = int(number)
    except (InvalidOperation, ValueError, OverflowError):
        raise DataError(f"{value!r} is no finite number", place=place) from None
    if whole != number:
        raise DataError(
            f"{value} has more than the {decimals} decimals of the instrument",
            reason="excess_decimals",
            place=place,
            remedy="round it, or set price_decimals or size_decimals of the instrument",
        )
    if abs(whole) > _RAW_MAX:
        raise DataError(f"{value} is too large", reason="overflow", place=place)
    return whole


def _tick(item: Any, place: str) -> Tick:
    if type(item) in _KINDS:
        tick: Tick = item
        return tick
    if isinstance(item, Mapping):
        kind = kind_of(str(name) for name in item)
        made = _TYPES.get(kind or "")
        if made is not None:
            known = [field.name for field in msgspec.structs.fields(made)]
            unknown = [str(name) for name in item if name not in known]
            if unknown:
                raise DataError(f"a {kind} has no member {unknown[0]!r}", place=place, remedy=choose(unknown[0], known))
            if "time" not in item:
                raise DataError("lacks its time", place=place, remedy="add the member `time`")
            return made(**item)
    raise DataError(
        f"{_shown(item)} is no tick",
        place=place,
        remedy="give replay.QuoteTick, TradeTick or BarTick, or a mapping with their members",
    )


def _side(name: str, place: str) -> Side:
    try:
        return Side[str(name).upper()]
    except KeyError:
        raise DataError(
            f"{name!r} is no side", place=place, remedy=choose(str(name), ["buy", "sell", "none"])
        ) from None


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 60 else text[:57] + "..."
