"""Fork: a new session that takes the recorded tape of another one first, then goes on from there: what if.

May not live here: how a session runs. The other session is only read, and may be running meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from replay.errors import ConfigError, JournalError, UsageError
from replay.pipeline.journal import Frame, JournalReader
from replay.session import SETUP_FILE, Fork, Manifest, read_manifest
from replay.units import parse_time

_OF_THE_TAPE = ("symbol", "price_decimals", "size_decimals")
"""What of an instrument its records depend on."""


@dataclass(frozen=True)
class ForkRequest:
    """Which session to fork, and where: its records before `seq`, or before a time; by default all of them.

    A journal is forked between two frames: what a frame holds after the place is left out with the rest of that frame.
    """

    folder: Path
    seq: int | None = None
    time_ns: int | None = None

    @staticmethod
    def parse(folder: Path, at: str | None) -> ForkRequest:
        """Read `--at SEQ|TIME`. Raises UsageError."""
        if at is None:
            return ForkRequest(folder)
        if at.isascii() and at.isdigit():
            return ForkRequest(folder, seq=int(at))
        try:
            return ForkRequest(folder, time_ns=parse_time(at))
        except ValueError as error:
            raise UsageError(
                f"--at {at!r} is neither the number of a record nor a time: {error}",
                remedy="give a count of records, or a time as 2024-05-01T12:00:00Z",
            ) from error


@dataclass(frozen=True)
class Origin:
    """The session that is forked."""

    fork: Fork
    manifest: Manifest


def find_origin(request: ForkRequest) -> Origin:
    """Read what a new session starts from. Raises UsageError or JournalError."""
    manifest = read_manifest(request.folder)
    limit_seq = 0
    for frame in JournalReader(request.folder / "journal", setup_digest=manifest.setup_digest).frames():
        if _is_past(frame, request):
            break
        limit_seq = frame.limit_seq
    if limit_seq == 0:
        raise UsageError(
            "there is nothing to fork: no whole frame of the journal lies before that place",
            place=str(request.folder),
            remedy="give a later --at",
        )
    return Origin(Fork(str(request.folder.resolve()), manifest.id, limit_seq), manifest)


def check_tape(fork: Fork, setup: bytes) -> None:
    """Refuse a run whose instruments, or lengths of bars, are others than those of the tape."""
    path = Path(fork.folder) / SETUP_FILE
    try:
        old = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise JournalError(f"cannot be read: {error}", place=str(path), remedy="restore it from a copy") from error
    new = msgspec.json.decode(setup)
    for what, value in (("instruments", _tape_instruments), ("bar_lengths", lambda setup: setup["bar_lengths"])):
        if value(old) != value(new):
            raise ConfigError(
                f"the tape of the session has other {what} than the run file: {value(old)}, now {value(new)}",
                place=fork.folder,
                remedy="keep the instruments, their order and their decimals; everything else may be changed",
            )


def frames_to_take(fork: Fork, next_seq: int) -> Iterator[Frame]:
    """Give the frames that a forked session still has to take."""
    if next_seq >= fork.limit_seq:
        return
    folder = Path(fork.folder)
    if read_manifest(folder).id != fork.id:
        raise JournalError(
            "is another session than the one that was forked", place=fork.folder, remedy="put that one back there"
        )
    for frame in JournalReader(folder / "journal").frames():
        if frame.limit_seq > fork.limit_seq or (frame.first_seq >= fork.limit_seq and len(frame.records)):
            return
        if frame.first_seq >= next_seq:
            yield frame


def _is_past(frame: Frame, request: ForkRequest) -> bool:
    if request.seq is not None and frame.limit_seq > request.seq:
        return True
    if request.time_ns is None or not len(frame.records):
        return False
    return int(frame.records["ts_recv"].max()) >= request.time_ns


def _tape_instruments(setup: dict[str, Any]) -> list[list[Any]]:
    return [[entry[key] for key in _OF_THE_TAPE] for entry in setup["instruments"]]
