"""A strategy that does all that a dashboard shows: it holds, takes, rests, cancels, is refused, and sets timers.

May not live here: sense.
"""

from __future__ import annotations

from typing import Any

from replay import Strategy


class Busy(Strategy):
    """Trades on every few quotes."""

    def on_start(self) -> None:
        self.every("300ms", "clean")
        self.seen = 0

    def on_quote(self, quote: Any) -> None:
        self.seen += 1
        if quote.symbol != "SIM-A":
            return
        if self.seen % 3 == 0:
            self.buy("SIM-A", 0.5)
        elif self.seen % 7 == 0:
            self.sell("SIM-A", 0.3)
        elif self.seen % 11 == 0:
            self.buy("SIM-A", 0.1, limit=quote.bid)
        elif self.seen % 13 == 0:
            self.buy("SIM-A", 100_000_000)

    def on_timer(self, name: str) -> None:
        self.cancel_all("SIM-A")
