"""Keys at a real (pseudo) terminal: each arrives at once, means what it says, and the terminal is put back.

No run is needed; the controls are those of a replay.
"""

from __future__ import annotations

import os
import pty
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from replay.cli.keymap import play_keys
from replay.cli.keys import Keys
from replay.glance import Glances
from replay.pipeline.pacing import PlayControls


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < limit, "nothing came"
        time.sleep(0.01)


def test_keys_arrive_without_enter_and_the_terminal_is_put_back(terminal: int) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    pressed: list[str] = []
    with pytest.raises(RuntimeError, match="on purpose"), Keys(pressed.append, lambda: None):
        assert termios.tcgetattr(sys.stdin.fileno()) != before
        os.write(terminal, b" .n")
        wait_for(lambda: len(pressed) == 3)
        raise RuntimeError("on purpose")
    assert pressed == [" ", ".", "n"]
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_without_a_terminal_there_are_ticks_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "r") as stdin, os.fdopen(write_end, "w"):
        monkeypatch.setattr(sys, "stdin", stdin)
        ticks: list[int] = []
        with Keys(lambda _key: pytest.fail("a key came"), lambda: ticks.append(1)):
            wait_for(lambda: len(ticks) >= 2)


def advance_of(controls: PlayControls) -> str:
    return str(controls.state.advance.value)


def test_each_key_of_a_replay_does_what_it_says() -> None:
    controls = PlayControls(1.0)
    keys = play_keys(controls, Glances())
    for key, expected in ((" ", "pause"), (" ", "run"), (".", "step"), ("n", "next fill"), ("d", "next day")):
        assert keys.press(key)
        assert advance_of(controls) == expected
    for key, speed in (("+", 2.0), ("-", 1.0), ("_", 0.5), ("=", 1.0)):
        assert keys.press(key)
        assert controls.state.speed == speed
    assert not keys.press("x")
    assert not controls.stopped
    assert keys.press("q")
    assert controls.stopped


def test_the_help_names_every_key() -> None:
    assert play_keys(PlayControls(), Glances()).help() == (
        "space pause  . step  n next fill  d next day  + fast  - slow  s seek  q quit"
    )
