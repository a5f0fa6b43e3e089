"""Which adapter reads which topic of commands: by the scheme of its URI.

May not live here: what a message means, and any broker's client.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from replay.errors import ConfigError, choose

if TYPE_CHECKING:
    from replay.config.sections import Kafka
    from replay.pipeline.control import ControlSource

GROUP = "replay.controls"

BUILT_IN = {"kafka": "replay.adapters.kafka.control:open_control"}
"""The entry points that come with the package, for a source folder that is not installed."""

OpenControl = Callable[[str, "Kafka | None"], "ControlSource"]


def open_control(uri: str, kafka: Kafka | None) -> ControlSource:
    """Open a topic of commands; nothing is connected yet. Raises ConfigError where nothing reads such a URI."""
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    scheme = uri.partition(":")[0].lower()
    if scheme in installed:
        return cast(OpenControl, installed[scheme].load())(uri, kafka)
    if scheme in BUILT_IN:
        module, _, attribute = BUILT_IN[scheme].partition(":")
        return cast(OpenControl, getattr(import_module(module), attribute))(uri, kafka)
    raise ConfigError(
        f"nothing reads commands from {uri!r}",
        place="control.topic",
        remedy=choose(scheme, sorted({*BUILT_IN, *installed})),
    )
