"""`replay play`: a run paced by its time stamps, with keys and a status line at a terminal.

May not live here: the pacing itself; that is `replay.pipeline.pacing`.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import Parameter

from replay.cli.keys import Keys
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
from replay.cli.screen import LINE_EVERY_NS
from replay.errors import UsageError
from replay.units import format_time, parse_time

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from replay.pipeline.pacing import PlayControls

KEYS_HELP = "space pause   . one record   n next fill   + faster   - slower   q quit"


def play(
    run: RunFileOption = DEFAULT_RUN,
    /,
    *,
    speed: Annotated[str, Parameter(help="0.1 to 1000 times real time, or max.")] = "1",
    from_: Annotated[str | None, Parameter(name="--from", help="Play from this time, as 2024-08-08T00:00:00Z.")] = None,
    until: Annotated[str | None, Parameter(help="Play until this time.")] = None,
    out: OutOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
    stats: StatsOption = "main",
    sets: SetOption = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    feeds: FeedOption = [],  # noqa: B006
) -> int:
    """Run a strategy over stored data paced by its time stamps; at a terminal, keys pause, step and set the speed."""
    from_ns, until_ns = _time("--from", from_), _time("--until", until)
    config = read_config(run, sets, feeds)
    check_report(report)
    from replay import modes
    from replay.pipeline.pacing import PlayControls, check_speed

    controls = PlayControls(check_speed(speed))
    with PlayScreen(controls) as screen:
        result = modes.play(
            config,
            speed=controls.state.speed,
            from_ns=from_ns,
            until_ns=until_ns,
            controls=controls,
            out=out or default_out(config),
            progress=screen,
        )
    return show(result, as_json=json, statistics=stats, report=report)


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(str(error), place=option) from None


class PlayScreen:
    """The status line and the keys of a replay; without a terminal, plain lines now and then."""

    def __init__(self, controls: PlayControls) -> None:
        self.controls = controls
        self.terminal = sys.stderr.isatty()
        self.keys = Keys(self.press, self.draw)
        self.live: Live | None = None
        self.line: type[Text] | None = None
        self.done = 0
        self.total: int | None = None
        self.now_ns: int | None = None
        self.next_line_ns = time.monotonic_ns() + LINE_EVERY_NS

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live
            from rich.text import Text

            self.line = Text  # plain: no colours by content
            console = Console(stderr=True)
            if self.keys.descriptor is not None:
                console.print(KEYS_HELP, style="dim", highlight=False)
            self.live = Live(console=console, transient=True, auto_refresh=False)
            self.live.start()
        self.keys.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self.keys.__exit__(None, None, None)
        if self.live is not None:
            self.live.stop()

    def __call__(self, done: int, total: int | None = None, now_ns: int | None = None) -> None:
        """Take note of how far the run is; drawn from the keys' thread."""
        self.done, self.total, self.now_ns = done, total, now_ns

    def press(self, key: str) -> None:
        """Do what a key means; keys without a meaning are ignored."""
        match key:
            case " ":
                self.controls.toggle()
            case ".":
                self.controls.step()
            case "n":
                self.controls.next_fill()
            case "+" | "=":
                self.controls.faster()
            case "-" | "_":
                self.controls.slower()
            case "q":
                self.controls.stop()

    def draw(self) -> None:
        """Show the state: on a terminal in place, else as a line every five seconds."""
        if self.live is not None and self.line is not None:
            self.live.update(self.line(self.status()), refresh=True)
        elif time.monotonic_ns() >= self.next_line_ns:
            self.next_line_ns = time.monotonic_ns() + LINE_EVERY_NS
            print(f"play: {self.status()}", file=sys.stderr, flush=True)

    def status(self) -> str:
        """Write `2024-08-08T00:00:12Z  10x  running  12,345 records`."""
        state = self.controls.state
        speed = "max" if state.speed == "max" else f"{state.speed:g}x"
        moment = (
            "before the first record" if self.now_ns is None else format_time(self.now_ns - self.now_ns % 1_000_000)
        )
        doing = {"run": "running", "pause": "paused", "step": "stepping"}.get(state.advance.value, state.advance.value)
        of = f" of {self.total:,}" if self.total else ""
        return f"{moment}  {speed}  {doing}  {self.done:,}{of} records"
