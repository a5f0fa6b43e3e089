"""The errors that replay raises on purpose, each with the exit code of the command line.

Nothing else belongs here: no formatting of tracebacks, no logging, no import of the rest of the package.

    ReplayError
    ├── UsageError       2  the command line or a call asks for something that does not exist
    │   └── EngineMissing   the compiled extension is not there; says how to get it
    ├── ConfigError      2  the run file is wrong: file, line, choices and the nearest name
    │   └── NothingYet      a live feed has given nothing yet that would say what it carries
    ├── StrategyError    3  a handler of the strategy raised; chained `from` the user's own exception
    ├── HaltError        4  a rule of the engine or a policy for bad data stopped the run
    │   └── DataError    4  the data cannot be read as what they are said to be
    ├── JournalError     5  the disk or the journal: full, torn beyond repair
    │   └── SessionLocked   another process runs the session
    └── ControlError     6  a running session cannot be reached, or does not answer in time

Codes without an error: 0 done, 1 two runs differ, 130 interrupted, 141 nobody read the output to its end.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

EXIT_DONE = 0
EXIT_DIFFERS = 1
EXIT_USAGE = 2
EXIT_STRATEGY = 3
EXIT_HALT = 4
EXIT_DISK = 5
EXIT_CONTROL = 6
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


class ReplayError(Exception):
    """Base of all: `message` states the fact and the value, `place` where, `remedy` what to do about it."""

    exit_code: int = EXIT_USAGE

    def __init__(self, message: str, *, place: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n{self.remedy}" if self.remedy else head

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


class UsageError(ReplayError):
    """A command or a call asks for something that does not exist or does not go together."""

    exit_code = EXIT_USAGE


class EngineMissing(UsageError):
    """The compiled extension `replay._engine` cannot be imported here."""

    def __init__(self, reason: str = "replay._engine is not installed") -> None:
        super().__init__(
            f"the compiled engine is missing ({reason})",
            remedy="install Rust (https://rustup.rs), then run `./dev setup`, or `pip install .`, in the source folder",
        )
        self.reason = reason


class ConfigError(ReplayError):
    """The run file, or a value set on the command line, is wrong."""

    exit_code = EXIT_USAGE


class NothingYet(ConfigError):
    """A live feed has given nothing yet that would say what it carries: try again later, or let the run file say it."""


class StrategyError(ReplayError):
    """A handler of the strategy raised. The user's exception is `__cause__`; `tick` is the record as text."""

    exit_code = EXIT_STRATEGY

    def __init__(
        self,
        strategy: str,
        handler: str,
        tape_seq: int | None,
        tick: str,
        message: str | None = None,
        *,
        place: str | None = None,
        remedy: str | None = None,
    ) -> None:
        at = "before the first record" if tape_seq is None else f"at record {tape_seq}"
        text = f"strategy {strategy!r} raised in {handler} {at}"
        super().__init__(f"{text}: {message}" if message else text, place=place, remedy=remedy)
        self.strategy = strategy
        self.handler = handler
        self.tape_seq = tape_seq
        self.tick = tick


class HaltError(ReplayError):
    """The run was stopped by a rule: `reason` is the code (`leap`, `gap`, `late`, `livelock`, `overflow`, ...)."""

    exit_code = EXIT_HALT

    def __init__(self, reason: str, message: str, *, place: str | None = None, remedy: str | None = None) -> None:
        super().__init__(f"{message} [{reason}]", place=place, remedy=remedy)
        self.reason = reason


class DataError(HaltError):
    """A file or stream of market data cannot be read as what it is said to be."""

    def __init__(
        self, message: str, *, reason: str = "unreadable", place: str | None = None, remedy: str | None = None
    ) -> None:
        ReplayError.__init__(self, message, place=place, remedy=remedy)
        self.reason = reason


class JournalError(ReplayError):
    """The journal or the disk under it refuses: full, not writable, in use by another process, broken in the middle."""

    exit_code = EXIT_DISK


class SessionLocked(JournalError):
    """Another process runs the session."""


class ControlError(ReplayError):
    """A command does not reach a session: it is not running, lets nobody in, ended first, or did not answer in time."""

    exit_code = EXIT_CONTROL


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that a misspelt name most likely means, or None."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def choose(name: str, choices: Iterable[str]) -> str:
    """Return the remedy line for an unknown name: the nearest choice, then all of them."""
    known = list(choices)
    if not known:
        return "there are none to choose from"
    guess = nearest(name, known)
    listed = ", ".join(known)
    return f"did you mean {guess!r}? choices: {listed}" if guess else f"choices: {listed}"


def disk_remedy(error: OSError, path: str | Path) -> str:
    """Return the remedy line for a file or folder that the system will not make or write."""
    place = Path(path)
    blocking = next((folder for folder in place.parents if folder.exists() and not folder.is_dir()), None)
    if blocking is not None:
        return f"{blocking} is a file, not a folder: name another place"
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and place.exists():
        return f"{place} is a file, not a folder: name another place"
    if error.errno == errno.EISDIR:
        return f"{place} is a folder: name a file in it, or another name"
    if error.errno == errno.ENOENT and not place.parent.is_dir():
        return f"there is no folder {str(place.parent)!r}: make it first, or name another place"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room, or name a place on another disk, then run again"
    return "name a place that you may write to, or change its permissions"


def _rebuild(kind: type[ReplayError], fields: dict[str, object]) -> ReplayError:
    """Rebuild an error from its fields, so that it crosses process boundaries whole."""
    error = kind.__new__(kind)
    Exception.__init__(error, fields.get("message", ""))
    error.__dict__.update(fields)
    return error
