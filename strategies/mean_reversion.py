"""Mean reversion: what has strayed unusually far from its average is expected to come back.

An example with a rolling deviation, a position that is asked for, and a timer. It uses only the public API of `replay`.
"""

from __future__ import annotations

from replay import Bar, Fill, Strategy


class MeanReversion(Strategy):
    """Trades against moves of more than `entry` deviations from the mean of the last `window` closes.

    It leaves when the price is back within `leave` deviations, or when the position is older than `patience_minutes`: a
    move that does not come back in time was no excursion.
    """

    symbol: str = "BTCUSDT"
    length: str = "1m"
    window: int = 60
    entry: float = 2.0
    leave: float = 0.5
    size: float = 1.0
    patience_minutes: int = 240

    def on_start(self) -> None:
        """Subscribe to the bars and their indicators; look at the position's age once a minute."""
        bars = self.bars(self.symbol, self.length)
        self.mean, self.spread = bars.sma(self.window), bars.deviation(self.window)
        self.opened_at: int | None = None
        self.every("1m", "age")

    def on_bar(self, bar: Bar) -> None:
        """Measure how far the close is from the mean, in deviations; enter far away, leave near."""
        if bar.symbol != self.symbol or not self.spread.ready or self.spread == 0:
            return
        distance = (bar.close - self.mean) / self.spread
        held = self.position(self.symbol).quantity
        if held == 0:
            if distance <= -self.entry:
                self.target(self.symbol, self.size)
            elif distance >= self.entry:
                self.target(self.symbol, -self.size)
        elif (held > 0 and distance >= -self.leave) or (held < 0 and distance <= self.leave):
            self.close(self.symbol)

    def on_fill(self, fill: Fill) -> None:
        """Note when the position was opened, forget it when it is closed."""
        if self.position(self.symbol).quantity == 0:
            self.opened_at = None
        elif self.opened_at is None:
            self.opened_at = self.now

    def on_timer(self, name: str) -> None:
        """Give up on a position that has become too old."""
        if self.opened_at is not None and self.now - self.opened_at > self.patience_minutes * 60_000_000_000:
            self.close(self.symbol)
