"""`replay report`: the report of a run that is there, as HTML, as a picture, or as tables for a spreadsheet.

May not live here: what a report shows; that is `replay.report`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.errors import EXIT_DONE


def report(
    run: Annotated[Path, Parameter(help="A run folder (--out of a run), or a session folder.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(name="--out", help="The HTML file; by default report.html in the folder.")
    ] = None,
    png: Annotated[Path | None, Parameter(name="--png", help="Draw a picture instead: png, svg or pdf.")] = None,
    csv: Annotated[
        Path | None, Parameter(name="--csv", help="Write fills.csv and trades.csv into this folder instead.")
    ] = None,
) -> int:
    """Write the report of a run: prices with entries and exits, equity, returns, round trips, costs, statistics."""
    from replay.report import find_subject, write_report

    subject = find_subject(run)
    if png is not None:
        from replay.report.figure import draw

        print(f"picture {draw(subject, png)}")
    if csv is not None:
        from replay.report.spreadsheet import write_tables

        for path in write_tables(subject, csv):
            print(f"table {path}")
    if out is not None or (png is None and csv is None):
        print(f"report {write_report(subject, out)}")
    return EXIT_DONE
