"""The options that several commands share, each with its help.

May not live here: what an option does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from replay.cli.report_name import REPORT_IN_FOLDER
from replay.config import DEFAULT_RUN_FILE, RunConfig, load
from replay.errors import UsageError

RunFileOption = Annotated[Path, Parameter(help="The run file.")]
SetOption = Annotated[
    list[str],
    Parameter(
        name="--set",
        help="Change a key: strategy.0.params.fast=10. May be given again.",
        negative=(),
        show_default=False,
    ),
]
FeedOption = Annotated[
    list[str],
    Parameter(
        name="--feed",
        help="Replace the run file's feeds by this URI. May be given again.",
        negative=(),
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json", help="Print result.json's object as the last line of stdout.", negative=(), show_default=False
    ),
]
StatsOption = Annotated[
    Literal["main", "all"],
    Parameter(name="--stats", help="Which statistics are printed; result.json has all of them."),
]
OutOption = Annotated[
    Path | None, Parameter(name="--out", help="The run folder; by default runs/NAME/TIME under the working folder.")
]

ReportOption = Annotated[
    Path | None,
    Parameter(
        name="--report",
        help="Write the report, too: a name ending in .html; without one report.html in the run's folder.",
    ),
]

DEFAULT_RUN = Path(DEFAULT_RUN_FILE)


def check_report(report: Path | None) -> None:
    """Refuse before the run what would fail after it: charts that are not installed, a folder that does not exist."""
    if report is None:
        return
    from replay.report.html import check_chart_library

    check_chart_library()
    if str(report) == REPORT_IN_FOLDER:
        return
    if report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            f"a report is an HTML page, and {str(report)!r} ends in {report.suffix or 'nothing'}",
            place="--report",
            remedy=f"name it {report.with_suffix('.html')}; pictures are made later: `replay report RUN --png FILE`; "
            "a run file goes before --report",
        )
    if not report.parent.is_dir():
        raise UsageError(f"there is no folder {str(report.parent)!r}", place="--report", remedy="make it first")


def read_config(run: Path, sets: list[str], feeds: list[str]) -> RunConfig:
    """Load the run file with what the command line changes; a folder stands for the run.toml in it."""
    path = run / DEFAULT_RUN_FILE if run.is_dir() else run
    return load(path, sets=sets, feed=feeds or None)


def default_out(config: RunConfig) -> Path:
    """Name a run folder that does not exist yet, by the run file and the time of day."""
    from datetime import UTC, datetime

    stem = config.path.stem if config.path is not None else "run"
    base = Path("runs") / stem
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder, copy = base / name, 1
    while folder.exists():
        copy += 1
        folder = base / f"{name}-{copy}"
    return folder
