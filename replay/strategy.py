"""The strategy: the class that users derive from; its parameters, handlers, commands and views.

May not live here: what a command does (the engine), or where a strategy's parameters are read from (setup).
"""

from __future__ import annotations

import contextlib
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, cast

from replay.errors import ConfigError, UsageError, choose
from replay.units import parse_duration, parse_time

if typing.TYPE_CHECKING:
    from replay._engine import Account, Bar, Desk, Fill, Order, OrderUpdate, Position, Quote, Random, Series, Trade

Number = int | float | Decimal
"""A price or quantity: int and Decimal are exact; a float stands for its shortest decimal form."""

TimeInForce = Literal["GTC", "IOC", "FOK", "GTD", "DAY"]

HANDLERS = ("on_start", "on_quote", "on_trade", "on_bar", "on_book", "on_order", "on_fill", "on_timer", "on_stop")

_PARAMETER_TYPES = (int, float, str, bool, Decimal)

_OWN_ATTRIBUTES = frozenset({"_desk", "_timers"})
"""Attributes that the engine gives a strategy anew at each start."""


REQUIRED: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""


class Parameter(NamedTuple):
    """An annotated class attribute of a strategy: settable from the run file and by sweeps."""

    name: str
    type: type
    default: Any
    """`REQUIRED` where the class gives none."""


class TimerNames:
    """The names of one strategy's timers by number; a number is free again when its last timer has fired."""

    def __init__(self, *, is_told: bool = True) -> None:
        """Without a handler nobody is told of timers, and no name is kept."""
        self._is_told = is_told
        self._names: list[str] = []
        self._uses: list[int] = []
        """Timers that go by each number; 0: it is free."""
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[int]:
        """Give the number for one more timer of this name; where setting it raises, it is not taken."""
        if not self._is_told:
            yield 0
            return
        number = self._take(name)
        try:
            yield number
        except BaseException:
            self._let_go(number)
            raise

    def fired(self, number: int, fires_again: bool) -> str:
        """Give the name of a timer that is due; one that will not fire again lets go of its number."""
        name = self._names[number]
        if not fires_again:
            self._let_go(number)
        return name

    def state(self) -> list[tuple[str, int]]:
        """Give names and uses by number, for a snapshot."""
        return list(zip(self._names, self._uses, strict=True))

    def restore(self, state: list[tuple[str, int]]) -> None:
        """Take up what `state` gave."""
        self._names = [name for name, _ in state]
        self._uses = [uses for _, uses in state]
        self._numbers = {name: number for number, (name, uses) in enumerate(state) if uses}
        self._free = [number for number, uses in enumerate(self._uses) if not uses]

    def _take(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            if not self._free:
                self._free.append(len(self._names))
                self._names.append("")
                self._uses.append(0)
            number = self._free.pop()
            self._names[number] = name
            self._numbers[name] = number
        self._uses[number] += 1
        return number

    def _let_go(self, number: int) -> None:
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._numbers[self._names[number]]
            self._names[number] = ""
            self._free.append(number)


_EXAMPLES = {int: "20", float: "0.5", str: "'BTCUSDT'", bool: "True", Decimal: "Decimal('0.01')"}


def check_types(kind: type[Strategy], values: Mapping[str, Any]) -> None:
    """Raise UsageError for a value that is not of its parameter's type; None stands for none of any type."""
    for name, parameter in kind.parameters().items():
        if name in values and not _is_of(values[name], parameter.type):
            value = values[name]
            raise UsageError(
                f"parameter {name!r} of {kind.__name__} is {parameter.type.__name__}, and {value!r} is not",
                remedy=f"give a value like {_EXAMPLES[parameter.type]}, or annotate it otherwise",
            )


def check_names(kind: type[Strategy], names: Iterable[str]) -> None:
    """Raise ConfigError for a name that is no parameter of a class, and for one that is needed and not named."""
    known, given = kind.parameters(), set(names)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{kind.__name__} has no parameter {name!r}",
                place=place_of(kind),
                remedy=choose(name, known) if known else "it declares none: add an annotated class attribute",
            )
    for name, parameter in known.items():
        if name not in given and parameter.default is REQUIRED:
            of = parameter.type.__name__
            raise ConfigError(
                f"{kind.__name__} needs the parameter {name!r}",
                place=place_of(kind),
                remedy=f"give it, like {name}={_EXAMPLES[parameter.type]}, or a value in the class: {name}: {of} = ...",
            )


