"""What a user is told when something goes wrong: at most five lines, or their own traceback.

May not live here: the decision whether something is an error; that was made where it was raised.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path

from replay.errors import EXIT_DISK, EXIT_INTERRUPTED, EXIT_USAGE, ReplayError, StrategyError, disk_remedy
from replay.units import format_time

_LINES_MAX = 5
_OWN_FOLDER = str(Path(__file__).resolve().parent.parent)
_INTERNAL_ERROR = 70
"""EX_SOFTWARE: a mistake of this program, never of its user."""


def say(message: str, *, remedy: str | None = None) -> None:
    """Write a message of at most five lines on stderr."""
    lines = f"{message}\n{remedy}".splitlines() if remedy else message.splitlines()
    if len(lines) > _LINES_MAX:
        lines = [*lines[: _LINES_MAX - 1], "..."]
    print("replay: " + "\n  ".join(lines), file=sys.stderr)


def explain(error: Exception) -> int:
    """Tell the user about an error and return the exit code."""
    if isinstance(error, StrategyError):
        return _explain_strategy(error)
    if isinstance(error, ReplayError):
        head = f"{error.place}: {error.message}" if error.place else error.message
        say(head, remedy=error.remedy)
        return error.exit_code
    if isinstance(error, ModuleNotFoundError) and error.name == "replay._engine":
        from replay.errors import EngineMissing

        return explain(EngineMissing(str(error)))
    if isinstance(error, OSError):
        if error.filename is None:
            say(error.strerror or str(error), remedy="look at the disk and its permissions, then run again")
        else:
            name = os.fsdecode(error.filename)
            say(f"{name}: {error.strerror or error}", remedy=disk_remedy(error, name))
        return EXIT_USAGE if isinstance(error, FileNotFoundError | IsADirectoryError) else EXIT_DISK
    traceback.print_exception(error)
    say("this is a mistake of replay itself, not yours; please report it with the lines above")
    return _INTERNAL_ERROR


def explain_interruption(interruption: KeyboardInterrupt) -> int:
    """Tell that a command did not come to its end, and in which handler it was; return the exit code."""
    frames = traceback.extract_tb(interruption.__traceback__)
    handler = next((frame for frame in reversed(frames) if _is_handler(frame)), None)
    where = f" in {handler.name} ({handler.filename}:{handler.lineno})" if handler is not None else ""
    say(f"interrupted{where}; a run that had begun is kept in its folder, marked as partial")
    return EXIT_INTERRUPTED


def _is_handler(frame: traceback.FrameSummary) -> bool:
    return frame.name.startswith("on_") and _is_user_frame(frame.filename)


def user_traceback(error: BaseException) -> str:
    """Return the traceback with the frames of the user's own code only, as Python prints it."""
    told = traceback.TracebackException.from_exception(error)
    _keep_user_frames(told)
    return "".join(told.format())


def _keep_user_frames(told: traceback.TracebackException) -> None:
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if _is_user_frame(frame.filename)])
    if told.__cause__ is not None:
        _keep_user_frames(told.__cause__)
    if told.__context__ is not None:
        _keep_user_frames(told.__context__)
        if not told.__context__.stack:  # what the package was handling meanwhile is not the user's
            told.__context__ = None


def _is_user_frame(filename: str) -> bool:
    if filename.startswith("<frozen "):
        return False
    own = str(Path(filename).resolve())
    return not own.startswith(_OWN_FOLDER) or "/strategies/" in own[len(_OWN_FOLDER) :]


def _explain_strategy(error: StrategyError) -> int:
    if error.__cause__ is not None:
        print(user_traceback(error.__cause__).rstrip(), file=sys.stderr)
    tick = re.sub(r"\b(ts_event|ts_recv) (-?\d+)", lambda match: f"{match[1]} {format_time(int(match[2]))}", error.tick)
    notes = [f"tick: {tick}" if tick else "", error.remedy or ""]
    say(error.message, remedy="\n".join(note for note in notes if note))
    return error.exit_code
