"""Log lines: valid JSON, levels, and no secret in any form."""

from __future__ import annotations

import io

import msgspec
import pytest
import structlog
from structlog.typing import FilteringBoundLogger

from replay import logs


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    structlog.reset_defaults()


def lines(level: str = "info") -> tuple[io.StringIO, FilteringBoundLogger]:
    stream = io.StringIO()
    logs.configure("json", level, stream=stream)  # type: ignore[arg-type]
    return stream, logs.logger("test")


def test_json_lines_are_json() -> None:
    stream, log = lines()
    log.info("started", records=5, path="a/b")
    entry = msgspec.json.decode(stream.getvalue())
    assert entry["event"] == "started"
    assert (entry["part"], entry["level"], entry["records"]) == ("test", "info", 5)


def test_lines_below_the_level_are_not_written() -> None:
    stream, log = lines("warning")
    log.info("nothing")
    log.warning("something")
    assert stream.getvalue().count("\n") == 1


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("stream", [Gone(), None])
def test_a_terminal_that_has_gone_loses_lines_and_ends_nobody(
    stream: Gone | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure()
    logs.logger("test").info("nobody reads this")


def test_lines_go_to_what_is_standard_error_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, later = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", earlier)
    logs.configure()
    earlier.close()
    monkeypatch.setattr("sys.stderr", later)
    logs.logger("test").info("still here")
    assert "still here" in later.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_marked_password_appears_in_no_line(form: str) -> None:
    canary = "canary-7f3a"
    stream = io.StringIO()
    logs.configure(form, "debug", stream=stream)  # type: ignore[arg-type]
    log = logs.logger("test")
    log.info(
        "a", password=canary, sasl_plain_password=canary, api_key=canary, nested={"token": canary, "list": [canary[:0]]}
    )
    log.info("b", uri=f"kafka://user:{canary}@host:9092/topic")
    message = f"connecting with password={canary} and secret: '{canary}'"
    log.info(message)
    log.info("c", text=f'{{"client_secret": "x"}} token={canary}', authorization=f"Bearer {canary}")
    try:
        raise ValueError(f"cannot reach kafka://user:{canary}@host")
    except ValueError:
        log.exception("d")
    assert stream.getvalue().count("\n") >= 5
    assert canary not in stream.getvalue()
