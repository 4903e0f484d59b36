"""Findings, each with its remedy: with real certificates, files, sockets and ports."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import config
from agent.cli import doctor, main
from agent.config.settings import ModelSettings, Settings
from agent.doctor import Finding, files, machine, platform
from agent.errors import ModelRefused

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def certificate(path: Path, begins: datetime, ends: datetime) -> Path:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    signed = built.not_valid_before(begins).not_valid_after(ends).sign(key, None)
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    assert signed.fingerprint(hashes.SHA256())
    return path


def settings(room: Path, **uplink: object) -> Settings:
    path = room / "c.yaml"
    own = {"name": "platform", "kind": "mqtt", "url": "mqtts://127.0.0.1:1"} | {key: str(value) for key, value in uplink.items()}
    document = {
        "gateway": {"id": "g", "runtime": str(room)},
        "machines": [{"id": "A"}],
        "store": {"path": str(room / "store")},
        "sources": [{"name": "board", "kind": "board", "machine": "A", "port": str(room / "port")}],
        "uplinks": [own],
    }
    path.write_text(json.dumps(document))
    return config.load(path)


@pytest.mark.parametrize(
    ("begins", "ends", "said", "well"),
    [(-10, 300, "is valid until 2027-03-28", True), (-10, 12, "expires in 12 days", False), (-10, -1, "has expired on", False),
     (3, 300, "is valid from 2026-06-04 only", False)],
)  # fmt: skip
def test_a_certificate_is_told_before_it_expires(tmp_path: Path, begins: int, ends: int, said: str, well: bool) -> None:
    path = certificate(tmp_path / "ca.pem", NOW + timedelta(days=begins), NOW + timedelta(days=ends))
    (found,) = files.files(settings(tmp_path, ca=path), NOW.timestamp())
    assert said in found.what
    assert found.well is well


def test_files_that_are_missing_open_to_all_empty_or_no_certificate(tmp_path: Path) -> None:
    def only(**named: Path) -> Finding:
        key = next(iter(named))
        found = [each for each in files.files(settings(tmp_path, username="g", **named), 0.0) if each.check.endswith(key)]
        return found[0]

    secret = tmp_path / "secret"
    assert "chmod 600" in only(password_file=secret).remedy
    secret.write_text("x\n")
    secret.chmod(0o644)
    assert "may be read by others (mode 644)" in only(password_file=secret).what
    secret.chmod(0o600)
    assert only(password_file=secret).well
    assert "expected certificates in PEM" in only(ca=secret).remedy
    secret.write_text("\n")
    assert only(password_file=secret).remedy == "write the secret alone into it"
    credential = tmp_path / "secret_mqtt.password"
    assert "/etc/atm-agent/credentials/mqtt.password" in only(password_file=credential).remedy


def test_ports_that_are_missing_or_not_the_groups(tmp_path: Path) -> None:
    (missing, *_) = machine.ports(settings(tmp_path), running=True)
    assert "does not exist" in missing.what
    assert "/dev/serial/by-id" in missing.remedy
    (tmp_path / "port").write_text("")
    (found,) = machine.ports(settings(tmp_path), running=True)
    assert ("may not use it" in found.what) == (not found.well)


def test_an_emmc_that_wears_out_says_so(tmp_path: Path) -> None:
    for name, told in (("mmcblk0", "0x02 0x09\n"), ("mmcblk1", "0x01 0x01\n"), ("mmcblk2", "nonsense")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "life_time").write_text(told)
    worn, new = machine.worn(tmp_path)
    assert (worn.what, worn.remedy) == ("mmcblk0 has used 80 to 90 per cent of its life", "replace it soon")
    assert new.well


def test_a_disk_without_room_and_a_card_that_will_not_last(tmp_path: Path) -> None:
    found = list(machine.disk(settings(tmp_path), {"gateway.cardLife": 0.4}, tmp_path))
    assert "at this pace it lasts 0.4 years" in found[1].what
    assert not found[1].well
    assert all(each.well for each in machine.disk(settings(tmp_path), {"gateway.cardLife": 9.0}, tmp_path))


async def test_a_platform_that_listens_and_one_that_does_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = await platform.platforms(settings(tmp_path, url=f"mqtt://127.0.0.1:{port}"))
        assert found.well, found
    (found,) = await platform.platforms(settings(tmp_path, url=f"mqtt://127.0.0.1:{port}"))
    assert "Connection refused" in found.what
    assert "check the address" in found.remedy


async def test_every_model_that_ships_is_proved_in_its_own_way() -> None:
    found = await doctor._prove(tuple(ModelSettings(name=name) for name in ("anomaly", "cash_demand", "gone")))
    assert [found["anomaly"].partition("-")[0], found["cash_demand"].partition("-")[0]] == ["anomaly", "cash_demand"]
    assert isinstance(found["gone"], ModelRefused)


def test_the_command_ends_with_1_and_says_the_remedies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path)
    assert main(["doctor", "--no-models", str(tmp_path / "c.yaml")]) == 1
    said = capsys.readouterr().out
    assert "FINDING agent: no agent answers\n        remedy: systemctl start atm-agent" in said
    assert main(["doctor", "--no-models", "--json", str(tmp_path / "c.yaml")]) == 1
    assert all("check" in json.loads(line) for line in capsys.readouterr().out.splitlines())
