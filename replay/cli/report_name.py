"""The name of a report on the command line: --report may go without one, and then stands for one in the run's folder.

May not live here: writing a report. Nothing may be imported: every command line comes through here.
"""

from __future__ import annotations

REPORT_IN_FOLDER = ":folder:"
"""What --report without a name stands for."""

_SUFFIXES = (".html", ".htm")


def with_report_name(arguments: list[str]) -> list[str]:
    """Give a bare --report its name; what follows it is a name only if it ends in .html."""
    named: list[str] = []
    for argument, follower in zip(arguments, [*arguments[1:], ""], strict=True):
        is_bare = argument == "--report" and not follower.lower().endswith(_SUFFIXES)
        named.append(f"--report={REPORT_IN_FOLDER}" if is_bare else argument)
    return named
