"""What `backup` and `restore` do with root's rights where the agent's user, or whoever took it over, owns the directory."""

from __future__ import annotations

import argparse
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.cli import backup, restore
from agent.errors import AgentError
from agent.local import SOCKET
from agent.store.opening import open_durable
from agent.store.room import Bounds


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway with a store."""
    bounds = Bounds(budget=8 * 1024**2, free_floor=0, keep_days=30.0, keep_bytes=8 * 1024**2)
    store, _ = open_durable(tmp_path / "state" / "store", "gw", ["one"], bounds, lambda: "epoch")
    store.close()
    (tmp_path / "passphrase").write_text("correct horse battery")
    path = tmp_path / "config.yaml"
    path.write_text(f"gateway: {{id: gw, runtime: {tmp_path}}}\nmachines: [{{id: A}}]\nstore: {{path: {tmp_path}/state/store}}\n")
    return path


def words(config: Path, **more: Any) -> argparse.Namespace:
    given = {"config": config, "passphrase_file": config.with_name("passphrase"), "into": None, "keep": 0, "send": False}
    return argparse.Namespace(**given | {"keep_config": True} | more)


def lying_agent(runtime: Path, path: str) -> threading.Thread:
    """Answers one request as a running agent does, with a snapshot of its own choice."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(runtime / SOCKET))
    listening.listen()

    def answer() -> None:
        with listening, listening.accept()[0] as asked:
            asked.recv(1000)
            asked.sendall(json.dumps({"done": True, "path": path}).encode() + b"\n")

    agent = threading.Thread(target=answer, daemon=True)
    agent.start()
    return agent


@pytest.mark.parametrize("named", ["/etc", "{state}/store", "{state}/../secret", "{state}/store-snapshot-1/../../secret"])
def test_an_agent_that_was_taken_over_cannot_have_another_directory_read_or_removed(config: Path, named: str) -> None:
    secret = config.with_name("secret")
    secret.mkdir()
    (secret / "key").write_text("root's own")
    agent = lying_agent(config.parent, named.format(state=config.with_name("state")))
    with pytest.raises(AgentError, match="which is none of"):
        backup.run(words(config, file=config.with_name("b")))
    agent.join()
    assert (secret / "key").exists()
    assert (config.with_name("state") / "store" / "state.journal").exists()


@pytest.mark.parametrize("link", ["to nothing", "to a directory"])
def test_a_link_in_the_place_of_what_is_restored_is_not_followed(config: Path, link: str, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "b", tmp_path / "elsewhere"
    assert backup.run(words(config, file=file)) == 0
    state = tmp_path / "state"
    state.rename(tmp_path / "old")
    state.mkdir()
    if link == "to a directory":
        elsewhere.mkdir()
    (state / "store").symlink_to(elsewhere)
    with pytest.raises(AgentError, match="exists; nothing was restored"):
        restore.run(words(config, file=file))
    assert not elsewhere.exists() or not list(elsewhere.iterdir())
    (state / "store").unlink()
    assert restore.run(words(config, file=file)) == 0
    assert (state / "store" / "state.journal").exists()
