"""The figure: marks with fills, equity and drawdown of one run, drawn by matplotlib (extra `report`).

May not live here: the terminal chart (chart.py), pages, statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError, UsageError
from replay.stats.drawdown import drawdowns

if TYPE_CHECKING:
    from replay.result.result import Result
    from replay.result.tables import Table

_POINTS_MAX = 20_000
_FILLS_MAX = 2_000
_REMEDY = 'install the extra: pip install "tickreplay[report]" (in the source folder: ./dev setup)'


def draw(result: Result, path: str | Path | None = None) -> Any:
    """Draw a run: a panel per instrument with its marks and fills, then equity, then drawdown.

    With a path the figure is written (png, svg, pdf, by its suffix) and the path returned; without, the matplotlib
    figure is returned, which a notebook shows. Raises UsageError where matplotlib is missing or the file cannot be
    written.
    """
    try:
        from matplotlib import dates
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("plot needs matplotlib, which is not installed", remedy=_REMEDY) from error
    marks = _optional(result, "marks")
    fills = _optional(result, "fills")
    symbols = _symbols(marks, fills)
    heights = [3.0] * len(symbols) + [2.0, 1.2]
    figure = Figure(figsize=(12.0, sum(heights) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axis, symbol in zip(axes, symbols, strict=False):
        _draw_instrument(axis, symbol, marks, fills)
    _draw_equity(axes[-2], axes[-1], result)
    any_dates: Any = dates
    locator = any_dates.AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(any_dates.ConciseDateFormatter(locator))
    figure.suptitle(result.name)
    if path is None:
        return figure
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write the plot: {error}", place=str(path)) from error
    return Path(path)


def _draw_instrument(axis: Any, symbol: str, marks: Table | None, fills: Table | None) -> None:
    axis.set_ylabel(symbol)
    axis.grid(alpha=0.3)
    if marks is not None:
        rows = _thin_rows(np.flatnonzero(marks["symbol"] == symbol), _POINTS_MAX)
        axis.plot(marks["time"][rows], marks["price"][rows], color="0.4", linewidth=0.8, label="mark")
    if fills is not None:
        for side, marker, colour in (("buy", "^", "tab:green"), ("sell", "v", "tab:red")):
            rows = np.flatnonzero((fills["symbol"] == symbol) & (fills["side"] == side))
            shown = _thin_rows(rows, _FILLS_MAX)
            label = (
                f"{side} ({len(rows):,})" if len(rows) == len(shown) else f"{side} ({len(shown):,} of {len(rows):,})"
            )
            axis.scatter(fills["time"][shown], fills["price"][shown], marker=marker, color=colour, s=18, label=label)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper left", fontsize="small", ncols=3)


def _draw_equity(equity_axis: Any, drawdown_axis: Any, result: Result) -> None:
    equity = result.equity
    rows = _extreme_rows(equity["equity"], _POINTS_MAX)
    times = equity["time"][rows]
    equity_axis.plot(times, equity["equity"][rows], color="tab:blue", linewidth=1.0)
    equity_axis.set_ylabel(f"equity {result.currency}".rstrip())
    equity_axis.grid(alpha=0.3)
    falls = drawdowns(equity["equity"])[rows] * 100.0
    drawdown_axis.fill_between(times, falls, 0.0, color="tab:red", alpha=0.4, linewidth=0)
    drawdown_axis.set_ylabel("drawdown %")
    drawdown_axis.grid(alpha=0.3)


def _symbols(marks: Table | None, fills: Table | None) -> list[str]:
    found: dict[str, None] = {}
    for table in (marks, fills):
        if table is not None:
            found.update(dict.fromkeys(sorted({str(symbol) for symbol in table["symbol"]})))
    return list(found)


def _optional(result: Result, name: str) -> Table | None:
    try:
        table = result.table(name)
    except DataError:
        return None
    return table if len(table) else None


def _thin_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give at most `count` of the rows, spread evenly, with the first and the last."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _extreme_rows(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Give about `count` rows that keep the lowest and highest value of every stretch: no peak is lost."""
    total = len(values)
    if total <= count:
        return np.arange(total)
    edges = np.linspace(0, total, count // 2 + 1).astype(np.int64)
    rows = {0, total - 1}
    for start, limit in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows.add(start + int(np.argmin(values[start:limit])))
        rows.add(start + int(np.argmax(values[start:limit])))
    return np.array(sorted(rows), dtype=np.int64)
