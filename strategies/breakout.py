"""Breakout: stop orders wait at both ends of the recent range; whichever is hit opens the trade.

An example with stop and limit orders, amends, and exits of which one cancels the other. It uses only the public API of
`replay`.
"""

from __future__ import annotations

from replay import Bar, Fill, Strategy


class Breakout(Strategy):
    """Buys above the highest high of the last `window` bars, sells below the lowest low.

    A position has two exits: a stop `risk` times, and a limit `reward` times, the range away from its entry. When an
    order has filled, all others are cancelled and those that the new position needs are sent; each bar looks whether
    they are still what they should be, so that a fill that crosses a cancel on its way does no harm.
    """

    symbol: str = "BTCUSDT"
    length: str = "5m"
    window: int = 48
    risk: float = 0.5
    reward: float = 1.0
    size: float = 1.0
    decimals: int = 2

    def on_start(self) -> None:
        """Subscribe to the bars and start with an empty range."""
        self.bars(self.symbol, self.length)
        self.highs: list[float] = []
        self.lows: list[float] = []

    def on_bar(self, bar: Bar) -> None:
        """Move the range on; keep an entry at each of its ends, or the exits of what is held."""
        if bar.symbol != self.symbol:
            return
        self.highs = [*self.highs, bar.high][-self.window :]
        self.lows = [*self.lows, bar.low][-self.window :]
        held = self.position(self.symbol).quantity
        if held != 0:
            exits = self.orders(self.symbol)
            if [order.leaves for order in exits] != [abs(held)] * 2:
                self.place_exits(held)
        elif len(self.highs) == self.window:
            self.place_entries(self.to_grid(max(self.highs)), self.to_grid(min(self.lows)))

    def on_fill(self, fill: Fill) -> None:
        """When an order is filled whole: cancel what still waits, protect what is held."""
        if fill.leaves > 0:
            return
        held = self.position(self.symbol).quantity
        if held != 0:
            self.place_exits(held)
        else:
            self.cancel_all(self.symbol)

    def place_entries(self, upper: float, lower: float) -> None:
        """Send a stop order at each end of the range, or move those that wait there."""
        entries = self.orders(self.symbol)
        if len(entries) != 2:
            self.cancel_all(self.symbol)
            self.buy(self.symbol, self.size, stop=upper)
            self.sell(self.symbol, self.size, stop=lower)
            return
        for order in entries:
            level = upper if order.side == "buy" else lower
            if order.stop != level:
                self.amend(order.id, stop=level)

    def place_exits(self, held: float) -> None:
        """Replace all orders by a stop against a loss and a limit that takes the profit."""
        self.cancel_all(self.symbol)
        entry = self.position(self.symbol).average_price
        span = max(self.highs) - min(self.lows)
        if held > 0:
            self.sell(self.symbol, held, stop=self.to_grid(entry - self.risk * span))
            self.sell(self.symbol, held, limit=self.to_grid(entry + self.reward * span))
        else:
            self.buy(self.symbol, -held, stop=self.to_grid(entry + self.risk * span))
            self.buy(self.symbol, -held, limit=self.to_grid(entry - self.reward * span))

    def to_grid(self, price: float) -> float:
        """Round a price to the instrument's decimals: an order's price must be on the tick grid."""
        return round(price, self.decimals)