def make(kind: type[Strategy], values: Mapping[str, Any]) -> Strategy:
    """Make a strategy with these parameters. Raises ConfigError where its `__init__` wants other arguments."""
    try:
        inspect.signature(kind).bind(**values)
    except TypeError as error:
        raise ConfigError(
            f"{kind.__name__}.__init__ cannot be called with its parameters ({', '.join(values) or 'none'}): {error}",
            place=place_of(kind),
            remedy="declare what it needs as annotated attributes of the class (window: int = 20), and write "
            "__init__(self, **params) with super().__init__(**params), or prepare in on_start",
        ) from None
    return kind(**values)


def place_of(kind: type) -> str | None:
    """Give file and line of a class, where they are known."""
    try:
        file = inspect.getsourcefile(kind)
        return f"{file}:{inspect.getsourcelines(kind)[1]}" if file else None
    except (OSError, TypeError):
        return None


def _annotations(base: type) -> dict[str, Any]:
    try:
        return inspect.get_annotations(base, eval_str=True)
    except (NameError, SyntaxError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"an annotation of {base.__name__} cannot be read: {error}",
            place=place_of(base),
            remedy="import what it names; a parameter is int, float, str, bool or Decimal",
        ) from None


def was_in_run(strategy: Strategy) -> bool:
    """Say whether an instance was given to an engine, and so may hold what it saw there."""
    return "_desk" in vars(strategy)


def _is_of(value: object, wanted: type) -> bool:
    if value is None:
        return True
    if wanted is int:  # of numpy, too
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if wanted is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if wanted is Decimal:
        return isinstance(value, Decimal | int | str) and not isinstance(value, bool)
    return isinstance(value, wanted)


