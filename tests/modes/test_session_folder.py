"""A session folder belongs to one process and one place: copies, replaced locks and newer owners are refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import replay
from replay.errors import JournalError
from replay.pipeline.journal import JournalReader
from replay.result.result import Result
from replay.session import LOCK_FILE, Session, read_manifest

from .market import SETTINGS, Busy, CutFeed, market


def paper(folder: Path, *, rows: int = 600, adopt: bool = False) -> Result:
    feed = CutFeed(market(rows, 3), [100])
    return replay.paper(Busy, feed, session=folder, metrics={"port": 0}, adopt=adopt, **SETTINGS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def highest_epoch(folder: Path) -> int:
    reader = JournalReader(folder / "journal")
    list(reader.frames())
    return reader.epoch


def test_a_copied_folder_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    first = paper(tmp_path / "s")
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    before = contents(tmp_path / "copy")
    with pytest.raises(JournalError, match=r"was copied[\s\S]*--adopt"):
        paper(tmp_path / "copy")
    after = contents(tmp_path / "copy")
    after.pop(LOCK_FILE), before.pop(LOCK_FILE)
    assert after == before
    assert paper(tmp_path / "s").digest == first.digest


def test_an_adopted_copy_goes_on_and_is_ahead_of_the_original_for_good(tmp_path: Path) -> None:
    first = paper(tmp_path / "s")
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    assert paper(tmp_path / "copy", adopt=True).digest == first.digest
    assert highest_epoch(tmp_path / "copy") == highest_epoch(tmp_path / "s") + 2
    assert paper(tmp_path / "copy").digest == first.digest, "once adopted, it is at home"
    assert read_manifest(tmp_path / "copy").id == read_manifest(tmp_path / "s").id


def test_a_folder_that_was_renamed_goes_on(tmp_path: Path) -> None:
    first = paper(tmp_path / "s")
    (tmp_path / "s").rename(tmp_path / "t")
    assert paper(tmp_path / "t").digest == first.digest


def test_a_session_that_was_made_before_a_key_of_the_run_file_was_known_goes_on(tmp_path: Path) -> None:
    first = paper(tmp_path / "s")
    manifest = tmp_path / "s" / "session.toml"
    lines = manifest.read_text().splitlines(keepends=True)
    older = [line.replace(', max_ahead = "10s"', "") for line in lines]
    assert older != lines
    manifest.write_text("".join(older))
    assert paper(tmp_path / "s").digest == first.digest


def test_each_start_has_the_next_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        paper(tmp_path / "s")
        assert highest_epoch(tmp_path / "s") == epoch


@pytest.mark.parametrize("replace", [False, True])
def test_a_session_whose_lock_was_removed_stops_before_it_shows_more(tmp_path: Path, replace: bool) -> None:
    folder = tmp_path / "s"
    with Session(folder) as session:
        session.check_lock()
        (folder / LOCK_FILE).unlink()
        if replace:
            other = Session(folder)  # takes a lock file of its own
        with pytest.raises(JournalError, match="lock of the session was removed"):
            session.check_lock()
        if replace:
            other.close()


def test_the_lock_of_a_killed_process_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    child = os.fork()
    if child == 0:
        Session(folder)
        os._exit(0)  # dies without letting go
    os.waitpid(child, 0)
    assert (folder / LOCK_FILE).read_text() == f"process {child}\n"
    with Session(folder):
        pass
