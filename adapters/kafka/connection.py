"""The connection: what every client of Kafka here is given, from `[kafka]` of the run file, and its errors in words.

May not live here: topics, offsets and messages.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from replay.adapters.kafka.noise import quiet
from replay.config.sections import Kafka
from replay.errors import ConfigError
from replay.logs import REDACTED

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress

CLIENT_ID = "replay"
DIAGNOSIS_S = 3.0
"""How long a connection may take that is only to show why others fail."""


class Secret(str):
    """A secret that shows itself to nobody who prints, formats or logs it; its bytes are those of the secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, _spec: str) -> str:
        return REDACTED

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def client_options(address: TopicAddress, kafka: Kafka | None) -> dict[str, Any]:
    """Give the keyword arguments that AIOKafkaConsumer, AIOKafkaProducer and AIOKafkaAdminClient have in common.

    Secrets and certificates are read now, at connection time. Raises ConfigError where one is missing or unreadable.
    """
    quiet()
    settings = kafka or Kafka()
    options: dict[str, Any] = {
        "bootstrap_servers": address.servers,
        "client_id": CLIENT_ID,
        "request_timeout_ms": max(1, settings.request_timeout.ns // 1_000_000),
        "security_protocol": settings.security.upper(),
    }
    if settings.security in ("ssl", "sasl_ssl"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.security.startswith("sasl_"):
        options["sasl_mechanism"] = settings.mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = _secret(settings, "password")
    return options


def broker_fault(error: BaseException, address: TopicAddress, kafka: Kafka | None) -> ConfigError | None:
    """Say in the user's words what a broker refused; None for what time may mend."""
    settings = kafka or Kafka()
    causes = _causes(error)
    user = settings.username or "the client"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        text = next(cause.verify_message for cause in causes if isinstance(cause, ssl.SSLCertVerificationError))
        return _fault(
            address,
            f"the certificate of {address.servers} is not trusted ({text})",
            "name the certificate of its authority: [kafka] ca_file; for another host name, connect to the one it "
            "names, or set check_hostname = false",
        )
    alerts = [str(cause.reason) for cause in causes if isinstance(cause, ssl.SSLError)]
    if any("ALERT" in alert and ("CERT" in alert or "UNKNOWN_CA" in alert) for alert in alerts):
        return _certificate_fault(address, settings, alerts)
    if alerts:
        return _fault(
            address, f"{address.servers} does not speak TLS as asked", "check [kafka] security and the broker's port"
        )
    if any(isinstance(cause, SaslAuthenticationFailed | UnsupportedSaslMechanismError) for cause in causes):
        return _fault(
            address,
            f"{address.servers} refuses the login of {user!r} by {settings.mechanism}",
            "check [kafka] username, mechanism, and what password_env or password_file holds",
        )
    if any(isinstance(cause, TransactionalIdAuthorizationFailed | ClusterAuthorizationFailedError) for cause in causes):
        return _fault(
            address,
            f"{user!r} may not be a producer that fences others off",
            f"on the broker, allow WRITE on the topic {address.topic!r} and on transactional ids with the prefix "
            "'replay-'",
        )
    if any(isinstance(cause, TopicAuthorizationFailedError) for cause in causes):
        return _fault(
            address,
            f"{user!r} has no right to the topic {address.topic!r}",
            "on the broker, allow READ and DESCRIBE, for a sink also WRITE, on the topic",
        )
    return None


def _certificate_fault(address: TopicAddress, settings: Kafka, alerts: Sequence[str]) -> ConfigError:
    """Say what a broker's alert about our certificate means."""
    if settings.certificate_file is None:
        return _fault(
            address,
            f"{address.servers} asks its clients for a certificate, and none is named",
            "name yours in [kafka]: certificate_file and key_file, with key_password_env where the key is encrypted",
        )
    return _fault(
        address,
        f"{address.servers} refuses the certificate in {settings.certificate_file} ({alerts[0].lower()})",
        "name one in [kafka] certificate_file whose authority the broker trusts and that has not expired",
    )


async def connection_fault(error: BaseException, address: TopicAddress, kafka: Kafka | None) -> ConfigError:
    """Say why no client could start."""
    return await refusal(error, address, kafka) or unreachable(error, address)


async def refusal(error: BaseException, address: TopicAddress, kafka: Kafka | None) -> ConfigError | None:
    """Say what a broker refused a client that could not start; None where nobody answered.

    A client keeps the cause to its log, so one connection is tried anew.
    """
    options = client_options(address, kafka)
    del options["bootstrap_servers"]
    for server in address.servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(DIAGNOSIS_S):
                connection = await create_conn(host.strip("[]"), int(port), **options)
            connection.close()
        except (KafkaError, OSError, TimeoutError) as cause:
            fault = broker_fault(cause, address, kafka)
            if fault is not None:
                return fault
    return broker_fault(error, address, kafka)


def unreachable(error: BaseException, address: TopicAddress) -> ConfigError:
    """Say that nobody answers as a broker of Kafka at an address."""
    text = str(error) if isinstance(error, KafkaConnectionError) else f"{type(error).__name__} {error}".strip()
    return _fault(
        address,
        f"no broker of Kafka answers at {address.servers} ({text})",
        "check host and port, [kafka] security, and that the broker runs",
    )


def missing_topic(address: TopicAddress) -> ConfigError:
    """Say that a topic is not there, or that the user may not see it."""
    return _fault(
        address,
        f"there is no topic {address.topic!r} on {address.servers}, or no right to see it",
        "let the session make it, by create = 1 (partitions) in [[sink]]; make it yourself, with retention.ms=-1; "
        "or allow DESCRIBE on it",
    )


def _ssl_context(settings: Kafka) -> ssl.SSLContext:
    password = _secret(settings, "key_password", required=False)
    for key in ("ca_file", "certificate_file", "key_file"):
        path = getattr(settings, key)
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"cannot read {path}", place=f"kafka.{key}", remedy="name a readable PEM file")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ca_file,
            certfile=settings.certificate_file,
            keyfile=settings.key_file,
            password=None if password is None else password.encode(),
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else type(error).__name__
        raise ConfigError(
            f"the certificates cannot be used ({reason})",
            place="kafka",
            remedy="ca_file, certificate_file and key_file are PEM files; an encrypted key wants key_password_env",
        ) from None
    context.check_hostname = settings.check_hostname
    return context


def _secret(settings: Kafka, name: str, *, required: bool = True) -> Secret | None:
    """Read a secret from the environment or the file that the run file names; it stays out of every message."""
    variable, path = getattr(settings, f"{name}_env"), getattr(settings, f"{name}_file")
    if variable is not None:
        value = os.environ.get(variable)
        if not value:
            raise ConfigError(
                f"the environment variable {variable} is not set",
                place=f"kafka.{name}_env",
                remedy=f"export {variable}, or name another in {name}_env",
            )
        return Secret(value)
    if path is not None:
        try:
            return Secret(Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read {path} ({type(error).__name__})", place=f"kafka.{name}_file", remedy="name a text file"
            ) from None
    if required:
        raise ConfigError("a password is missing", place="kafka", remedy=f"set {name}_env or {name}_file")
    return None


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    while error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__ or error
    return found


def _fault(address: TopicAddress, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, place=str(address), remedy=remedy)


__all__ = [
    "KafkaError",
    "Secret",
    "broker_fault",
    "client_options",
    "connection_fault",
    "missing_topic",
    "refusal",
    "unreachable",
]
