"""Law 7: one tape and one configuration give one digest, whatever is around the run.

May not live here: what the digest of one mode is against another's (tests/modes).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from replay.records import as_bytes

from . import golden_run

HERE = Path(__file__).resolve().parent
GOLDEN = (HERE / "golden.txt").read_text().strip()


@pytest.mark.parametrize("batch", [1, 7, 64, 4_096, golden_run.RECORDS])
def test_the_digest_does_not_depend_on_the_batch_size(batch: int) -> None:
    engine = golden_run.run(golden_run.tape(), batch)
    assert engine.digest() == GOLDEN
    assert engine.is_balanced()


def test_the_golden_run_reaches_what_it_is_meant_to_hold() -> None:
    counters = golden_run.run(golden_run.tape()).counters()
    reached = ("new", "triggered", "replaced", "canceled", "cancel_rejected", "amend_rejected", "fill", "posting")
    assert all(counters["events"][kind] > 0 for kind in reached)
    assert counters["late"] > 0
    assert counters["stale"] > 0
    assert counters["fills"]["maker"] > 0
    assert counters["fills"]["taker"] > 0


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONHASHSEED": "0"},
        {"PYTHONHASHSEED": "12345"},
        {"TZ": "Asia/Kathmandu"},
        {"LC_ALL": "C"},
        {"LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"PYTHONOPTIMIZE": "1"},
        {"PYTHONDEVMODE": "1"},
    ],
    ids=lambda surroundings: "-".join(f"{key}={value}" for key, value in surroundings.items()),
)
def test_the_digest_does_not_depend_on_the_surroundings(surroundings: dict[str, str]) -> None:
    # PYTHONOPTIMIZE drops the run's own assert, not its result.
    done = subprocess.run(
        [sys.executable, str(HERE / "golden_run.py")],
        env={**os.environ, **surroundings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == GOLDEN


def test_an_empty_batch_is_no_records() -> None:
    records = golden_run.tape()
    engine = golden_run.run(records[:0])
    engine.run(as_bytes(records[:0]))
    assert engine.seq == 0
