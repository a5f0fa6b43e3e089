"""The name of a report on the command line: --report may go without one, and then stands for one in the run's folder.

May not live here: writing a report. Nothing heavy may be imported: every command line comes through here.
"""

from __future__ import annotations

import os.path

REPORT_IN_FOLDER = ":folder:"
"""What --report without a name stands for."""


def with_report_name(arguments: list[str]) -> list[str]:
    """Give a bare --report its name; what follows it is a name unless it is an option, a run file or a folder."""
    named: list[str] = []
    for argument, follower in zip(arguments, [*arguments[1:], ""], strict=True):
        is_bare = argument == "--report" and not _is_name(follower)
        named.append(f"--report={REPORT_IN_FOLDER}" if is_bare else argument)
    return named


def _is_name(follower: str) -> bool:
    return bool(follower) and follower[0] != "-" and not follower.endswith(".toml") and not os.path.isdir(follower)
