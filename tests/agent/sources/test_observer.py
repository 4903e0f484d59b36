"""Nothing leaves but what may: for every driver, in each of its modes, the bytes that it can send stand here, from the documents.

A driver that listens has no way to write: its source holds taps alone. One that asks is handed any bytes there are, and may send
none but those of its list; and what a hostile device has made it send is looked at.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources import SOURCES, Context, ccnet, cctalk, ebds, id003, lcdm, lines, mdb, modbus, nmea
from agent.sources.board_link import HELLO
from agent.sources.board_link import may_send as board_may_send
from agent.sources.bus import Bus
from agent.sources.exchange import Member, Request, Round, Turns
from agent.sources.line import Line, Tap
from agent.sources.tap import TapSource
from tests.agent.sources.scenes import SCENES, Asked

CONTEXT = Context("s", "atm-1", "gw-1", lambda: 0.0)
PORT, HOST_PORT = "/dev/ttyUSB0", "/dev/ttyUSB1"


def listed(*hexadecimal: str) -> frozenset[bytes]:
    return frozenset(map(bytes.fromhex, hexadecimal))


HOPPER = listed("030001a359", "030001a656", "030001a854", "030001d923", "030001f10b", "030001f408", "030001f606")
VALIDATOR = listed("2800019f38", "280001e8ef", "280001f1e6", "280001f4e3", "280001f6e1")
UPS = frozenset({b"Q1\r", b"F\r", b"I\r", b"QPI\r", b"QGS\r", b"QMOD\r", b"QWS\r", b"QBV\r"})
LISTS: dict[str, frozenset[bytes]] = {
    "cctalk hopper, poll": HOPPER,
    "cctalk validator, poll": VALIDATOR,
    "lcdm, poll": listed("045002460313", "045002470312", "06"),
    "modbus": listed("010400010002200b"),
    "ups, megatec": UPS,
    "ups, voltronic": UPS,
}
LISTENING: dict[str, Callable[[], Any]] = {
    "ccnet": lambda: ccnet.Settings(port=PORT, host_port=HOST_PORT),
    "cctalk": lambda: cctalk.Settings(port=PORT, host_port=HOST_PORT, device="hopper"),
    "ebds": lambda: ebds.Settings(port=PORT, host_port=HOST_PORT),
    "id003": lambda: id003.Settings(port=PORT, host_port=HOST_PORT),
    "lcdm": lambda: lcdm.Settings(port=PORT, host_port=HOST_PORT),
    "lines": lambda: lines.Settings(port=PORT, host_port=HOST_PORT, fields={"t": lines.Field(point="environment.temperature_c")}),
    "mdb": lambda: mdb.Settings(port=PORT, host_port=HOST_PORT),
    "nmea": lambda: nmea.Settings(port=PORT, host_port=HOST_PORT),
}
MODULES: dict[str, Any] = {
    "ccnet": ccnet, "cctalk": cctalk, "ebds": ebds, "id003": id003, "lcdm": lcdm, "lines": lines, "mdb": mdb, "nmea": nmea,
}  # fmt: skip
ELSEWHERE = {"board", "gpio", "replay", "xfs4iot"}
"""board: below. gpio: its pins are inputs (test_pins). replay: a file. xfs4iot: texts, not bytes (test_xfs4iot)."""


def test_every_driver_has_a_list_or_listens() -> None:
    asking = {name.split(",")[0].split()[0] for name in LISTS}
    assert asking | LISTENING.keys() | ELSEWHERE == SOURCES.keys()
    assert {name for name, made in SCENES.items() if isinstance(made(), Asked)} == LISTS.keys()


@pytest.mark.parametrize("kind", LISTENING)
def test_who_listens_has_no_way_to_write(kind: str) -> None:
    source = MODULES[kind].open_source(CONTEXT, LISTENING[kind]())
    assert type(source) is TapSource
    assert [type(tap) for tap in source._taps.values()] == [Tap, Tap]
    assert issubclass(Line, Tap)
    assert not hasattr(Tap, "write")


def changed(data: bytes, rng: random.Random) -> bytes:
    """Nearly the same: a byte changed, lost, put in, or something behind it."""
    spoilt, at = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        spoilt[at] ^= rng.randrange(1, 256)
    elif kind == 1:
        del spoilt[at]
    elif kind == 2:
        spoilt.insert(at, rng.randrange(256))
    else:
        spoilt += rng.randbytes(rng.randrange(1, 9))
    return bytes(spoilt)


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=40)
@given(data=st.binary(max_size=20), seed=st.integers(0, 2**32))
def test_no_other_bytes_may_be_sent(name: str, data: bytes, seed: int) -> None:
    scene = SCENES[name]()
    assert isinstance(scene, Asked)
    rng = random.Random(seed)
    near = changed(rng.choice(sorted(LISTS[name])), rng)
    for each in (data, near, *LISTS[name]):
        assert scene.device.may_send(each) == (each in LISTS[name])


@pytest.mark.parametrize("name", LISTS)
def test_what_a_hostile_device_is_sent_is_on_the_list(name: str) -> None:
    scene = SCENES[name]()
    assert isinstance(scene, Asked)
    rng = random.Random(3)
    answers: list[Callable[[bytes], bytes]] = [
        bytes,
        lambda data: b"",
        lambda data: rng.randbytes(40),
        lambda data: rng.choice(sorted(LISTS[name])),
        lambda data: data * 3,
        lambda data: changed(data, rng) if data else data,
    ]

    def hostile(data: bytes) -> bytes:
        return rng.choice(answers)(data)

    scene.spoil = hostile
    for _ in range(100):
        scene.poll()
    assert len(scene.sent) > 100
    assert set(scene.sent) <= LISTS[name]


@given(st.binary(max_size=40), st.integers(0, 2**32))
def test_a_board_is_sent_its_hello_and_its_acks(data: bytes, seed: int) -> None:
    rng = random.Random(seed)
    assert board_may_send(HELLO)
    assert not board_may_send(data) or data == HELLO
    assert not board_may_send(changed(HELLO, rng))


class Rude:
    """A driver with a bug: it wants to send what only its neighbour on the bus may."""

    every, identity = 1.0, ""

    def may_send(self, data: bytes) -> bool:
        return data == b"polite"

    def round(self) -> Round:
        yield Request(b"Q1\r", None)
        return {}

    def away(self, word: str) -> dict[str, Any]:
        del word
        return {}


def test_on_a_shared_line_each_has_a_list_of_its_own() -> None:
    sent: list[bytes] = []
    turns = Turns(lambda data: sent.append(data) is None)
    neighbour = SCENES["ups, megatec"]()
    assert isinstance(neighbour, Asked)
    assert neighbour.device.may_send(b"Q1\r")
    turns.add(Member(CONTEXT, Rude()))
    turns.add(Member(CONTEXT, neighbour.device))
    with pytest.raises(ValueError, match="3 bytes are not on the allow-list of this driver"):
        turns.opened(0, 0.0, 0.0)
    assert sent == []


def test_a_shared_line_sends_what_is_on_nobodys_list_never() -> None:
    bus = Bus(modbus.Settings(port=PORT, map="xy-md02"), lambda: 0.0, None, lambda _: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="not on the allow-list"):
        bus._line.write(b"")
    bus._turns.add(Member(CONTEXT, modbus.Device("s", modbus.Settings(port=PORT, map="xy-md02"))))
    for data in (bytes.fromhex("0106010100019801"), bytes.fromhex("020400010002200b"), b"Q1\r"):
        with pytest.raises(ValueError, match="not on the allow-list"):
            bus._line.write(data)
    assert bus._line.write(bytes.fromhex("010400010002200b")) is False  # the port is closed
