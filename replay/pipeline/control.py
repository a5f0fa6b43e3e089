"""The control of a running session: the socket in its folder, the lines that go through it, and topics of commands.

May not live here: what a command decides, the queue to the tape, and any broker's client (adapters have those).

A line is one JSON object. To the session: `{"version": 1, "command": "pause"}`; back: a `Reply`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

import msgspec

from replay.errors import ControlError, JournalError, ReplayError
from replay.feeds.feed import DeadLetter
from replay.pipeline.commands import COMMANDS, CommandQueue

if TYPE_CHECKING:
    from concurrent.futures import Future

    from replay.pipeline.commands import Receipt

SOCKET_FILE = "control.sock"
VERSION = 1
LINE_BYTES_MAX = 1 << 16
PATH_BYTES_MAX = 107
"""The longest path that a Unix socket's address holds on Linux."""

_LAST_REPLIES_S = 2.0


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line to the session."""

    command: Literal["pause", "resume", "cancel-all", "flatten", "stop", "status"]
    version: Literal[1] = 1
    id: str | None = None
    """Given back in the reply."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is doing."""

    session: str
    process: int
    state: str
    """Of the run: running, ..."""
    trading: str
    """active, paused or stopped."""
    cause: str
    """Who made trading so."""
    since_ns: int | None
    """Tape time since which it is so; None: from the start."""
    flattening: bool
    seq: int
    """Records on the tape."""
    durable_seq: int
    """Records of it that are durable."""
    now_ns: int | None
    """Tape time."""
    equity: str | None
    positions: list[dict[str, Any]]
    open_orders: list[dict[str, Any]]
    in_flight: int
    """Commands of strategies on their way to a venue."""
    pending: int
    """Commands of operators that wait for the tape."""
    switches: dict[str, dict[str, Any]]


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line back. A command's comes when its record is durable."""

    ok: bool
    version: int = VERSION
    id: str | None = None
    command: str | None = None
    seq: int | None = None
    """Tape seq of the command's record."""
    trading: str | None = None
    """State of trading after it."""
    status: Status | None = None
    error: str | None = None


class TopicCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of a control topic."""

    command: Literal["pause", "resume", "cancel-all", "flatten", "stop"]
    session: str | None = None
    """Name or id of the session that is meant; all that read the topic, if not given."""
    id: str | None = None
    """For the log."""


class ControlMessage(NamedTuple):
    """What a control topic gives: the raw message, None where only the place moved on, and the place after it."""

    raw: bytes | None
    place: str
    cursor: bytes


class ControlSource(Protocol):
    """A topic of commands. The same cursor gives the same messages again."""

    def messages(self, cursor: bytes | None) -> AsyncIterator[ControlMessage]:
        """Give what comes after a cursor; without one, what comes from now on."""


class Log(Protocol):
    """A structlog logger, as far as it is needed here."""

    def info(self, event: str, **values: Any) -> Any:
        """Write a line."""

    def warning(self, event: str, **values: Any) -> Any:
        """Write a line."""


async def follow_topic(
    source: ControlSource, queue: CommandQueue, cursor: bytes | None, names: frozenset[str], log: Log
) -> None:
    """Put the commands of a topic on the tape, one after the other, each with the place after it in its frame."""
    async with contextlib.aclosing(source.messages(cursor)) as messages:  # type: ignore[type-var]
        async for message in messages:
            receipt = _submit_message(queue, message, names, log)
            with contextlib.suppress(ControlError):  # the run has ended; the message is read again by the next
                await asyncio.wrap_future(receipt)


def _submit_message(queue: CommandQueue, message: ControlMessage, names: frozenset[str], log: Log) -> Future[Receipt]:
    if message.raw is None:
        return queue.submit(None, cursor=message.cursor)
    try:
        wanted = msgspec.json.decode(message.raw, type=TopicCommand)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        log.warning("a message of the control topic is no command", place=message.place, error=str(error))
        letter = DeadLetter("bad_command", message.raw[:LINE_BYTES_MAX], message.place)
        return queue.submit(None, cursor=message.cursor, letter=letter)
    if wanted.session is not None and wanted.session not in names:
        return queue.submit(None, cursor=message.cursor)
    log.info("command", command=wanted.command, by=message.place, id=wanted.id)
    return queue.submit(COMMANDS[wanted.command], cursor=message.cursor)


class ControlServer:
    """Listens on the socket of a session whose lock this process holds, and answers."""

    def __init__(self, folder: Path, queue: CommandQueue, status: Callable[[], Status], log: Log) -> None:
        self.path = folder / SOCKET_FILE
        self._queue, self._status, self._log = queue, status, log
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._answering = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> Self:
        listener = _listen(self.path)
        self._server = await asyncio.start_unix_server(self._talk, sock=listener, limit=LINE_BYTES_MAX)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(TimeoutError):  # the last replies, a stop's among them
            async with asyncio.timeout(_LAST_REPLIES_S):
                await self._quiet.wait()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            while line := await reader.readline():
                self._answering += 1
                self._quiet.clear()
                try:
                    writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                    await writer.drain()
                finally:
                    self._answering -= 1
                    if not self._answering:
                        self._quiet.set()
        except ValueError:  # a line above the limit
            writer.write(msgspec.json.encode(Reply(ok=False, error=f"a line above {LINE_BYTES_MAX} bytes")) + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._talks.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=ControlRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Reply(ok=False, error=f"no request of version {VERSION}: {error}")
        try:
            if request.command == "status":
                return Reply(ok=True, id=request.id, command=request.command, status=self._status())
            self._log.info("command", command=request.command, by="socket", id=request.id)
            receipt = await asyncio.wrap_future(self._queue.submit(COMMANDS[request.command]))
        except ReplayError as error:
            return Reply(ok=False, id=request.id, command=request.command, error=error.message)
        return Reply(ok=True, id=request.id, command=request.command, seq=receipt.seq, trading=receipt.state)


def ask(folder: Path, request: ControlRequest, *, timeout_s: float | None) -> Reply:
    """Send one request to a running session and wait for its reply.

    Raises ControlError where nobody listens, the socket lets nobody in, or no reply comes in time.
    """
    path = folder / SOCKET_FILE
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection,
            _address(path) as at,
        ):
            connection.settimeout(timeout_s)
            connection.connect(at)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            line = connection.makefile("rb").readline()
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError(
            "the session is not running", place=str(folder), remedy="start it with `replay paper`, or name another one"
        ) from None
    except PermissionError:
        raise ControlError(
            "you have no permission to command the session",
            place=str(path),
            remedy="only the user who runs it has: use that account",
        ) from None
    except TimeoutError:
        raise ControlError(
            f"no reply within {timeout_s:g} s; the command may still take effect",
            place=str(folder),
            remedy="look with `replay ctl SESSION status`; a session takes commands once its first record has come",
        ) from None
    except OSError as error:
        raise ControlError(f"cannot be reached: {error.strerror or error}", place=str(path)) from error
    if not line:
        raise ControlError("the session ended before it replied", place=str(folder))
    return msgspec.json.decode(line, type=Reply)


def _listen(path: Path) -> socket.socket:
    """Bind the socket with mode 600 from its first moment on. A stale one goes: the session's lock proves it is one."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise JournalError(
                    "is no socket", place=str(path), remedy="move it away: the session's socket is there"
                )
            path.unlink()
        os.fchmod(listener.fileno(), 0o600)  # on Linux the file that bind makes gets this mode
        with _address(path) as at:
            listener.bind(at)
        path.chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise JournalError(f"the control socket cannot be made: {error.strerror or error}", place=str(path)) from error
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """Give the path, or a short one through the folder's descriptor where it does not fit into a socket's address."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
