"""What 50 scrapers a second cost a paper session: how long they wait, and how late its event loop comes meanwhile.

May not live here: tests. Run it on a quiet machine: python benches/bench_scrape.py [SECONDS]. Turns without and with
scrapers follow each other in the same session; a process of its own sends time stamps to the session's loop.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import replay
from replay.strategies.sma_cross import SmaCross

SCRAPERS = 50
"""Each asks once a second, at a moment of its own."""

RATE = 2_000
"""Records a second of the session."""

STAMP_EVERY_S = 0.002
TURNS = 4

SCRAPE_P99_MAX_S = 0.1
DELAY_P99_MAX_S = 1e-3
"""By how much the delay's 99th percentile may grow."""
DELAY_MAX_S = 10e-3
"""By how much the longest delay may grow."""

INSTRUMENTS = [
    {"symbol": symbol, "venue": "sim", "tick": "0.01", "lot": "0.001", "quote": "USD"} for symbol in ("SIM-A", "SIM-B")
]

Floats = NDArray[np.float64]


def session(folder: str, port: int, stamps_port: int, commands: Connection) -> None:
    """Run a paper session; its loop receives time stamps and keeps how old each is when its turn comes."""
    asyncio.run(_session(folder, port, stamps_port, commands))


async def _session(folder: str, port: int, stamps_port: int, commands: Connection) -> None:
    from replay.pipeline.stop import Stop

    loop = asyncio.get_running_loop()
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", stamps_port))
    receiver.setblocking(False)
    delays_ns: list[int] = []
    stop = Stop()

    def take() -> None:
        delays_ns.append(time.monotonic_ns() - int.from_bytes(receiver.recv(8), "little"))

    def obey() -> None:
        if commands.recv() == "turn":
            commands.send(delays_ns.copy())
            delays_ns.clear()
        else:
            stop.request()

    loop.add_reader(receiver.fileno(), take)
    loop.add_reader(commands.fileno(), obey)
    await replay.paper_async(
        SmaCross(symbol="SIM-A", length="1s"),
        f"sim:?rate={RATE}",
        session=folder,
        instruments=INSTRUMENTS,
        cash={"USD": "100000"},
        metrics={"port": port},
        stop=stop,
    )


def stamp(port: int) -> None:
    """Send the time now and then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while True:
            time.sleep(STAMP_EVERY_S * random.uniform(0.5, 1.5))
            sender.sendto(time.monotonic_ns().to_bytes(8, "little"), ("127.0.0.1", port))


async def scrape(port: int, limit_s: float, waits: list[float]) -> None:
    """Ask once a second over one connection, as a Prometheus does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due_s = time.monotonic() + random.random()
    while due_s < limit_s:
        await asyncio.sleep(due_s - time.monotonic())
        began_s = time.perf_counter()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        waits.append(time.perf_counter() - began_s)
        due_s += 1.0
    writer.close()


async def scrape_all(port: int, seconds: float) -> list[float]:
    """Let all scrapers ask for some time; give how long each answer took."""
    waits: list[float] = []
    limit_s = time.monotonic() + seconds
    await asyncio.gather(*(scrape(port, limit_s, waits) for _ in range(SCRAPERS)))
    return waits


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Find a port that is free."""
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def await_session(port: int) -> None:
    """Wait until the session serves."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the session did not start")


def turns(seconds: float, port: int, commands: Connection) -> tuple[Floats, Floats, Floats]:
    """Take turns; give the delays without scrapers, with them, and how long the scrapers waited."""
    without: list[int] = []
    beside: list[int] = []
    waits: list[float] = []
    time.sleep(2)
    for _ in range(TURNS):
        for delays, is_scraped in ((without, False), (beside, True)):
            commands.send("turn")
            commands.recv()
            if is_scraped:
                waits += asyncio.run(scrape_all(port, seconds / TURNS))
            else:
                time.sleep(seconds / TURNS)
            commands.send("turn")
            delays += commands.recv()
    return np.array(without) / 1e9, np.array(beside) / 1e9, np.array(waits)


def row(name: str, values: Floats) -> dict[str, Any]:
    """Sum up in milliseconds, and print it."""
    median, p99, longest = (float(np.quantile(values, share)) * 1e3 for share in (0.5, 0.99, 1.0))
    print(f"{name:30} {len(values):7,}  median {median:7.3f} ms  p99 {p99:7.3f} ms  longest {longest:7.3f} ms")
    return {"bench": "scrape", "row": name, "count": len(values), "median_ms": median, "p99_ms": p99, "max_ms": longest}


def main(seconds: float) -> int:
    """Measure, print, judge; 1 where a bound is missed."""
    port, stamps_port = free_port(), free_port(socket.SOCK_DGRAM)
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        running = context.Process(target=session, args=(str(Path(folder) / "session"), port, stamps_port, theirs))
        stamping = context.Process(target=stamp, args=(stamps_port,), daemon=True)
        running.start()
        try:
            await_session(port)
            stamping.start()
            without, beside, waits = turns(seconds, port, ours)
            ours.send("stop")
            running.join(20)
        finally:
            stamping.kill()
            running.kill()
    rows = [row("loop delay, not scraped", without), row("loop delay, scraped", beside), row("a scrape", waits)]
    for line in rows:
        print(json.dumps(line))
    more_p99_s = (rows[1]["p99_ms"] - rows[0]["p99_ms"]) / 1e3
    more_max_s = (rows[1]["max_ms"] - rows[0]["max_ms"]) / 1e3
    kept = {
        f"scrape p99 <= {SCRAPE_P99_MAX_S * 1e3:g} ms": rows[2]["p99_ms"] <= SCRAPE_P99_MAX_S * 1e3,
        f"delay p99 at most {DELAY_P99_MAX_S * 1e3:g} ms more": more_p99_s <= DELAY_P99_MAX_S,
        f"longest delay at most {DELAY_MAX_S * 1e3:g} ms more": more_max_s <= DELAY_MAX_S,
    }
    for bound, is_kept in kept.items():
        print(f"{bound}: {'kept' if is_kept else 'MISSED'}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 40.0))
