"""URLs, and the files of secrets and certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.uplinks import coap, mqtt
from agent.uplinks.endpoint import Endpoint, is_loopback, parse, secret, tls_context
from agent.uplinks.mqtt_access import SCHEMES


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("mqtt://localhost", Endpoint("localhost", 1883, "", secure=False)),
        ("mqtt://127.0.0.1:18830", Endpoint("127.0.0.1", 18830, "", secure=False)),
        ("mqtt://[::1]:1", Endpoint("::1", 1, "", secure=False)),
        ("mqtts://Broker.Bank.example", Endpoint("broker.bank.example", 8883, "", secure=True)),
        ("mqtts://b.example/a/b/", Endpoint("b.example", 8883, "a/b", secure=True)),
    ],
)
def test_urls(url: str, endpoint: Endpoint) -> None:
    assert parse(url, SCHEMES, insecure=False) == endpoint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mqtt://broker.example", "mqtts://.*insecure: true"),
        ("mqtt://192.168.1.4", "readable and changeable"),
        ("http://localhost", r"mqtt://host\[:port\] or mqtts://"),
        ("localhost:1883", "is not mqtt://"),
        ("", "is not mqtt://"),
        ("mqtt://", "is not mqtt://"),
        ("mqtt://localhost:99999", "[Pp]ort"),
        ("mqtt://localhost:x", "[Pp]ort"),
        ("mqtt://[::1", "expected mqtt://"),
        ("mqtts://user:geheim@b.example", "secrets come from files only"),
        ("mqtts://user@b.example", "secrets come from files only"),
        ("mqtts://b.example?x=1", "query"),
        ("mqtts://b.example#x", "query"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse(url, SCHEMES, insecure=False)
    assert str(caught.value).startswith("url: ")
    assert "geheim" not in str(caught.value)


def test_a_password_in_a_url_of_another_scheme_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="url: ") as caught:
        parse("http://user:geheim@b.example", SCHEMES, insecure=False)
    assert "geheim" not in str(caught.value)


def test_in_the_clear_where_it_is_allowed() -> None:
    assert not parse("mqtt://10.0.0.1", SCHEMES, insecure=True).secure


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.example", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_a_secret_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b" se cret \r\n")
    assert secret("uplink a", "password_file", file) == b" se cret "


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"\n", "is empty"), (b"x" * 70_000, "is too long")])
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"uplink a: password_file: .*{message}"):
        secret("uplink a", "password_file", file)


def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"uplink a: psk_file: .*No such file"):
        secret("uplink a", "psk_file", tmp_path / "none")
    with pytest.raises(ConfigError, match="Is a directory"):
        secret("uplink a", "psk_file", tmp_path)


def test_certificates_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"ca: .*No such file.*PEM"):
        tls_context("uplink a", file, None, None)
    file.write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"ca: .*PEM"):
        tls_context("uplink a", file, None, None)
    with pytest.raises(ConfigError, match=r"certificate, key: .*PEM"):
        tls_context("uplink a", None, file, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "mqtt://localhost/path"}, "url: it has a path"),
        ({"ca": Path("ca.pem")}, "are for mqtts://"),
        ({"url": "mqtts://b.example", "key": Path("k")}, "key: there is no certificate"),
        ({"password_file": Path("p")}, "password_file: there is no user"),
        ({"topic": "atm/{gateway}"}, "topic: {gateway} or {machine}, and {lane} or {kind}"),
        ({"topic": "atm-{gateway}/{lane}"}, "each be a level"),
        ({"topic": "#/{gateway}/{lane}"}, "topic: wildcards"),
        ({"status_topic": "$SYS/x"}, "status_topic: wildcards"),
        ({"topic": "atm/{gateway}/{lane}/{site}"}, r"topic: no word {site}; known are gateway, tenant"),
        ({"topic": "atm/{tenant}/{machine}/{kind}"}, r"tenant: {tenant} needs a word"),
        ({"status_topic": "atm/{machine}"}, "status_topic: it is the gateway's own"),
        ({"request_topic": "atm/+"}, "request_topic: wildcards"),
        ({"keepalive": 0.0}, "keepalive"),
        ({"window": 0}, "window"),
        ({"session_expiry": 1e9}, "session_expiry"),
        ({"protocol": "3.1.1", "message_expiry": 60.0}, "protocol: message_expiry and user_properties"),
        ({"user_properties": {"a": "x" * 3000}}, "user_properties: longer"),
        ({"batch": 0}, "batch"),
    ],
)
def test_mqtt_settings_that_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mqtt.Settings(**{"url": "mqtt://localhost", **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "coap://platform.example"}, "give `oscore`"),
        ({"url": "coaps://platform.example"}, "psk_file: coaps:// needs"),
        ({"psk_identity": "gw"}, "are for coaps://"),
        ({"url": "coaps://platform.example", "psk_file": Path("k"), "psk_identity": "x" * 33}, "psk_identity: longer than 32"),
        ({"batch_bytes": 10}, "batch_bytes"),
    ],
)
def test_coap_settings_that_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coap.Settings(**{"url": "coap://localhost", **settings})  # type: ignore[arg-type]
