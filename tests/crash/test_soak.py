"""How the soak judges its samples: a leak breaks it, a step of an allocator and noise do not.

May not live here: a session; the small form of the soak is in test_kafka.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stress.broker_faults import MIB
from stress.proof import Broken
from stress.soak import RATE, Soak, slope_of


def samples(rss_mib: Any, seconds: float) -> Any:
    at_s = np.arange(0.0, seconds)
    ticks = at_s * RATE
    rows = np.zeros((len(at_s), 7))
    rows[:, 0], rows[:, 1], rows[:, 3], rows[:, 5] = at_s, ticks, 26, ticks / 100
    rows[:, 2] = rss_mib(at_s, ticks / 1e7) * MIB
    return rows


def soak(*, is_small: bool) -> Soak:
    made = Soak()
    made.is_small = is_small
    if is_small:
        made.seconds, made.warm_up_s = made.small_seconds, made.small_warm_up_s
    return made


def noise(seconds: Any, size: float, seed: int) -> Any:
    return np.random.default_rng(seed).normal(0.0, size, len(seconds))


def test_the_interval_holds_the_true_slope_19_times_in_20() -> None:
    across = np.linspace(0.6, 3.6, 1_500)
    missed = 0
    for seed in range(400):
        _, low, high = slope_of(across, 90.0 + 0.7 * across + noise(across, 0.5, seed))
        missed += not low <= 0.7 <= high
    assert 2 <= missed <= 30, f"{missed} of 400"


@pytest.mark.parametrize("leak", [0.0, 0.8])
def test_the_large_form_holds_below_the_limit(leak: float) -> None:
    found = samples(lambda at_s, across: 90 + leak * across + noise(at_s, 0.3, 1), 1_800)
    figures = soak(is_small=False)._judge(found)
    low, high = figures["slope_95_percent"]
    assert low < leak < high < 1.0


@pytest.mark.parametrize("at_second", [400, 817, 1_000, 1_500])
def test_the_large_form_holds_where_an_allocator_takes_a_step_once(at_second: int) -> None:
    found = samples(lambda at_s, across: 97 + 1.7 * (at_s >= at_second) + noise(at_s, 0.03, 4), 1_800)
    figures = soak(is_small=False)._judge(found)
    assert figures["slope_mib_per_10m"] < 0.9
    assert 0.4 < figures["net_mib_per_10m"] < 0.7


def test_the_large_form_breaks_where_steps_go_on() -> None:
    found = samples(lambda at_s, across: 97 + 1.5 * np.floor(at_s / 300) + noise(at_s, 0.03, 4), 1_800)
    with pytest.raises(Broken, match="memory grows"):
        soak(is_small=False)._judge(found)


@pytest.mark.parametrize("leak", [1.1, 3.0])
def test_the_large_form_breaks_beyond_the_limit(leak: float) -> None:
    found = samples(lambda at_s, across: 90 + leak * across + noise(at_s, 0.3, 1), 1_800)
    with pytest.raises(Broken, match="memory grows"):
        soak(is_small=False)._judge(found)


@pytest.mark.parametrize("at_second", [22, 30, 40, 58])
def test_the_small_form_takes_a_step_for_no_leak(at_second: int) -> None:
    found = samples(lambda at_s, across: 90 + 1.5 * (at_s >= at_second) + noise(at_s, 0.05, 2), 60)
    soak(is_small=True)._judge(found)


def test_the_small_form_breaks_where_two_bytes_of_each_tick_stay() -> None:
    found = samples(lambda at_s, across: 90 + 60 * across + noise(at_s, 0.05, 2), 60)
    with pytest.raises(Broken, match="memory"):
        soak(is_small=True)._judge(found)


def test_lag_and_handles_break_it_too() -> None:
    found = samples(lambda at_s, across: 90 + 0 * at_s, 1_800)
    for column, value, text in ((3, 30, "handles"), (4, 10_000, "behind")):
        broken = found.copy()
        broken[900:, column] = value
        with pytest.raises(Broken, match=text):
            soak(is_small=False)._judge(broken)
