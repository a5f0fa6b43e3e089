"""Who shows results as pages and pictures: said from above, since a report reads the run's tape once more.

May not live here: how anything is shown (replay.report), or an import of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Shower(Protocol):
    """Shows results."""

    def write_result_report(self, result: Any, path: str | Path) -> Path:
        """Write the report of a result as one HTML file and give its path."""

    def draw_result(self, result: Any, path: str | Path | None = None) -> Any:
        """Draw a result into a file, or give the figure."""


_load: Callable[[], Shower] | None = None


def shown_by(load: Callable[[], Shower]) -> None:
    """Say what loads who shows results; it is loaded when first asked for."""
    global _load
    _load = load


def shower() -> Shower:
    """Give who shows results."""
    assert _load is not None, "importing replay says who"
    return _load()
