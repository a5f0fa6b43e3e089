"""The command line: `replay COMMAND`, one module per command, each loaded only when it is called.

May not live here: anything that a user of the Python interface would need too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code, as listed in `replay.errors`."""
    try:
        from replay.cli.app import run

        code = run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # while modules were loaded, or an interruption was being told
        print("replay: interrupted", file=sys.stderr)
        code = _INTERRUPTED
    sys.exit(code)
