"""All statistics of any series at once, for use outside of a run.

May not live here: formulas, and the summary that a run prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from replay.stats.returns import cumulative_returns
from replay.stats.roundtrips import round_trips
from replay.stats.sample import Sample
from replay.stats.series import Series, floats
from replay.stats.statistic import STATISTICS
from replay.stats.text import show
from replay.stats.value import Value


class Description(Mapping[str, Value]):
    """The values of all statistics by name, in their order; printed, one line each, `n/a` with its reason."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def to_dict(self) -> dict[str, float | int | None]:
        """Give the plain values; None where one is undefined."""
        return {name: value.value for name, value in self._values.items()}

    def __repr__(self) -> str:
        width = max(map(len, self._values), default=0)
        lines = []
        for name, value in self._values.items():
            shown = show(value.value, STATISTICS[name].unit)
            lines.append(f"{name:<{width}}  {shown if value.reason is None else f'{shown} ({value.reason})'}")
        return "\n".join(lines)


def describe(
    returns: Series | None = None,
    *,
    periods_per_year: float,
    benchmark: Series | None = None,
    risk_free: float = 0.0,
    fills: Any = None,
    equity: Series | None = None,
    equity_ts: Series | None = None,
) -> Description:
    """Compute every statistic of a series of returns, of fills, or of both.

    `returns` and `benchmark` are fractions per period, `risk_free` is one, too; `fills` is a table as `round_trips`
    takes it; `equity` are points at the times `equity_ts` (ns), by default the path that the returns make. What a
    statistic needs and is not given leaves it `n/a` with the reason. Raises ValueError where series do not fit each
    other.
    """
    series = None if returns is None else floats(returns)
    trips = None if fills is None else round_trips(fills)
    years = None if series is None else len(series) / periods_per_year
    given: dict[str, Any] = {}
    if trips is not None:
        given = {
            "trade_net": trips.net,
            "trade_gross": trips.gross,
            "trade_fees": trips.fees,
            "trade_entry_values": trips.entry_values,
            "trade_is_long": trips.is_long,
            "trade_durations_ns": trips.durations_ns,
            "trade_count": len(trips.net),
            "fees": trips.total_fees,
            "fills": trips.fills,
            "traded_value": trips.traded_value,
            "gross_pnl": float(np.sum(trips.gross)),
            "net_pnl": float(np.sum(trips.net)),
        }
    if equity is None and series is not None:
        equity = np.concatenate(([1.0], 1.0 + cumulative_returns(series)))
    sample = Sample(
        periods_per_year=periods_per_year,
        returns=series,
        risk_free=risk_free,
        benchmark=None if benchmark is None else floats(benchmark),
        equity=None if equity is None else floats(equity),
        equity_ts=equity_ts,
        years=years,
        **given,
    )
    return Description({name: entry.evaluate(sample) for name, entry in STATISTICS.items()})
