"""kill -9: whatever a session was doing, nothing is lost and nothing doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_fresh_processes_killed_at_random_moments_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    assert hold("kill-fresh", tmp_path)["kills"] >= 30


@pytest.mark.slow
def test_forked_processes_killed_at_random_moments_and_operations_lose_and_double_nothing(tmp_path: Path) -> None:
    assert hold("kill-forked", tmp_path)["kills"] >= 24
