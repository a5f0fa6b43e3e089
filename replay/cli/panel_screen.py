"""The screen where textual is missing: a panel drawn in place with rich, and single keys.

May not live here: what it shows (panel) and what keys mean (keymap).
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from replay.cli import panel
from replay.cli.keys import Keys

if TYPE_CHECKING:
    from replay.cli.keymap import KeyMap
    from replay.glance import Glance, Glances

_ENTER = ("\r", "\n")
_ESCAPE = "\x1b"
_ERASE = ("\x7f", "\b")
_SEEK = "s"
_CHART_LINES = 5
_NARROW = 100


class PanelScreen:
    """Draws the newest glance ten times a second at most, from the thread of the keys."""

    def __init__(self, glances: Glances, keymap: KeyMap) -> None:
        self.glances = glances
        self.keymap = keymap
        self.typed: str | None = None
        """The time that is being typed after the key for seeking; None: no prompt."""
        self.refusal: str | None = None
        self._keys = Keys(self.press, self.draw)
        self._has_keys = self._keys.descriptor is not None
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._drawn: object = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._live.start()
        self._keys.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._keys.__exit__(None, None, None)
        with self._lock:
            self._live.stop()

    def press(self, character: str) -> None:
        """Do what a key means, or type it at the prompt."""
        if self.typed is None:
            if character == _SEEK and self.keymap.seek is not None:
                self.typed, self.refusal = "", None
            else:
                self.keymap.press(character)
        elif character in _ENTER:
            self._seek(self.typed)
        elif character == _ESCAPE:
            self.typed = None
        elif character in _ERASE:
            self.typed = self.typed[:-1]
        elif character.isprintable():
            self.typed += character

    def _seek(self, text: str) -> None:
        assert self.keymap.seek is not None
        self.typed = self.refusal = None
        try:
            self.keymap.seek(text)
        except ValueError as error:
            self.refusal = str(error)

    def draw(self) -> None:
        """Draw where something has changed."""
        state = (self.glances.number, self.typed, self.refusal, self.keymap.notice(), self._console.size)
        with self._lock:
            if state == self._drawn or not self._live.is_started:
                return
            self._drawn = state
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        glance = self.glances.latest
        footer = self._footer()
        if glance is None:
            return Group(Text("starting ..."), footer)
        width = self._console.width
        pieces: list[RenderableType] = [
            panel.head(glance),
            Rule(style="dim"),
            panel.equity(glance, width, _CHART_LINES),
            Rule("market and positions", style="dim"),
            *_beside(panel.prices(glance), panel.positions(glance), width),
            Rule("working orders and last fills", style="dim"),
            *_beside(panel.orders(_short(glance)), panel.fills(_short(glance)), width),
            Rule(style="dim"),
            panel.counters(glance),
            footer,
        ]
        return Group(*pieces)

    def _footer(self) -> Text:
        if self.typed is not None:
            return Text(f"seek to: {self.typed}_   (Enter goes, Esc leaves)", "bold")
        said = self.refusal or self.keymap.notice()
        if said is not None:
            return Text(said, "yellow")
        if not self._has_keys:
            return Text("Ctrl-C ends it in order", "dim")
        return Text(self.keymap.help(), "dim", no_wrap=True, overflow="ellipsis")


def _beside(left: Table, right: Table, width: int) -> list[RenderableType]:
    """Put two tables side by side where there is room, else one above the other."""
    if width < _NARROW:
        return [left, right]
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(left, right)
    return [grid]


def _short(glance: Glance) -> Glance:
    """Leave only so many orders and fills that the panel fits a small terminal."""
    import msgspec

    rows = 5
    return msgspec.structs.replace(glance, orders=glance.orders[-rows:], last_fills=glance.last_fills[-rows:])


def is_terminal() -> bool:
    """Say whether stderr is a terminal that can draw."""
    import os

    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
