"""The archive: what goes in comes out, and what does not belong into a backup does not."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from agent import backup
from agent.backup.seal import Sealing
from agent.errors import AgentError

SECRET = b"correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.backup.seal.Sealing.__init__.__defaults__", (2,))


def content(room: Path) -> backup.Content:
    config, store, model = room / "c.yaml", room / "snapshot", room / "own.onnx"
    config.write_text("gateway: {id: gw}\n")
    (store / "alarms").mkdir(parents=True)
    (store / "state.journal").write_bytes(b"notes")
    (store / "alarms" / "0000000000000001.journal").write_bytes(bytes(200_000))
    (store / "alarms" / "link").symlink_to(config)
    model.write_bytes(b"model")
    return backup.Content({"gateway": "gw", "at": 1.0, "version": "0"}, config, store, room / "none", (model,))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    out, into = io.BytesIO(), tmp_path / "into"
    backup.write(content(tmp_path), out, SECRET)
    into.mkdir()
    manifest = backup.read(io.BytesIO(out.getvalue()), SECRET, into)
    assert manifest["gateway"] == "gw"
    found = {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    assert set(found) == {"manifest.json", "config.yaml", "store/state.journal", "store/alarms/0000000000000001.journal",
                          "files/own.onnx"}  # fmt: skip
    assert found["store/alarms/0000000000000001.journal"] == bytes(200_000)


def test_no_link_is_followed_wherever_it_stands(tmp_path: Path) -> None:
    """Root backs up what belongs to the agent's user, who must not choose what root reads."""
    told, secret = content(tmp_path), tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"root's own")
    (told.store / "readings").symlink_to(secret, target_is_directory=True)
    (told.store / "dead").mkdir()
    (told.store / "dead" / "key").symlink_to(secret / "key")
    os.mkfifo(told.store / "dead" / "pipe")
    told.models.symlink_to(secret, target_is_directory=True)
    out, into = io.BytesIO(), tmp_path / "into"
    backup.write(told, out, SECRET)
    into.mkdir()
    backup.read(io.BytesIO(out.getvalue()), SECRET, into)
    assert b"root's own" not in b"".join(path.read_bytes() for path in into.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "store/../../outside", "other/file", "other", "store/.hidden", "store", ".", ""]
)
def test_a_name_that_does_not_belong_is_refused(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with Sealing(out, SECRET) as sealing, tarfile.open(fileobj=sealing, mode="w|gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    (tmp_path / "into").mkdir()
    with pytest.raises(AgentError, match="does not belong"):
        backup.read(io.BytesIO(out.getvalue()), SECRET, tmp_path / "into")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    out = io.BytesIO()
    with Sealing(out, SECRET) as sealing, tarfile.open(fileobj=sealing, mode="w|gz") as archive:
        entry = tarfile.TarInfo("store/link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    (tmp_path / "into").mkdir()
    with pytest.raises(AgentError, match="does not belong"):
        backup.read(io.BytesIO(out.getvalue()), SECRET, tmp_path / "into")
