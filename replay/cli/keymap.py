"""The keys of a live screen: for each what it is called, what it says in the footer, and what it does.

May not live here: how a key arrives (keys, live_app), and what a replay or a session makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from replay.cli.seek import parse_seek
from replay.pipeline.commands import CommandQueue, OperatorCommand

if TYPE_CHECKING:
    from replay.glance import Glances
    from replay.pipeline.pacing import PlayControls
    from replay.pipeline.stop import Stop


@dataclass(frozen=True)
class Key:
    """One key. `characters` are what a terminal sends for it; the first one is shown."""

    characters: str
    label: str
    press: Callable[[], object]
    name: str = ""
    """How it is shown, where the character itself would not be seen."""

    @property
    def shown(self) -> str:
        """What the footer calls it."""
        return self.name or self.characters[0]


@dataclass(frozen=True)
class KeyMap:
    """The keys of one run, and what a screen needs to know of it beside glances."""

    keys: list[Key]
    stop: Stop
    """Raised by the key that leaves."""
    seek: Callable[[str], None] | None = None
    """Goes to the time that was typed; raises ValueError with what may be typed."""
    notice: Callable[[], str | None] = field(default=lambda: None)
    """What the user should know now."""
    begin: Callable[[], object] = field(default=lambda: None)
    """Called where the screen shows the first glance: a run that is paced may begin."""
    leave: Callable[[], object] = field(default=lambda: None)
    """Called where the screen has gone before the run: nobody is there any more to press keys."""

    def press(self, character: str) -> bool:
        """Do what a character means; return whether it means something."""
        for key in self.keys:
            if character in key.characters:
                key.press()
                return True
        return False

    def help(self) -> str:
        """Name all keys in one line."""
        shown = [f"{key.shown} {key.label}" for key in self.keys]
        if self.seek is not None:
            shown.insert(-1, "s seek")
        return "  ".join(shown)


def play_keys(controls: PlayControls, glances: Glances) -> KeyMap:
    """Give the keys of a replay."""

    def seek(text: str) -> None:
        latest = glances.latest
        controls.seek(parse_seek(text, None if latest is None else latest.time_ns))

    keys = [
        Key(" ", "pause", controls.toggle, "space"),
        Key(".", "step", controls.step),
        Key("n", "next fill", controls.next_fill),
        Key("d", "next day", controls.next_day),
        Key("+=", "fast", controls.faster),
        Key("-_", "slow", controls.slower),
        Key("q", "quit", controls.stop),
    ]

    def leave() -> None:
        controls.let_begin()
        controls.let_end()

    return KeyMap(keys, controls.stop_request, seek, lambda: controls.notice, controls.let_begin, leave)


def paper_keys(commands: CommandQueue, stop: Stop, glances: Glances) -> KeyMap:
    """Give the keys of a session. Whether strategies may trade is a command on its tape, like one by `replay ctl`."""

    def toggle() -> None:
        latest = glances.latest
        is_active = latest is None or latest.trading == "active"
        commands.submit(OperatorCommand.PAUSE if is_active else OperatorCommand.RESUME)

    keys = [Key(" ", "pause trading / resume", toggle, "space"), Key("q", "quit", stop.request)]
    return KeyMap(keys, stop)
