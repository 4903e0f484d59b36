"""Frames written from RFC 854, 855 and 2217; pyserial's server as an end that somebody else has written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from serial.rfc2217 import PortManager

from agent.errors import LineLost
from agent.sources.line import open_port
from agent.sources.ports import LineSettings
from agent.sources.rfc2217 import Rfc2217

pytestmark = pytest.mark.usefixtures("nothing_leaks")

LINE = LineSettings(port="rfc2217://h:1", baud=9600, parity="even", data_bits=7, stop_bits=2, rts=False)
OFFER = "fffb00 fffd00 fffb03 fffd03 fffb2c"  # WILL and DO BINARY, WILL and DO SUPPRESS-GO-AHEAD, WILL COM-PORT-OPTION
SET = (
    "fffa2c0100002580fff0"  # SET-BAUDRATE 9600
    "fffa2c0207fff0"  # SET-DATASIZE 7
    "fffa2c0303fff0"  # SET-PARITY 3: even
    "fffa2c0402fff0"  # SET-STOPSIZE 2
    "fffa2c0501fff0"  # SET-CONTROL 1: no flow control
    "fffa2c0508fff0"  # SET-CONTROL 8: DTR on
    "fffa2c050cfff0"  # SET-CONTROL 12: RTS off
)
DO_COM_PORT = "fffd2c"
CONFIRMED = "fffa2c6500002580fff0 fffa2c6607fff0 fffa2c6703fff0 fffa2c6802fff0"


def heard(client: Rfc2217, text: str) -> tuple[str, str]:
    data, answer = client.received(bytes.fromhex(text))
    return data.hex(), answer.hex()


def test_the_conversation_of_the_standard():
    client = Rfc2217(LINE)
    assert client.opening().hex() == OFFER.replace(" ", "")
    assert heard(client, "fffd00 fffb00 fffd03 fffb03") == ("", "")  # it takes each offer
    assert heard(client, DO_COM_PORT) == ("", SET)
    assert not client.settled
    assert heard(client, CONFIRMED) == ("", "")
    assert client.settled
    assert not client.refused


def test_a_speed_with_a_byte_ff_has_it_doubled():
    client = Rfc2217(LineSettings(port="rfc2217://h:1", baud=0xFFFF))
    assert heard(client, DO_COM_PORT)[1].startswith("fffa2c010000fffffffffff0")
    heard(client, "fffa2c650000fffffffffff0")
    assert not client.refused


def test_each_offer_of_the_server_is_answered_once():
    client = Rfc2217(LINE)
    heard(client, DO_COM_PORT)
    assert heard(client, DO_COM_PORT) == ("", "")
    assert heard(client, "fffb2c") == ("", "fffd2c")  # WILL COM-PORT-OPTION: DO
    assert heard(client, "fffb2c") == ("", "")
    assert heard(client, "fffb01") == ("", "fffe01")  # WILL ECHO: DONT
    assert heard(client, "fffd18") == ("", "fffc18")  # DO TERMINAL-TYPE: WONT
    assert heard(client, "fffe01 fffc01 fff1") == ("", "")  # DONT, WONT and NOP need no answer


def test_a_server_that_takes_no_settings_is_told():
    client = Rfc2217(LINE)
    heard(client, "fffe2c")
    assert "use socket://" in client.refused


def test_a_server_that_sets_another_speed_is_told():
    client = Rfc2217(LINE)
    heard(client, DO_COM_PORT + "fffa2c6500001c20fff0")
    assert "set speed to 7200 where 9600 was asked" in client.refused


def test_data_is_escaped_and_unescaped():
    client = Rfc2217(LINE)
    assert client.escaped(b"\x00\xff\xff\x01").hex() == "00ffffffff01"
    assert heard(client, "00ffffffff01") == ("00ffff01", "")


def test_states_that_nobody_asked_for_are_passed_over():
    client = Rfc2217(LINE)
    assert heard(client, "61 fffa2c6b30fff0 62 fffa1801fff0 63 fffafff0 64") == ("61626364", "")
    assert not client.refused


def test_a_subnegotiation_without_an_end_does_not_swallow_the_line():
    client = Rfc2217(LINE)
    data, _ = client.received(b"\xff\xfa" + b"x" * 200)
    assert data == b"x" * 200
    assert len(client._held) < 64


STREAM = bytes.fromhex("6162ffff63 fffd2c fffa2c6500002580fff0 64 fffa2c6607fff0 fffb01 ffff 00 fff1 65".replace(" ", ""))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_chunking_gives_the_same(cuts):
    whole, parts = Rfc2217(LINE), Rfc2217(LINE)
    data, answer = b"", b""
    for start, end in pairwise([0, *sorted(cuts), len(STREAM)]):
        got = parts.received(STREAM[start:end])
        data += got[0]
        answer += got[1]
    assert (data, answer) == whole.received(STREAM)
    assert data == b"ab\xffcd\xff\x00e"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_data_of_any_bytes_comes_through(data, cuts):
    client = Rfc2217(LINE)
    line = client.escaped(data)
    got = b"".join(client.received(line[start:end])[0] for start, end in pairwise([0, *sorted(cuts), len(line) + 300]))
    assert got == data


@given(st.binary(max_size=300))
def test_no_bytes_break_it_and_no_memory_grows(noise):
    client = Rfc2217(LINE)
    for _ in range(3):
        client.received(noise)
        assert len(client._held) < 64


# A real server ----------------------------------------------------------------------------------------------------------------


class Server:
    """A device server: pyserial's port manager over a port of its own; a pty would have no modem lines to tell about."""

    def __init__(self) -> None:
        self.port = serial.serial_for_url("loop://")
        self.got = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            manager = PortManager(self.port, writer)
            writer.write(b"".join(manager.escape(b"early\xff")))
            while chunk := await reader.read(1000):
                self.got += b"".join(manager.filter(chunk))
                if b"?" in self.got:
                    writer.write(b"".join(manager.escape(b"\x00\xffanswer")))
        finally:
            writer.close()


@asynccontextmanager
async def listening(serve) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"rfc2217://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(5):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await task


async def test_with_a_server_that_somebody_else_has_written():
    server = Server()
    async with listening(server) as url:
        port = await open_port(LineSettings(port=url, baud=19200, parity="even", stop_bits=2))
        try:
            assert (server.port.baudrate, server.port.parity, server.port.stopbits) == (19200, "E", 2)
            port.write(b"\xff\x00?")
            data = b""
            async with asyncio.timeout(5):
                while not data.endswith(b"answer"):
                    data += await port.read(5)
            assert data == b"early\xff\x00\xffanswer"
            assert server.got == b"\xff\x00?"
        finally:
            port.close()
    server.port.close()


async def test_a_raw_port_is_not_taken_for_a_server(monkeypatch):
    monkeypatch.setattr("agent.sources.line.SETTLE_TIMEOUT", 0.1)

    async def raw(reader, writer):
        writer.write(b"I am raw")
        await reader.read()
        writer.close()

    async with listening(raw) as url:
        with pytest.raises(LineLost, match="does not speak RFC 2217") as lost:
            await open_port(LineSettings(port=url))
        assert lost.value.word == "broken"


async def test_a_server_that_refuses_is_told():
    async def refuse(reader, writer):
        writer.write(bytes.fromhex("fffe2c"))
        await reader.read()
        writer.close()

    async with listening(refuse) as url:
        with pytest.raises(LineLost, match="use socket://") as lost:
            await open_port(LineSettings(port=url))
        assert lost.value.word == "broken"
