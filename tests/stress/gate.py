"""A gate between clients and a broker: a TCP proxy that lets all through, slows it down, swallows it, or is closed.

May not live here: brokers and sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from typing import Literal, Self

State = Literal["open", "slow", "silent", "deaf", "closed"]
"""silent: connections are accepted and nothing comes through; deaf: what the broker answers is lost, with its
connection; closed: connections are cut and refused."""

CHUNK_BYTES = 16_384


PORTS = range(20_000, 30_000)
"""Below the ephemeral range: a client that keeps trying a free port of that range connects to itself one day."""


def free_port() -> int:
    """A port of PORTS on which nobody listens."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError(f"no port of {PORTS.start} to {PORTS.stop - 1} is free")


class Gate:
    """One listening port in front of another one; runs on a thread of its own."""

    def __init__(self, target_port: int, *, slow_bytes_per_s: int = 200_000, slow_delay_s: float = 0.03) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._bytes_per_s = slow_bytes_per_s
        self._delay_s = slow_delay_s
        self._state: State = "open"
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._server: asyncio.Server | None = None
        self.forwarded_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.put("open")
        return self

    def __exit__(self, *error: object) -> None:
        self.put("closed")
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def put(self, state: State) -> None:
        """Change what it does, from now on; connections that stand are concerned, too."""
        asyncio.run_coroutine_threadsafe(self._put(state), self._loop).result(10)

    async def _put(self, state: State) -> None:
        self._state = state
        if state == "closed":
            if self._server is not None:
                for listening in self._server.sockets:
                    listening.shutdown(socket.SHUT_RDWR)  # a forked process that has it, too, would go on listening
                self._server.close()
                self._server = None
            for writer in list(self._writers):
                writer.transport.abort()
        elif self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = {writer}
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
                opened.add(far_writer)
                self._writers.add(far_writer)
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pass(reader, far_writer)),
                        asyncio.create_task(self._pass(far_reader, writer, answers=True)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            for one in opened:
                one.transport.abort()
            self._writers -= opened

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        is_lost = False
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(CHUNK_BYTES):
                is_lost = is_lost or (answers and self._state == "deaf")
                if is_lost:  # an answer with a hole in it would be another one
                    continue
                while self._state == "silent":  # noqa: ASYNC110 - another thread changes it
                    await asyncio.sleep(0.02)
                if self._state == "slow":
                    await asyncio.sleep(self._delay_s + len(data) / self._bytes_per_s)
                writer.write(data)
                await writer.drain()
                self.forwarded_bytes += len(data)
