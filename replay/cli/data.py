"""`replay data`: convert, describe and show market data.

May not live here: reading and writing of any format; that is `replay.data.convert`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from replay.cli.screen import Progress
from replay.errors import EXIT_DONE, UsageError


def convert(
    *paths: Annotated[
        Path, Parameter(name="SRC.. DST", help="The files to read, several merged, and the file to write.")
    ],
    run: Annotated[
        Path | None, Parameter(help="A run file that says how to read; alone with DST, its feeds are converted.")
    ] = None,
    format_: Annotated[
        str | None,
        Parameter(name="--format", help="Of the sources, where their names do not say it: csv, lean, dbn, ..."),
    ] = None,
    option: Annotated[
        list[str],
        Parameter(help="KEY=VALUE for the format, as zone=UTC. May be given again.", negative=(), show_default=False),
    ] = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    symbol: Annotated[
        str | None, Parameter(help="Of all rows; {column} names the column that holds it; of a tape: the one to keep.")
    ] = None,
    records: Annotated[
        Literal["quote", "trade", "bar"] | None, Parameter(help="What each row is; of CSV to write: which kind.")
    ] = None,
    bar: Annotated[str | None, Parameter(help="The length of bars, as 1m.")] = None,
    time: Annotated[str | None, Parameter(help="COLUMN[,UNIT[,ZONE]], the unit s, ms, us, ns or iso.")] = None,
    stamp: Annotated[
        Literal["start", "end"] | None, Parameter(help="Whether a bar's time is its start or its end.")
    ] = None,
    receive: Annotated[str | None, Parameter(help="A second time, of the receipt; written as --time.")] = None,
    column: Annotated[
        list[str],
        Parameter(
            help="FIELD=COLUMN for each that has another name. May be given again.", negative=(), show_default=False
        ),
    ] = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    decimals: Annotated[
        list[str],
        Parameter(help="Of price and size: 2,8 or BTCUSDT=2,8. May be given again.", negative=(), show_default=False),
    ] = [],  # noqa: B006
    excess_decimals: Annotated[
        Literal["error", "round"], Parameter(help="What happens to numbers finer than the decimals.")
    ] = "error",
    delimiter: Annotated[str, Parameter(help="Between the fields of a CSV row.")] = ",",
    sizes: Annotated[Literal["full", "none"], Parameter(help="none: the data carry no sizes.")] = "full",
    price: Annotated[Literal["trade", "bid", "ask", "mid"], Parameter(help="Which price the bars are of.")] = "trade",
    clock_offset: Annotated[str, Parameter(help="Added to every receive time.")] = "0s",
    dead_letters: Annotated[
        Path | None, Parameter(help="Where rows go that give no record; by default beside DST.")
    ] = None,
) -> int:
    """Convert CSV(.gz), NDJSON, captures and files of other formats to a .npy tape with its sidecar, or to .csv(.gz).

    What no option says is guessed from names and first rows, and listed.
    """
    if len(paths) < (1 if run is not None else 2):
        raise UsageError("there is nothing to convert", remedy="replay data convert SRC.. DST")
    from replay.data import convert as data

    *sources, destination = paths
    with Progress("convert") as progress:
        conversion = data.convert(
            sources,
            destination,
            run=run,
            format=format_,
            options=_pairs(option),
            symbol=symbol,
            records=records,
            bar=bar,
            time=time,
            stamp=stamp,
            receive=receive,
            columns=column,
            decimals=decimals,
            excess_decimals=excess_decimals,
            delimiter=delimiter,
            sizes=sizes,
            price=price,
            clock_offset=clock_offset,
            dead_letters=dead_letters,
            progress=progress,
        )
    print(conversion)
    return EXIT_DONE


def info(*paths: Annotated[Path, Parameter(name="TAPE..", help="The tapes to describe.")]) -> int:
    """Describe tapes: records by instrument and kind, times, scales, what is late, early or crossed."""
    if not paths:
        raise UsageError("there is nothing to describe", remedy="replay data info TAPE..")
    from replay.data import convert as data

    for path in paths:
        print(data.info(path))
    return EXIT_DONE


def head(
    path: Annotated[Path, Parameter(name="TAPE", help="The tape to show.")],
    /,
    *,
    rows: Annotated[int, Parameter(name=["--rows", "-n"], help="How many records.")] = 10,
) -> int:
    """Print the first records of a tape."""
    from replay.data import convert as data

    print(data.head(path, rows))
    return EXIT_DONE


def _pairs(texts: list[str]) -> dict[str, str]:
    """Read KEY=VALUE pairs."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{text!r} is no option of a format", remedy="write it as KEY=VALUE, as in zone=UTC")
        pairs[key.strip()] = value.strip()
    return pairs
