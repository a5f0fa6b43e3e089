"""`replay play`: a run paced by its time stamps, with a live screen and keys at a terminal.

May not live here: the pacing (`replay.pipeline.pacing`), and the screen (`replay.cli.live`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replay.cli.live import ScreenOption, choose, watch
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
from replay.errors import UsageError
from replay.units import parse_time

if TYPE_CHECKING:
    from replay.result.result import Result


def play(
    run: RunFileOption = DEFAULT_RUN,
    /,
    *,
    speed: Annotated[str, Parameter(help="0.1 to 1000 times real time, or max.")] = "1",
    from_: Annotated[str | None, Parameter(name="--from", help="Play from this time, as 2024-08-08T00:00:00Z.")] = None,
    until: Annotated[str | None, Parameter(help="Play until this time.")] = None,
    paused: Annotated[bool, Parameter(help="Wait before the first record.", negative=(), show_default=False)] = False,
    screen: ScreenOption = "auto",
    out: OutOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
    stats: StatsOption = "main",
    sets: SetOption = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    feeds: FeedOption = [],  # noqa: B006
) -> int:
    """Run a strategy over stored data paced by its time stamps; at a terminal, keys pause, step, seek and set speed."""
    from_ns, until_ns = _time("--from", from_), _time("--until", until)
    config = read_config(run, sets, feeds)
    check_report(report)
    from replay import modes
    from replay.cli.keymap import play_keys
    from replay.glance import Glances
    from replay.pipeline.pacing import PlayControls, check_speed

    controls, glances = PlayControls(check_speed(speed), paused=paused), Glances()
    kind = choose(screen)
    controls.holds_at_start = controls.holds_at_end = kind == "full"

    def start() -> Result:
        return modes.play(
            config,
            from_ns=from_ns,
            until_ns=until_ns,
            controls=controls,
            out=out or default_out(config),
            glances=glances,
        )

    result = watch(start, "play", kind, glances, play_keys(controls, glances))
    return show(result, as_json=json, statistics=stats, report=report)


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(str(error), place=option) from None
