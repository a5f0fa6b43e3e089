"""What all tests share: how hypothesis searches, and where recorded market data are.

May not live here: fixtures of one part of the package; they stand beside its tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# A machine under load is no reason to fail; an example that failed once is tried again by its printed blob.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fast", max_examples=50, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("thorough", max_examples=1000, **_COMMON)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return the path of a recorded data set, or skip the test where this machine does not have it."""
    folder = Path(os.environ.get("REPLAY_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"{path} is not on this machine; REPLAY_TEST_DATA names another folder of recorded data")
        return path

    return find


# The longest first, so that no worker is left with one of them at the end.
_FIRST = ("tests/crash/test_kafka.py", "tests/crash/", "tests/kafka/", "tests/watching/", "tests/snapshots/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what stays together on a worker, a module or one proof of tests/crash, and in which order all of it goes."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, prefix in enumerate(_FIRST) if item.nodeid.startswith(prefix)), len(_FIRST))

    items.sort(key=rank)
    for item in items:
        module = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(item.nodeid if module.startswith("tests/crash/") else module))
