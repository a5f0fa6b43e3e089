"""The live screen as a textual application: it looks at glances and presses keys, and never waits for the run.

May not live here: what its boxes say (panel), what keys mean (keymap), and the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical, VerticalScroll
from textual.keys import _character_to_key
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Footer, Input, Label, Static

from replay.cli import panel
from replay.cli.seek import SEEK_HELP

if TYPE_CHECKING:
    from replay.cli.captured import Captured
    from replay.cli.keymap import Key, KeyMap
    from replay.glance import Glance, Glances

DRAWN_EVERY_S = 0.125
"""How often the screen looks for a new glance."""
MESSAGES_SHOWN = 4
"""Lines of what the run printed and logged."""


class LiveApp(App[None]):
    """Shows the newest glance of a run, and lets its keys be pressed. It ends when `is_over` says so."""

    CSS = """
    Screen { layout: vertical; }
    #head { height: 1; background: $panel; }
    #boxes { grid-size: 2 3; grid-columns: 1fr 1fr; grid-rows: 8 auto 1fr; height: 1fr; }
    #equity { height: 1fr; }
    .box { border: round $primary 60%; border-title-color: $text-muted; padding: 0 1; scrollbar-size: 1 1; }
    #equity-box { column-span: 2; }
    #prices-box, #positions-box { height: auto; min-height: 3; max-height: 12; }
    #counters { height: 1; background: $panel; }
    #messages { display: none; height: auto; max-height: 4; color: $text-muted; padding: 0 1; }
    .narrow #boxes { grid-size: 1 5; grid-columns: 1fr; grid-rows: 5 auto auto 1fr 1fr; }
    .narrow #equity-box { column-span: 1; }
    .narrow #prices-box, .narrow #positions-box { max-height: 5; }
    .short .box { border: none; border-top: solid $primary 60%; scrollbar-size: 0 0; }
    .short #boxes { grid-rows: 4 auto 1fr; }
    .narrow.short #boxes { grid-rows: 4 auto auto 1fr 1fr; }
    .short #prices-box, .short #positions-box { min-height: 2; max-height: 4; }
    .short #messages { max-height: 2; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", "leave", show=False, priority=True),
        Binding("ctrl+q", "leave", "leave", show=False, priority=True),
    ]

    def __init__(
        self,
        glances: Glances,
        keymap: KeyMap,
        *,
        is_over: Callable[[], bool],
        begin: Callable[[], None] = lambda: None,
        captured: Captured | None = None,
    ) -> None:
        """Take what to show, and what to press; `begin` is called when the screen stands."""
        super().__init__()
        self.title = "replay"
        self.HORIZONTAL_BREAKPOINTS = [(0, "narrow"), (90, "wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "short"), (32, "tall")]
        self.glances = glances
        self.keymap = keymap
        self.was_forced = False
        """Whether the user left a second time, without waiting for the run to end in order."""
        self._is_over = is_over
        self._begin = begin
        self._captured = captured
        self._streams = sys.stdout, sys.stderr
        self._drawn: Glance | None = None
        self._is_shown = False
        self._notice: str | None = None
        self._lines = 0
        *others, last = keymap.keys
        for key in others:
            self._bind(key)
        if keymap.seek is not None:
            self.bind("s", "seek", description="seek")
        self._bind(last)

    def _bind(self, key: Key) -> None:
        names = ",".join(_character_to_key(character) for character in key.characters)
        self.bind(names, f"press({key.characters[0]!r})", description=key.label, key_display=key.shown)

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Shown(id="head")
        with Grid(id="boxes"):
            yield _titled(Vertical(Curve(id="equity"), id="equity-box", classes="box"), "Equity")
            yield _box("prices", "Prices")
            yield _box("positions", "Positions")
            yield _box("orders", "Working orders")
            yield _box("fills", "Last fills")
        yield Static(id="messages", markup=False)
        yield Shown(id="counters")
        yield Footer()

    def on_mount(self) -> None:
        """Begin: from here on the run prints and logs to what captures it, not to what textual put there."""
        self.screen.can_focus = False
        sys.stdout, sys.stderr = self._streams
        self._begin()
        self.set_interval(DRAWN_EVERY_S, self.look)
        self.look()

    def look(self) -> None:
        """Draw what has changed since the last look; leave where the run is over."""
        if self._is_over():
            self.exit()
            return
        glance = self.glances.latest
        if self._drawn is not None and not self._is_shown:
            # One look after the first glance: the screen is laid out, which would have held records up.
            self._is_shown = True
            self.keymap.begin()
        if glance is not None and glance is not self._drawn:
            self._draw(glance, self._drawn)
            self._drawn = glance
        notice = self.keymap.notice()
        if notice != self._notice:
            self._notice = notice
            if notice is not None:
                self.notify(notice, severity="warning")
        if self._captured is not None and self._captured.lines != self._lines:
            self._lines = self._captured.lines
            messages = self.screen_stack[0].query_one("#messages", Static)
            messages.display = True
            messages.update("\n".join(self._captured.last(MESSAGES_SHOWN)))

    def _draw(self, glance: Glance, before: Glance | None) -> None:
        def show(name: str, made: Callable[[Glance], Table | Text], *members: str) -> None:
            if before is None or any(getattr(glance, member) != getattr(before, member) for member in members):
                self.screen_stack[0].query_one(f"#{name}", Shown).show(made(glance))

        show("prices", panel.prices, "prices")
        show("positions", panel.positions, "positions")
        show("orders", panel.orders, "orders")
        show("fills", panel.fills, "last_fills")
        base = self.screen_stack[0]
        base.query_one("#equity", Curve).show(glance)
        base.query_one("#head", Shown).show(panel.head(glance))
        base.query_one("#counters", Shown).show(panel.counters(glance))
        if before is None or glance.working != before.working:
            more = f"{glance.working:,}" if glance.working else ""
            base.query_one("#orders-box").border_title = f"Working orders {more}"
        if before is None or glance.fills != before.fills:
            more = f"{glance.fills:,}" if glance.fills else ""
            base.query_one("#fills-box").border_title = f"Last fills of {more}" if more else "Last fills"

    def action_press(self, character: str) -> None:
        """Press a key of the run."""
        self.keymap.press(character)

    def action_seek(self) -> None:
        """Ask for a time, and go there."""
        if self.keymap.seek is not None:
            self.push_screen(SeekPrompt(self.keymap.seek))

    def action_leave(self) -> None:
        """End the run in order; the second time, leave at once."""
        if self.keymap.stop.requested:
            self.was_forced = True
            self.exit()
        self.keymap.stop.request()


class Shown(Widget):
    """A piece of the panel.

    Only where its rows become more or less is the screen laid out anew, which takes as long as all else together.
    """

    DEFAULT_CSS = "Shown { height: auto; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 - as textual calls it
        super().__init__(id=id)
        self._content: Table | Text = Text()
        self._rows = 0

    def show(self, content: Table | Text) -> None:
        """Draw other content."""
        before, self._rows = self._rows, content.row_count if isinstance(content, Table) else 1
        self._content = content
        self.refresh(layout=self._rows != before)

    def render(self) -> RenderResult:
        """Draw it."""
        return self._content


class Curve(Widget):
    """The equity and its curve, as wide and high as there is room."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - as textual calls it
        super().__init__(id=id)
        self._glance: Glance | None = None

    def show(self, glance: Glance) -> None:
        """Draw another glance, where it has another equity."""
        before, self._glance = self._glance, glance
        if before is None or _money(before) != _money(glance):
            self.refresh()

    def render(self) -> RenderResult:
        """Draw it."""
        if self._glance is None:
            return ""
        return panel.equity(self._glance, self.size.width, self.size.height)


class SeekPrompt(ModalScreen[None]):
    """Asks for a time on the tape until it is one, or Escape is pressed."""

    CSS = """
    SeekPrompt { align: center middle; }
    #prompt { width: 76; max-width: 95%; height: auto; border: round $primary; padding: 1 2; background: $surface; }
    #said { color: $text-muted; height: auto; }
    .refusal { color: $text-warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "leave")]

    def __init__(self, seek: Callable[[str], None]) -> None:
        super().__init__()
        self._seek = seek

    def compose(self) -> ComposeResult:
        """Lay out the prompt."""
        with Vertical(id="prompt"):
            yield Label("Seek to a time, forward or back")
            yield Input()
            yield Label(SEEK_HELP, id="said")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Seek, or say what is wrong."""
        try:
            self._seek(event.value)
        except ValueError as error:
            said = self.query_one("#said", Label)
            said.update(str(error))
            said.add_class("refusal")
        else:
            self.dismiss()


def _money(glance: Glance) -> tuple[object, ...]:
    return glance.equity, glance.cash, glance.equity_curve


def _box(name: str, title: str) -> Widget:
    return _titled(VerticalScroll(Shown(id=name), id=f"{name}-box", classes="box", can_focus=False), title)


def _titled(box: Widget, title: str) -> Widget:
    box.border_title = title
    return box
