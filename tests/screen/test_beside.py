"""A run beside the full screen: what it returns and raises comes through, and a screen that fails leaves the run alone.

May not live here: real terminals (test_terminal).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from replay.cli import live
from replay.cli.keymap import KeyMap, play_keys
from replay.cli.live_app import LiveApp
from replay.glance import Glances
from replay.pipeline.pacing import PlayControls

Behave = Callable[[LiveApp], None]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Behave], None]:
    """Put something in the place of the app's own life on a terminal."""
    monkeypatch.setattr(live, "_sane_terminal", contextlib.nullcontext)

    def set_to(behave: Behave) -> None:
        async def run_async(self: LiveApp) -> None:
            behave(self)

        monkeypatch.setattr(LiveApp, "run_async", run_async)

    return set_to


def watched(start: Callable[[], Any], controls: PlayControls | None = None) -> Any:
    glances = Glances()
    return live.watch(start, "play", "full", glances, play_keys(controls or PlayControls(), glances))


def begins_and_waits(app: LiveApp) -> None:
    app._begin()
    while not app._is_over():
        threading.Event().wait(0.01)


def test_what_the_run_returns_and_raises_comes_through(screen: Callable[[Behave], None]) -> None:
    screen(begins_and_waits)
    assert watched(lambda: "the result") == "the result"

    def fails() -> None:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        watched(fails)


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_screen_that_fails_leaves_the_run_alone(
    has_begun: bool, screen: Callable[[Behave], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(app: LiveApp) -> None:
        if has_begun:
            app._begin()

    screen(fails)
    controls = PlayControls(paused=True)
    controls.holds_at_end = True
    may_end = threading.Event()
    threading.Timer(0.2, may_end.set).start()

    def start() -> bool:
        print("a word of the strategy")
        assert may_end.wait(20)
        return controls.holds_at_end

    assert watched(start, controls) is False, "nobody is there who could leave at the end"
    said = capsys.readouterr()
    assert "the screen has failed, the run goes on" in said.err
    assert "a word of the strategy" in said.out


def test_whoever_leaves_twice_does_not_wait(screen: Callable[[Behave], None]) -> None:
    def leaves(app: LiveApp) -> None:
        app._begin()
        app.was_forced = True

    screen(leaves)
    never = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        watched(lambda: never.wait(5))
    never.set()


def test_a_screen_needs_its_keys() -> None:
    from replay.pipeline.stop import Stop

    assert KeyMap([], Stop()).help() == ""
