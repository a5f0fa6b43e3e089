"""What a finished run prints: its statistics for people, or its object as one line of JSON.

May not live here: how a statistic is computed or worded; the result has both.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from replay.errors import EXIT_DONE, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from replay.result.result import Result


def show(result: Result, *, as_json: bool) -> int:
    """Print a result and return the exit code that it stands for."""
    stream = sys.stderr if as_json else sys.stdout
    print(result.report(), file=stream)
    if result.folder is not None:
        print(f"folder {result.folder}", file=stream)
    stream.flush()
    if as_json:
        print(result.to_json().decode(), flush=True)
    return EXIT_INTERRUPTED if result.interrupted else EXIT_DONE
