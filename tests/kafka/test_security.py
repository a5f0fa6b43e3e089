"""SASL, TLS and an authorizer: what is allowed works end to end, what is not is told, and no secret shows anywhere."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modes.market import market
from support.broker import Broker

from replay.adapters.kafka import publish
from replay.adapters.kafka.address import TopicAddress
from replay.adapters.kafka.connection import Secret, client_options
from replay.adapters.registry import open_feed
from replay.config.sections import FeedSpec, Kafka
from replay.data.publish import Publishing
from replay.errors import ConfigError, ReplayError
from replay.records import as_bytes

from .conftest import started
from .publishing import assert_topic_is_the_event_log, session
from .test_messages import entry
from .topics import RUN_INSTRUMENTS, all_records, feed_of, save

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PASSWORD = "canary-8f2c"
USERS = {"admin": "canary-admin-77", "desk": PASSWORD, "guest": "canary-guest-31"}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("secure") / "broker", users=USERS)
    try:
        started(broker)
        for topic in ("orders", "unreadable", "unwritable", "fenceless", "described", "writable"):
            broker.create_topic(topic)
        broker.allow("desk", "all", "orders")
        broker.allow("desk", "write", "unreadable")
        broker.allow("desk", "read", "unwritable")
        broker.allow("desk", "write", "replay-", resource="transactional_id", prefix=True)
        broker.allow("guest", "all", "fenceless")
        broker.allow("desk", "describe_configs", "unwritable")
        for operation in ("read", "write", "describe"):
            broker.allow("desk", operation, "writable")
        broker.allow("desk", "describe", "described")
        broker.produce("described", [b"{}"])
        yield broker
    finally:
        broker.kill()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("GUEST_PASSWORD", USERS["guest"])
    monkeypatch.setenv("WRONG_PASSWORD", "canary-wrong")


def settings(secure: Broker, **changed: Any) -> dict[str, Any]:
    return {
        "security": "sasl_ssl",
        "mechanism": "SCRAM-SHA-512",
        "username": "desk",
        "password_env": "DESK_PASSWORD",
        "ca_file": str(secure.ca_file),
        **changed,
    }


def assert_no_canary(folder: Path, *texts: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path
    for text in texts:
        assert "canary" not in text


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_with_rights_publishes_end_to_end_and_the_password_shows_nowhere(
    secure: Broker, tmp_path: Path, mechanism: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = secure.create_topic(f"orders-{mechanism}")
    secure.allow("desk", "all", topic)
    caplog.set_level(logging.DEBUG)
    session(tmp_path / "s", {"uri": secure.uri(topic)}, rows=1_000, kafka=settings(secure, mechanism=mechanism))
    assert_topic_is_the_event_log(secure, topic, tmp_path / "s")
    captured = capsys.readouterr()
    assert_no_canary(tmp_path, caplog.text, captured.out, captured.err)


@pytest.mark.parametrize(
    ("topic", "changed", "message", "remedy"),
    [
        ("orders", {"password_env": "WRONG_PASSWORD"}, "refuses the login of 'desk' by SCRAM-SHA-512", "password_env"),
        ("orders", {"mechanism": "PLAIN", "password_env": "WRONG_PASSWORD"}, "refuses the login of 'desk'", "username"),
        ("orders", {"ca_file": None}, "is not trusted", "ca_file"),
        ("orders", {"security": "sasl_plaintext"}, "no broker of Kafka answers|does not speak", "security"),
        ("unreadable", {}, "no right to the topic 'unreadable'", "allow READ"),
        ("unwritable", {}, "no right to the topic 'unwritable'", "WRITE"),
        ("hidden", {}, "no right to the topic 'hidden'", "DESCRIBE"),
        (
            "fenceless",
            {"username": "guest", "password_env": "GUEST_PASSWORD"},
            "may not be a producer that fences others off",
            "transactional ids with the prefix 'replay-'",
        ),
        ("orders", {"password_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set", "export NOT_SET_ANYWHERE"),
        ("orders", {"ca_file": "/no/such.pem"}, "cannot read /no/such.pem", "PEM"),
    ],
)
def test_what_is_not_allowed_is_told_with_its_remedy(
    secure: Broker, tmp_path: Path, topic: str, changed: dict[str, Any], message: str, remedy: str
) -> None:
    before = secure.end_offsets("orders")
    with pytest.raises(ConfigError, match=message) as caught:
        session(tmp_path / "s", {"uri": secure.uri(topic)}, rows=500, kafka=settings(secure, **changed))
    assert caught.value.exit_code == 2
    assert remedy in str(caught.value)
    assert_no_canary(tmp_path, str(caught.value), repr(caught.value), repr(caught.value.__cause__))
    assert secure.end_offsets("orders") == before
    assert not list((tmp_path / "s" / "journal").iterdir())


def test_a_password_file_is_found_from_the_run_file_and_loses_its_line_feed(secure: Broker, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    kafka = Kafka(**settings(secure, password_env=None, password_file="password")).located(
        lambda path: str(tmp_path / path)
    )
    options = client_options(TopicAddress.parse(secure.uri("orders")), kafka)
    assert options["sasl_plain_password"].encode() == PASSWORD.encode()
    assert "canary" not in repr(options)


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("canary")
    assert "canary" not in f"{secret} {secret!r} {secret:>20} {[secret]} " + str([str(secret)]) + f"{secret}"
    assert secret.encode() == b"canary"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_host_name_that_the_certificate_does_not_name_is_refused_unless_told_not_to_check(secure: Broker) -> None:
    address = TopicAddress.parse(secure.uri("orders"))
    strict = client_options(address, Kafka(**settings(secure)))["ssl_context"]
    loose = client_options(address, Kafka(**settings(secure, check_hostname=False)))["ssl_context"]
    assert (strict.check_hostname, loose.check_hostname) == (True, False)


@pytest.mark.parametrize(
    ("topic", "changed", "message", "remedy"),
    [
        ("described", {}, "no right to this topic", "Read"),
        ("orders", {"password_env": "WRONG_PASSWORD"}, "refuses the login of 'desk' by SCRAM-SHA-512", "password_env"),
        ("orders", {"ca_file": None}, "is not trusted", "ca_file"),
        ("hidden", {}, "no right to see it", "replay publish"),
    ],
)
def test_a_feed_that_is_not_allowed_is_told_with_its_remedy(
    secure: Broker, topic: str, changed: dict[str, Any], message: str, remedy: str
) -> None:
    kafka = Kafka(**settings(secure, **changed))
    with pytest.raises(ReplayError, match=message) as caught:
        all_records(feed_of(f"{secure.uri(topic)}?to=latest", **entry(), kafka=kafka))
    assert remedy in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)


def publish_as(secure: Broker, tape: Path, topic: str, **changed: Any) -> publish.Summary:
    feed = open_feed(FeedSpec(uri=str(tape)), RUN_INSTRUMENTS, Path())
    return publish.publish(feed, secure.uri(topic), Kafka(**settings(secure, **changed)), Publishing())


def test_a_publisher_needs_the_rights_that_the_guide_names_and_no_others(secure: Broker, tmp_path: Path) -> None:
    topic = secure.create_topic("ticks")
    for operation in ("read", "write", "describe", "describe_configs"):
        secure.allow("desk", operation, topic)
    tape = save(tmp_path / "a.npy", market(5_000, 3))
    assert publish_as(secure, tape, topic).records == 5_000
    again = publish_as(secure, tape, topic)
    assert (again.records, again.held) == (0, 5_000)
    read = all_records(feed_of(f"{secure.uri(topic)}?to=latest", kafka=Kafka(**settings(secure))))
    assert as_bytes(read).tobytes() == as_bytes(market(5_000, 3)).tobytes()


@pytest.mark.parametrize(
    ("topic", "changed", "message", "remedy"),
    [
        (
            "fenceless",
            {"username": "guest", "password_env": "GUEST_PASSWORD"},
            "may not be a producer that fences others off",
            "transactional ids with the prefix 'replay-'",
        ),
        ("unwritable", {}, "no right to the topic 'unwritable'", "WRITE"),
        ("writable", {}, "the settings of the topic cannot be read", "DescribeConfigs"),
        ("hidden", {}, "no right to see it", "--create"),
    ],
)
def test_a_publisher_that_is_not_allowed_is_told_with_its_remedy_and_writes_nothing(
    secure: Broker, tmp_path: Path, topic: str, changed: dict[str, Any], message: str, remedy: str
) -> None:
    tape = save(tmp_path / "a.npy", market(500, 3))
    with pytest.raises(ReplayError, match=message) as caught:
        publish_as(secure, tape, topic, **changed)
    assert remedy in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)
    assert topic == "hidden" or secure.end_offsets(topic) == {0: 0}
