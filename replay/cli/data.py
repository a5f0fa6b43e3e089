"""`replay data`: convert, describe, show, check and cut market data.

May not live here: reading and writing of any format; that is `replay.data.convert`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from replay.cli.screen import Progress
from replay.errors import EXIT_DIFFERS, EXIT_DONE, UsageError

if TYPE_CHECKING:
    from replay.data.plan import Asked


@dataclass(frozen=True)
class Reading:
    """How files are read; what is not said is guessed from names and first rows, and listed."""

    run: Annotated[Path | None, Parameter(help="A run file that says how to read.")] = None
    format: Annotated[
        str | None, Parameter(help="Of the files, where their names do not say it: csv, tardis, parquet, ...")
    ] = None
    option: Annotated[
        list[str],
        Parameter(help="KEY=VALUE for the format, as zone=UTC. May be given again.", negative=(), show_default=False),
    ] = field(default_factory=list)
    symbol: Annotated[
        str | None, Parameter(help="Of all rows; {column} names the column that holds it; else the one to keep.")
    ] = None
    records: Annotated[
        Literal["quote", "trade", "bar"] | None, Parameter(help="What each row is; of CSV to write: which kind.")
    ] = None
    bar: Annotated[str | None, Parameter(help="The length of bars, as 1m.")] = None
    time: Annotated[str | None, Parameter(help="COLUMN[,UNIT[,ZONE]], the unit s, ms, us, ns or iso.")] = None
    stamp: Annotated[
        Literal["start", "end"] | None, Parameter(help="Whether a bar's time is its start or its end.")
    ] = None
    receive: Annotated[str | None, Parameter(help="A second time, of the receipt; written as --time.")] = None
    column: Annotated[
        list[str],
        Parameter(
            help="FIELD=COLUMN for each that has another name. May be given again.", negative=(), show_default=False
        ),
    ] = field(default_factory=list)
    decimals: Annotated[
        list[str],
        Parameter(help="Of price and size: 2,8 or BTCUSDT=2,8. May be given again.", negative=(), show_default=False),
    ] = field(default_factory=list)
    excess_decimals: Annotated[
        Literal["error", "round"], Parameter(help="What happens to numbers finer than the decimals.")
    ] = "error"
    delimiter: Annotated[str, Parameter(help="Between the fields of a CSV row.")] = ","
    sizes: Annotated[Literal["full", "none"], Parameter(help="none: the data carry no sizes.")] = "full"
    price: Annotated[Literal["trade", "bid", "ask", "mid"], Parameter(help="Which price the bars are of.")] = "trade"
    clock_offset: Annotated[str, Parameter(help="Added to every receive time.")] = "0s"

    def asked(self) -> Asked:
        """Say the same as the library has it."""
        from replay.data.plan import Asked

        return Asked(**{name: value for name, value in self.said().items() if name != "run"})

    def said(self) -> dict[str, Any]:
        """Give the arguments of `replay.data.convert.convert`."""
        names = ("run", "format", "symbol", "records", "bar", "time", "stamp", "receive", "decimals", "excess_decimals")
        more = ("delimiter", "sizes", "price", "clock_offset")
        plain = {name: getattr(self, name) for name in (*names, *more)}
        return plain | {"options": _pairs(self.option), "columns": self.column}


_Reading = Annotated[Reading, Parameter(name="*")]
_NOTHING = Reading()


def convert(
    *paths: Annotated[
        Path, Parameter(name="SRC.. DST", help="The files to read, several merged, and the file to write.")
    ],
    reading: _Reading = _NOTHING,
    dead_letters: Annotated[
        Path | None, Parameter(help="Where rows go that give no record; by default beside DST.")
    ] = None,
) -> int:
    """Convert CSV(.gz), NDJSON, captures and files of other formats to a .npy tape, to .parquet, or to .csv(.gz).

    What no option says is guessed from names and first rows, and listed. With --run alone, the run's feeds are read.
    """
    if len(paths) < (1 if reading.run is not None else 2):
        raise UsageError("there is nothing to convert", remedy="replay data convert SRC.. DST")
    from replay.data import convert as data

    *sources, destination = paths
    with Progress("convert") as progress:
        conversion = data.convert(sources, destination, dead_letters=dead_letters, progress=progress, **reading.said())
    print(conversion)
    return EXIT_DONE


def sample(
    *paths: Annotated[
        Path, Parameter(name="SRC.. DST", help="The files to read, several merged, and the file to write.")
    ],
    rows: Annotated[str | None, Parameter(help="Records by their number from 0, as 100:200, :50 or 1000:.")] = None,
    from_: Annotated[str | None, Parameter(name="--from", help="The first time of receipt, in RFC 3339.")] = None,
    until: Annotated[str | None, Parameter(help="The first time that is no longer taken.")] = None,
    reading: _Reading = _NOTHING,
) -> int:
    """Cut a part out of files, by numbers of records or times, and write it as `convert` does."""
    if len(paths) < (1 if reading.run is not None else 2):
        raise UsageError("there is nothing to cut", remedy="replay data sample SRC.. DST --rows 0:1000")
    from replay.data import convert as data

    *sources, destination = paths
    print(data.sample(sources, destination, rows=rows, first=from_, until=until, **reading.said()))
    return EXIT_DONE


def check(
    *paths: Annotated[Path, Parameter(name="FILE..", help="The files to look through, each by itself.")],
    tick: Annotated[
        list[str],
        Parameter(help="The grid of prices: 0.25 or ESH4=0.25. May be given again.", negative=(), show_default=False),
    ] = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    gap: Annotated[
        str | None, Parameter(help="The longest pause that is none; by default 1h, or one length between bars.")
    ] = None,
    outlier: Annotated[
        str, Parameter(help="How far a price may stand from both its neighbours, as a part of theirs.")
    ] = "0.1",
    ignore: Annotated[
        list[str], Parameter(help="A finding that is none. May be given again.", negative=(), show_default=False)
    ] = [],  # noqa: B006
    reading: _Reading = _NOTHING,
) -> int:
    """Look for time running backwards, gaps, duplicates, crossed quotes, prices off the grid, sizes of 0, outliers.

    Each finding has its count and its first records; the exit code is 1 if there is any.
    """
    if not paths:
        raise UsageError("there is nothing to check", remedy="replay data check FILE..")
    from replay.data import convert as data

    is_clean = True
    for path in paths:
        checked = data.check(
            path,
            reading.asked(),
            run=reading.run,
            ticks=tick,
            gap=gap,
            outlier=_share(outlier),
            ignore=[name.replace("-", "_") for name in ignore],
        )
        print(checked)
        is_clean = is_clean and checked.is_clean
    return EXIT_DONE if is_clean else EXIT_DIFFERS


def info(*paths: Annotated[Path, Parameter(name="FILE..", help="The files to describe.")]) -> int:
    """Describe tapes (records by kind, times, scales, what is odd) and other files (format, contents, its feed)."""
    if not paths:
        raise UsageError("there is nothing to describe", remedy="replay data info FILE..")
    from replay.data import convert as data

    for path in paths:
        print(data.info(path))
    return EXIT_DONE


def head(
    path: Annotated[Path, Parameter(name="FILE", help="The file to show.")],
    /,
    *,
    rows: Annotated[int, Parameter(name=["--rows", "-n"], help="How many records.")] = 10,
    reading: _Reading = _NOTHING,
) -> int:
    """Print the first records of a tape or a file of a format, the first lines of other text."""
    from replay.data import convert as data

    print(data.head(path, rows, reading.asked(), reading.run))
    return EXIT_DONE


def _share(text: str) -> Decimal:
    """Read a part of a whole above 0."""
    from replay.units import parse_decimal

    try:
        share = parse_decimal(text)
    except ValueError as error:
        raise UsageError(f"outlier: {error}", remedy="write it as 0.1 for ten percent") from None
    if share <= 0:
        raise UsageError(f"outlier {text} is not above 0", remedy="write it as 0.1 for ten percent")
    return share


def _pairs(texts: list[str]) -> dict[str, str]:
    """Read KEY=VALUE pairs."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{text!r} is no option of a format", remedy="write it as KEY=VALUE, as in zone=UTC")
        pairs[key.strip()] = value.strip()
    return pairs
