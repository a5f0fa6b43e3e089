"""The sessions below a folder: listed, looked at one by one, and removed when they are over.

May not live here: running or recovering a session. Nothing here writes into a session, and only `prune` removes one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from replay.disk import disk_error
from replay.errors import JournalError, ReplayError, UsageError
from replay.events import EVENT_BYTES
from replay.pipeline.journal import JournalTail, read_tail
from replay.session import LOCK_FILE, MANIFEST_FILE, Manifest, is_session, read_manifest
from replay.units import format_time

State = Literal["running", "closed", "killed", "empty", "damaged"]
"""running: a process holds its lock; closed: ended in order; killed: the next start recovers; empty: no frame yet."""

RESULT_FILE = "events/result.json"
EVENTS_FILE = "events/events.bin"
_LETTERS_FILE = "dead-letters/dead-letters.ndjson"


@dataclass(frozen=True)
class SessionEntry:
    """What one session is, as far as a look at its folder tells."""

    folder: Path
    state: State
    process: int | None
    """Of the process that runs it."""
    manifest: Manifest | None
    tail: JournalTail | None
    events: int
    size_bytes: int
    touched_ns: int
    """When its journal last grew."""
    problem: str | None = None

    @property
    def records(self) -> int:
        """Records on its tape."""
        return 0 if self.tail is None else self.tail.next_seq

    @property
    def tape_time_ns(self) -> int | None:
        """Receive time of the last record on its tape."""
        if self.tail is None or self.tail.last_record is None:
            return None
        return int(self.tail.last_record["ts_recv"][0])

    def to_builtins(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        time_ns = self.tape_time_ns
        return {
            "folder": str(self.folder),
            "id": None if self.manifest is None else self.manifest.id,
            "name": self.folder.name,
            "state": self.state,
            "process": self.process,
            "records": self.records,
            "events": self.events,
            "epoch": None if self.tail is None else self.tail.epoch,
            "segments": 0 if self.tail is None else self.tail.segments,
            "size_bytes": self.size_bytes,
            "made": None if self.manifest is None else format_time(self.manifest.created_ns),
            "tape_time": None if time_ns is None else format_time(time_ns),
            "touched": format_time(self.touched_ns),
            "problem": self.problem,
        }


def find(base: Path) -> list[SessionEntry]:
    """List the sessions in a folder and below it, by name. Raises UsageError where there is no such folder."""
    if not base.is_dir():
        raise UsageError(
            f"there is no folder {base}",
            remedy="sessions lie in ./sessions unless `replay paper --session` said otherwise: name their folder",
        )
    return [look(folder) for folder in sorted(_session_folders(base))]


def look(folder: Path) -> SessionEntry:
    """Look at one session. Raises UsageError where the folder is none; damage is told in `problem`."""
    if not is_session(folder):
        raise UsageError(
            f"{folder} is no session folder: it has no {MANIFEST_FILE}",
            remedy="`replay sessions list` shows what there is",
        )
    process = owner(folder)
    manifest: Manifest | None = None
    tail: JournalTail | None = None
    problem: str | None = None
    try:
        manifest = read_manifest(folder)
        tail = read_tail(folder / "journal")
    except ReplayError as error:
        problem = error.message
    state: State = "closed"
    if process is not None:
        state = "running"
    elif problem is not None:
        state = "damaged"
    elif tail is None:
        state = "empty"
    elif not tail.closed:
        state = "killed"
    files = [path.stat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    journal = [path.stat().st_mtime_ns for path in (folder / "journal").glob("*.journal")]
    return SessionEntry(
        folder=folder,
        state=state,
        process=process,
        manifest=manifest,
        tail=tail,
        events=_size(folder / EVENTS_FILE) // EVENT_BYTES,
        size_bytes=sum(entry.st_size for entry in files),
        touched_ns=max(journal, default=(folder / MANIFEST_FILE).stat().st_mtime_ns),
        problem=problem,
    )


def describe(entry: SessionEntry) -> dict[str, str]:
    """Give what `replay sessions show` prints, in its order."""
    shown = {"folder": str(entry.folder), "state": _state_text(entry)}
    if entry.manifest is not None:
        manifest = entry.manifest
        shown |= {
            "id": manifest.id,
            "made": f"{format_time(manifest.created_ns)} UTC, replay {manifest.versions.get('replay', '?')}",
            "strategies": ", ".join(f"{name} ({digest[:8]})" for name, digest in manifest.strategies.items()),
            "feeds": ", ".join(str(feed.get("uri")) for feed in manifest.config.get("feed", [])),
        }
    if entry.tail is not None:
        tail = entry.tail
        shown |= {
            "journal": f"{tail.segments} segments, {tail.size_bytes:,} bytes, epoch {tail.epoch}",
            "records": f"{tail.next_seq:,}",
        }
        if entry.tape_time_ns is not None:
            shown["tape until"] = f"{format_time(entry.tape_time_ns)} UTC"
        shown["cursor"] = tail.cursor.decode("utf-8", "replace")
    shown["events"] = f"{entry.events:,}"
    shown |= _result_lines(entry.folder)
    letters = entry.folder / _LETTERS_FILE
    shown["dead letters"] = f"{_size(letters):,} bytes"
    shown["on disk"] = f"{entry.size_bytes:,} bytes"
    return shown


def prunable(entries: list[SessionEntry], *, older_than_ns: int, killed: bool = False) -> list[SessionEntry]:
    """Choose the sessions that are over and whose journal has not grown for so long; with `killed` also such ones.

    A session that runs, or is damaged, is never among them.
    """
    limit_ns = time.time_ns() - older_than_ns
    states = ("closed", "empty", "killed") if killed else ("closed", "empty")
    return [entry for entry in entries if entry.state in states and entry.touched_ns < limit_ns]


def remove(entry: SessionEntry) -> None:
    """Remove a session's folder, under its lock. Raises JournalError where a process runs it by now."""
    descriptor = os.open(entry.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Without its manifest it is no session any more: a removal that is cut short leaves nothing that could start.
        (entry.folder / MANIFEST_FILE).unlink()
        shutil.rmtree(entry.folder)
    except BlockingIOError:
        raise JournalError("the session was started meanwhile: it is kept", place=str(entry.folder)) from None
    except OSError as error:
        raise disk_error(error, "the session cannot be removed", entry.folder) from error
    finally:
        os.close(descriptor)


def owner(folder: Path) -> int | None:
    """Say which process runs a session; 0 where it cannot be told, None where none does."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 64, 0).decode("ascii", "replace").removeprefix("process ").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _session_folders(base: Path) -> Iterator[Path]:
    if is_session(base):
        yield base
        return
    for entry in base.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            yield from _session_folders(entry)


def _state_text(entry: SessionEntry) -> str:
    texts = {
        "running": f"running, process {entry.process or '?'}",
        "closed": "ended in order",
        "killed": "was killed: the next start recovers it",
        "empty": "has taken no record yet",
        "damaged": f"damaged: {entry.problem}",
    }
    return texts[entry.state]


def _result_lines(folder: Path) -> dict[str, str]:
    try:
        document = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}
    lines = {"digest": str(document.get("digest"))}
    failure = document.get("failure")
    if isinstance(failure, dict):
        lines["failure"] = f"{failure.get('kind')}: {failure.get('message')}"
    return lines


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
