"""`replay paper`: a session on live data with simulated fills, a journal and metrics.

May not live here: what a session is; that is `replay.session`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replay.cli.live import ScreenOption, choose, watch
from replay.cli.options import (
    DEFAULT_RUN,
    FeedOption,
    JsonOption,
    ReportOption,
    RunFileOption,
    SetOption,
    StatsOption,
    check_report,
    read_config,
)
from replay.cli.results import show
from replay.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from replay.config import RunConfig
    from replay.result.result import Result


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
    group: Annotated[
        str | None,
        Parameter(
            help="Share the feed's partitions out among all workers of this name; --session is the folder they share."
        ),
    ] = None,
    report: ReportOption = None,
    screen: ScreenOption = "auto",
    json: JsonOption = False,
    stats: StatsOption = "main",
    sets: SetOption = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    feeds: FeedOption = [],  # noqa: B006
) -> int:
    """Run a strategy on live data with simulated fills. Ctrl-C ends it in order; started again, it goes on."""
    config = read_config(run, sets, feeds)
    check_report(report)
    from replay import modes
    from replay.cli.keymap import paper_keys
    from replay.glance import Glances
    from replay.pipeline.commands import CommandQueue
    from replay.pipeline.stop import Stop

    stem = config.path.stem if config.path is not None else "run"
    folder = session or Path("sessions") / stem
    if group is not None:
        others = (fork, at, report, adopt or None, json or None, None if screen in ("auto", "none") else screen)
        if any(other is not None for other in others):
            raise UsageError(
                "--group goes with none of --fork, --at, --adopt, --report, --json and --screen",
                remedy="each shard is a session of its own below --session: name that one",
            )
        return _work(config, group, folder)
    request = None
    if fork is not None:
        from replay.fork import ForkRequest

        request = ForkRequest.parse(fork, at)
    elif at is not None:
        raise UsageError("--at goes with --fork", remedy="name the session to fork")
    commands, stop, glances = CommandQueue(), Stop(), Glances()

    def start() -> Result:
        return modes.paper(config, folder, adopt=adopt, fork=request, stop=stop, commands=commands, glances=glances)

    kind = choose(screen, without_terminal="none")  # its log says what there is to say
    result = watch(start, "paper", kind, glances, paper_keys(commands, stop, glances))
    return show(result, as_json=json, statistics=stats, report=report)


def _work(config: RunConfig, group: str, folder: Path) -> int:
    """Run the shards that the group gives this process, until Ctrl-C."""
    import asyncio

    from replay.workers import Worker

    worker = Worker(config, group, folder)
    asyncio.run(worker.run())
    return EXIT_INTERRUPTED
