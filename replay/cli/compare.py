"""`replay compare`: two runs side by side, on screen and as a page.

May not live here: what is compared; that is `replay.report.comparison`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.cli.options import StatsOption
from replay.errors import EXIT_DONE


def compare(
    first: Annotated[Path, Parameter(help="A run folder, or a session folder.")],
    second: Annotated[Path, Parameter(help="The one to compare it with.")],
    /,
    *,
    html: Annotated[Path | None, Parameter(name="--html", help="Write the comparison as one HTML file, too.")] = None,
    stats: StatsOption = "main",
) -> int:
    """Set two runs side by side: configuration, statistics, equity, and the first event in which they differ."""
    from replay.report import check_page_name, find_subject, write_comparison
    from replay.report.comparison import Comparison

    if html is not None:
        check_page_name(html)
    comparison = Comparison(find_subject(first), find_subject(second))
    print(comparison.render(stats))
    if html is not None:
        print(f"\nreport {write_comparison(comparison, html)}")
    return EXIT_DONE
