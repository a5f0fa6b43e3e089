"""Serving: /metrics and the probes' /health on the event loop of the run, without holding it up.

May not live here: what a metric says, and when a run is ready.
"""

from __future__ import annotations

import asyncio
import errno
import time
from typing import TYPE_CHECKING, Self

from prometheus_client import ProcessCollector
from prometheus_client.registry import Collector

from replay.errors import UsageError
from replay.health import State
from replay.metrics import CONTENT_TYPE, rendered_pieces

if TYPE_CHECKING:
    from aiohttp import web

    from replay.health import Probed
    from replay.pipeline.histogram import Histogram

RENDER_EVERY_S = 1.0

LOOP_PROBE_S = 0.1
"""How often the delay of the event loop is measured."""


class MetricsText:
    """The metrics as text, rendered at most once a second however many ask, in pieces between which the loop turns."""

    def __init__(self, *collectors: Collector, every_s: float = RENDER_EVERY_S) -> None:
        self._collectors = collectors
        self._every_s = every_s
        self._text = b""
        self._rendered_at: float | None = None
        self._rendering: asyncio.Task[None] | None = None

    async def get(self) -> bytes:
        """Give the text, rendered anew if the last one is a second old; all who ask meanwhile get the same."""
        if self._rendered_at is None or time.monotonic() - self._rendered_at >= self._every_s:
            if self._rendering is None or self._rendering.done():
                self._rendering = asyncio.create_task(self._render())
            await asyncio.shield(self._rendering)
        return self._text

    async def _render(self) -> None:
        parts: list[bytes] = []
        for piece in rendered_pieces(*self._collectors):
            parts.append(piece)
            await asyncio.sleep(0)
        self._text = b"".join(parts)
        self._rendered_at = time.monotonic()


class MetricsServer:
    """Serves /metrics and /health on the event loop of the run."""

    def __init__(
        self, collector: Collector, health: Probed, *, host: str, port: int, loop_seconds: Histogram | None = None
    ) -> None:
        """Take what to serve and where; `loop_seconds` takes what the loop's delays are measured to be."""
        self._text = MetricsText(collector, ProcessCollector(registry=None))
        self._health = health
        self._loop_seconds = loop_seconds
        self.host = host
        self.port = port
        """The port that is served; set to the real one when 0 was asked for."""
        self._runner: web.AppRunner | None = None
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve; raise UsageError where the port is taken or the address is not ours."""
        from aiohttp import web

        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/health", self._whole)
        application.router.add_get("/health/live", self._live)
        application.router.add_get("/health/ready", self._ready)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self.stop()
            raise _bind_error(error, self.host, self.port) from error
        self.port = int(self._runner.addresses[0][1])
        if self._loop_seconds is not None:
            self._probe = asyncio.create_task(_watch_loop(self._loop_seconds))

    async def stop(self) -> None:
        """Stop serving. May be called again."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.shield(self.stop())

    async def _metrics(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(body=await self._text.get(), headers={"Content-Type": CONTENT_TYPE})

    async def _live(self, _request: web.Request) -> web.Response:
        return self._answer(self._health.is_live(), [])

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._health.not_ready()
        return self._answer(not reasons, reasons)

    async def _whole(self, _request: web.Request) -> web.Response:
        """Answer as before there were two probes: the state alone decides, the reasons are told."""
        is_running = self._health.state in (State.RUNNING, State.PAUSED)
        return self._answer(is_running, self._health.not_ready())

    def _answer(self, is_well: bool, reasons: list[str]) -> web.Response:
        from aiohttp import web

        body = {"state": self._health.state, "run": self._health.run, "reasons": reasons}
        return web.json_response(body, status=200 if is_well else 503)


async def _watch_loop(seconds: Histogram) -> None:
    """Measure now and then how late the loop comes to what is due; its timer rounds up to a millisecond."""
    while True:
        due_s = time.perf_counter() + LOOP_PROBE_S
        await asyncio.sleep(LOOP_PROBE_S)
        seconds.observe(max(0.0, time.perf_counter() - due_s))


def _bind_error(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} on {host} is in use",
            place="metrics.port",
            remedy="stop what serves there, or take another: --set metrics.port=9110 (0 takes a free one)",
        )
    return UsageError(
        f"cannot serve on {host}:{port}: {error.strerror or error}",
        place="metrics",
        remedy="set metrics.host to an address of this machine, and metrics.port to one above 1023",
    )
