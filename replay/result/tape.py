"""The tape of a run once more: the records that it took, in order, and the setup that says what they mean.

May not live here: where they are read from (rerun.py), and what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class TapeAgain:
    """Records that a run took, read again.

    `setup` is the engine's setup (JSON); `pieces` gives the admitted records (dtype replay.records.RECORD) in tape
    order, once.
    """

    setup: bytes
    pieces: Iterator[NDArray[Any]]


TapeSource = Callable[[], TapeAgain]
"""Opens the tape of a run again; raises ReplayError or OSError where its data have gone."""
