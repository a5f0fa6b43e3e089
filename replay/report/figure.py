"""The figure: price with entries and exits, equity, drawdown, exposure and months of one run, drawn by matplotlib.

May not live here: the terminal chart (chart.py), pages, statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.errors import UsageError, disk_remedy
from replay.report.calendar import monthly_returns
from replay.report.prices import PriceSeries, extreme_rows
from replay.report.roles import EXIT, roles
from replay.report.subject import Subject
from replay.result.tables import Table
from replay.stats.drawdown import drawdowns

_POINTS_MAX = 6_000
_FILLS_MAX = 1_500
_INSTRUMENTS_MAX = 8
_YEARS_MAX = 15
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GAIN, _LOSS, _EQUITY = "#0a7d4f", "#c02f3a", "#2458c6"
_REMEDY = 'install the extra: pip install "tickreplay[report]" (in the source folder: ./dev setup)'


def draw(subject: Subject, path: str | Path | None = None) -> Any:
    """Draw a run: a panel per instrument with its price and fills, equity, drawdown, exposure, returns by month.

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
    result = subject.result
    series = {one.symbol: one for one in subject.prices}
    fills, equity = subject.optional("fills"), subject.optional("equity")
    symbols = _symbols(series, fills)
    months = _months(subject, equity)
    heights = [3.0] * len(symbols) + [2.0, 1.0, 0.8]
    months_height = 0.45 + 0.28 * len(months) if months else 0.0
    figure = Figure(figsize=(12.0, sum(heights) + months_height + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    table_axes = None
    if months:
        parts: Any = figure.subfigures(2, 1, height_ratios=[sum(heights) + 1.0, months_height])
        table_axes = parts[1].subplots()
    top: Any = figure if table_axes is None else parts[0]
    axes = top.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axis, symbol in zip(axes, symbols, strict=False):
        _draw_instrument(axis, symbol, series.get(symbol), fills)
    if equity is not None:
        _draw_equity(axes[-3], axes[-2], axes[-1], equity, result.currency)
    any_dates: Any = dates
    locator = any_dates.AutoDateLocator()
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(any_dates.ConciseDateFormatter(locator))
    if table_axes is not None:
        _draw_months(table_axes, months)
    title = f"{result.name} (interrupted)" if result.interrupted else result.name
    figure.suptitle(title)
    if path is None:
        return figure
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UsageError(
            f"cannot write the plot: {error.strerror or error}", place=str(path), remedy=disk_remedy(error, path)
        ) from error
    except ValueError:  # the format that the suffix names
        formats = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise UsageError(
            f"cannot write the plot: {Path(path).suffix or 'no suffix'!r} is no format of pictures",
            place=str(path),
            remedy=f"end the name with .png, .svg or .pdf; all that there are: {formats}",
        ) from None
    return Path(path)


def _draw_instrument(axis: Any, symbol: str, series: PriceSeries | None, fills: Table | None) -> None:
    axis.set_ylabel(symbol)
    axis.grid(alpha=0.3)
    if series is not None:
        rows = extreme_rows(series.price, _POINTS_MAX)
        style = "default" if series.is_bars else "steps-post"
        price = series.price[rows] / series.unit
        axis.plot(_times(series.time_ns[rows]), price, color="0.45", linewidth=0.8, drawstyle=style, label="price")
    if fills is None:
        return
    leaves = roles(fills) == EXIT
    for side, marker, colour in (("buy", "^", _GAIN), ("sell", "v", _LOSS)):
        for is_exit in (False, True):
            rows = np.flatnonzero((fills["symbol"] == symbol) & (fills["side"] == side) & (leaves == is_exit))
            if not len(rows):
                continue
            shown = _thin_rows(rows, _FILLS_MAX)
            word = f"{side}, {'exit' if is_exit else 'entry or turn'}"
            count = f"{len(rows):,}" if len(rows) == len(shown) else f"{len(shown):,} of {len(rows):,}"
            face = "none" if is_exit else colour
            axis.scatter(
                fills["time"][shown],
                fills["price"][shown],
                marker=marker,
                facecolors=face,
                edgecolors=colour,
                s=18,
                linewidths=0.8,
                label=f"{word} ({count})",
            )
    axis.legend(loc="upper left", fontsize="small", ncols=5)


def _draw_equity(equity_axis: Any, drawdown_axis: Any, exposure_axis: Any, equity: Table, currency: str) -> None:
    values = equity["equity"]
    rows = extreme_rows(values, _POINTS_MAX)
    times = equity["time"][rows]
    equity_axis.plot(times, values[rows], color=_EQUITY, linewidth=1.0)
    equity_axis.set_ylabel(f"equity {currency}".rstrip())
    falls = drawdowns(values)[rows] * 100.0
    drawdown_axis.fill_between(times, falls, 0.0, color=_LOSS, alpha=0.4, linewidth=0)
    drawdown_axis.set_ylabel("drawdown %")
    exposure = equity["exposure"]
    rows = extreme_rows(exposure, _POINTS_MAX)
    exposure_axis.fill_between(equity["time"][rows], exposure[rows], 0.0, step="post", color="0.6", linewidth=0)
    exposure_axis.set_ylabel("exposure")
    for axis in (equity_axis, drawdown_axis, exposure_axis):
        axis.grid(alpha=0.3)
        axis.ticklabel_format(axis="y", style="plain", useOffset=False)


def _months(subject: Subject, equity: Table | None) -> dict[int, list[float]]:
    """Give the returns by year: twelve months, NaN where there is none."""
    stats = subject.result.stats
    if equity is None or stats["start_equity"] is None:
        return {}
    start_ns = stats["start_ns"]
    returns = monthly_returns(equity, float(stats["start_equity"]), None if start_ns is None else int(start_ns))
    years: dict[int, list[float]] = {}
    for month, value in zip(returns.period.tolist(), returns.value.tolist(), strict=True):
        years.setdefault(1970 + month // 12, [np.nan] * 12)[month % 12] = value
    return dict(list(years.items())[-_YEARS_MAX:])


def _draw_months(axis: Any, months: dict[int, list[float]]) -> None:
    from matplotlib.colors import to_rgba

    axis.set_axis_off()
    known = np.abs(np.array([value for row in months.values() for value in row if value == value]))
    full = float(np.quantile(known, 0.9)) if len(known) and np.any(known) else 1.0
    cells, colours = [], []
    for row in months.values():
        year = np.prod([1.0 + value for value in row if value == value]) - 1.0
        cells.append([f"{value:.2%}" if value == value else "" for value in (*row, year)])
        shades = [0.0 if value != value else min(abs(value) / (full or 1.0), 1.0) * 0.55 for value in row]
        pairs = zip(shades, row, strict=True)
        colours.append([*(to_rgba(_LOSS if value < 0 else _GAIN, shade) for shade, value in pairs), to_rgba("1.0")])
    table = axis.table(
        cellText=cells,
        cellColours=colours,
        rowLabels=[str(year) for year in months],
        colLabels=[*_MONTHS, "Year"],
        loc="center",
        cellLoc="right",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(0.96, 1.25)


def _symbols(series: dict[str, PriceSeries], fills: Table | None) -> list[str]:
    """Give the instruments to draw: those with fills first, in the order in which they were traded."""
    traded = [] if fills is None else list(dict.fromkeys(fills["symbol"].tolist()))
    return list(dict.fromkeys([*traded, *series]))[:_INSTRUMENTS_MAX]


def _thin_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give at most `count` of the rows, spread evenly, with the first and the last."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _times(time_ns: NDArray[np.int64]) -> NDArray[Any]:
    return time_ns.view("datetime64[ns]")
