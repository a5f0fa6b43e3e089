"""Disks that refuse: a session halts in order, keeps what was durable, and goes on when it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small import hold


@pytest.mark.slow
def test_an_error_of_each_operation_of_the_disk_halts_with_code_5_and_the_next_start_goes_on(tmp_path: Path) -> None:
    assert hold("disk-errors", tmp_path)["halts"] > 30


@pytest.mark.slow
def test_the_file_size_limit_of_the_system_halts_a_session_which_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    assert hold("file-limit", tmp_path)["halts"] > 0


@pytest.mark.slow
def test_a_full_disk_halts_a_session_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    assert hold("disk-full", tmp_path)["halts"] > 0
