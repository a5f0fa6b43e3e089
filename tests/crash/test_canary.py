"""The secrets canary: a marked password in a session's environment appears in nothing that it writes."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from stress.canary import leaks, new_password
from stress.faults import DiskErrors
from stress.kills import ForkedKills


def test_the_search_finds_a_password_in_files_names_and_texts_in_any_form(tmp_path: Path) -> None:
    password = new_password()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "clean.log").write_text("nothing of it: canary/ff+")
    assert leaks(password, [tmp_path], {"metrics": "replay_up 1"}) == []
    (tmp_path / "deep" / "one.log").write_bytes(b"\0\1" + password.encode())
    (tmp_path / "two.json").write_bytes(base64.b64encode(password.encode()))
    found = leaks(password, [tmp_path], {"metrics": password.encode()[::-1]})
    assert {line.split(": ")[0] for line in found} == {
        str(tmp_path / "deep" / "one.log"),
        str(tmp_path / "two.json"),
        "metrics",
    }


@pytest.mark.slow
def test_a_password_in_the_environment_appears_nowhere_through_kills_and_failing_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = new_password()
    monkeypatch.setenv("REPLAY_KAFKA_PASSWORD", password)
    dice = random.Random(3)
    for proof, cycles in ((DiskErrors(), 6), (ForkedKills(), 3)):
        shared = tmp_path / proof.name
        shared.mkdir()
        proof.prepare(shared)
        for _ in range(cycles):
            number = dice.randrange(proof.cycles)
            scratch = shared / f"{number}"
            scratch.mkdir()
            proof.cycle(number, dice, scratch)
    assert leaks(password, [tmp_path]) == []
    printed = b"".join(path.read_bytes() for path in tmp_path.rglob("printed.txt"))
    assert b"JournalError" in printed, "the failures were printed, and were searched"
