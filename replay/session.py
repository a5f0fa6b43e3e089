"""The session folder: what a paper session is on disk, and who may run it.

May not live here: the loop that takes new records, and recovery; starting a session is recovering it (recovery.py).

    session.toml    resolved configuration, versions, hashes; written once
    setup.json      the engine's setup; written once
    lock            held by the process that runs the session
    control.sock    where it takes commands while it runs
    journal/        segments of frames: the tape, cursors, digests
    snapshots/      the last two snapshots: they make a start shorter, never different
    events/         events.bin, equity.bin, excursions.bin, marks.bin, result.json and the Arrow files: what the
                    journal gives
    dead-letters/   what is not on the tape
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np

from replay.config import RunConfig, from_mapping, resolved, toml
from replay.disk import Disk, disk_error
from replay.errors import ConfigError, JournalError, SessionLocked, UsageError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.tape import TapeHeader
from replay.pipeline.control import SOCKET_FILE
from replay.pipeline.journal import UNKNOWN_SOURCES, Journal, JournalReader
from replay.units import format_time

if TYPE_CHECKING:
    from replay.strategy import Strategy

FORMAT = 1
MANIFEST_FILE = "session.toml"
SETUP_FILE = "setup.json"
LOCK_FILE = "lock"
EVENTS_FILE = "events.bin"
EQUITY_FILE = "equity.bin"
EXCURSIONS_FILE = "excursions.bin"
MARKS_FILE = "marks.bin"

FREE_SECTIONS = ("metrics", "log", "kafka", "sink", "control", "session", "stats")
"""Sections of the run file that a session may change from start to start: nothing on the tape depends on them."""

FREE_SWITCHES = ("stale_feed", "clock_jump", "disk")
"""Risk switches that a session may change likewise: what they do is on the tape."""

_OWN_NAMES = frozenset(
    {
        SETUP_FILE,
        LOCK_FILE,
        SOCKET_FILE,
        "journal",
        "snapshots",
        "events",
        "dead-letters",
        "metrics.prom",
        "report.html",
    }
)


class Fork(msgspec.Struct, frozen=True):
    """Where a forked session took its first records from."""

    folder: str
    id: str
    limit_seq: int
    """Records that it took."""


class Manifest(msgspec.Struct, frozen=True):
    """session.toml."""

    format: int
    id: str
    name: str
    created_ns: int
    setup_digest: str
    strategies: dict[str, str]
    """SHA-256 of each strategy's source file."""
    versions: dict[str, str]
    config: dict[str, Any]
    trading_start_ns: int | None = None
    device: int | None = None
    """Device and inode of the folder: a copy has others, and would run the same session a second time."""
    inode: int | None = None
    fork: Fork | None = None


