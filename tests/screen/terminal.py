"""A program on a pseudo terminal, and what a terminal emulator makes of its output.

May not live here: assertions about screens.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

ROWS, COLUMNS = 40, 120


class Terminal:
    """Runs `replay ARGUMENTS` on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.output = b""
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._code: int | None = None
        self.descriptor, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.process = os.fork()
        if self.process == 0:
            _login(theirs)
            os.chdir(folder)
            for name in ("COLUMNS", "LINES"):  # pytest's workers set them
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm-256color", **(environment or {})})
            os.execv(sys.executable, [sys.executable, "-m", "replay", *arguments])

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process, number)

    def read(self, seconds: float = 0.1) -> bool:
        """Take what the program wrote; return whether there was something."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return False
        data = os.read(self.descriptor, 65_536)
        self.output += data
        # What it asks of terminals that pyte does not know, as Textual does.
        for unknown in (b"\x1b[>11u", b"\x1b[>25u", b"\x1b[<u", b"\x1b[?2026$p", b"\x1b[?2048$p"):
            data = data.replace(unknown, b"")
        self._stream.feed(data)
        return True

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, condition: str | Callable[[str], bool], timeout: float = 40) -> str:
        """Wait until a text stands on the screen, or a condition holds of it."""
        limit = time.monotonic() + timeout
        while True:
            text = self.text
            if (condition in text) if isinstance(condition, str) else condition(text):
                return text
            assert time.monotonic() < limit, f"{condition!r} did not show on\n{text}"
            assert not self._has_ended(), (
                f"ended before {condition!r}: {self.output[-2_000:].decode('utf-8', 'replace')}"
            )
            self.read()

    def code(self, timeout: float = 40) -> int:
        """Wait for the end, and give the exit code."""
        limit = time.monotonic() + timeout
        while not self._has_ended():
            assert time.monotonic() < limit, f"it does not end: {self.text}"
            self.read()
        while self.read(0.05):
            pass
        assert self._code is not None
        return self._code

    def _has_ended(self) -> bool:
        if self._code is None:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is not None

    def assert_sane(self) -> None:
        """The terminal is as it was: its modes, the first screen, the cursor, and none of the reports that were on."""
        assert termios.tcgetattr(self._theirs) == self.before
        text = self.output.decode("utf-8", "replace")
        for mode in ("1049", "1000", "1003", "1006", "2004", "1004"):
            assert text.rfind(f"\x1b[?{mode}h") <= text.rfind(f"\x1b[?{mode}l"), f"mode {mode} is left on"
        assert text.rfind("\x1b[?25l") <= text.rfind("\x1b[?25h"), "the cursor is left hidden"

    def close(self) -> None:
        if not self._has_ended():
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.descriptor)
        os.close(self._theirs)


def _login(descriptor: int) -> None:
    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(descriptor, standard)
