"""The role of each fill: whether it enters a position, leaves one, or turns it to the other side.

May not live here: round trips and their results (trade_rows.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.result.tables import Table, Words

ENTRY, EXIT, FLIP = 0, 1, 2


def roles(fills: Table) -> NDArray[np.int64]:
    """Give ENTRY, EXIT or FLIP for each fill, by the position of its strategy in its instrument."""
    symbols, strategies, sides = (fills.raw(name) for name in ("symbol", "strategy", "side"))
    assert isinstance(symbols, Words) and isinstance(strategies, Words) and isinstance(sides, Words)
    is_buy = np.array([word == "buy" for word in sides.vocabulary], dtype=np.bool_)[sides.codes]
    size = fills.integers("size_raw")
    signed = np.where(is_buy, size, -size)
    found = np.full(len(fills), ENTRY, dtype=np.int64)
    owner = symbols.codes.astype(np.int64) * (len(strategies.vocabulary) + 1) + strategies.codes
    for key in np.unique(owner).tolist():
        rows = np.flatnonzero(owner == key)
        after = np.cumsum(signed[rows])
        before = after - signed[rows]
        opposes = np.sign(before) * np.sign(signed[rows]) < 0
        turns = opposes & (np.sign(after) * np.sign(before) < 0)
        found[rows] = np.where(turns, FLIP, np.where(opposes, EXIT, ENTRY))
    return found