class Session:
    """A session folder that this process has locked."""

    def __init__(self, folder: Path, *, disk: Disk | None = None, adopt: bool = False) -> None:
        """Make the folder if need be and lock it; `adopt` makes a copied or moved folder this session's own.

        Raises JournalError where another process runs it, or where it was copied and is not adopted.
        """
        self.folder = folder
        self.disk = disk or Disk()
        self.is_adopted = False
        self.created_ns = time.time_ns()
        self.fork: Fork | None = None
        """What a session that is made now takes its first records from."""
        self.trading_start_ns: int | None = None
        """When a session that is made now first takes commands, where that is known: that of the one it forks."""
        self.sources_digest = UNKNOWN_SOURCES
        """SHA-256 of the strategies' sources of this start."""
        self._lock: int | None = None
        try:
            self.disk.make_folder(folder)
        except OSError as error:
            raise disk_error(error, "the session folder cannot be made", folder) from error
        self._refuse_foreign_folder()
        self._take_lock()
        try:
            self.manifest = read_manifest(folder) if (folder / MANIFEST_FILE).exists() else None
            self._check_place(adopt=adopt)
            for name in ("journal", "snapshots", "events", "dead-letters"):
                self.disk.make_folder(folder / name)
        except OSError as error:
            self.close()
            raise disk_error(error, "the session folder cannot be made", folder) from error
        except BaseException:
            self.close()
            raise

    # -- places

    @property
    def journal_folder(self) -> Path:
        """Where the segments are."""
        return self.folder / "journal"

    @property
    def snapshots_folder(self) -> Path:
        """Where the snapshots are."""
        return self.folder / "snapshots"

    @property
    def events_folder(self) -> Path:
        """Where the event log and the tables are."""
        return self.folder / "events"

    @property
    def dead_letters_path(self) -> Path:
        """Where the dead letters are."""
        return self.folder / "dead-letters" / "dead-letters.ndjson"

    # -- start

    def settle(self, config: RunConfig, setup: bytes, strategies: Mapping[str, str]) -> list[str]:
        """Write session.toml for a new session; for an old one refuse another configuration. Give notes to log."""
        self.sources_digest = hashlib.sha256(msgspec.json.encode(dict(strategies))).hexdigest()
        if self.manifest is None:
            self._create(config, setup, strategies)
            return []
        place = str(self.folder / MANIFEST_FILE)
        # With today's defaults: a key that replay has learnt since the session was made is no other configuration.
        before = config_mapping(from_mapping(self.manifest.config, base_dir=self.folder), self.folder)
        changed = first_difference(_kept(before), _kept(config_mapping(config, self.folder)))
        if changed is not None:
            raise _other_configuration(changed, place)
        stored = self._read_setup()
        if stored != setup:
            changed = first_difference(msgspec.json.decode(stored), msgspec.json.decode(setup))
            raise _other_configuration(changed or ("setup", "other bytes", "these"), str(self.folder / SETUP_FILE))
        return [
            f"the source of strategy {name!r} has changed since the session was made; the journal shows if it matters"
            for name, digest in strategies.items()
            if self.manifest.strategies.get(name) != digest
        ]

    def open_journal(self, reader: JournalReader, **options: Any) -> Journal:
        """Open a new segment, with the next epoch, after what was read."""
        assert self.manifest is not None
        journal = Journal(
            self.journal_folder,
            segment=reader.segments,
            epoch=self.next_epoch(reader.epoch),
            setup_digest=self.manifest.setup_digest,
            sources_digest=self.sources_digest,
            disk=self.disk,
            guard=self.check_lock,
            **options,
        )
        journal.start_at(reader.next_seq)
        if self.is_adopted:
            try:
                self._write_manifest(self.manifest)
            except OSError as error:
                raise disk_error(error, "the session cannot be adopted", self.folder / MANIFEST_FILE) from error
        return journal

    def open_dead_letters(self, keep_bytes: int) -> DeadLetterWriter:
        """Open the dead letters with those that the journal knows of; what came after is found again by the feed."""
        return DeadLetterWriter(self.dead_letters_path, keep_bytes=keep_bytes, disk=self.disk)

    def next_epoch(self, last: int) -> int:
        """Give the epoch of this start. What was copied may go on, too: the adopted one is ahead of it for good."""
        return last + (2 if self.is_adopted else 1)

    def check_lock(self) -> None:
        """Raise JournalError where the lock file is no longer the one that this process holds.

        Somebody removed it, and another process may have taken the session over: nothing may be shown any more.
        """
        assert self._lock is not None
        try:
            held, found = os.fstat(self._lock), os.stat(self.folder / LOCK_FILE)
            is_ours = (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)
        except FileNotFoundError:
            is_ours = False
        except OSError as error:
            raise disk_error(error, "the session's lock cannot be looked at", self.folder / LOCK_FILE) from error
        if not is_ours:
            raise JournalError(
                "the lock of the session was removed or replaced while it was running: another process may run it now",
                place=str(self.folder / LOCK_FILE),
                remedy="never remove the lock of a running session; look for the other process, then start one of them",
            )

    def close(self) -> None:
        """Let another process in. May be called again."""
        if self._lock is not None:
            os.close(self._lock)  # the lock goes with the descriptor
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- inside

    def _refuse_foreign_folder(self) -> None:
        if (self.folder / MANIFEST_FILE).exists():
            return
        foreign = sorted(entry.name for entry in self.folder.iterdir() if entry.name not in _OWN_NAMES)
        foreign = [name for name in foreign if not name.endswith(".part")]
        if foreign:
            raise UsageError(
                f"{self.folder} is no session folder and not empty: it has {', '.join(foreign[:3])}",
                remedy="give --session an empty or new folder",
            )

    def _check_place(self, *, adopt: bool) -> None:
        """Refuse a folder that is not where session.toml was written, unless it is adopted.

        An adopted folder's place is noted once its next epoch is durable.
        """
        manifest = self.manifest
        if manifest is None or manifest.inode is None:
            return
        here = self.folder.stat()
        if (here.st_dev, here.st_ino) == (manifest.device, manifest.inode):
            return
        if not adopt:
            raise JournalError(
                f"the folder was copied: session {manifest.id[:8]} was made in inode {manifest.inode} of device "
                f"{manifest.device}, this is inode {here.st_ino} of device {here.st_dev}",
                place=str(self.folder),
                remedy="if the original is gone or will never be started again, add --adopt; to try something else on "
                "the same ticks, start another session",
            )
        self.manifest = msgspec.structs.replace(manifest, device=here.st_dev, inode=here.st_ino)
        self.is_adopted = True

    def _take_lock(self) -> None:
        path = self.folder / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_error(error, "the session's lock cannot be made", path) from error
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                raise disk_error(error, "the session cannot be locked", path) from error
            owner = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise SessionLocked(
                f"the session is run by another process{f' ({owner})' if owner else ''}",
                place=str(self.folder),
                remedy="stop that one first, or give --session another folder",
            ) from error
        with contextlib.suppress(OSError):  # the text is for people; the lock holds without it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def _create(self, config: RunConfig, setup: bytes, strategies: Mapping[str, str]) -> None:
        manifest = Manifest(
            format=FORMAT,
            id=uuid.uuid4().hex,
            name=self.folder.name,
            created_ns=self.created_ns,
            setup_digest=hashlib.sha256(setup).hexdigest(),
            strategies=dict(strategies),
            versions={"replay": _own_version(), "python": platform.python_version(), "numpy": np.__version__},
            config=config_mapping(config, self.folder),
            trading_start_ns=msgspec.json.decode(setup).get("trading_start_ns"),
            device=self.folder.stat().st_dev,
            inode=self.folder.stat().st_ino,
            fork=self.fork,
        )
        try:
            self.disk.sync_folder(self.folder.parent)  # a start that was killed may have made the folder, and no more
            self.disk.replace(self.folder / SETUP_FILE, setup)
            self._write_manifest(manifest)
        except OSError as error:
            raise disk_error(error, "the session cannot be made", self.folder) from error
        self.manifest = manifest

    def _write_manifest(self, manifest: Manifest) -> None:
        head = (
            "# A paper session. Written once when it was made; the configuration of later starts is compared with it.\n"
        )
        body = {key: value for key, value in msgspec.to_builtins(manifest).items() if value is not None}
        text = head + f"# Made {format_time(manifest.created_ns)}.\n" + toml.dump(body)
        self.disk.replace(self.folder / MANIFEST_FILE, text.encode())

    def _read_setup(self) -> bytes:
        assert self.manifest is not None
        try:
            setup = (self.folder / SETUP_FILE).read_bytes()
        except OSError as error:
            raise disk_error(error, "the session's setup cannot be read", self.folder / SETUP_FILE) from error
        if hashlib.sha256(setup).hexdigest() != self.manifest.setup_digest:
            raise JournalError(
                "does not match the checksum in session.toml",
                place=str(self.folder / SETUP_FILE),
                remedy="restore it from a copy; nothing was changed",
            )
        return setup


