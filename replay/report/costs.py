"""Costs: what was traded and what it cost, by instrument and by maker and taker.

May not live here: how a fee comes about; the engine books it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from replay.result.tables import Table, Words


@dataclass(frozen=True)
class CostRow:
    """The fills of one instrument with one liquidity whose fees are in one currency."""

    symbol: str
    liquidity: str
    fills: int
    traded: float
    """Price x size x multiplier, in the quote currency."""
    fees: float
    fee_currency: str
    rate: float | None
    """Fees / traded value; None where the fee's currency is not the instrument's quote currency, or nothing traded."""

    def to_builtins(self) -> dict[str, Any]:
        """Give the row as plain values."""
        return asdict(self)


def costs(fills: Table, multipliers: Mapping[str, float], quotes: Mapping[str, str]) -> list[CostRow]:
    """Sum the fills up, in the order in which the instruments were first traded."""
    symbols, liquidities, currencies = (fills.raw(name) for name in ("symbol", "liquidity", "fee_currency"))
    assert isinstance(symbols, Words) and isinstance(liquidities, Words) and isinstance(currencies, Words)
    value = np.abs(fills["price"]) * fills["size"]
    keys = np.stack([symbols.codes, liquidities.codes, currencies.codes], axis=1)
    found, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    counts = np.bincount(group)
    traded = np.bincount(group, weights=value)
    fees = np.bincount(group, weights=fills["fee"])
    rows = []
    for place in np.argsort(first).tolist():
        symbol_code, liquidity_code, currency_code = found[place].tolist()
        symbol, currency = symbols.vocabulary[symbol_code], currencies.vocabulary[currency_code]
        whole = float(traded[place]) * multipliers.get(symbol, 1.0)
        is_comparable = whole > 0 and quotes.get(symbol, currency) == currency
        rows.append(
            CostRow(
                symbol=symbol,
                liquidity=liquidities.vocabulary[liquidity_code],
                fills=int(counts[place]),
                traded=whole,
                fees=float(fees[place]),
                fee_currency=currency,
                rate=float(fees[place]) / whole if is_comparable else None,
            )
        )
    return rows
