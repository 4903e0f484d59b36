"""OSCORE: the vectors of RFC 8613, a real server in another process, and lines on which somebody else speaks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import ConfigError, Unreachable
from agent.receive.oscore import open_contexts
from agent.uplinks import Refused, coap
from agent.uplinks.coap import CoapUplink, Settings
from agent.uplinks.oscore import Security
from tests.agent.envelopes import GATEWAY, alarm, summary
from tests.agent.uplinks.contexts import SECRET, context
from tests.agent.uplinks.platforms import LIMIT, SHORT
from tests.servers import HOST, UdpRelay, free_port, libcoap, running


def test_the_keys_of_the_standard(tmp_path: Path) -> None:
    """RFC 8613, C.1.1: what a client derives from master secret and salt, its sender id being empty and the server's 0x01."""
    security = Security.open("uplink p", context(tmp_path / "c", "", "01"))
    try:
        assert security._context.sender_key.hex() == "f0910ed7295e6ad4b54fc793154302ff"
        assert security._context.recipient_key.hex() == "ffb14e093c94c9cac9471648b4f98710"
        assert security._context.common_iv.hex() == "4622d4dd6d944168eefb54987c"
    finally:
        security.close()


class Receiver:
    """`atm-agent receive coap --oscore` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        context(folder / "server" / GATEWAY, "01", "")
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        where = ["--bind", f"{HOST}:{self.port}", "--oscore", str(self.folder / "server"), "--ready-file", str(ready)]
        command = [sys.executable, "-m", "agent", "receive", "coap", *where, "--out", str(self.folder / "out"), "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert self._process.poll() is None, "the receiver ended at once"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
        """End it; its account, when it could tell one."""
        process, self._process = self._process, None
        if process is None:
            return {}
        os.kill(process.pid, how)
        said, _ = process.communicate(timeout=20)
        return msgspec.json.decode(said.splitlines()[-1]) if how is signal.SIGTERM else {}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop(signal.SIGKILL)


def uplink(port: int, oscore: Path, **settings: Any) -> CoapUplink:
    return coap.open_uplink(
        "platform", GATEWAY, Settings(f"coap://{HOST}:{port}/atm", oscore, **{"ack_timeout": LIMIT, **settings})
    )


async def test_delivered_in_many_protected_blocks_over_restarts_of_both_ends(tmp_path: Path, receiver: Receiver) -> None:
    mine = context(tmp_path / "mine", "", "01")
    link = uplink(receiver.port, mine, batch=50, batch_bytes=32 * 1024)
    async with link:
        assert len((await link.send([summary(position) for position in range(1, 21)])).accepted) == 20
    async with link:  # again, from what is on disk
        assert (await link.send([alarm(1)])).accepted == (1,)
        receiver.stop(signal.SIGKILL)
        with pytest.raises(Unreachable):
            await link.send([alarm(2)])
    receiver.start()  # its replay window is gone: it asks for an Echo
    async with link:
        assert (await link.send([alarm(2)])).accepted == (2,)
        account = receiver.stop()
    assert (account["received"], account["missing"], account["undecodable"]) == (22, 0, 0)


async def test_a_gateway_that_was_killed_uses_no_sequence_number_twice(tmp_path: Path, receiver: Receiver) -> None:
    mine = context(tmp_path / "mine", "", "01")
    program = (
        "import asyncio, os, sys; from tests.agent.uplinks.test_oscore import *\n"
        "async def main():\n"
        "    async with uplink(int(sys.argv[1]), Path(sys.argv[2])) as link:\n"
        "        await link.send([alarm(1)])\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(receiver.port), str(mine))
    assert await killed.wait() == -signal.SIGKILL
    async with uplink(receiver.port, mine) as link:
        assert (await link.send([alarm(2)])).accepted == (2,)
    assert receiver.stop()["received"] == 2


async def test_the_address_of_the_gateway_may_change(tmp_path: Path, receiver: Receiver) -> None:
    link = uplink(receiver.port, context(tmp_path / "mine", "", "01"))
    async with UdpRelay(receiver.port) as relay:
        link._endpoint = link._endpoint._replace(port=relay.port)
        async with link:
            assert (await link.send([alarm(1)])).accepted == (1,)
            relay.dial_again()
            assert (await link.send([alarm(2)])).accepted == (2,)


async def test_a_stranger_is_refused_with_the_remedy_and_a_wrong_secret_is_too(tmp_path: Path, receiver: Receiver) -> None:
    for name, sender, secret in (("stranger", "77", SECRET), ("forger", "", "ff" * 16)):
        with pytest.raises(Refused, match=r"does not accept our security context .*check `oscore`"):
            async with uplink(receiver.port, context(tmp_path / name, sender, "01", secret)):
                pytest.fail("connected without a context that the platform knows")
    plain = coap.open_uplink("p", GATEWAY, Settings(f"coap://{HOST}:{receiver.port}", ack_timeout=LIMIT))
    async with plain:  # any answer proves the way
        with pytest.raises(Refused, match=r"4\.01 OSCORE only"):
            await plain.send([alarm(1)])


async def test_a_context_is_for_its_own_gateway_alone(tmp_path: Path, receiver: Receiver) -> None:
    settings = Settings(f"coap://{HOST}:{receiver.port}/atm", context(tmp_path / "mine", "", "01"), ack_timeout=LIMIT)
    async with coap.open_uplink("p", "another", settings) as link:
        with pytest.raises(Refused, match=r"4\.03 the security context is another gateway's"):
            await link.send([msgspec.structs.replace(alarm(1), gateway="another")])


async def test_an_answer_that_is_not_protected_acknowledges_nothing(tmp_path: Path) -> None:
    with running(libcoap(tmp_path, "-d", "100")) as server, pytest.raises(Unreachable):  # it knows no OSCORE
        async with uplink(server.port, context(tmp_path / "mine", "", "01"), ack_timeout=SHORT):
            pytest.fail("believed an answer that anybody could have given")


async def test_a_context_that_is_in_use_or_none(tmp_path: Path) -> None:
    mine = context(tmp_path / "mine", "", "01")
    security = Security.open("uplink p", mine)
    with pytest.raises(Unreachable, match="another process uses it"):
        Security.open("uplink p", mine)
    security.close()
    Security.open("uplink p", mine).close()
    with pytest.raises(ConfigError, match=r"uplink p: oscore: .*none: no such directory"):
        Security.open("uplink p", tmp_path / "none")
    (mine / "secret.json").write_text("{}")
    with pytest.raises(ConfigError, match="secret_hex: expected bytes in hexadecimal"):
        Security.open("uplink p", mine)
    (mine / "secret.json").write_text("no json")
    with pytest.raises(ConfigError, match="it is no JSON"):
        Security.open("uplink p", mine)
    with pytest.raises(ValueError, match="holds no context"):
        open_contexts(mine)
    with pytest.raises(ValueError, match="No such file"):
        open_contexts(tmp_path / "none")
    with pytest.raises(ValueError, match=r"mine: secret.json: it is no JSON"):
        open_contexts(tmp_path)
    await asyncio.sleep(0)
