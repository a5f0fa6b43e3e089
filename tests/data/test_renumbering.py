"""Renumbering: the one place where a source's indexes of instruments become the run's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay import records
from replay.feeds.renumbering import Renumbering
from replay.records import Kind


def some(instruments: list[int], kinds: list[int] | None = None) -> NDArray[Any]:
    made = records.empty(len(instruments))
    made["instrument"] = instruments
    made["kind"] = Kind.QUOTE if kinds is None else kinds
    made["a"] = np.arange(len(instruments))
    return made


def test_the_same_table_leaves_records_as_they_are() -> None:
    given = some([0, 1, 7])
    numbers = Renumbering(["X", "Y"], {"X": 0, "Y": 1, "Z": 2})
    got, kept = numbers.apply(given)
    assert numbers.is_identity
    assert got is given
    assert kept is None


def test_indexes_become_the_runs_and_what_it_does_not_name_is_left_out() -> None:
    got, kept = Renumbering(["X", "Y", "Z"], {"Z": 0, "X": 1}).apply(some([0, 1, 2, 0]))
    assert kept is not None
    assert kept.tolist() == [True, False, True, True]
    assert got["instrument"].tolist() == [1, 0, 1]
    assert got["a"].tolist() == [0, 2, 3]


def test_an_index_beyond_the_table_becomes_one_that_no_table_has() -> None:
    got, _ = Renumbering(["X", "Y"], {"Y": 0}).apply(some([1, 2, 99]))
    assert got["instrument"].tolist() == [0, 2**32 - 1, 2**32 - 1], (
        "the sequencer says so, instead of a wrong instrument"
    )


def test_clocks_and_commands_are_of_no_instrument_and_are_kept() -> None:
    kinds: list[int] = [Kind.CLOCK, Kind.COMMAND, Kind.QUOTE]
    got, kept = Renumbering(["X", "Y"], {"Y": 0}).apply(some([0, 5, 0], kinds))
    assert kept is not None
    assert kept.tolist() == [True, True, False]
    assert got["instrument"].tolist() == [0, 5]
