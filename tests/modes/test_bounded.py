"""Nothing that a run keeps grows with its length: sizes of a short run beside those of one ten times as long.

May not live here: how long anything takes; rates and slopes of a whole session are those of the soak (tests/stress).
"""

from __future__ import annotations

from typing import Any

import pytest

from replay import Strategy
from replay.strategy import TimerNames


def test_a_timer_name_is_kept_as_long_as_a_timer_goes_by_it() -> None:
    names = TimerNames()
    with names.taken("often") as often:
        pass
    with names.taken("once") as once, names.taken("once") as again:
        assert once == again
    assert names.fired(often, True) == "often"
    assert names.fired(once, False) == "once"
    assert names.fired(once, False) == "once"
    with names.taken("new") as new:
        assert new == once, "its number is free"
    assert len(names) == 2
    other = TimerNames()
    other.restore(names.state())
    assert other.state() == names.state()
    assert other.fired(new, False) == "new"
    assert len(other) == 1


def test_a_timer_that_is_refused_takes_no_name() -> None:
    names = TimerNames()
    with pytest.raises(ValueError, match="before now"), names.taken("past"):
        raise ValueError("timer at 5 ns is before now")
    assert len(names) == 0


def test_a_strategy_that_is_not_told_of_timers_keeps_no_names() -> None:
    class Deaf(Strategy):
        pass

    desk: Any = object()
    names = Deaf()._attach(desk)
    for number in range(100):
        with names.taken(f"timer {number}"):
            pass
    assert len(names) == 0