class JournalFeed(StoredFeed):
    """A journal as a stored feed: the tape of a session, to be run again or looked at."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"journal:{folder}", TapeHeader(one_time=False, instruments=[]))
        self._folder = folder

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give one batch per frame, from the start."""
        assert cursor is None, "a journal is run from its start"
        for frame in JournalReader(self._folder).frames():
            if len(frame.records):
                yield Batch(frame.records, b"null", [])


def _lock(descriptor: int) -> None:
    """Take the lock for good; whoever only looks at the session holds it for a moment, so try for a little while."""
    for wait_s in (0.01, 0.04, 0.1):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(wait_s)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_manifest(folder: Path) -> Manifest:
    """Read session.toml; raise UsageError where there is none, JournalError where it cannot be understood."""
    path = folder / MANIFEST_FILE
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is no session folder: it has no {MANIFEST_FILE}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise JournalError(f"cannot be read: {error}", place=str(path), remedy="restore it from a copy") from error
    if data.get("format") != FORMAT:
        raise JournalError(
            f"has format {data.get('format')}, this program reads {FORMAT}",
            place=str(path),
            remedy="use the version of replay that made the session",
        )
    try:
        return msgspec.convert(data, Manifest)
    except msgspec.ValidationError as error:
        raise JournalError(f"cannot be read: {error}", place=str(path), remedy="restore it from a copy") from error


