"""The sample: the figures of a run or of any series, as the statistics take them.

May not live here: formulas, and where the figures come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replay.stats.series import Series
from replay.stats.value import Value

SHORTEST_ANNUALISED_YEARS = 1 / 12
"""A sample shorter than this has no annualised return."""

_MISSING = {
    "returns": "no returns",
    "benchmark": "no benchmark",
    "equity": "no equity points",
    "equity_ts": "no equity points",
    "exposure": "no exposure",
    "trade_mae": "no excursions",
    "trade_mfe": "no excursions",
    "fees": "some fee is in a currency that could not be valued",
    "gross_pnl": "some fee is in a currency that could not be valued",
    "average_equity": "no equity points",
    "years": "no equity points",
}


@dataclass(frozen=True)
class Sample:
    """What statistics are computed of; what is None leaves those that need it undefined.

    Money is in one currency. `known` has values found by other means, in a stream, which are taken as they are.
    """

    periods_per_year: float
    returns: Series | None = None
    """One per period."""
    risk_free: float = 0.0
    """The risk-free return per period."""
    benchmark: Series | None = None
    """One per period, beside `returns`."""
    equity_ts: Series | None = None
    """Times of the equity points, ns."""
    equity: Series | None = None
    exposure: Series | None = None
    """Gross value of the positions at the equity points."""
    trade_net: Series | None = None
    """Result of each round trip after fees."""
    trade_gross: Series | None = None
    trade_fees: Series | None = None
    trade_durations_ns: Series | None = None
    trade_is_long: Series | None = None
    trade_entry_values: Series | None = None
    """Value of the fills that opened each."""
    trade_mae: Series | None = None
    """Worst unrealised result of each, 0 or below."""
    trade_mfe: Series | None = None
    """Best unrealised result of each, 0 or above."""
    trade_count: int | None = None
    fees: float | None = None
    net_pnl: float | None = None
    gross_pnl: float | None = None
    traded_value: float | None = None
    orders: int | None = None
    fills: int | None = None
    average_equity: float | None = None
    years: float | None = None
    """How long it lasted, in years of 365 days."""
    total_return: float | None = None
    time_share: float | None = None
    """Share of time with a position."""
    known: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_shorter_than_a_month(self) -> bool:
        """Whether it has too few returns to say what a year would come to."""
        return self.returns is None or len(self.returns) < self.periods_per_year * SHORTEST_ANNUALISED_YEARS

    def reason_of(self, missing: str) -> str:
        """Say why a statistic that needs this figure is undefined."""
        if missing.startswith("trade_") and missing not in _MISSING:
            return "no trades"
        return _MISSING.get(missing, f"{missing.replace('_', ' ')} unknown")
