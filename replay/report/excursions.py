"""Excursions as the report shows them: shares of what a round trip's opening fills were worth.

May not live here: how they are found; the run notes them while a round trip is open (trade_rows.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.result.tables import Table

Floats = NDArray[np.float64]


def excursions(trades: Table) -> tuple[Floats, Floats]:
    """Give the adverse (<= 0) and favourable (>= 0) excursion of each round trip, as fractions of its entry value.

    NaN where the run did not note them (its folder was written before it did), or the entry value is 0.
    """
    values = trades["entry_value"]
    entry = np.where(values > 0, values, np.nan)
    return trades["mae"] / entry, trades["mfe"] / entry
