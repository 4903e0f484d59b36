"""The CoAP server's answers, to libcoap's client and to hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiocoap
import pytest

from agent.encode import ENCODINGS, MAX_BYTES
from agent.receive.coap import serve
from agent.receive.intake import Intake
from tests.agent.envelopes import alarm, summary
from tests.servers import program

CBOR = ENCODINGS["cbor"]


class Desk:
    def __init__(self, intake: Any) -> None:
        self.intake = intake
        self.url = ""


@contextlib.asynccontextmanager
async def listening(intake: Any) -> AsyncIterator[Desk]:
    desk, stop, ready = Desk(intake), asyncio.Event(), asyncio.Event()

    def note(url: str) -> None:
        desk.url = url
        ready.set()

    task = asyncio.create_task(serve(intake, "127.0.0.1", 0, note, stop))
    await ready.wait()
    try:
        yield desk
    finally:
        stop.set()
        await task


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with listening(Intake(None, lambda _: None, lambda: 0.0)) as made:
        yield made


async def post(desk: Desk, path: str, payload: bytes, content_format: int | None, **options: Any) -> str:
    """The code of the answer, and what it says."""
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        message = aiocoap.Message(
            code=aiocoap.POST, uri=desk.url + path, payload=payload, content_format=content_format, **options
        )
        response = await context.request(message, handle_blockwise=not options).response
        return f"{response.code.dotted} {response.payload.decode()}".strip()
    finally:
        await context.shutdown()


@pytest.mark.parametrize(
    ("path", "payload", "content_format", "answer"),
    [
        ("/atm/gw-1/alarms", CBOR.encode([alarm(1)]), 60, "2.04"),
        ("/gw-1/alarms", CBOR.encode([alarm(1)]), 60, "2.04"),
        ("/a/b/c/gw-1/alarms", ENCODINGS["json"].encode([alarm(1)]), 50, "2.04"),
        ("/atm/gw-1/status", b'{"link":"up"}', 50, "2.04"),
        ("/atm/gw-1/status", b'{"link":"up"}', None, "2.04"),
        ("/atm/gw-1/status", b"up", 50, "4.00"),
        ("/atm/gw-1/alarms", b"garbage", 60, "4.00"),
        ("/atm/gw-2/alarms", CBOR.encode([alarm(1)]), 60, "4.00 the batch is of another gateway"),
        ("/atm/gw-1/alarms", CBOR.encode([alarm(1)]), 0, "4.15 expected 50, 60"),
        ("/atm/gw-1/alarms", CBOR.encode([alarm(1)]), None, "4.15"),
        ("/alarms", CBOR.encode([alarm(1)]), 60, "4.04"),
        ("/", b"", 60, "4.04"),
    ],
)
async def test_answers(desk: Desk, path: str, payload: bytes, content_format: int | None, answer: str) -> None:
    assert (await post(desk, path, payload, content_format)).startswith(answer)


async def test_other_methods_are_not_allowed(desk: Desk) -> None:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    response = await context.request(aiocoap.Message(code=aiocoap.GET, uri=desk.url + "/atm/gw-1/alarms")).response
    await context.shutdown()
    assert response.code == aiocoap.METHOD_NOT_ALLOWED


async def test_libcoaps_client_and_its_blocks(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "batch.cbor"
    file.write_bytes(CBOR.encode([summary(position) for position in range(1, 21)]))
    command = [program("coap-client-openssl", "libcoap3-bin"), "-m", "post", "-t", "60", "-b", "512", "-f", str(file)]
    await asyncio.to_thread(subprocess.run, [*command, f"{desk.url}/atm/gw-1/summaries"], check=True, timeout=20)
    assert desk.intake.account().received == 20


async def test_what_would_grow_without_end_is_refused(desk: Desk) -> None:
    beyond = MAX_BYTES // 1024 + 1
    assert (await post(desk, "/atm/gw-1/alarms", b"x" * 1024, 60, block1=(beyond, True, 6))).startswith("4.13")
    assert (await post(desk, "/atm/gw-1/alarms", b"x" * 1024, 60, block1=(0, True, 6), size1=MAX_BYTES + 1)).startswith("4.13")
    assert (await post(desk, "/atm/gw-1/alarms", b"x" * 1024, 60, block1=(7, True, 6))).startswith("4.08")


async def test_what_cannot_be_written_down_is_not_acknowledged_and_ends_it() -> None:
    class FullDisk:
        def take(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        async with listening(FullDisk()) as desk:
            assert await post(desk, "/atm/gw-1/alarms", CBOR.encode([alarm(1)]), 60) == "5.00"
