"""The screen where there is no terminal: a line now and then.

May not live here: what a line says (panel).
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from replay.glance import Glance, Glances

LINE_EVERY_S = 5.0


class LineScreen:
    """Prints a line on stderr every five seconds while something happens."""

    def __init__(self, label: str, glances: Glances, *, every_s: float = LINE_EVERY_S) -> None:
        self._label = label
        self._glances = glances
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._print, name="replay-lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        self._thread.join(timeout=1.0)

    def _print(self) -> None:
        from replay.cli.panel import status_text

        printed: Glance | None = None
        while not self._over.wait(self._every_s):
            glance = self._glances.latest
            if glance is not None and glance != printed:
                print(f"{self._label}: {status_text(glance)}", file=sys.stderr, flush=True)
                printed = glance
