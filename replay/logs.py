"""Logs: structlog lines on stderr, for people or as JSON, with secrets taken out.

May not live here: what is worth a line. Nothing may be logged per tick: a line costs about 10 us.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import msgspec

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

REDACTED = "***"

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api_?key|credential|authorization|private_?key", re.IGNORECASE
)
_SECRET_IN_URI = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@\s/]+@", re.IGNORECASE)
_SECRET_ASSIGNED = re.compile(
    r"\b((?:password|passwd|passphrase|secret|token|api_?key)\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)",
    re.IGNORECASE,
)


class Lines:
    """Where lines go: a stream, or what is standard error by the time of a line.

    A stream that is closed or that takes nothing (the terminal has gone) loses lines; it never ends who writes them.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if that is possible."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._now().write(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._now().flush()

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return self._now().isatty()
        return False

    def _now(self) -> IO[str]:
        return sys.stderr if self._stream is None else self._stream


_STANDARD_ERROR = Lines()


def configure(
    format: Literal["console", "json"] = "console",  # noqa: A002 - the key of the run file
    level: Literal["debug", "info", "warning", "error"] = "info",
    *,
    stream: IO[str] | None = None,
) -> None:
    """Set up structlog for the process."""
    import structlog

    target = _STANDARD_ERROR if stream is None else Lines(stream)
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # text, so that what is redacted covers it, and without local variables
        redact,
    ]
    if format == "json":
        processors.append(structlog.processors.JSONRenderer(_encode))
    else:
        plain = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(Any, target)),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> FilteringBoundLogger:
    """Give a logger whose lines carry `part=name`."""
    import structlog

    return cast("FilteringBoundLogger", structlog.get_logger(part=name))


def redact(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under keys that name a secret, and secrets inside texts (URIs, `password=..`)."""
    return cast(MutableMapping[str, Any], _clean(dict(entry)))


def redact_text(text: str) -> str:
    """Replace secrets inside a text."""
    return _SECRET_ASSIGNED.sub(rf"\1{REDACTED}", _SECRET_IN_URI.sub(rf"\1{REDACTED}@", text))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: REDACTED if isinstance(key, str) and _SECRET_KEY.search(key) and item is not None else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return redact_text(value.decode("utf-8", "replace"))
    if isinstance(value, Exception):
        return redact_text(f"{type(value).__name__}: {value}")
    return value


def _encode(entry: Any, default: Any = None, **_: object) -> str:
    return msgspec.json.encode(entry, enc_hook=default or str).decode()
