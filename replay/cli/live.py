"""The live screen of a run: which kind there is, and how it stands beside the run without ever holding it up.

May not live here: what a screen shows (panel, live_app), and what a run does.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from replay.cli.captured import captured_output
from replay.cli.line_screen import LineScreen
from replay.errors import UsageError

if TYPE_CHECKING:
    from replay.cli.keymap import KeyMap
    from replay.glance import Glances
    from replay.result.result import Result

ScreenKind = Literal["auto", "full", "panel", "lines", "none"]
ScreenOption = Annotated[
    ScreenKind,
    Parameter(
        help="The live screen: full (needs the extra ui), panel (drawn in place), lines (one every 5 s), none; auto "
        "takes the first that the terminal and what is installed allow."
    ),
]

_SWITCH_S = 0.5e-3
_MODES_OFF = (1000, 1003, 1006, 1015, 2004, 1004)
_LEAVE_EVERYTHING = "".join(f"\x1b[?{mode}l" for mode in _MODES_OFF) + "\x1b[<u\x1b[?7h\x1b[?1049l\x1b[?25h"
"""Mouse, paste and focus reports off, the keyboard as it was, lines wrap, the first screen, the cursor shown."""


def choose(kind: ScreenKind, *, without_terminal: ScreenKind = "lines") -> ScreenKind:
    """Settle which screen there will be. Raises UsageError where one is asked for that there cannot be."""
    from replay.cli.panel_screen import is_terminal

    is_full = is_terminal() and _is_input_terminal()
    if kind == "full":
        if not is_full:
            raise UsageError("the full screen needs a terminal", place="--screen", remedy="take --screen lines")
        if find_spec("textual") is None:
            raise UsageError(
                "the full screen needs textual, which is not installed",
                place="--screen",
                remedy="pip install 'tickreplay[ui]', or take --screen panel",
            )
    if kind == "panel" and not is_terminal():
        raise UsageError("a panel needs a terminal", place="--screen", remedy="take --screen lines")
    if kind != "auto":
        return kind
    if not is_terminal():
        return without_terminal
    return "full" if is_full and find_spec("textual") is not None else "panel"


def watch(start: Callable[[], Result], label: str, kind: ScreenKind, glances: Glances, keymap: KeyMap) -> Result:
    """Run `start` with a screen of a kind that `choose` gave; return what it returns, raise what it raises.

    Beside the full screen the run has a thread of its own, so that a slow terminal holds up the screen alone.
    """
    if kind == "full":
        return _run_beside_app(start, label, glances, keymap)
    with _screen(label, kind, glances, keymap):
        return start()


def _screen(
    label: str, kind: ScreenKind, glances: Glances, keymap: KeyMap
) -> contextlib.AbstractContextManager[object]:
    if kind == "panel":
        from replay.cli.panel_screen import PanelScreen

        return PanelScreen(glances, keymap)
    return LineScreen(label, glances) if kind == "lines" else contextlib.nullcontext()


def _run_beside_app(start: Callable[[], Result], label: str, glances: Glances, keymap: KeyMap) -> Result:
    import asyncio

    from replay.cli.live_app import LiveApp
    from replay.pipeline.stop import stop_on_signals

    outcome: Future[Result] = Future()

    def work() -> None:
        gc.freeze()  # or the first searches for garbage go through all that the screen is made of
        try:
            outcome.set_result(start())
        except BaseException as error:  # noqa: BLE001 - raised again by `outcome.result()`
            outcome.set_exception(error)

    worker = threading.Thread(target=work, name="replay-run", daemon=True)
    with captured_output() as captured:
        app = LiveApp(glances, keymap, is_over=outcome.done, begin=worker.start, captured=captured)
        with stop_on_signals(keymap.stop), _sane_terminal(), _quick_switches():
            asyncio.run(app.run_async())
    if app.was_forced:
        raise KeyboardInterrupt
    if not outcome.done():
        print("replay: the screen has failed, the run goes on", file=sys.stderr)
        keymap.leave()
        if worker.ident is None:
            worker.start()
        with LineScreen(label, glances), stop_on_signals(keymap.stop):
            worker.join()
    return outcome.result()


@contextlib.contextmanager
def _quick_switches() -> Iterator[None]:
    """Give the run the interpreter soon after it asks, whatever the screen is drawing: not after 5 ms, the default.

    What was frozen when the run began can be searched for garbage again.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


@contextlib.contextmanager
def _sane_terminal() -> Iterator[None]:
    """Leave the terminal as it was, whatever becomes of the screen."""
    import termios

    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
    before = termios.tcgetattr(descriptor)
    try:
        yield
    except BaseException:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(_LEAVE_EVERYTHING)
            sys.__stderr__.flush()
        raise
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _is_input_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # closed or replaced
        return False
