"""`atm-agent receive` as its own process: ready files, signals, restarts, kills, and one clear line for what cannot be."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Unreachable
from agent.uplinks import Uplink, coap, mqtt
from tests.agent.envelopes import GATEWAY, alarm, loss
from tests.agent.uplinks.certificates import certificates
from tests.servers import HOST, Server, free_port, mosquitto, mosquitto_password, running

assert certificates  # a fixture

LIMIT = 20.0  # s for a process to start or to end, on a busy machine
COMMAND = (
    "import argparse, sys; from agent.errors import AgentError; from agent.cli import receive\n"
    "parser = argparse.ArgumentParser(prog='atm-agent'); receive.add_parser(parser.add_subparsers(required=True))\n"
    "try: sys.exit(receive.run(parser.parse_args()))\n"
    "except AgentError as error: sys.exit(f'atm-agent: {error}')"
)


class Receiver:
    """The command, running."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ready = folder / "ready"
        self.ready.unlink(missing_ok=True)
        self.process = start(*arguments, "--ready-file", str(self.ready))

    def url(self) -> str:
        deadline = time.monotonic() + LIMIT
        while not self.ready.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "it does not get ready"
            time.sleep(0.02)
        return self.ready.read_text().strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
        """The account on its last line."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=LIMIT)
        assert (self.process.returncode, err) == (0, "")
        account: dict[str, Any] = json.loads(out.splitlines()[-1])
        return account

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, "receive", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def failure(*arguments: str) -> tuple[int, str]:
    process = start(*arguments)
    _, err = process.communicate(timeout=LIMIT)
    return process.returncode, err


def coap_uplink(url: str, **settings: Any) -> Uplink:
    return coap.open_uplink("platform", GATEWAY, coap.Settings(f"{url}/atm", ack_timeout=LIMIT, **settings))


def mqtt_uplink(url: str, **settings: Any) -> Uplink:
    return mqtt.open_uplink("platform", GATEWAY, mqtt.Settings(url, ack_timeout=LIMIT, **settings))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with running(mosquitto(tmp_path)) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_coap_from_the_ready_file_to_the_account(tmp_path: Path, number: signal.Signals) -> None:
    receiver = Receiver(tmp_path, "coap", "--bind", f"{HOST}:0", "--json")
    async with coap_uplink(receiver.url()) as uplink:
        await uplink.send([alarm(1), alarm(2), alarm(9)])
        await uplink.send([alarm(2), loss(10, "alarms", 3, 7)])
    account = receiver.end(number)
    assert {key: account[key] for key in ("received", "duplicates", "missing", "lost")} == {
        "received": 4,
        "duplicates": 1,
        "missing": 1,
        "lost": 5,
    }
    first = account["alarms"][0]
    assert (first["rule"], first["class"], first["attack"], first["machine"]) == ("black_box", "SECURITY", "BLACK_BOX", "ATM-7")
    assert first["received_at"] > first["at"]
    assert account["streams"][0]["holes"] == [[8, 8]]


async def test_coap_over_tls_for_who_shows_a_certificate(tmp_path: Path, certificates: Path) -> None:
    files = ("--certificate", f"{certificates}/localhost.pem", "--key", f"{certificates}/localhost.key")
    receiver = Receiver(tmp_path, "coap", "--bind", f"{HOST}:0", "--json", *files, "--ca", f"{certificates}/ca.pem")
    url = receiver.url().replace(HOST, "localhost")
    assert url.startswith("coaps+tcp://")
    mine = {"ca": certificates / "ca.pem", "certificate": certificates / "gw-1.pem", "key": certificates / "gw-1.key"}
    async with coap_uplink(url, **mine) as uplink:
        assert (await uplink.send([alarm(1), alarm(2)])).accepted == (1, 2)
    with pytest.raises(Unreachable):
        async with coap_uplink(url, ca=certificates / "ca.pem"):
            pytest.fail("connected without a certificate")
    assert receiver.end()["received"] == 2


async def test_coap_killed_and_started_again_counts_nothing_twice(tmp_path: Path) -> None:
    arguments = ("coap", "--bind", f"{HOST}:0", "--json", "--out", str(tmp_path / "out.jsonl"))
    receiver = Receiver(tmp_path, *arguments)
    async with coap_uplink(receiver.url()) as uplink:
        await uplink.send([alarm(1), alarm(2)])
        receiver.kill()
    receiver = Receiver(tmp_path, *arguments)
    async with coap_uplink(receiver.url()) as uplink:
        await uplink.send([alarm(2), alarm(3)])
    account = receiver.end()
    assert (account["received"], account["duplicates"], account["missing"]) == (3, 1, 0)
    assert [each["position"] for each in account["alarms"]] == [1, 2, 3]


async def test_mqtt_what_comes_while_it_is_away_waits_for_it(tmp_path: Path, broker: Server) -> None:
    url = f"mqtt://{HOST}:{broker.port}"
    arguments = ("mqtt", url, "--json", "--out", str(tmp_path / "out.jsonl"))
    receiver = Receiver(tmp_path, *arguments)
    assert receiver.url() == url
    async with mqtt_uplink(url) as uplink:
        await uplink.send([alarm(1)])
        receiver.kill()
        await uplink.send([alarm(2)])
    receiver = Receiver(tmp_path, *arguments)
    receiver.url()
    async with mqtt_uplink(url, protocol="3.1.1", encoding="cbor") as uplink:
        await uplink.send([alarm(3)])
    wait_for_lines(tmp_path / "out.jsonl", 3)
    account = receiver.end()
    assert (account["received"], account["missing"], account["undecodable"]) == (3, 0, 0)


async def test_mqtt_with_a_password(tmp_path: Path) -> None:
    users = mosquitto_password(tmp_path, platform="right")
    password = tmp_path / "password"
    with running(mosquitto(tmp_path, f"password_file {users}")) as server:
        url = f"mqtt://{HOST}:{server.port}"
        arguments = ("mqtt", url, "--username", "platform", "--password-file", str(password))
        password.write_text("right\n")
        receiver = Receiver(tmp_path, *arguments, "--json")
        receiver.url()
        receiver.end()
        password.write_text("wrong\n")
        status, err = failure(*arguments)
        assert status == 1
        assert "refuses the connection" in err
        assert "wrong" not in err


def test_it_ends_by_itself_and_tells_the_account_to_people(tmp_path: Path) -> None:
    process = start("coap", "--bind", f"{HOST}:0", "--for", "100ms")
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith(f"receiving at coap://{HOST}:")
    assert last == "received 0, duplicates 0, lost 0, missing 0"


def test_a_busy_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        status, err = failure("coap", "--bind", f"{HOST}:{taken.getsockname()[1]}")
    assert status == 1
    assert "Address already in use; something listens there already: stop it, or choose another port" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("coap", "--bind", "192.0.2.1:5683"), 1, "this machine does not have that address"),
        (("coap", "--bind", "no.such.host.invalid:1"), 1, "choose another with --bind"),
        (("coap", "--bind", f"{HOST}:x"), 2, "expected HOST:PORT"),
        (("coap", "--bind", f"{HOST}:70000"), 2, "expected HOST:PORT"),
        (("coap", "--for", "5"), 2, "expected a number with a unit"),
        (("mqtt", f"mqtt://{HOST}:{free_port()}"), 1, "Connection refused; is a broker there, and does it speak mqtt?"),
        (("mqtt", "mqtt://platform.example"), 1, "--insecure"),
        (("mqtt", "tcp://localhost"), 1, "is not mqtt://host[:port]"),
        (("mqtt", "mqtts://localhost", "--ca", "/no/such/file"), 1, "receive: ca: /no/such/file: No such file"),
        (("coap", "--out", "/no/such/folder/out"), 1, "--out /no/such/folder/out: No such file or directory"),
        (("coap", "--out", "/dev/null"), 1, "not a regular file"),
        (
            ("coap", "--certificate", "/no/such/file"),
            1,
            "No such file or directory; expected a PEM certificate",
        ),
        (("coap", "--key", "/no/such/file"), 1, "they go with --certificate"),
        ((), 2, "required"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_remedy(arguments: tuple[str, ...], status: int, words: str) -> None:
    code, err = failure(*arguments)
    assert (code, words in err) == (status, True), err
    assert "Traceback" not in err


def test_an_out_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("my notes\n")
    code, err = failure("coap", "--out", str(path))
    assert code == 1
    assert "notes:1: not a received envelope" in err
    assert path.read_text() == "my notes\n"


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)
