"""A headless Chromium that tests drive by its DevTools protocol: open a page, run JavaScript, click, take pictures.

May not live here: what a page should show.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--remote-debugging-port=0",
    "--force-device-scale-factor=1",
)
_START_S = 60.0


def find_browser() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


class Page:
    """One page of a running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last_id = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.requests: list[str] = []
        """Addresses that the page asked for."""
        self.errors: list[str] = []
        """What was thrown in the page and nobody caught."""
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and give its result."""
        self._last_id += 1
        answer = self._answers[self._last_id] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last_id, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 120)

    async def run(self, script: str) -> Any:
        """Run an expression in the page, wait for what it promises, and give its value."""
        given = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in given:
            raise AssertionError(f"{script}: {given['exceptionDetails']}")
        return given["result"].get("value")

    async def until(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true."""
        limit = time.monotonic() + seconds
        while not await self.run(condition):
            assert time.monotonic() < limit, f"not within {seconds} s: {condition}; errors: {self.errors}"
            await asyncio.sleep(0.02)

    async def open(self, address: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=address)

    async def size(self, width: int, height: int) -> None:
        """Set the size of the window in pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def prefer(self, scheme: str) -> None:
        """Let the system prefer `light` or `dark`."""
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def click(self, selector: str, nth: int = 0) -> None:
        """Click on the middle of an element with the mouse."""
        script = (
            f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{nth}];"
            " e.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        x, y = await self.run(script)
        for kind in ("mousePressed", "mouseReleased"):
            await self._mouse(kind, (x, y), button="left", clickCount=1)

    async def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of the window, move it, and let go at the other."""
        await self._mouse("mouseMoved", start)
        await self._mouse("mousePressed", start, button="left", clickCount=1)
        for step in range(1, 6):
            x, y = (a + (b - a) * step / 5 for a, b in zip(start, end, strict=True))
            await self._mouse("mouseMoved", (x, y), button="left", buttons=1)
        await self._mouse("mouseReleased", end, button="left", clickCount=1)

    async def picture(self) -> bytes:
        """Take a picture of the window, as PNG."""
        given = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(given["data"])

    async def pdf(self) -> bytes:
        """Print the page to PDF, as a printer would get it."""
        given = await self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        return base64.b64decode(given["data"])

    async def _mouse(self, kind: str, place: tuple[float, float], **more: Any) -> None:
        await self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **more)

    async def close(self) -> None:
        """Stop listening."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if answer.done():
                    continue
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]))
                else:
                    answer.set_result(told["result"])
            elif told["method"] == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            elif told["method"] == "Runtime.exceptionThrown":
                details = told["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])


@contextlib.asynccontextmanager
async def open_browser(program: str) -> AsyncIterator[Page]:
    """Start a browser with a profile of its own, give its page, and end it."""
    with _running(program) as port:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json(content_type=None)
            address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                try:
                    for domain in ("Page", "Runtime", "Network"):
                        await page.call(f"{domain}.enable")
                    yield page
                finally:
                    await page.close()


@contextlib.contextmanager
def _running(program: str) -> Iterator[int]:
    """Run a browser; give the port at which it listens to its driver."""
    with tempfile.TemporaryDirectory(prefix="replay-browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield _port(Path(profile) / "DevToolsActivePort", process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    limit = time.monotonic() + _START_S
    while time.monotonic() < limit:
        assert process.poll() is None, f"the browser ended with code {process.returncode}"
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError(f"the browser did not start within {_START_S} s")
