"""`replay backtest`: a run over stored data, as fast as the machine allows.

May not live here: how a run is put together; that is `replay.modes`.
"""

from __future__ import annotations

from replay.cli.options import (
    DEFAULT_RUN,
    FeedOption,
    JsonOption,
    OutOption,
    ReportOption,
    RunFileOption,
    SetOption,
    StatsOption,
    check_report,
    default_out,
    read_config,
)
from replay.cli.results import show
from replay.cli.screen import Progress


def backtest(
    run: RunFileOption = DEFAULT_RUN,
    /,
    *,
    out: OutOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
    stats: StatsOption = "main",
    sets: SetOption = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    feeds: FeedOption = [],  # noqa: B006
) -> int:
    """Run a strategy over stored data, as fast as the machine allows, and print its statistics."""
    config = read_config(run, sets, feeds)
    check_report(report)
    from replay import modes

    with Progress("backtest") as progress:
        result = modes.backtest(config, out=out or default_out(config), progress=progress)
    return show(result, as_json=json, statistics=stats, report=report)
