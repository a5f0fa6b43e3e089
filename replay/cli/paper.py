"""`replay paper`: a session on live data with simulated fills, a journal and metrics.

May not live here: what a session is; that is `replay.session`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.cli.options import DEFAULT_RUN, FeedOption, JsonOption, RunFileOption, SetOption, read_config
from replay.cli.results import show
from replay.cli.screen import Progress
from replay.errors import UsageError


def paper(
    run: RunFileOption = DEFAULT_RUN,
    /,
    *,
    session: Annotated[
        Path | None, Parameter(help="The session folder; by default sessions/NAME under the working folder.")
    ] = None,
    adopt: Annotated[
        bool,
        Parameter(
            help="Go on in a folder that was copied or moved; the original must not run any more.",
            negative=(),
            show_default=False,
        ),
    ] = False,
    fork: Annotated[
        Path | None,
        Parameter(help="Take the recorded ticks of this session first: what if, then go on from there."),
    ] = None,
    at: Annotated[
        str | None,
        Parameter(help="Fork before this record (its number) or time; by default at the end of what is recorded."),
    ] = None,
    json: JsonOption = False,
    sets: SetOption = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    feeds: FeedOption = [],  # noqa: B006
) -> int:
    """Run a strategy on live data with simulated fills. Ctrl-C ends it in order; started again, it goes on."""
    config = read_config(run, sets, feeds)
    from replay import modes

    request = None
    if fork is not None:
        from replay.fork import ForkRequest

        request = ForkRequest.parse(fork, at)
    elif at is not None:
        raise UsageError("--at goes with --fork", remedy="name the session to fork")
    stem = config.path.stem if config.path is not None else "run"
    with Progress("paper", lines=False) as progress:
        result = modes.paper(config, session or Path("sessions") / stem, progress=progress, adopt=adopt, fork=request)
    return show(result, as_json=json)
