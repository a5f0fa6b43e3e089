"""Moving-average cross: long while the fast average is above the slow one, short while it is below.

The first example to read. It may use nothing but the public API of `replay`.
"""

from __future__ import annotations

from replay import Bar, Strategy


class SmaCross(Strategy):
    """Holds `size` units long or short, by two simple averages of the closes of `length` bars."""

    symbol: str = "BTCUSDT"
    length: str = "1m"
    fast: int = 20
    slow: int = 50
    size: float = 1.0

    def on_start(self) -> None:
        """Subscribe to the bars; where the feed carries none of that length, the engine builds them from ticks."""
        bars = self.bars(self.symbol, self.length)
        self.quick, self.calm = bars.sma(self.fast), bars.sma(self.slow)

    def on_bar(self, bar: Bar) -> None:
        """Turn the position when the averages have crossed; an unchanged target sends no order."""
        if self.calm.ready:
            self.target(self.symbol, self.size if self.quick > self.calm else -self.size)
