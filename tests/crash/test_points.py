"""kill -9 at each named point of the journal, commit, snapshot and sink path, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_killed_at_each_named_point_a_session_goes_on_unchanged(tmp_path: Path) -> None:
    totals = hold("kill-points", tmp_path)
    assert totals["kills"] == totals["cycles"] > 30


@pytest.mark.slow
def test_killed_at_each_point_of_a_snapshot_a_session_goes_on_from_what_is_whole(tmp_path: Path) -> None:
    totals = hold("snapshot-points", tmp_path)
    assert totals["kills"] >= totals["cycles"] - 2 > 10, "two points come last, and a slow thread may not reach them"
    assert totals["snapshots_found"] > 5
