"""Who may ask the running agent for what, over its local socket."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError, ConfigError, Unavailable
from agent.local import LINE_LIMIT, SOCKET, LocalSocket, ask


async def done(request: Mapping[str, Any], by: str) -> dict[str, Any]:
    return {"asked": request["ask"], "by": by}


async def mistaken(_: Mapping[str, Any], by: str) -> dict[str, Any]:
    raise ConfigError(["c.yaml:1: one", "c.yaml:2: two"])


async def failing(_: Mapping[str, Any], by: str) -> dict[str, Any]:
    raise AgentError("the disk hangs")


ANSWERS = {"done": done, "mistaken": mistaken, "failing": failing}


async def raw(path: Path, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:  # it left with much unread
        return b""
    finally:
        writer.close()


async def test_requests_are_answered_and_refused(tmp_path: Path) -> None:
    async with LocalSocket(tmp_path, ANSWERS):
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
        assert await ask(tmp_path, {"ask": "done"}) == {"done": True, "asked": "done", "by": f"uid {os.geteuid()}"}
        assert await ask(tmp_path, {"ask": "mistaken"}) == {"done": False, "refused": ["c.yaml:1: one", "c.yaml:2: two"]}
        assert (await ask(tmp_path, {"ask": "failing"}))["refused"] == ["the disk hangs"]
        assert "nothing is known of 'shell'" in (await ask(tmp_path, {"ask": "shell"}))["refused"][0]
    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(Unavailable, match="no agent answers"):
        await ask(tmp_path, {"ask": "done"})


@pytest.mark.parametrize(
    "request_", [b"", b"\n", b"reload\n", b"[]\n", b'{"ask": {"a": 1}}\n', b"\xff" * 100, b"x" * (LINE_LIMIT * 3)]
)
async def test_nonsense_is_one_refusal(tmp_path: Path, request_: bytes) -> None:
    async with LocalSocket(tmp_path, ANSWERS):
        answer = await raw(tmp_path / SOCKET, request_)
        assert answer.startswith(b'{"done":false,"refused":[') or (answer == b"" and len(request_) > LINE_LIMIT)
        assert (await ask(tmp_path, {"ask": "done"}))["done"], "and the next one is heard"


ASK_AS_NOBODY = """
import os, socket, sys
channel = socket.socket(socket.AF_UNIX)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
channel.connect(sys.argv[1])
channel.sendall(b'{"ask": "done"}\\n')
print(channel.recv(1000).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_refused_even_where_the_file_lets_it_in(tmp_path: Path) -> None:
    async with LocalSocket(tmp_path, ANSWERS):
        (tmp_path / SOCKET).chmod(0o666)
        for parent in (tmp_path, *tmp_path.parents):
            if parent.name.startswith(("test_", "popen-", "pytest-")):
                parent.chmod(0o755)
        command = [sys.executable, "-c", ASK_AS_NOBODY, str(tmp_path / SOCKET)]
        said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert "you are uid 65534" in said.stdout, said.stderr
