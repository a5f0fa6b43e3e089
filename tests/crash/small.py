"""Runs the small form of a proof of tests/stress: the same code, fewer cycles.

May not live here: any proof.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from stress.proof import find
from stress.runner import Series, run

SEED = 20_261_124


def hold(name: str, out: Path, cycles: int | None = None) -> Counter[str]:
    """Run a proof's small number of cycles; fail at the first that is broken; give the sums of its figures."""
    totals: Counter[str] = Counter()
    for line in run(find(name), Series(name, SEED, out), cycles, is_small=True):
        if line["outcome"] == "unavailable":
            pytest.skip(line["reason"])
        assert line["outcome"] == "holds", f"cycle {line['cycle']} ({line.get('kept')}): {line['reason']}"
        totals["cycles"] += 1
        totals.update({key: value for key, value in line["figures"].items() if isinstance(value, int)})
    return totals
