"""Power loss: any subset of what was not synced is gone, and no sink had shown what recovery does not reproduce."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_after_any_power_cut_recovery_reproduces_all_that_was_shown_and_a_failed_sync_halts(tmp_path: Path) -> None:
    totals = hold("power", tmp_path)
    assert totals["cuts"] >= 300
    assert totals["halts"] > 5
