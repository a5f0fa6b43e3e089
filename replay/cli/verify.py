"""`replay verify`: two runs are equal, or the first event in which they differ.

May not live here: how runs are compared; that is `replay.verify`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.errors import EXIT_DIFFERS, EXIT_DONE


def verify(
    first: Annotated[Path, Parameter(help="A run folder, a session folder or a run file.")],
    second: Annotated[Path | None, Parameter(help="The folder to compare with.")] = None,
    /,
) -> int:
    """Compare two folders, a run file with itself run again, or a session with the re-run of its journal."""
    from replay.verify import verify as compare

    outcome = compare(first, second)
    print(outcome)
    return EXIT_DONE if outcome.equal else EXIT_DIFFERS
