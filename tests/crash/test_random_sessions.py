"""Random tapes and strategies: one digest in every mode, also in a session that was killed and recovered."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_backtest_replay_paper_and_recovered_paper_decide_the_same(tmp_path: Path) -> None:
    totals = hold("sessions", tmp_path)
    assert totals["fills"] > 1_000
    assert totals["kills"] > 30
