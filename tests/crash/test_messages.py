"""Duplicated, reordered, late, missing and broken messages, and clocks that jump: each is counted, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_admitted_and_dead_lettered_is_received_message_by_message_over_restarts(tmp_path: Path) -> None:
    totals = hold("messages", tmp_path)
    assert totals["admitted"] + totals["dead"] == totals["received"] > 19_000
    assert totals["restarts"] > 10
