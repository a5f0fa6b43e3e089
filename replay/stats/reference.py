"""The reference of all statistics as a table, written from their docstrings.

No definition may stand here.
"""

from __future__ import annotations

from itertools import groupby

from replay.stats.statistic import STATISTICS, UNITS


def statistics_markdown() -> str:
    """Write the reference table of the documentation, family by family."""
    parts: list[str] = []
    for family, entries in groupby(STATISTICS.values(), key=lambda entry: entry.family):
        parts += [f"### {family.capitalize()}", "", "| name | unit | is | source |", "|---|---|---|---|"]
        for entry in entries:
            definition = entry.definition.replace("|", "\\|")
            parts.append(f"| `{entry.name}` | {UNITS[entry.unit]} | {definition} | {entry.source} |")
        parts.append("")
    return "\n".join(parts)
