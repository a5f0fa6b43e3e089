"""Frames of a journal that are run at once are proved one by one: the first that does not fit is not run.

May not live here: sessions, and what is done about a journal that gives other events.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay import recovery
from replay._engine import Engine
from replay.events import EVENT_BYTES
from replay.pipeline.journal import EMPTY_DIGEST, Frame
from replay.records import RECORD, as_bytes
from replay.strategy_state import lay_out

from .sessions import CrashingFeed, CutFeed, Rich, crash, run, tape, undisturbed

golden_run: Any = import_module("tests.digest.golden_run")  # by name: the type checker knows that folder as another
ROWS, FRAME_ROWS = 4_000, 250
LIMITS = [*range(FRAME_ROWS, ROWS, FRAME_ROWS), ROWS, ROWS]
"""Where the frames end; the last one has no records."""


def engine() -> Any:
    return Engine(golden_run.setup(), [golden_run.Golden()])


@pytest.fixture(scope="module")
def made() -> Any:
    return as_bytes(golden_run.tape()[:ROWS])


@pytest.fixture(scope="module")
def one_by_one(made: Any) -> tuple[list[str], list[int], str]:
    """Digests and events before each frame, and the digest at the end."""
    plain, digests, events, first = engine(), [], [0], 0
    for limit in LIMITS:
        digests.append(plain.digest())
        plain.run(made[first * 64 : limit * 64].data)
        events.append(events[-1] + len(plain.take_events()) // EVENT_BYTES)
        first = limit
    return digests, events, plain.digest()


def test_all_frames_at_once_decide_what_they_decide_one_by_one(made: Any, one_by_one: Any) -> None:
    digests, events, last = one_by_one
    again = engine()
    assert again.run_proved(made.data, LIMITS, digests) == (len(LIMITS), events[-2])
    assert again.digest() == last
    assert len(again.take_events()) == events[-1] * EVENT_BYTES > 100 * EVENT_BYTES
    assert again.seq == ROWS


@pytest.mark.parametrize("wrong", [0, 1, 7, len(LIMITS) - 1])
def test_the_first_frame_whose_digest_is_another_is_not_run(made: Any, one_by_one: Any, wrong: int) -> None:
    digests, events, _ = one_by_one
    other = [*digests[:wrong], "0" * 64, *digests[wrong + 1 :]]
    again = engine()
    assert again.run_proved(made.data, LIMITS, other) == (wrong, events[max(0, wrong - 1)])
    assert again.digest() == digests[wrong]
    assert again.seq == ([0, *LIMITS])[wrong]


def test_ends_of_frames_that_do_not_fit_the_records_are_refused(made: Any) -> None:
    for limits, digests in (
        ([FRAME_ROWS], [EMPTY_DIGEST]),
        ([ROWS], [EMPTY_DIGEST] * 2),
        ([ROWS, 5, ROWS], [EMPTY_DIGEST] * 3),
        ([], []),
    ):
        with pytest.raises(ValueError, match="do not fit 4000 records"):
            engine().run_proved(made.data, limits, digests)


def test_groups_hold_every_frame_once_in_order_and_few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "GROUP_RECORDS", 100)
    monkeypatch.setattr(recovery, "GROUP_FRAMES", 5)
    dice = np.random.default_rng(4)
    counts = [int(count) for count in dice.choice([0, 1, 30, 99, 100, 500], 300)]
    frames = [
        Frame(seq, np.zeros(count, dtype=RECORD), b"", "", False, 1, Path(), number)
        for number, (seq, count) in enumerate(zip(np.cumsum([0, *counts]).tolist(), counts, strict=False))
    ]
    groups = list(recovery._groups(iter(frames)))
    assert [frame for group in groups for frame in group] == frames
    assert all(len(group) <= 5 for group in groups)
    assert all(len(group) == 1 or sum(len(frame.records) for frame in group) <= 100 for group in groups)
    assert max(len(group) for group in groups) > 1


@pytest.mark.parametrize("records_at_once", [1, 60, 100_000])
def test_however_many_frames_are_run_at_once_a_damaged_event_log_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records_at_once: int
) -> None:
    monkeypatch.setattr(recovery, "GROUP_RECORDS", records_at_once)
    folder = tmp_path / "s"
    never = {"snapshot_records": 0, "snapshot_every": "0s"}
    assert crash(folder, CrashingFeed(tape(8), [20], 60), options=never)
    events = folder / "events" / "events.bin"
    data = bytearray(events.read_bytes())
    data[len(data) // 2] ^= 1  # some frame's digest proves what stood there
    events.write_bytes(data)
    assert run(folder, CutFeed(tape(8), [20]), options=never).digest == undisturbed(8).digest


def test_laying_attributes_out_changes_none_of_them() -> None:
    strategy = Rich(window=5)
    strategy.alias = strategy.shared = [1.0]
    before = dict(vars(strategy))
    lay_out(strategy)
    assert vars(strategy) == before
    assert list(vars(strategy)) == list(before)
    assert strategy.alias is strategy.shared
    strategy.seen = 3
    assert vars(strategy)["seen"] == 3
