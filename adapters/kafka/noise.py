"""The noise of the client library: an outage makes it write 80 lines a second; here each text gets one in a while.

May not live here: our own lines.
"""

from __future__ import annotations

import logging
import time

from replay.logs import logger

EVERY_SECONDS = 30.0
_TEXTS_MAX = 256
_NAMES = (
    "aiokafka",
    "aiokafka.admin.client",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.consumer.subscription_state",
    "aiokafka.helpers",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)


class OnceInAWhile(logging.Filter):
    """Lets a line pass if no line with the same form passed lately."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line passes."""
        now_s = time.monotonic()
        form = f"{record.name}:{record.msg}"
        last_s = self._passed_s.get(form)
        if last_s is not None and now_s - last_s < EVERY_SECONDS:
            return False
        if len(self._passed_s) >= _TEXTS_MAX:
            self._passed_s.clear()
        self._passed_s[form] = now_s
        return True


class _OwnLog(logging.Handler):
    """Writes the library's lines in the form of ours, which takes secrets out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        logger("kafka").warning(record.getMessage(), logger=record.name)


_FILTER = OnceInAWhile()


def quiet() -> None:
    """Put the filter on the library's loggers; may be called again."""
    for name in _NAMES:
        logging.getLogger(name).addFilter(_FILTER)
    library = logging.getLogger("aiokafka")
    if not any(isinstance(handler, _OwnLog) for handler in library.handlers):
        library.addHandler(_OwnLog(logging.WARNING))
        library.propagate = False
    logging.getLogger("aiokafka.conn").setLevel(logging.INFO)  # below, it writes logins with their passwords
