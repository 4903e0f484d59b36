"""The file, its last good copy, and what the platform sent: whatever state the copies are in, the agent starts and says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.file import ConfigurationFile
from agent.errors import ConfigError

TEXT = "gateway: {id: g}\nmachines: [{id: A}]\n"
SENT = "gateway: {id: g, log: debug}\nmachines: [{id: A}]\n"


def directory_instead(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILINGS: dict[str, Callable[[Path], object]] = {
    "corrupted": lambda file: file.write_bytes(file.read_bytes().replace(b"id: g", b"id: \xff")),
    "cut": lambda file: os.truncate(file, 20),
    "changed": lambda file: file.write_bytes(file.read_bytes().replace(b"debug", b"error")),
    "emptied": lambda file: file.write_bytes(b""),
    "a directory": directory_instead,
}


@pytest.fixture
def file(tmp_path: Path) -> ConfigurationFile:
    """One that has worked, with another that the platform has sent since."""
    (tmp_path / "c.yaml").write_text(TEXT)
    file = ConfigurationFile(tmp_path / "c.yaml", tmp_path / "good.yaml")
    file.read()
    file.worked()
    _, waiting = file.draft(SENT)
    file.adopt(waiting)
    return file


def again(file: ConfigurationFile) -> ConfigurationFile:
    return ConfigurationFile(file.path, file.good)


def test_what_the_platform_sent_holds_until_somebody_changes_the_file(file: ConfigurationFile) -> None:
    assert again(file).read().gateway.log == "debug"
    file.path.write_text(TEXT + "# by hand\n")
    assert again(file).read().gateway.log == "info"
    file.path.write_text(TEXT)
    assert again(file).read().gateway.log == "debug"


@pytest.mark.parametrize("spoiling", SPOILINGS)
def test_what_the_platform_sent_and_is_damaged_is_said_and_the_file_holds(
    file: ConfigurationFile, spoiling: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert file.received is not None
    SPOILINGS[spoiling](file.received)
    assert again(file).read().gateway.log == "info"
    assert "what the platform sent is lost" in caplog.text


def test_what_the_platform_sent_and_works_no_more_is_said_and_the_file_holds(
    file: ConfigurationFile, caplog: pytest.LogCaptureFixture
) -> None:
    secret = file.path.with_name("secret")
    secret.write_text("long enough to be one")
    _, waiting = file.draft(f"{SENT}web: {{secret_file: {secret}}}\n")
    file.adopt(waiting)
    assert again(file).read().web is not None
    text = file.received.read_bytes() if file.received is not None else b""
    sent = text.partition(b"\n# in the place of ")[0].replace(b"web:", b"wab:")  # as an older version would have kept it
    _, waiting = file.draft(SENT)
    waiting.write_bytes(sent)
    file.adopt(waiting)
    assert again(file).read().web is None
    assert "what the platform sent does not work any more" in caplog.text


@pytest.mark.parametrize("spoiling", SPOILINGS)
def test_a_last_good_copy_that_is_damaged_is_made_anew_and_keeps_nobody_from_starting(
    file: ConfigurationFile, spoiling: str
) -> None:
    assert file.good is not None
    SPOILINGS[spoiling](file.good)
    once_more = again(file)
    assert once_more.read_or_last_good().gateway.log == "debug"
    if file.good.is_dir():
        with pytest.raises(OSError, match="directory"):
            once_more.worked()
    else:
        once_more.worked()
        assert file.good.read_text().startswith(SENT)


def test_without_file_and_good_copy_every_mistake_is_told(file: ConfigurationFile) -> None:
    assert file.good is not None
    file.path.write_text("gateway: {}\n")
    file.good.write_bytes(b"\x00\x01")
    with pytest.raises(ConfigError):
        again(file).read_or_last_good()
