"""Strategies that end the process, ask for nonsense, or are looked at while they run: what their author is told.

May not live here: what a sound order does.
"""

from __future__ import annotations

import bdb
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import replay
import replay.testing
from replay import ConfigError, JournalError, Strategy, StrategyError
from replay.records import Kind, empty

T0_NS = 1_700_000_000_000_000_000


def quotes(count: int = 5) -> Any:
    records = empty(count)
    records["kind"] = Kind.QUOTE
    for index in range(count):
        records[index]["ts_event"] = records[index]["ts_recv"] = T0_NS + index * 1_000_000_000
    records["a"], records["b"], records["c"], records["d"] = 1_000, 1_001, 5, 5
    return records


def run(strategy: type[Strategy]) -> replay.Result:
    return replay.backtest(
        strategy,
        quotes(),
        instruments={"symbol": "X", "tick": "0.1", "lot": "1", "quote": "USD"},
        cash={"USD": 10_000},
    )


class Exits(Strategy):
    def on_quote(self, quote: Any) -> None:
        sys.exit(0)


def test_a_strategy_that_exits_has_raised() -> None:
    with pytest.raises(StrategyError, match="SystemExit") as caught:
        run(Exits)
    assert (caught.value.handler, caught.value.tape_seq) == ("on_quote", 0)
    assert "bid 100 x 5 ask 100.1 x 5" in caught.value.tick


class Interrupts(Strategy):
    def on_quote(self, quote: Any) -> None:
        raise KeyboardInterrupt


def test_an_interruption_in_a_handler_ends_the_run_as_ctrl_c_does() -> None:
    try:
        result = run(Interrupts)
    except KeyboardInterrupt:
        return
    assert result.interrupted


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"quantity": 0.5}, r"quantity 0.5: .*\(X has 0\)"),
        ({"quantity": 0}, "quantity 0 is not above 0"),
        ({"quantity": -1}, "quantity -1 is not above 0"),
        ({"quantity": 2**63}, r"quantity 9223372036854775808 is too large \(X\)"),
        ({"quantity": float("nan")}, r"quantity NaN: .*\(X\)"),
        ({"quantity": 1, "limit": 100.05}, r"limit price 100.05: .*\(X has 1\)"),
        ({"quantity": 1, "limit": Decimal(-1)}, "limit price -1 is not above 0"),
        ({"quantity": 1, "tif": "GTD"}, "a GTD order needs `expire`"),
        ({"quantity": 1, "tif": "DAY"}, "needs the session table of X"),
        ({"quantity": 1, "stop": 99, "trigger": "last"}, "carries no data for trigger"),
    ],
)
def test_an_order_that_cannot_be_right_raises_at_the_users_line(order: dict[str, Any], words: str) -> None:
    class Sends(Strategy):
        def on_quote(self, quote: Any) -> None:
            with pytest.raises(ValueError, match=words):
                self.buy("X", **order)
            self.seen = True

    result = run(Sends)
    assert result.counts["engine"]["events"]["new"] == 0


def test_an_unknown_symbol_or_order_raises_with_what_there_is() -> None:
    class Asks(Strategy):
        def on_quote(self, quote: Any) -> None:
            with pytest.raises(ValueError, match='unknown symbol "Y": the run has X'):
                self.buy("Y", 1)
            with pytest.raises(ValueError, match="order 99 is not known"):
                self.cancel(99)
            with pytest.raises(ValueError, match="order -1 is not known"):
                self.cancel(-1)
            with pytest.raises(ValueError, match="subscribed to in on_start"):
                self.bars("X", "1m")

    assert run(Asks).counts["engine"]["events"]["rejected"] == 0


@pytest.mark.parametrize("period", [-1, 0, 1_000_001, 2**40])
def test_a_period_out_of_range_raises_with_the_period(period: int) -> None:
    class Averages(Strategy):
        def on_start(self) -> None:
            with pytest.raises(ValueError, match=f"period {period} "):
                self.bars("X", "1m").sma(period)

    assert run(Averages).counts["records"] == 5


