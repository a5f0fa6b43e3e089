"""The gate of the broker proofs: it can be closed and opened again, whoever has forked meanwhile."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from stress.gate import Gate


def test_a_gate_that_was_closed_opens_again_although_a_forked_process_has_its_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target, Gate(target.getsockname()[1]) as gate:
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            gate.put("closed")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gate.port), timeout=5)
            gate.put("open")
            socket.create_connection(("127.0.0.1", gate.port), timeout=5).close()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
