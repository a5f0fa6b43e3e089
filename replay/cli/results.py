"""What a finished run prints: its statistics for people, or its object as one line of JSON.

May not live here: how a statistic is computed or worded; the result has both.
"""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Literal

from replay.cli.failures import say
from replay.cli.report_name import REPORT_IN_FOLDER
from replay.errors import EXIT_DONE, EXIT_HALT, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from pathlib import Path

    from replay.result.result import Result


def show(
    result: Result, *, as_json: bool, statistics: Literal["main", "all"] = "main", report: Path | None = None
) -> int:
    """Print a result, write its report where one is wanted, and return the exit code that the result stands for."""
    stream = sys.stderr if as_json else sys.stdout
    nothing = None if result.interrupted else _nothing_taken(result)
    if nothing is not None:  # statistics of nothing would only hide it
        if as_json:
            print(result.to_json().decode(), flush=True)
        fact, _, remedy = nothing.partition("\n")
        say(fact, remedy=remedy)
        return EXIT_HALT
    print(result.report(statistics=statistics, width=get_terminal_size().columns), file=stream)
    if result.folder is not None:
        print(_place(result.folder, result.interrupted), file=stream)
    if report is not None:
        from replay.report import subject_of, write_report

        written = write_report(subject_of(result), None if str(report) == REPORT_IN_FOLDER else report)
        print(f"report {written}", file=stream)
    stream.flush()
    if as_json:
        print(result.to_json().decode(), flush=True)
    return EXIT_INTERRUPTED if result.interrupted else EXIT_DONE


def _place(folder: Path, interrupted: bool) -> str:
    """Say where the run lies: of a session, the folder that all commands take."""
    if not (folder.parent / "session.toml").exists():
        return f"folder {folder}"
    return f"session {folder.parent}" + (": started again, it goes on where it was" if interrupted else "")


def _nothing_taken(result: Result) -> str | None:
    """Say why a run took no record at all; None where it took some."""
    if result.counts.get("records"):
        return None
    dead = {reason: count for reason, count in result.counts.get("dead_letters", {}).items() if count}
    if dead:
        folder = result.folder
        where = "the dead letters" if folder is None else str(folder / "dead-letters.ndjson")
        listed = ", ".join(f"{reason} {count:,}" for reason, count in dead.items())
        return (
            f"no row gave a record, all were set aside: {listed}\n"
            f"read {where}; check the unit of the feed's time, and its columns"
        )
    outside = result.counts.get("feed", {}).get("outside")
    if outside:
        return (
            f"no record lies between run.from and run.until: all {outside:,} lie outside\n"
            "`replay data info` says from when to when the data run"
        )
    return (
        "the feeds gave no record at all\n"
        "a text file needs rows after its header, each ended by a newline; `replay data info` looks into it"
    )
