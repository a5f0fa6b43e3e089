"""The terminal chart: a series of numbers as a few lines of block characters.

May not live here: colours, pages, image files (those are figure.py's).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def thin(values: ArrayLike, count: int) -> NDArray[np.float64]:
    """Give at most `count` of the values, spread evenly, the first and the last always among them."""
    series = np.asarray(values, dtype=np.float64)
    if len(series) <= count:
        return series
    return series[np.linspace(0, len(series) - 1, count).round().astype(np.int64)]


def terminal_chart(values: ArrayLike, width: int = 60, height: int = 5, labels: Sequence[str] | None = None) -> str:
    """Draw the values as columns between their lowest and highest; '' for fewer than two.

    `labels` (high, low) stand at the right of the first and the last line.
    """
    series = thin(values, width)
    series = series[np.isfinite(series)]
    if len(series) < 2:
        return ""
    low, high = float(np.min(series)), float(np.max(series))
    span = high - low
    steps = height * 8
    levels = np.ones(len(series)) if span == 0 else 1 + np.round((series - low) / span * (steps - 1))
    lines = []
    for line in range(height - 1, -1, -1):
        filled = np.clip(levels - line * 8, 0, 8).astype(np.int64)
        lines.append("".join(_EIGHTHS[eighth] for eighth in filled.tolist()))
    if labels is not None:
        lines[0] = f"{lines[0]}  {labels[0]}"
        lines[-1] = f"{lines[-1]}  {labels[1]}"
    return "\n".join(line.rstrip() for line in lines)
