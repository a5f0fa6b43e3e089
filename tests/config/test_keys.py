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

from replay.cli.keys import Keys
from replay.cli.play import PlayScreen
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
    screen = PlayScreen(controls)
    screen.press(" ")
    assert advance_of(controls) == "pause"
    screen.press(".")
    assert advance_of(controls) == "step"
    screen.press("n")
    assert advance_of(controls) == "next fill"
    screen.press("+")
    assert controls.state.speed == 2.0
    screen.press("-")
    screen.press("-")
    assert controls.state.speed == 0.5
    screen.press("x")
    assert not controls.stopped
    screen.press("q")
    assert controls.stopped


def test_the_status_line_says_time_speed_and_state() -> None:
    screen = PlayScreen(PlayControls(10.0))
    assert screen.status() == "before the first record  10x  running  0 records"
    screen(1_234, 5_000, 1_640_995_200_123_456_789)
    screen.press(" ")
    assert screen.status() == "2022-01-01T00:00:00.123Z  10x  paused  1,234 of 5,000 records"
