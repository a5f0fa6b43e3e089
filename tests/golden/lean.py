"""Files of LEAN's sample data as tapes, by the conventions that KNOWN_GOOD states for them.

May not live here: what a strategy does with them; the formats of the product, which are tested elsewhere.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from replay.records import BarPrice, Kind, empty

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
NEW_YORK = ZoneInfo("America/New_York")
PRICE_DECIMALS = 11
"""Of adjusted prices: 4 of the file's and 7 of the factors', so that none is rounded."""

Shared = Callable[[str], Path]
Bar = tuple[int, list[int]]
"""Start of the bar (ns, UTC) and its numbers as the file has them: prices times 10,000."""

INSTRUMENT: dict[str, Any] = {
    "symbol": "SPY",
    "tick": "0.00000000001",
    "lot": "1",
    "price_decimals": PRICE_DECIMALS,
    "size_decimals": 0,
    "quote": "USD",
}
FEES = {"per_share": "0.005", "minimum": "1.00", "maximum_rate": "0.005"}
MARGIN = {"kind": "margin", "leverage": "10"}
CASH = {"USD": "100000"}


def ns(moment: datetime) -> int:
    """Give a time in ns since the epoch."""
    return int(moment.timestamp()) * SECOND_NS


def at(text: str) -> int:
    """Give a time of New York, such as `2013-10-07 09:31`."""
    return ns(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK))


def intraday(shared_data: Shared, resolution: str, day: str, kind: str) -> Iterator[Bar]:
    """Read the bars of one day (`20131007`) of SPY, minutes or seconds, of all hours."""
    path = shared_data("lean-equity-bars") / "equity" / "usa" / resolution / "spy" / f"{day}_{kind}.zip"
    midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=NEW_YORK)
    for row in rows_of(path):
        yield ns(midnight) + int(row[0]) * 1_000_000, [int(cell or 0) for cell in row[1:]]


def regular(bars: Iterator[Bar]) -> Iterator[Bar]:
    """Leave out what does not begin from 09:30 to before 16:00 in New York."""
    for start, values in bars:
        clock = datetime.fromtimestamp(start // SECOND_NS, NEW_YORK)
        if (9, 30) <= (clock.hour, clock.minute) < (16, 0):
            yield start, values


def dated(shared_data: Shared, resolution: str, first: str, last: str) -> Iterator[Bar]:
    """Read the daily or hourly bars of SPY from one day to another (`2013-10-07`), both included."""
    for row in rows_of(shared_data("lean-equity-bars") / "equity" / "usa" / resolution / "spy.zip"):
        moment = datetime.strptime(row[0], "%Y%m%d %H:%M").replace(tzinfo=NEW_YORK)
        if first <= moment.date().isoformat() <= last:
            yield ns(moment), [int(cell) for cell in row[1:]]


def rows_of(path: Path) -> list[list[str]]:
    """Read the one file of an archive."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return list(csv.reader(io.StringIO(text)))


def day_of(start: int) -> str:
    """Give the day in New York of a time, as `20131007`."""
    return datetime.fromtimestamp(start // SECOND_NS, NEW_YORK).strftime("%Y%m%d")


def factor(shared_data: Shared, day: str) -> int:
    """Give price factor x split factor of SPY on a day (`20131007`), times 10^7."""
    file = shared_data("lean-reference") / "equity" / "usa" / "factor_files" / "spy.csv"
    with file.open(newline="") as lines:
        row = next(row for row in csv.reader(lines) if row[0] >= day)
    return int((Decimal(row[1]) * Decimal(row[2])).scaleb(7))


def bar_records(bars: list[Bar], length_ns: int, factors: int | list[int]) -> NDArray[Any]:
    """Give bars as records that end `length_ns` after their start; prices are adjusted."""
    tape = empty(len(bars))
    tape["kind"] = Kind.BAR
    tape["side"] = BarPrice.TRADE
    tape["ts_event"] = tape["ts_recv"] = [start + length_ns for start, _ in bars]
    rates = [factors] * len(bars) if isinstance(factors, int) else factors
    for place, field in enumerate("abcd"):
        tape[field] = [values[place] * rate for (_, values), rate in zip(bars, rates, strict=True)]
    tape["e"] = [values[4] for _, values in bars]
    return tape


def quote_records(bars: list[Bar], length_ns: int, factors: int) -> NDArray[Any]:
    """Give the closes of bid and ask bars as quotes at the bars' ends; prices are adjusted."""
    tape = empty(len(bars))
    tape["kind"] = Kind.QUOTE
    tape["ts_event"] = tape["ts_recv"] = [start + length_ns for start, _ in bars]
    tape["a"] = [values[3] * factors for _, values in bars]
    tape["b"] = [values[8] * factors for _, values in bars]
    return tape


def merged(*tapes: NDArray[Any], end_ns: int | None = None) -> NDArray[Any]:
    """Put tapes in the order of time, the first ones first; with `end_ns` a Clock record ends them."""
    whole = np.concatenate(tapes)
    whole = whole[np.argsort(whole["ts_event"], kind="stable")]
    if end_ns is None:
        return whole
    last = empty(1)
    last["kind"], last["a"] = Kind.CLOCK, -1
    last["ts_event"] = last["ts_recv"] = end_ns
    return np.concatenate((whole, last))


def sized(fraction: str, equity: Decimal, price: Decimal, fee: Callable[[int, Decimal], Decimal]) -> int:
    """Give the shares for a part of the equity, less a cash buffer of 0.25 %, fee included."""
    target = Decimal(fraction) * Decimal("0.9975") * equity
    shares = int(target / price)
    while shares * price + fee(shares, price) > target:
        shares -= 1
    return shares


def per_share_fee(shares: int, price: Decimal) -> Decimal:
    """Give what an order of so many shares pays."""
    return min(max(Decimal("0.005") * shares, Decimal(1)), Decimal("0.005") * shares * price)


def money(value: float | str | Decimal | None, places: str = "0.01") -> Decimal:
    """Round to cents, as the source prints."""
    return Decimal(str(value)).quantize(Decimal(places))


def utc(text: str, form: str = "%Y-%m-%d %H:%M") -> int:
    """Give a time of UTC."""
    return ns(datetime.strptime(text, form).replace(tzinfo=UTC))


def days(first: str, count: int) -> list[str]:
    """Give consecutive days as `20131007`."""
    start = datetime.strptime(first, "%Y%m%d").replace(tzinfo=UTC)
    return [(start + timedelta(days=step)).strftime("%Y%m%d") for step in range(count)]
