"""The noise of the client library: an outage makes it write 80 lines a second; here each text gets one in a while.

May not live here: our own lines.
"""

from __future__ import annotations

import logging
import time

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


_FILTER = OnceInAWhile()


def quiet() -> None:
    """Put the filter on the library's loggers; may be called again."""
    for name in _NAMES:
        logging.getLogger(name).addFilter(_FILTER)