class _NotRunning:
    """Stands for the engine as long as a strategy is in no run."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsageError(
            "the strategy is in no run yet: it can neither order nor ask",
            remedy="do this in a handler: on_start is the first",
        )


class Strategy:
    """Base of every strategy.

    Annotated class attributes are its parameters:

        class SmaCross(Strategy):
            symbol: str = "BTCUSDT"
            fast: int = 20

    Handlers that a class does not define cost nothing. While a handler runs, the world stands still: its commands are
    carried out when it returns. Views (`bar`, `quote`, ...) live as long as the call; `.copy()` keeps one.
    """

    _desk: Desk = cast("Desk", _NotRunning())
    _timers: TimerNames

    def __init__(self, **params: Any) -> None:
        """Take the parameters by name. Raises ConfigError for one that the class does not have, or needs and lacks."""
        check_names(type(self), params)
        for name, parameter in self.parameters().items():
            # On the instance a handler reads a default some 10 ns sooner than on the class.
            setattr(self, name, params.get(name, parameter.default))

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Give the parameters by name, those of base classes first.

        An attribute annotated with ClassVar, or whose name begins with an underscore, is none. Raises ConfigError for a
        type that a run file cannot express, and for a handler that would never be called.
        """
        cls._check_handlers()
        found: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__):
            if base is object or base is Strategy:
                continue
            for name, hint in _annotations(base).items():
                if name.startswith("_") or getattr(hint, "__origin__", hint) is ClassVar:
                    continue
                if isinstance(hint, types.UnionType) or hint not in _PARAMETER_TYPES:
                    raise ConfigError(
                        f"{cls.__name__}.{name} is annotated {hint}: a parameter is int, float, str, bool or Decimal",
                        place=place_of(base),
                        remedy="use ClassVar, or a name that begins with an underscore, for other attributes",
                    )
                found[name] = Parameter(name, hint, getattr(cls, name, REQUIRED))
        return found

    @classmethod
    def _check_handlers(cls) -> None:
        """Refuse a handler that would never run: an asynchronous one, or a name that is none."""
        for name in dir(cls):
            if not name.startswith("on_") or not callable(getattr(cls, name)):
                continue
            if name not in HANDLERS:
                raise ConfigError(
                    f"{cls.__name__}.{name} is no handler and would never be called",
                    place=place_of(cls),
                    remedy=choose(name, HANDLERS),
                )
            if inspect.iscoroutinefunction(getattr(cls, name)):
                raise ConfigError(
                    f"{cls.__name__}.{name} is asynchronous, and handlers are plain functions",
                    place=place_of(cls),
                    remedy="write it without `async`",
                )

    # ---------------------------------------------------------------- the engine's side

    def _handlers(self) -> dict[str, Callable[..., Any]]:
        """Give the handlers that the class defines, by name, as bound methods."""
        return {name: getattr(self, name) for name in HANDLERS if getattr(type(self), name) is not _BASE[name]}

    def _attach(self, desk: Desk) -> TimerNames:
        """Take the desk of a run; give the names of timers that the engine will ask for by number."""
        self._desk = desk
        self._timers = TimerNames(is_told=type(self).on_timer is not Strategy.on_timer)
        return self._timers

    # ---------------------------------------------------------------- handlers

    def on_start(self) -> None:
        """Run once, when the first record is taken: subscribe to bars here."""

    def on_quote(self, quote: Quote) -> None:
        """Run for each quote of the run's instruments."""

    def on_trade(self, trade: Trade) -> None:
        """Run for each print of the run's instruments."""

    def on_bar(self, bar: Bar) -> None:
        """Run for each closed bar of the series that the strategy subscribed to."""

    def on_book(self, update: Trade) -> None:
        """Run for each level or order update of a book feed."""

    def on_order(self, order: OrderUpdate) -> None:
        """Run for each change of an own order that is not a fill."""

    def on_fill(self, fill: Fill) -> None:
        """Run for each fill of an own order."""

    def on_timer(self, name: str) -> None:
        """Run when a timer is due: `now` is its due time."""

    def on_stop(self) -> None:
        """Run once at the end; it may read, its commands raise."""

    # ---------------------------------------------------------------- snapshots

    def snapshot(self) -> Any:
        """Give what the next start of a session needs of this strategy: by default each instance attribute, by name.

        A snapshot holds None, bool, int, float, str, bytes, Decimal, list, dict, set, tuple, deque, numpy arrays,
        enums, named tuples, `rng` and the engine's handles and views. A strategy with attributes of other types
        overrides this to give plain values for them, and `restore` to make them again. It is called between two
        records: it must change nothing. The order in which a set gives its members is no part of its state.
        """
        state = dict(vars(self))
        for base in type(self).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(self, name):
                    state[name] = getattr(self, name)
        return {name: value for name, value in state.items() if name not in _OWN_ATTRIBUTES}

    def restore(self, state: Any) -> None:
        """Take up what `snapshot` gave, on a new instance, in place of `on_start`: attributes not in it are removed."""
        for name in [name for name in vars(self) if name not in _OWN_ATTRIBUTES and name not in state]:
            delattr(self, name)
        for name, value in state.items():
            setattr(self, name, value)

    # ---------------------------------------------------------------- commands

    def buy(
        self,
        symbol: str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        tif: TimeInForce = "GTC",
        expire: int | str | None = None,
        trigger: Literal["default", "last", "mid"] = "default",
    ) -> int:
        """Send a buy order; give its id.

        Without prices a market order; with `limit` a limit order, with `stop` a stop-market order, with both a
        stop-limit order. `expire` (ns or RFC 3339 text) goes with tif "GTD". `trigger`: what a stop watches; by default
        bid/ask with quotes, else the last price. Raises ValueError where the order cannot be right: off the tick or lot
        grid, an unknown symbol, prices that its type does not take.
        """
        return self._desk.order(symbol, 1, quantity, limit, stop, tif, _optional_time(expire), trigger)

    def sell(
        self,
        symbol: str,
        quantity: Number,
        *,
        limit: Number | None = None,
        stop: Number | None = None,
        tif: TimeInForce = "GTC",
        expire: int | str | None = None,
        trigger: Literal["default", "last", "mid"] = "default",
    ) -> int:
        """Send a sell order; give its id. Arguments as for `buy`."""
        return self._desk.order(symbol, -1, quantity, limit, stop, tif, _optional_time(expire), trigger)

    def amend(
        self, order: int, *, quantity: Number | None = None, limit: Number | None = None, stop: Number | None = None
    ) -> None:
        """Change an order: `quantity` is the new total. Only a pure decrease keeps its place in the queue."""
        self._desk.amend(order, quantity, limit, stop)

    def cancel(self, order: int) -> None:
        """Cancel an order; where it has ended by then, the venue answers with a rejection."""
        self._desk.cancel(order)

    def cancel_all(self, symbol: str | None = None) -> list[int]:
        """Cancel the live orders, of one symbol or of all; give their ids."""
        return self._desk.cancel_all(symbol)

    def target(self, symbol: str, quantity: Number) -> int | None:
        """Send a market order for what is missing to this position; give its id, or None where nothing is.

        Own live market and target orders count as done; resting limit orders are not touched.
        """
        return self._desk.target(symbol, quantity)

    def target_value(self, symbol: str, value: float) -> int | None:
        """As `target`, for a position of this value in the account's currency, at the mark."""
        return self._desk.target_value(symbol, value)

    def target_weight(self, symbol: str, weight: float) -> int | None:
        """As `target`, for a position worth this share of the account's equity."""
        return self._desk.target_weight(symbol, weight)

    def close(self, symbol: str) -> int | None:
        """Close the position with a market order; give its id, or None where it is flat."""
        return self._desk.target(symbol, 0)

    def every(self, period: int | str, name: str = "") -> None:
        """Call `on_timer(name)` each `period` (ns, or text such as "1m"), first at now + period."""
        with self._timers.taken(name) as number:
            self._desk.every(parse_duration(period) if isinstance(period, str) else period, number)

    def at(self, time: int | str, name: str = "") -> None:
        """Call `on_timer(name)` once at `time` (ns, or RFC 3339 text). Raises ValueError for a time before now."""
        with self._timers.taken(name) as number:
            self._desk.at(parse_time(time) if isinstance(time, str) else time, number)

    # ---------------------------------------------------------------- views

    @property
    def now(self) -> int:
        """The strategy's clock, ns since the Unix epoch: the latest time of receipt so far."""
        return self._desk.now

    def position(self, symbol: str) -> Position:
        """Give the position as the strategy has been told; the object always shows the present one."""
        return self._desk.position(symbol)

    def orders(self, symbol: str | None = None) -> list[Order]:
        """Give the live orders as told, by id."""
        return self._desk.orders(symbol)

    def order(self, order: int) -> Order | None:
        """Give one order by its id; None where it ended long ago: 2,048 others have ended since."""
        return self._desk.find_order(order)

    @property
    def account(self) -> Account:
        """Cash and equity, as told to any strategy of the account."""
        return self._desk.account

    def last_quote(self, symbol: str) -> Quote | None:
        """Give the quote that stands, or None."""
        return self._desk.last_quote(symbol)

    def last_trade(self, symbol: str) -> Trade | None:
        """Give the last print, or None."""
        return self._desk.last_trade(symbol)

    def last_bar(self, symbol: str) -> Bar | None:
        """Give the last closed bar of the symbol's first series, or None."""
        return self._desk.last_bar(symbol)

    def bars(
        self,
        symbol: str,
        length: int | str | None = None,
        price: Literal["trade", "bid", "ask", "mid"] | None = None,
        *,
        ticks: int | None = None,
        volume: Number | None = None,
        value: Number | None = None,
        range: Number | None = None,  # noqa: A002 - the field's word for it
        renko: Number | None = None,
    ) -> Series:
        """Subscribe to bars, in `on_start`; exactly one of these says when they end.

        length: a time, as "1m": the feed's own bars where it carries that length, else built from its ticks.
        ticks: so many ticks.
        volume, value: the trade that brings the sum of sizes, or of prices times sizes, to so much.
        range: the tick that brings high - low to so much. renko: bricks of that height.
        price: which price the bars are of; by default trades, mids where the feed has none.
        """
        rules = {"ticks": ticks, "volume": volume, "value": value, "range": range, "renko": renko}
        given = {name: number for name, number in rules.items() if number is not None}
        if len(given) + (length is not None) != 1:
            named = [*(["length"] if length is not None else []), *given]
            raise ValueError(
                f"bars end by exactly one of length, {', '.join(rules)}; given: {', '.join(named) or 'none'}"
            )
        if length is not None:
            return self._desk.bars(symbol, parse_duration(length) if isinstance(length, str) else length, price)
        ((rule, number),) = given.items()
        return self._desk.bars(symbol, None, price, rule, number)

    @property
    def rng(self) -> Random:
        """Random numbers of this strategy, the same in every run with the same seed."""
        return self._desk.rng

    @property
    def log(self) -> Any:
        """A logger that carries engine time; never log per tick."""
        from replay.logs import logger

        return logger(type(self).__name__).bind(engine_time_ns=self.now)


_BASE = {name: getattr(Strategy, name) for name in HANDLERS}


def _optional_time(time: int | str | None) -> int | None:
    return parse_time(time) if isinstance(time, str) else time
