"""A glance as pieces of a screen: lines of text and tables, the same for every kind of screen.

May not live here: where they stand, and when they are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from replay.cli.screen import rate_text
from replay.stats.chart import terminal_chart
from replay.units import format_time

if TYPE_CHECKING:
    from replay.glance import Glance, GlanceOrder, GlancePrice

_SIGNS = {
    "running": ("▶", "green"),
    "paused": ("‖", "yellow"),
    "seeking": ("»", "cyan"),
    "stepping": ("›", "cyan"),
    "ended": ("■", "bold"),
    "failed": ("✗", "red"),
}
_OTHER_SIGN = ("…", "cyan")


def status_text(glance: Glance) -> str:
    """Write `2024-08-08T00:00:12Z  10x  running  1,234 of 5,000 records  equity 99.80 USD  3 fills`."""
    parts = [_moment(glance)]
    if glance.speed is not None:
        parts.append(speed_text(glance))
    parts += [glance.state, f"{_done(glance)} records"]
    if glance.equity is not None:
        parts.append(f"equity {money(glance.equity)} {glance.currency}")
    if glance.fills:
        parts.append(f"{glance.fills:,} fills")
    if glance.working:
        parts.append(f"{glance.working:,} orders")
    if glance.trading != "active":
        parts.append(f"trading {glance.trading}")
    return "  ".join(parts)


def speed_text(glance: Glance) -> str:
    """Write `10x`, or `max`; `live` where the feed is."""
    if glance.speed is None:
        return "live"
    return "max" if glance.speed == "max" else f"{glance.speed:g}x"


def head(glance: Glance) -> Text:
    """Give the line at the top: what runs, what it does, when it is, and how far."""
    sign, style = _SIGNS.get(glance.state, _OTHER_SIGN)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {glance.name}  ", "bold")
    text.append(f"{sign} {glance.state}", style)
    text.append(f"  {speed_text(glance)}  ", "bold")
    text.append(_moment(glance))
    text.append(f"  {_done(glance)} records", "dim")
    if glance.total:
        text.append(f"  {100 * glance.records / glance.total:.0f} %", "dim")
    if glance.rate:
        text.append(f"  {rate_text(glance.rate)}/s", "dim")
    if glance.trading != "active":
        text.append(f"  trading {glance.trading}", "bold red")
    return text


def prices(glance: Glance) -> Table:
    """Give a row an instrument: bid, ask, last and mark."""
    table = _table("", ">bid", ">ask", ">last", ">mark")
    for row in glance.prices:
        table.add_row(
            Text(row.symbol, "bold"), *[_price(row, value) for value in (row.bid, row.ask, row.last)], _mark(row)
        )
    return table


def positions(glance: Glance) -> Table:
    """Give a row a position that is held; those that are closed come after them."""
    is_shared = len({row.strategy for row in glance.positions}) > 1
    table = _table(
        *(["strategy"] if is_shared else []), "", ">quantity", ">average", ">unrealised", ">realised", ">fees"
    )
    decimals = {price.symbol: price.decimals for price in glance.prices}
    for row in sorted(glance.positions, key=lambda row: not row.quantity):
        table.add_row(
            *([row.strategy] if is_shared else []),
            Text(row.symbol, "bold"),
            _signed(row.quantity, quantity(row.quantity)),
            f"{row.average_price:,.{decimals[row.symbol]}f}" if row.quantity else "",
            _result(row.unrealised if row.quantity else None),
            _result(row.realised),
            money(row.fees),
            style="" if row.quantity else "dim",
        )
    return table


def orders(glance: Glance) -> Table:
    """Give the newest working orders, the newest first."""
    table = _table(">id", "", "side", "type", ">quantity", ">price")
    for row in reversed(glance.orders):
        table.add_row(
            str(row.order_id),
            Text(row.symbol, "bold"),
            _side(row.side),
            row.type.replace("_", " "),
            _filled_of(row),
            "/".join(price for price in (row.stop, row.limit) if price),
        )
    return table


def fills(glance: Glance) -> Table:
    """Give the last fills, the newest first."""
    table = _table("time", "", "side", ">size", ">price", ">fee", "")
    decimals = {price.symbol: price.decimals for price in glance.prices}
    for row in reversed(glance.last_fills):
        table.add_row(
            format_time(row.time_ns)[5:19].replace("T", " "),
            Text(row.symbol, "bold"),
            _side(row.side),
            quantity(row.size),
            f"{row.price:,.{decimals[row.symbol]}f}",
            f"{row.fee:,.4g}",
            Text(row.liquidity, "dim"),
        )
    return table


def equity(glance: Glance, width: int, height: int) -> Text:
    """Give the equity, how it has changed, and its curve."""
    text = Text(no_wrap=True)
    if glance.equity is None:
        return text.append(f"cash {money(glance.cash)} {glance.currency}")
    text.append(f"{money(glance.equity)} {glance.currency}", "bold")
    start = glance.equity_curve[0] if glance.equity_curve else glance.equity
    change = glance.equity - start
    style = "green" if change > 0 else "red" if change < 0 else "dim"
    share = f"  {100 * change / start:+.2f} %" if start > 0 else ""
    text.append(f"  {change:+,.2f}{share}", style)
    text.append(f"  cash {money(glance.cash)}", "dim")
    curve = [*glance.equity_curve, glance.equity]
    labels = (money(max(curve)), money(min(curve)))
    room = width - 2 - max(map(len, labels))
    if height > 1 and room > 4:
        text.append("\n")
        stretched = [curve[round(column * (len(curve) - 1) / (room - 1))] for column in range(room)]
        text.append(terminal_chart(stretched, room, height - 1, labels), style)
    return text


def counters(glance: Glance) -> Text:
    """Give the counts of the run; those that a user should look at stand out."""
    text = Text(no_wrap=True, overflow="ellipsis")
    rows: list[tuple[str, int, bool]] = [
        ("fills", glance.fills, False),
        ("working", glance.working, False),
        ("in flight", glance.in_flight, False),
        ("rejected", glance.rejected, True),
        ("late", glance.late, True),
        ("stale", glance.stale, True),
        ("dead letters", glance.dead_letters, True),
        ("events", glance.events, False),
    ]
    for name, count, is_warning in rows:
        text.append(f" {name} ", "dim")
        text.append(f"{count:,} ", "yellow" if is_warning and count else "")
    return text


def money(amount: float) -> str:
    """Write an amount with two decimals."""
    return f"{amount:,.2f}"


def quantity(amount: float) -> str:
    """Write a quantity with as many digits as it has, eight at most."""
    return f"{amount:,.8g}"


def _moment(glance: Glance) -> str:
    if glance.time_ns is None:
        return "before the first record"
    return format_time(glance.time_ns - glance.time_ns % 1_000_000)


def _done(glance: Glance) -> str:
    return f"{glance.records:,} of {glance.total:,}" if glance.total else f"{glance.records:,}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim", padding=(0, 1, 0, 0))
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_number else "left", no_wrap=True)
    return table


def _price(row: GlancePrice, value: float | None) -> str:
    return "" if value is None else f"{value:,.{row.decimals}f}"


def _mark(row: GlancePrice) -> str:
    """Write the mark: it may lie between two prices, with half a unit more."""
    if row.mark is None:
        return ""
    text = f"{row.mark:,.{row.decimals + 1}f}"
    return text.removesuffix("0").removesuffix(".")


def _filled_of(row: GlanceOrder) -> Text:
    """Write `1.5`, or `0.25/1.5` where a part is filled."""
    whole, filled = _plain(row.quantity), _plain(row.filled)
    return Text(whole if filled == "0" else f"{filled}/{whole}")


def _plain(text: str) -> str:
    """Leave out the zeros at the end of a decimal number."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _side(side: str) -> Text:
    return Text(side, "green" if side == "buy" else "red")


def _signed(amount: float, text: str) -> Text:
    return Text(text, "green" if amount > 0 else "red" if amount < 0 else "")


def _result(amount: float | None) -> Text:
    return Text("") if amount is None else _signed(round(amount, 2), f"{amount:+,.2f}" if amount else "0.00")
