"""The report of a run: one HTML file that needs nothing else, a picture of the same, tables for a spreadsheet.

May not live here: running anything; a report looks at what a run left, and at its tape once more.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.errors import UsageError
from replay.report.subject import Subject, find_subject, subject_of
from replay.result.result import Result

if TYPE_CHECKING:
    from replay.report.comparison import Comparison

__all__ = [
    "REPORT_FILE",
    "Subject",
    "draw_result",
    "find_subject",
    "subject_of",
    "write_comparison",
    "write_report",
    "write_result_report",
]

REPORT_FILE = "report.html"
"""The name of a report in the folder of its run."""


def check_page_name(path: str | Path) -> None:
    """Raise UsageError for a page that could not be written: no .html in its name, or no such folder."""
    place = Path(path)
    if place.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            f"a report is an HTML page, and {str(path)!r} ends in {place.suffix or 'nothing'}",
            remedy=f"name it {place.with_suffix('.html')}; pictures: `replay report RUN --png FILE` (png, svg, pdf)",
        )
    if not place.parent.is_dir():
        raise UsageError(
            f"cannot write the report: there is no folder {str(place.parent)!r}",
            place=str(path),
            remedy="make it first, or name another place",
        )


def write_report(subject: Subject, path: str | Path | None = None) -> Path:
    """Write the report of a run as one HTML file, by default into the run's folder, and give its path.

    Raises UsageError where the package plotly is missing or the file cannot be written.
    """
    from replay.report.document import document_of
    from replay.report.html import page, write_page

    if path is None:
        path = (subject.folder or Path()) / REPORT_FILE
    check_page_name(path)
    return write_page(page("report.html", document_of(subject)), Path(path))


def write_comparison(comparison: Comparison, path: str | Path) -> Path:
    """Write a comparison as one HTML file and give its path; raises as `write_report` does."""
    from replay.report.html import page, write_page

    check_page_name(path)
    return write_page(page("compare.html", comparison.document()), Path(path))


def write_result_report(result: Result, path: str | Path) -> Path:
    """Write the report of a result; see `write_report`."""
    return write_report(subject_of(result), path)


def draw_result(result: Result, path: str | Path | None = None) -> Any:
    """Draw a result with matplotlib; see `replay.report.figure.draw`."""
    from replay.report.figure import draw

    return draw(subject_of(result), path)
