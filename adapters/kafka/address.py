"""The address of a topic: `kafka://host:port[,host:port]/topic?option=value`.

May not live here: what the options mean, and connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from replay.errors import ConfigError, choose

SCHEME = "kafka"


@dataclass(frozen=True)
class TopicAddress:
    """Brokers, topic and options of a `kafka:` URI."""

    servers: str
    """host:port, separated by commas."""
    topic: str
    options: dict[str, str]

    @classmethod
    def parse(cls, uri: str, choices: tuple[str, ...] = (), *, place: str | None = None) -> TopicAddress:
        """Read a URI; raise ConfigError for one that names no broker or topic, or has an option not in `choices`."""
        scheme, _, rest = uri.partition("://")
        location, _, query = rest.partition("?")
        servers, _, topic = location.partition("/")
        if scheme.lower() != SCHEME or not servers or not topic or "/" in topic:
            raise ConfigError(
                f"{uri!r} is no address of a Kafka topic",
                place=place,
                remedy="write it as kafka://host:9092/topic",
            )
        if "@" in servers:
            raise ConfigError(
                f"the address of topic {topic!r} holds a user name or password",
                place=place,
                remedy="give them in [kafka]: username, and password_env or password_file",
            )
        for server in servers.split(","):
            host, colon, port = server.rpartition(":")
            if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ConfigError(
                    f"{server!r} in {uri!r} is no host:port", place=place, remedy="write it as kafka://host:9092/topic"
                )
        options: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in choices:
                raise ConfigError(f"{uri!r} has the unknown option {name!r}", place=place, remedy=choose(name, choices))
            options[name] = value
        return cls(servers, topic, options)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.servers}/{self.topic}"
