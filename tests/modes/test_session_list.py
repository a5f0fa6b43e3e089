"""Sessions are listed with what they are doing, and only those that are over are ever removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import replay
from replay import sessions
from replay.cli.app import run as main
from replay.errors import EXIT_DONE, EXIT_USAGE, JournalError, UsageError
from replay.pipeline.journal import JournalReader, segment_paths
from replay.session import Session

from .market import SETTINGS, Busy, CutFeed, market

ROWS = 400


def paper(folder: Path) -> None:
    replay.paper(Busy, CutFeed(market(ROWS, 3), [100]), session=folder, metrics={"port": 0}, **SETTINGS)


def kill(folder: Path) -> None:
    """Make the session look as after a kill: without the frame that closes it, and with a torn one."""
    frames = list(JournalReader(folder / "journal").frames())
    path = segment_paths(folder / "journal")[-1]
    os.truncate(path, frames[-1].offset + 40)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("closed", "killed", "deeper/down"):
        paper(tmp_path / name)
    kill(tmp_path / "killed")
    with Session(tmp_path / "empty") as session:
        session.manifest = None
    return tmp_path


def by_name(base: Path) -> dict[str, sessions.SessionEntry]:
    return {entry.folder.name: entry for entry in sessions.find(base)}


def test_each_session_is_listed_with_its_state_and_how_far_it_came(base: Path) -> None:
    found = by_name(base)
    assert {name: entry.state for name, entry in found.items()} == {
        "closed": "closed",
        "killed": "killed",
        "down": "closed",
    }, "a folder without a manifest is no session yet"
    frames = list(JournalReader(base / "closed" / "journal").frames())
    assert found["closed"].records == frames[-1].limit_seq
    assert found["closed"].events == (base / "closed" / "events" / "events.bin").stat().st_size // 128
    assert found["closed"].tape_time_ns == int(frames[-2].records["ts_recv"][-1])


def test_a_running_session_is_shown_with_its_process_and_is_not_removed(base: Path) -> None:
    with Session(base / "closed"):
        entry = by_name(base)["closed"]
        assert (entry.state, entry.process) == ("running", os.getpid())
        assert entry not in sessions.prunable([entry], older_than_ns=0, killed=True)
        with pytest.raises(JournalError, match="started meanwhile"):
            sessions.remove(entry)
    assert (base / "closed" / "session.toml").exists()


def test_a_damaged_session_is_told_and_kept(base: Path) -> None:
    (base / "closed" / "session.toml").write_text("format = [")
    entry = by_name(base)["closed"]
    assert entry.state == "damaged" and entry.problem
    assert entry not in sessions.prunable([entry], older_than_ns=0, killed=True)


def test_only_old_sessions_that_are_over_are_removed(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "prune", str(base), "--yes"]) == EXIT_DONE
    assert set(by_name(base)) == {"closed", "killed", "down"}, "none is 30 days old"
    assert main(["sessions", "prune", str(base), "--older-than", "0s"]) == EXIT_DONE
    assert "nothing was removed" in capsys.readouterr().out
    assert main(["sessions", "prune", str(base), "--older-than", "0s", "--yes"]) == EXIT_DONE
    assert set(by_name(base)) == {"killed"}
    assert main(["sessions", "prune", str(base), "--older-than", "0s", "--killed", "--yes"]) == EXIT_DONE
    assert not by_name(base)


def test_the_list_is_whole_however_narrow_the_terminal_is(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert main(["sessions", "list", str(base)]) == EXIT_DONE
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["session", "records", "events"] and len(rows) == 3
    for row, name in zip(rows, ["closed", "deeper/down", "killed"], strict=True):
        assert row.startswith(f"{name} ") and row.endswith(by_name(base)[Path(name).name].state)


def test_list_and_show_print_json_for_programs(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "list", str(base), "--json"]) == EXIT_DONE
    listed: list[dict[str, Any]] = msgspec.json.decode(capsys.readouterr().out)
    assert [row["state"] for row in listed] == ["closed", "closed", "killed"]
    assert main(["sessions", "show", str(base / "killed"), "--json"]) == EXIT_DONE
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["id"] == by_name(base)["killed"].to_builtins()["id"]


def test_a_folder_that_is_no_session_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sessions", "show", str(tmp_path)]) == EXIT_USAGE
    assert "is no session folder" in capsys.readouterr().err
    assert main(["sessions", "prune", str(tmp_path), "--older-than", "soon"]) == EXIT_USAGE
    with pytest.raises(UsageError, match="there is no folder"):
        sessions.find(tmp_path / "nowhere")


def test_looking_at_a_session_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    paper(folder)
    program = """
import sys, time
from pathlib import Path
from replay import sessions
print(flush=True)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    sessions.owner(Path(sys.argv[1]))
"""
    looking = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    assert looking.stdout is not None
    looking.stdout.readline()
    started = time.monotonic()
    starts = 0
    while time.monotonic() - started < 1.0:
        with Session(folder):
            starts += 1
    assert looking.wait() == 0
    assert starts > 3
