"""`replay sessions`: lists paper sessions, shows one, removes those that are over.

May not live here: what a session is; `replay.sessions` looks at them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from replay.errors import EXIT_DONE

BaseOption = Annotated[Path, Parameter(help="The folder that the sessions lie in.")]
JsonFlag = Annotated[bool, Parameter(name="--json", help="Print JSON, for programs.", negative=(), show_default=False)]
_LEFT = ("session", "tape until, UTC", "state")
_DEFAULT_BASE = Path("sessions")


def list_sessions(base: BaseOption = _DEFAULT_BASE, /, *, json: JsonFlag = False) -> int:
    """List the sessions in a folder and below: what they are doing, how far they came, how much they hold."""
    from replay import sessions

    found = sessions.find(base)
    if json:
        print(msgspec.json.encode([entry.to_builtins() for entry in found]).decode())
        return EXIT_DONE
    if not found:
        print(f"no sessions in {base}")
        return EXIT_DONE
    rows = [("session", "records", "events", "tape until, UTC", "bytes", "state")]
    for entry in found:
        name = str(entry.folder.relative_to(base)) if entry.folder != base else str(base)
        tape_time = (entry.to_builtins()["tape_time"] or "-")[:19]
        state = entry.state if entry.problem is None else f"{entry.state}: {entry.problem}"
        rows.append((name, f"{entry.records:,}", f"{entry.events:,}", tape_time, f"{entry.size_bytes:,}", state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:  # whole, however narrow the terminal is: a name that is cut cannot be used
        cells = [
            text.ljust(width) if title in _LEFT else text.rjust(width)
            for text, width, title in zip(row, widths, rows[0], strict=True)
        ]
        print("  ".join(cells).rstrip())
    return EXIT_DONE


def show(session: Annotated[Path, Parameter(help="The session folder.")], /, *, json: JsonFlag = False) -> int:
    """Show one session: its state, strategies, journal, cursor, digest and dead letters."""
    from replay import sessions

    entry = sessions.look(session)
    shown = sessions.describe(entry)
    if json:
        print(msgspec.json.encode({**entry.to_builtins(), **shown}).decode())
        return EXIT_DONE
    width = max(len(name) for name in shown)
    for name, text in shown.items():
        print(f"{name:<{width}}  {text}")
    return EXIT_DONE


def prune(
    base: BaseOption = _DEFAULT_BASE,
    /,
    *,
    older_than: Annotated[str, Parameter(help="Only sessions whose journal has not grown for so long.")] = "30d",
    killed: Annotated[
        bool, Parameter(help="Also sessions that did not end in order.", negative=(), show_default=False)
    ] = False,
    yes: Annotated[
        bool, Parameter(help="Remove them; without it they are only listed.", negative=(), show_default=False)
    ] = False,
) -> int:
    """Remove sessions that are over. A running session is never removed, nor one that is damaged."""
    from replay import sessions
    from replay.errors import UsageError
    from replay.units import parse_duration

    try:
        older_than_ns = parse_duration(older_than)
    except ValueError as error:
        raise UsageError(f"{error}", place="--older-than", remedy="write it as 12h or 30d") from None
    chosen = sessions.prunable(sessions.find(base), older_than_ns=older_than_ns, killed=killed)
    for entry in chosen:
        if yes:
            sessions.remove(entry)
        print(f"{'removed' if yes else 'would remove'} {entry.folder}  {entry.state}, {entry.size_bytes:,} bytes")
    if not chosen:
        print(f"nothing to remove in {base}")
    elif not yes:
        print("nothing was removed: add --yes")
    return EXIT_DONE