def is_session(folder: Path) -> bool:
    """Say whether a folder is a session's."""
    return (folder / MANIFEST_FILE).is_file()


def stored_config(folder: Path) -> RunConfig:
    """Give the configuration that a session was made with."""
    return from_mapping(read_manifest(folder).config, base_dir=folder)


def config_mapping(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Give the resolved configuration as plain values, with paths relative to a folder."""
    return tomllib.loads(resolved(config, folder))


def strategy_hashes(config: RunConfig, strategies: list[Strategy]) -> dict[str, str]:
    """Give the SHA-256 of the source file of each strategy, by its name."""
    import inspect

    hashes: dict[str, str] = {}
    for spec, strategy in zip(config.strategy, strategies, strict=True):
        try:
            source = Path(inspect.getfile(type(strategy))).read_bytes()
        except (OSError, TypeError):  # typed into a notebook or an interpreter: there is no file
            source = b""
        hashes[spec.name] = hashlib.sha256(source).hexdigest()
    return hashes


def strategy_sources(hashes: Mapping[str, str], strategies: list[Strategy]) -> dict[str, tuple[str, str]]:
    """Give what a snapshot's strategies must be again: the SHA-256 of the source file and the class, by name."""
    return {
        name: (digest, type(strategy).__qualname__)
        for (name, digest), strategy in zip(hashes.items(), strategies, strict=True)
    }


def first_difference(left: Any, right: Any) -> tuple[str, Any, Any] | None:
    """Find the first key, in order, whose values differ: (dotted key, left, right); a missing value is None."""
    flat_left, flat_right = dict(_flatten(left)), dict(_flatten(right))
    for key in [*flat_left, *(key for key in flat_right if key not in flat_left)]:
        if flat_left.get(key) != flat_right.get(key):
            return key, flat_left.get(key), flat_right.get(key)
    return None


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _flatten(item, f"{path}.{index}")
    else:
        yield path, value


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {section: value for section, value in config.items() if section not in FREE_SECTIONS}
    if isinstance(kept.get("risk"), Mapping):
        kept["risk"] = {key: value for key, value in kept["risk"].items() if key not in FREE_SWITCHES}
    return kept


def _other_configuration(changed: tuple[str, Any, Any], place: str) -> ConfigError:
    key, before, now = changed
    return ConfigError(
        f"the session was made with another configuration: {key} was {before!r}, now it is {now!r}",
        place=place,
        remedy="go back to the old value, or give --session another folder",
    )


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tickreplay")
    except PackageNotFoundError:
        return "not installed"
