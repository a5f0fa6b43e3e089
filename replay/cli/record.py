"""`replay record`: any feed to a folder of tapes.

May not live here: how it is recorded; that is `replay.data.record`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.cli.screen import Progress
from replay.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError


def record(
    source: Annotated[
        str,
        Parameter(name="SOURCE", help="A run file (.toml), a feed's URI with --run, or a tape; with --finish: DIR."),
    ],
    folder: Annotated[Path | None, Parameter(name="DIR", help="The folder of the tapes.")] = None,
    /,
    *,
    run: Annotated[Path | None, Parameter(help="The run file that says how to read SOURCE.")] = None,
    feeds: Annotated[
        list[str],
        Parameter(
            name="--feed", help="Of a run file: these feeds instead of its own.", negative=(), show_default=False
        ),
    ] = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    every: Annotated[str | None, Parameter(help="A new tape each such time of the records: 1h, 1d.")] = None,
    size: Annotated[int, Parameter(help="A new tape after so many MiB.")] = 1024,
    finish: Annotated[bool, Parameter(help="Only make the last tape of a killed recorder whole.", negative=())] = False,
) -> int:
    """Record a feed as .npy tapes. Ctrl-C ends it in order; started again, also after a crash, it goes on."""
    from replay.data import record as work
    from replay.records import RECORD_BYTES
    from replay.units import parse_duration

    if finish:
        name = work.finish(Path(source))
        print(f"{source}: {name} is whole" if name else f"{source}: nothing was left unfinished")
        return EXIT_DONE
    if folder is None:
        raise UsageError("there is no folder to record into", remedy="replay record SOURCE DIR")
    if size < 1:
        raise UsageError(f"a tape has at least 1 MiB, not {size}", place="--size")
    try:
        every_ns = None if every is None else parse_duration(every)
    except ValueError as error:
        raise UsageError(str(error), place="--every") from None
    if every_ns is not None and every_ns <= 0:
        raise UsageError(f"{every} is no time after which a tape ends", place="--every")
    rotation = work.Rotation((size << 20) // RECORD_BYTES, every_ns)
    with Progress("record") as progress:
        done = work.record(source, folder, run=run, feeds=tuple(feeds), rotation=rotation, progress=progress)
    print(done)
    return EXIT_INTERRUPTED if done.is_interrupted else EXIT_DONE