class Fills(Strategy):
    """Answers each fill with an order, where any size is there: it would never end."""

    def on_quote(self, quote: Any) -> None:
        if not self.orders() and self.position("X").quantity == 0:
            self.buy("X", 1)

    def on_fill(self, fill: Any) -> None:
        (self.sell if fill.side == "buy" else self.buy)("X", 1)


def test_an_endless_loop_of_fills_halts_and_names_the_strategy() -> None:
    with pytest.raises(replay.HaltError, match="livelock") as caught:
        replay.backtest(
            Fills,
            quotes(),
            instruments={"symbol": "X", "tick": "0.1", "lot": "1", "quote": "USD"},
            cash={"USD": 10_000_000},
            feed_options={"sizes": "none"},
        )
    assert "Fills" in str(caught.value)


def test_a_debugger_can_stop_in_a_handler_and_read_the_desk() -> None:
    seen: list[tuple[float, int]] = []

    class Watcher(bdb.Bdb):
        def user_line(self, frame: Any) -> None:
            if frame.f_code.co_name == "on_quote" and "quote" in frame.f_locals:
                strategy = frame.f_locals["self"]
                seen.append((frame.f_locals["quote"].bid, strategy.now))
            self.set_continue() if len(seen) >= 3 else self.set_step()

    class Plain(Strategy):
        def on_quote(self, quote: Any) -> None:
            self.bid = quote.bid

    watcher = Watcher()
    watcher.runcall(run, Plain)
    assert seen[0] == (100.0, T0_NS)


class Needs(Strategy):
    symbol: str = "X"
    window: int


class Own(Strategy):
    def __init__(self, window: int) -> None:
        self.window = window


class Late(Strategy):
    async def on_quote(self, quote: Any) -> None: ...  # type: ignore[override]


class Wild(Strategy):
    weights: dict  # type: ignore[type-arg]


@pytest.mark.parametrize(
    ("make", "fact", "remedy"),
    [
        (lambda: Needs(windw=3), "Needs has no parameter 'windw'", "did you mean 'window'? choices: symbol, window"),
        (lambda: Needs(symbol="Y"), "Needs needs the parameter 'window'", "give it, like window=20, or a value in"),
        (lambda: run(Needs), "Needs needs the parameter 'window'", "give it, like window=20"),
        (
            lambda: run(Own),
            "Own.__init__ cannot be called with its parameters (none): missing",
            "declare what it needs",
        ),
        (lambda: run(Late), "Late.on_quote is asynchronous", "write it without `async`"),
        (lambda: run(Wild), "Wild.weights is annotated <class 'dict'>", "use ClassVar"),
    ],
)
def test_a_strategy_that_cannot_be_made_is_told_with_its_place(make: Any, fact: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.message.startswith(fact)
    assert (caught.value.place or "").startswith(f"{__file__}:")
    assert (caught.value.remedy or "").startswith(remedy)


class Sevens(Strategy):
    def on_start(self) -> None:
        self.bars("X", "7s")


def test_bars_that_the_feed_does_not_carry_are_told_as_durations() -> None:
    minutes = replay.testing.bars([1, 2, 3], symbol="X")
    with pytest.raises(StrategyError, match=r"X has no bars of 7s: its feed carries bars of 1m; ask for a length"):
        replay.testing.run(Sevens, minutes)


def test_a_run_folder_that_cannot_be_made_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in ("/proc/x", tmp_path / "file" / "x"):
        with pytest.raises(JournalError, match="cannot make the run folder") as caught:
            replay.backtest(
                Needs(window=1),
                quotes(),
                instruments={"symbol": "X", "tick": "0.1", "lot": "1", "quote": "USD"},
                cash={"USD": 10_000},
                out=out,
            )
        assert caught.value.place == str(out)
        assert caught.value.remedy is not None
