"""The secrets canary: a marked password of a session appears in nothing that it writes or shows."""

from __future__ import annotations

import base64
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.conftest import started
from stress.broker_faults import answer
from stress.canary import leaks, new_password
from stress.faults import DiskErrors
from stress.kills import ForkedKills
from stress.topics import DEAD, OUT, ROOT, TICKS, Topics, wait_for
from support.broker import Broker, free_port


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


PASSWORD = f"canary/{secrets.token_hex(12)}+x"
"""With the letters that encodings change, and none that the broker's own files would have to quote."""


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("secure") / "broker", users={"admin": "admin-of-all", "desk": PASSWORD})
    try:
        yield started(broker)
    finally:
        broker.kill()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_password_of_kafka_appears_nowhere_through_kills_outages_refusals_and_a_lost_range(
    secure: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("WRONG_PASSWORD", PASSWORD[:-1] + "y")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "password").write_text(PASSWORD + "\n")
    login = {
        "security": "sasl_ssl",
        "mechanism": "SCRAM-SHA-512",
        "username": "desk",
        "ca_file": str(secure.ca_file),
        "request_timeout": "5s",
    }
    topics = Topics(
        tmp_path / "s",
        secure,
        "canary",
        "json",
        "stamp",
        1_500,
        3,
        kafka={**login, "password_env": "DESK_PASSWORD"},
        port=free_port(),
        snapshot_records=100,
    )
    by_file = replace(topics, kafka={**login, "password_file": "../secret/password"})
    wrong = replace(topics, kafka={**login, "password_env": "WRONG_PASSWORD"})
    shown: dict[str, str | bytes] = {}

    def ask(when: str) -> None:
        for path in ("/metrics", "/health", "/health/ready"):
            shown[f"{path} {when}"] = answer(topics.port, path)[1]

    topics.create()
    refused = topics.start()
    assert refused.wait(60) == 2, "the user has no right to the topics yet"
    for role in (TICKS, OUT, DEAD):
        secure.allow("desk", "all", topics.topic(role))
    secure.allow("desk", "write", "replay-", resource="transactional_id", prefix=True)
    publisher = topics.publishing(12.0)
    processes = []
    try:
        processes.append(topics.start())
        topics.wait_until_started(processes[-1], 0)
        wait_for(lambda: len(topics.taken_rows()) > 50, 30, topics.printed_text)
        ask("while it runs")
        shown["command line"] = Path(f"/proc/{processes[-1].pid}/cmdline").read_bytes()
        processes[-1].kill()
        processes[-1].wait()
        assert wrong.start().wait(60) == 2, "a wrong password is refused"
        processes.append(by_file.start())
        topics.wait_until_started(processes[-1], 1)
        taken = len(topics.taken_rows())
        wait_for(lambda: len(topics.taken_rows()) > taken, 30, topics.printed_text)
        secure.kill()
        wait_for(lambda: "broker unreachable" in topics.printed_text(), 20, topics.printed_text)
        ask("while the broker is away")
        secure.start()
        secure.pause()
        time.sleep(1.0)
        secure.resume()
        publisher.finish()
        topics.wait_until_all_is_taken(processes[-1], topics.rows)
        topics.end(processes[-1])
        secure.produce(topics.topic(TICKS), topics.messages()[:3])
        secure.delete_records(topics.topic(TICKS), {0: secure.end_offsets(topics.topic(TICKS))[0] - 1})
        assert topics.start().wait(60) == 4, "the range is gone"
    finally:
        publisher.kill()
        for process in processes:
            process.kill()
            process.wait()
    command = [sys.executable, "-m", "replay", "sessions", "show", str(topics.folder)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    shown["replay sessions show"] = told.stdout + told.stderr
    printed = topics.printed_text()
    for text in ("no right", "refuses the login of 'desk'", "broker unreachable", "are needed, and the broker holds"):
        assert text in printed, "the failures were printed, and were searched"
    assert leaks(PASSWORD, [topics.scratch], shown) == []
