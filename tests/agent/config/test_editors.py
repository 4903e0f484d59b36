"""The file for editors, with its defaults, and from older versions."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agent import config
from agent.config.editors import schema
from agent.config.effective import effective
from agent.config.file import ConfigurationFile
from agent.config.migrate import Renamed, migrated
from agent.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "systemd" / "config.example.yaml"


@cache
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(schema())


def test_the_example_fits_the_schema() -> None:
    assert [error.message for error in validator().iter_errors(yaml.safe_load(EXAMPLE.read_text()))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gateway", "id"), None), (("gateway", "log"), "loud"), (("sources", 0, "baud"), "fast"), (("sources", 0, "prot"), "x"),
        (("forward", "summaries"), "60"), (("store", "budget"), "512"), (("uplinks", 0, "protocol"), 4), (("machines",), {}),
        (("sources", 0, "kind"), "bord"), (("clean", "limits", "environment.temperature_c", "lo"), 1),
    ],
)  # fmt: skip
def test_what_check_refuses_the_schema_refuses_too(path: tuple[Any, ...], value: Any) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert list(validator().iter_errors(document))


def test_the_schema_tells_what_a_key_is_for() -> None:
    store = schema()["properties"]["store"]["properties"]
    assert store["checkpoint"]["description"].startswith("How often")


def test_the_effective_form_reads_back_into_the_same_settings(tmp_path: Path) -> None:
    settings = config.load(EXAMPLE)
    path = tmp_path / "effective.yaml"
    path.write_text(effective(settings))
    assert config.load(path) == settings
    assert "commit_interval: 0.05s" in path.read_text()


def test_renamed_keys_move_and_comments_stay() -> None:
    text = "# head\nlines:  # all\n  - {prot: /dev/a, name: x}\n  - prot: /dev/b  # second\nstore: {prot: 1}\n"
    changes = [Renamed("0.2", ("lines",), "sources"), Renamed("0.3", ("sources", "*", "prot"), "port")]
    new, told = migrated(text, changes)
    assert new == "# head\nsources:  # all\n  - {port: /dev/a, name: x}\n  - port: /dev/b  # second\nstore: {prot: 1}\n"
    assert len(told) == 3
    assert migrated(new, changes) == (new, [])
    with pytest.raises(ConfigError, match="not YAML"):
        migrated("a: [", changes)


def test_a_credential_is_a_file_of_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    uplink = "{name: p, kind: mqtt, url: mqtt://127.0.0.1, username: g, password_file: %s}"
    text = f"gateway: {{id: g}}\nmachines: [{{id: A}}]\nuplinks: [{uplink}]\n"
    path.write_text(text % '"credential:mqtt.password"')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    expected = Path("/run/credentials/atm-agent.service/secret_mqtt.password")
    assert config.load(path).uplinks[0].settings.password_file == expected
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/other")
    assert config.load(path).uplinks[0].settings.password_file == Path("/run/credentials/other/secret_mqtt.password")
    for wrong in ('"credential:"', '"credential:../shadow"', '"credential:a/b"'):
        path.write_text(text % wrong)
        with pytest.raises(ConfigError, match="the name of a file in /etc/atm-agent/credentials"):
            config.load(path)


def test_the_last_good_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    path, good = tmp_path / "c.yaml", tmp_path / "good.yaml"
    path.write_text("gateway: {id: g}\nmachines: [{id: A}]\n")
    file = ConfigurationFile(path, good)
    file.read()
    file.worked()
    written = good.stat().st_mtime_ns
    file.worked()
    assert good.stat().st_mtime_ns == written, "a restart must not wear the card"
    path.write_text("gateway: {}\n")
    with pytest.raises(ConfigError):
        file.read()
    file.worked()
    assert good.read_text().endswith("machines: [{id: A}]\n")
    assert file.read_or_last_good().gateway.id == "g"
    assert file.mistakes
    good.unlink()
    with pytest.raises(ConfigError):
        file.read_or_last_good()
