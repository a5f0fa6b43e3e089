"""Verification: two runs are the same, or which event differs first, with both sides, its tick and its time.

May not live here: how runs are made; modes makes them, this compares their event logs byte by byte.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from replay.errors import EXIT_DIFFERS, EXIT_DONE, DataError, JournalError, ReplayError, UsageError
from replay.events import EVENT, EVENT_BYTES
from replay.result.eventtext import Names, event_text, record_text
from replay.session import SETUP_FILE, is_session
from replay.units import format_time

EVENTS_FILE = "events.bin"
RESULT_FILE = "result.json"
CONFIG_FILE = "config.toml"

_CHUNK_EVENTS = 8_192
_HASH_SEED_LIMIT = 4_294_967_295


@dataclass(frozen=True)
class Difference:
    """The first event in which two runs differ."""

    number: int
    """Its place in both event logs, counted from 0."""
    first: str
    second: str
    tape_seq: int
    time_ns: int
    tick: str | None
    """The record that caused it, where the tape can still be read."""


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to; printed, it is what `replay verify` says."""

    first_name: str
    second_name: str
    first_digest: str
    second_digest: str
    first_events: int
    second_events: int
    difference: Difference | None = None

    @property
    def equal(self) -> bool:
        """Whether the two runs are the same, to the last bit."""
        return self.difference is None

    @property
    def digest(self) -> str:
        """The digest of the first."""
        return self.first_digest

    @property
    def exit_code(self) -> int:
        """0 if equal, 1 if not."""
        return EXIT_DONE if self.equal else EXIT_DIFFERS

    def __str__(self) -> str:
        if self.difference is None:
            return f"equal, {self.first_events:,} events, digest {self.first_digest}"
        found = self.difference
        lines = [
            f"different from event {found.number:,} on, at record {found.tape_seq:,}, {format_time(found.time_ns)}",
            f"  {self.first_name} ({self.first_events:,} events, digest {self.first_digest}):",
            f"    {found.first}",
            f"  {self.second_name} ({self.second_events:,} events, digest {self.second_digest}):",
            f"    {found.second}",
        ]
        if found.tick is not None:
            lines.append(f"  tick: {found.tick}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Side:
    """One event log, and what is known about the run that made it."""

    name: str
    events: Path
    names: Names
    record_at: Callable[[int], Any] | None = None


def verify(first: str | Path, second: str | Path | None = None) -> Outcome:
    """Compare two runs.

    With one path: a run file is run twice (the second time in a process of its own, with another hash seed), a run
    folder against a new run of its configuration, a session against the re-run of its journal. With two: their event
    logs. Raises UsageError for a path that is none of these, and what the runs raise.
    """
    one = Path(first)
    if second is not None:
        return compare(_side(one), _side(Path(second)))
    if is_session(one):
        return _verify_session(one)
    if one.is_dir():
        return _verify_again(one / CONFIG_FILE, _side(one))
    if one.is_file():
        return _verify_again(one, None)
    raise UsageError(f"there is no {str(one)!r}", remedy="name a run file, a run folder or a session folder")


def compare(first: _Side, second: _Side) -> Outcome:
    """Read two event logs side by side, in bounded memory."""
    digests = (hashlib.sha256(), hashlib.sha256())
    counts = [0, 0]
    found: tuple[int, Any, Any] | None = None
    try:
        with open(first.events, "rb") as left_file, open(second.events, "rb") as right_file:
            while True:
                left = left_file.read(_CHUNK_EVENTS * EVENT_BYTES)
                right = right_file.read(_CHUNK_EVENTS * EVENT_BYTES)
                if not left and not right:
                    break
                for digest, data in zip(digests, (left, right), strict=True):
                    digest.update(data)
                if found is None and left != right:
                    found = _first_difference(counts[0], left, right)
                counts[0] += len(left) // EVENT_BYTES
                counts[1] += len(right) // EVENT_BYTES
    except OSError as error:
        raise JournalError(
            f"cannot be read: {error.strerror or error}",
            place=str(error.filename),
            remedy="a session's event log is rebuilt when the session is started again; a backtest is run again",
        ) from error
    difference = None if found is None else _describe(found, first, second)
    return Outcome(
        first.name, second.name, digests[0].hexdigest(), digests[1].hexdigest(), counts[0], counts[1], difference
    )


def _first_difference(offset: int, left: bytes, right: bytes) -> tuple[int, Any, Any]:
    ours = np.frombuffer(left, dtype=EVENT, count=len(left) // EVENT_BYTES)
    theirs = np.frombuffer(right, dtype=EVENT, count=len(right) // EVENT_BYTES)
    length = min(len(ours), len(theirs))
    differing = np.flatnonzero(ours[:length] != theirs[:length])
    row = int(differing[0]) if len(differing) else length
    return offset + row, ours[row] if row < len(ours) else None, theirs[row] if row < len(theirs) else None


def _describe(found: tuple[int, Any, Any], first: _Side, second: _Side) -> Difference:
    number, ours, theirs = found
    earlier = min((event for event in (ours, theirs) if event is not None), key=lambda event: int(event["tape_seq"]))
    tape_seq = int(earlier["tape_seq"])
    tick = None
    for side in (first, second):
        if tick is None and side.record_at is not None:
            try:
                record = side.record_at(tape_seq)
            except (ReplayError, OSError):  # the tape has gone; the events say what differs all the same
                continue
            tick = None if record is None else f"record {tape_seq} {record_text(record, side.names)}"
    return Difference(
        number,
        "nothing: its event log ends before" if ours is None else event_text(ours, first.names),
        "nothing: its event log ends before" if theirs is None else event_text(theirs, second.names),
        tape_seq,
        int(earlier["venue_time"]),
        tick,
    )


# -- what to compare


def _side(path: Path, name: str | None = None) -> _Side:
    """Find the event log of a run folder or a session folder."""
    if is_session(path):
        from replay.rerun import record_of_session

        return _Side(
            name or str(path),
            path / "events" / EVENTS_FILE,
            _session_names(path),
            lambda seq: record_of_session(path, seq),
        )
    events = path / EVENTS_FILE
    if not events.is_file():
        raise UsageError(
            f"{path} has no event log ({EVENTS_FILE})", remedy="name the --out folder of a run, or a session folder"
        )
    _check_whole(path, events)
    return _Side(name or str(path), events, _result_names(path), lambda seq: _record_of_run(path, seq))


def _check_whole(folder: Path, events: Path) -> None:
    """Refuse an event log that was cut: nothing about the run could be told from it."""
    size = events.stat().st_size
    try:
        told = msgspec.json.decode((folder / RESULT_FILE).read_bytes())["events"]
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):  # the log alone says what it holds
        told = size // EVENT_BYTES
    if size != told * EVENT_BYTES:
        raise DataError(
            f"holds {size / EVENT_BYTES:.6g} events, and {RESULT_FILE} says {told:,}",
            reason="cut",
            place=str(events),
            remedy="the file was cut or changed: copy the run folder again, or run its config.toml again",
        )


def _record_of_run(folder: Path, tape_seq: int) -> Any:
    from replay.config import load
    from replay.rerun import record_of_run

    return record_of_run(load(folder / CONFIG_FILE), tape_seq)


def _result_names(folder: Path) -> Names:
    try:
        return Names.of_result(msgspec.json.decode((folder / RESULT_FILE).read_bytes()))
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return Names()


def _session_names(folder: Path) -> Names:
    names = _result_names(folder / "events")
    if names.symbols:
        return names
    try:
        return Names.of_setup((folder / SETUP_FILE).read_bytes(), [])
    except (OSError, msgspec.MsgspecError, KeyError):
        return Names()


def _verify_session(folder: Path) -> Outcome:
    """Re-run a session's journal as a backtest and compare with what the session showed."""
    from replay.rerun import rerun_session

    with tempfile.TemporaryDirectory(prefix="replay-verify-") as temporary:
        again = Path(temporary) / EVENTS_FILE
        names = rerun_session(folder, again)
        session = _Side(str(folder), folder / "events" / EVENTS_FILE, names, _side(folder).record_at)
        return compare(session, _Side("its journal run again", again, names))


def _verify_again(run_file: Path, before: _Side | None) -> Outcome:
    """Run a run file, and once more in another process; or once, where a run is there to compare with."""
    from replay.config import load
    from replay.modes import backtest

    config = load(run_file)
    for spec in config.feed:
        if spec.scheme in ("stdin", "sim", "follow"):
            raise UsageError(
                f"the feed {spec.uri!r} cannot be run twice",
                place=str(run_file),
                remedy="record it first, or verify the session that ran on it",
            )
    with tempfile.TemporaryDirectory(prefix="replay-verify-") as temporary:
        here, apart = Path(temporary) / "first", Path(temporary) / "second"
        if before is None:
            backtest(config, out=here)
            before = _side(here, f"{run_file}, first run")
        _run_apart(run_file, apart)
        return compare(before, _side(apart, f"{run_file}, run again"))


def _run_apart(run_file: Path, out: Path) -> None:
    """Run a run file in a process of its own, where sets and hashes fall into another order."""
    environment = {**os.environ, "PYTHONHASHSEED": str(secrets.randbelow(_HASH_SEED_LIMIT))}
    command = [sys.executable, "-m", "replay.verify", str(run_file), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(
            f"the second run ended with code {done.returncode}", place=str(run_file), remedy=done.stderr.strip()
        )


def _main(run_file: str, out: str) -> None:
    from replay.config import load
    from replay.modes import backtest

    backtest(load(run_file), out=Path(out))


if __name__ == "__main__":
    _main(*sys.argv[1:])
