"""Mutual TLS: brokers that want certificates of clients, alone or beside a login, and what is told where one lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.broker import Broker, free_port

from replay.config.sections import Kafka
from replay.errors import ConfigError, ReplayError

from .conftest import started
from .publishing import assert_topic_is_the_event_log, session
from .test_messages import entry
from .test_security import assert_no_canary
from .topics import all_records, feed_of

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PASSWORD, KEY_PASSWORD = "canary-41fe", "canary-key-93"


def make_certificate(folder: Path, name: str) -> None:
    """Make a self-signed certificate NAME.pem with its encrypted key NAME.key."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
    subprocess.run([*command, "-passout", f"pass:{KEY_PASSWORD}"], check=True, capture_output=True)


def trust(folder: Path, name: str) -> Path:
    """Make the store of what a broker trusts, with one certificate in it."""
    java = os.environ.get("JAVA_HOME")
    command = [f"{java}/bin/keytool" if java else "keytool", "-importcert", "-noprompt", "-alias", name]
    command += ["-file", str(folder / f"{name}.pem"), "-storetype", "PKCS12", "-storepass", "replay-test"]
    subprocess.run([*command, "-keystore", str(folder / "trusted.p12")], check=True, capture_output=True)
    return folder / "trusted.p12"


class Mutual:
    """A broker with two further listeners that want certificates: `ssl`, and `sasl_ssl`."""

    def __init__(self, broker: Broker, certificates: Path, ports: dict[str, int]) -> None:
        self.broker, self.certificates, self.ports = broker, certificates, ports

    def uri(self, security: str, topic: str) -> str:
        """Address of a topic on the listener of a security."""
        return f"kafka://127.0.0.1:{self.ports[security]}/{topic}"

    def settings(self, security: str, **changed: Any) -> dict[str, Any]:
        """[kafka] of a run file."""
        login = {"mechanism": "PLAIN", "username": "desk", "password_env": "DESK_PASSWORD"}
        return {
            "security": security,
            **(login if security == "sasl_ssl" else {}),
            "ca_file": str(self.broker.ca_file),
            "certificate_file": str(self.certificates / "desk.pem"),
            "key_file": str(self.certificates / "desk.key"),
            "key_password_env": "KEY_PASSWORD",
            **changed,
        }


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutual]:
    lacks = [name for name in ("openssl", "keytool") if shutil.which(name) is None and not os.environ.get("JAVA_HOME")]
    if lacks:
        if os.environ.get("CI"):
            pytest.fail(f"CI makes certificates, and this machine has no {lacks[0]}")
        pytest.skip(f"{lacks[0]} is not installed")
    certificates = tmp_path_factory.mktemp("certificates")
    for name in ("desk", "stranger"):
        make_certificate(certificates, name)
    port, ports = free_port(), {"ssl": free_port(), "sasl_ssl": free_port()}
    users = {"admin": "canary-admin-12", "desk": PASSWORD}
    names = {"SASL_SSL": port, "CERT": ports["ssl"], "BOTH": ports["sasl_ssl"]}
    listeners = ",".join(f"{name}://127.0.0.1:{number}" for name, number in names.items())
    trusted = {"truststore.location": trust(certificates, "desk"), "client.auth": "required"}
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = [
        f"listeners={listeners},CONTROLLER://127.0.0.1:{port + 1}",
        f"advertised.listeners={listeners}",
        "listener.security.protocol.map=SASL_SSL:SASL_SSL,CERT:SSL,BOTH:SASL_SSL,CONTROLLER:PLAINTEXT",
        *[f"listener.name.{name}.ssl.{key}={value}" for name in ("cert", "both") for key, value in trusted.items()],
        f'listener.name.both.plain.sasl.jaas.config={login} required user_desk="{PASSWORD}";',
        "listener.name.both.sasl.enabled.mechanisms=PLAIN",
    ]
    broker = Broker(tmp_path_factory.mktemp("mutual") / "broker", port=port, users=users, properties=properties)
    try:
        yield Mutual(started(broker), certificates, ports)
    finally:
        broker.kill()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("KEY_PASSWORD", KEY_PASSWORD)
    monkeypatch.setenv("WRONG_PASSWORD", "canary-wrong")


@pytest.mark.parametrize(("security", "user"), [("ssl", "CN=desk"), ("sasl_ssl", "desk")])
def test_a_client_with_a_certificate_publishes_and_reads_end_to_end(
    mutual: Mutual, tmp_path: Path, security: str, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = mutual.broker.create_topic(f"out-{security}")
    mutual.broker.allow(user, "all", topic)
    mutual.broker.allow(user, "write", "replay-", resource="transactional_id", prefix=True)
    kafka = mutual.settings(security)
    session(tmp_path / "s", {"uri": mutual.uri(security, topic)}, rows=500, kafka=kafka)
    assert_topic_is_the_event_log(mutual.broker, topic, tmp_path / "s")
    feed = feed_of(f"{mutual.uri(security, topic)}?to=latest", **entry(), kafka=Kafka(**kafka))
    assert len(all_records(feed)) == 0
    assert feed.counters()["dead"] == mutual.broker.end_offsets(topic)[0], "its messages are no quotes, and were read"
    captured = capsys.readouterr()
    assert_no_canary(tmp_path, captured.out, captured.err)


@pytest.mark.parametrize("security", ["ssl", "sasl_ssl"])
@pytest.mark.parametrize(
    ("changed", "message", "remedy"),
    [
        (
            {"certificate_file": None, "key_file": None, "key_password_env": None},
            "asks its clients for a certificate, and none is named",
            "certificate_file",
        ),
        (
            {"certificate_file": "stranger.pem", "key_file": "stranger.key"},
            "refuses the certificate",
            "certificate_file",
        ),
        ({"key_password_env": "WRONG_PASSWORD"}, "certificates cannot be used", "key_password_env"),
        ({"key_file": "stranger.key"}, "certificates cannot be used", "key_file"),
        ({"certificate_file": "/no/such.pem"}, "cannot read /no/such.pem", "PEM"),
    ],
)
def test_a_certificate_that_lacks_or_is_not_trusted_is_told_with_its_remedy(
    mutual: Mutual, tmp_path: Path, security: str, changed: dict[str, Any], message: str, remedy: str
) -> None:
    topic = "never-reached"
    for key in ("certificate_file", "key_file"):
        if str(changed.get(key) or "").startswith("stranger"):
            changed = {**changed, key: str(mutual.certificates / changed[key])}
    kafka = mutual.settings(security, **changed)
    with pytest.raises(ConfigError, match=message) as caught:
        session(tmp_path / "s", {"uri": mutual.uri(security, topic)}, rows=100, kafka=kafka)
    assert caught.value.exit_code == 2
    assert remedy in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5
    assert not list((tmp_path / "s" / "journal").iterdir())
    with pytest.raises(ReplayError, match=message) as read:
        feed_of(f"{mutual.uri(security, topic)}?to=latest", **entry(), kafka=Kafka(**kafka))
    assert_no_canary(tmp_path, str(caught.value), repr(caught.value.__cause__), str(read.value))
