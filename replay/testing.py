"""For tests of strategies: hand-made ticks on a regular clock, and a run over them with nothing else to write down.

    from replay.testing import bars, run

    def test_buys_when_the_price_rises() -> None:
        result = run(MyStrategy, bars([100, 101, 102]), params={"fast": 1})
        assert result.fills["side"].tolist() == ["buy"]

May not live here: what a run does; these are `replay.backtest` and `replay.QuoteTick`, with defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from replay.errors import UsageError
from replay.ticks import BarTick, QuoteTick, Tick, TradeTick, Value
from replay.units import decimal_places, parse_duration, parse_time

if TYPE_CHECKING:
    from replay.result.result import Result
    from replay.strategy import Strategy

SYMBOL = "TEST"
START = "2024-01-01T00:00:00Z"

__all__ = ["bars", "instrument", "quotes", "run", "trades"]


def quotes(
    prices: Iterable[tuple[Value, Value]],
    *,
    size: Value | None = None,
    symbol: str = SYMBOL,
    start: str = START,
    every: str = "1s",
) -> list[QuoteTick]:
    """Make quotes of (bid, ask) pairs, `every` so often from `start`; without a size any size fills at the top."""
    clock = _clock(start, every)
    return [
        QuoteTick(time=clock(row), bid=bid, ask=ask, bid_size=size, ask_size=size, symbol=symbol)
        for row, (bid, ask) in enumerate(prices)
    ]


def trades(
    prices: Iterable[Value],
    *,
    size: Value | None = None,
    symbol: str = SYMBOL,
    start: str = START,
    every: str = "1s",
) -> list[TradeTick]:
    """Make prints of prices, `every` so often from `start`; without a size any size fills at the price."""
    clock = _clock(start, every)
    return [TradeTick(time=clock(row), price=price, size=size, symbol=symbol) for row, price in enumerate(prices)]


def bars(
    prices: Iterable[Value | tuple[Value, Value, Value, Value]],
    *,
    volume: Value | None = None,
    symbol: str = SYMBOL,
    start: str = START,
    length: str = "1m",
) -> list[BarTick]:
    """Make bars that follow one another: of (open, high, low, close), or of one price that is all four.

    The first begins at `start`; each bar's time is its end.
    """
    clock = _clock(start, length)
    made = []
    for row, given in enumerate(prices, 1):
        if isinstance(given, tuple | list) and len(given) != 4:
            raise UsageError(
                f"bar {row - 1} is {given!r}", remedy="a bar is (open, high, low, close), or one price that is all four"
            )
        opened, high, low, close = given if isinstance(given, tuple | list) else (given,) * 4
        made.append(
            BarTick(time=clock(row), open=opened, high=high, low=low, close=close, volume=volume, symbol=symbol)
        )
    return made


def instrument(symbol: str = SYMBOL, *, tick: str = "0.01", lot: str = "0.001", **keys: Any) -> dict[str, Any]:
    """Describe an instrument that is traded in USD; `keys` are further keys of [[instrument]]."""
    return {"symbol": symbol, "tick": tick, "lot": lot, "quote": "USD", **keys}


def run(
    strategy: type[Strategy] | Strategy,
    ticks: Sequence[Tick],
    *,
    params: Mapping[str, Any] | None = None,
    instruments: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    cash: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Result:
    """Backtest a strategy over ticks: 100,000 USD, no fees, no latency, leverage 1, unless said otherwise.

    Instruments are made of the symbols of the ticks, with a tick of 0.01 (finer where a price is) and a lot of 0.001;
    a parameter `symbol` of the strategy is set to the ticks' symbol where there is one only and the test names none.
    Keywords are those of `replay.backtest`. Raises ReplayError; StrategyError where a handler raises.
    """
    from replay.api import backtest

    if not ticks:
        raise UsageError("there are no ticks to run over", remedy="make some with replay.testing.bars(...)")
    symbols = list(dict.fromkeys(tick.symbol or SYMBOL for tick in ticks))
    given = dict(params or {})
    kind = strategy if isinstance(strategy, type) else type(strategy)
    if isinstance(strategy, type) and len(symbols) == 1 and "symbol" in kind.parameters():
        given.setdefault("symbol", symbols[0])
    if instruments is None:
        instruments = [
            instrument(symbol, tick=_tick_size(ticks, symbol), **_bar_key(ticks, symbol)) for symbol in symbols
        ]
    return backtest(
        strategy,
        list(ticks),
        instruments=instruments,
        cash={"USD": 100_000} if cash is None else cash,
        params=given or None,
        **keywords,
    )


class _clock:
    """Times that follow one another at one distance."""

    def __init__(self, start: str, every: str) -> None:
        self._start_ns = parse_time(start)
        self._every_ns = parse_duration(every)

    def __call__(self, row: int) -> int:
        return self._start_ns + row * self._every_ns


def _tick_size(ticks: Sequence[Tick], symbol: str) -> str:
    """Give the coarsest tick size, 0.01 at most, that all prices of a symbol lie on."""
    places = 2
    for tick in ticks:
        if (tick.symbol or SYMBOL) == symbol:
            places = max([places, *(_places(price) for price in _prices(tick) if price is not None)])
    return str(Decimal(1).scaleb(-places))


def _places(price: Value) -> int:
    return decimal_places(format(Decimal(str(price)), "f"))


def _prices(tick: Tick) -> tuple[Value | None, ...]:
    if isinstance(tick, QuoteTick):
        return (tick.bid, tick.ask)
    if isinstance(tick, TradeTick):
        return (tick.price,)
    return (tick.open, tick.high, tick.low, tick.close)


def _bar_key(ticks: Sequence[Tick], symbol: str) -> dict[str, str]:
    """Give the length of a symbol's bars, as the distance of the first two; a single bar is a minute long."""
    ends = [tick.time for tick in ticks if isinstance(tick, BarTick) and (tick.symbol or SYMBOL) == symbol]
    if not ends:
        return {}
    length_ns = ends[1] - ends[0] if len(ends) > 1 and all(isinstance(end, int) for end in ends[:2]) else 60_000_000_000  # type: ignore[operator]
    return {"bar": f"{length_ns}ns"}
