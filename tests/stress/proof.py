"""A proof: cycles that each begin from a seed of their own and end with figures, or break; and the list of all proofs.

May not live here: how cycles are repeated, kept and resumed (runner), and what any proof does.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""What one cycle came to: names and numbers for its result line."""


class Broken(AssertionError):
    """What the proof holds does not hold."""


class Unavailable(Exception):
    """The proof cannot run on this machine; the text says why."""


def check(holds: object, text: str) -> None:
    """Break the proof with `text` where something does not hold; unlike assert, also under -O."""
    if not holds:
        raise Broken(text)


class Proof(ABC):
    """One proof. `cycles` is the large number, `small` the one that the tests run."""

    name: str
    holds: str
    """What is proved, in one line."""
    cycles: int
    small: int
    is_small: bool = False
    """Whether this is the small form, which may also wait for less."""

    def prepare(self, scratch: Path) -> None:  # noqa: B027 - most proofs need none
        """Do once what all cycles share; `scratch` lives as long as the proof runs."""

    def close(self) -> None:  # noqa: B027 - most proofs need none
        """Let go of what `prepare` took; also where that failed half-way."""

    @abstractmethod
    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        """Run one cycle in an empty folder; raise Broken where something does not hold."""


def dice_of(name: str, seed: int, cycle: int) -> random.Random:
    """Give the random numbers of one cycle: the same on every machine, whichever cycles ran before."""
    digest = hashlib.sha256(f"{name}/{seed}/{cycle}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


_PLACES = {
    "kill-fresh": "kills:FreshKills",
    "kill-forked": "kills:ForkedKills",
    "kill-points": "points:KillPoints",
    "snapshot-points": "points:SnapshotPoints",
    "power": "power:PowerCuts",
    "disk-errors": "faults:DiskErrors",
    "file-limit": "faults:FileLimit",
    "disk-full": "faults:DiskFull",
    "messages": "messages:Messages",
    "kill-kafka": "kafka_kills:KafkaKills",
    "broker-faults": "broker_faults:BrokerFaults",
    "messages-kafka": "kafka_messages:KafkaMessages",
    "soak": "soak:Soak",
    "kafka-points": "kafka_points:KafkaPoints",
    "sessions": "sessions:RandomSessions",
}

NAMES = tuple(_PLACES)


def find(name: str) -> Proof:
    """Make the proof of a name."""
    module, kind = _PLACES[name].split(":")
    made: Proof = getattr(import_module(f".{module}", __package__), kind)()
    return made
