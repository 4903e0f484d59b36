"""Loops with a resistor at their end, pulse outputs, and pins that a simulator tells over a socket."""

from __future__ import annotations

import asyncio
import socket
import warnings
from contextlib import aclosing, contextmanager

import gpiozero
import pytest
from gpiozero import SPISoftwareFallback
from gpiozero.pins.mock import MockPin
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LineLost
from agent.records import Quality
from agent.sources import Context
from agent.sources.contacts import Contact
from agent.sources.gpio import GpioSource, Settings, open_source
from agent.sources.loops import Loop, Loops, Pulse, Pulses
from agent.sources.pins import Chip, Pins
from agent.wire.pins import LINE_LIMIT, Decoder, Levels, encode
from tests.agent.sources.converters import Converter

NOW = 1_750_000_000.0
SAFE = Loop(channel=0, point="auxiliaries.safeDoor", short="tampered", debounce=0.2)


def measured(loop: Loop, *levels: float, every: float = 0.1) -> list[tuple[object, Quality, str]]:
    loops, found = Loops("atm-1", [loop]), []
    for number, level in enumerate(levels):
        found += loops.measured({loop.channel: level}, NOW + number * every, number * every)
    return [(each.value, each.quality, each.reason) for each in found]


def test_four_states_are_told_apart():
    steady = [level for level in (0.5, 0.667, 0.0, 1.0, 0.5) for _ in range(4)]
    assert measured(SAFE, *steady) == [
        ("closed", Quality.GOOD, ""),
        ("open", Quality.GOOD, ""),
        ("tampered", Quality.GOOD, ""),
        (None, Quality.BAD, "cut"),
        ("closed", Quality.GOOD, ""),
    ]


def test_a_state_counts_once_it_has_stayed_and_is_dated_to_its_beginning():
    loops = Loops("atm-1", [SAFE])
    loops.measured({0: 0.5}, NOW, 0.0)
    assert loops.measured({0: 0.66}, NOW + 1.0, 1.0) == []
    assert loops.measured({0: 0.5}, NOW + 1.1, 1.1) == []
    assert loops.measured({0: 0.66}, NOW + 1.2, 1.2) == []
    assert loops.measured({0: 0.99}, NOW + 1.3, 1.3) == []
    (cut,) = loops.measured({0: 0.99}, NOW + 1.52, 1.52)
    assert (cut.value, cut.at) == (None, pytest.approx(NOW + 1.3))
    assert [each.reason for each in loops.states(NOW + 2.0)] == ["cut"]


def test_a_level_between_two_states_does_not_flicker():
    between = (0.5 + 0.667) / 2
    wandering = [0.5] + [between + (0.008 if number % 2 else -0.008) for number in range(50)]
    assert len(measured(SAFE, *wandering, every=1.0)) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_any_levels_give_words_of_the_point_or_none(levels):
    for value, quality, reason in measured(SAFE, *levels):
        assert (value in ("closed", "open", "tampered") and quality == "good") or (value, quality, reason) == (None, "bad", "cut")


def test_a_loop_that_is_normally_open_has_its_levels_the_other_way_round():
    shock = Loop(
        channel=1, point="auxiliaries.seismicSensor", normal="off", alarm="on", normal_level=0.667, alarm_level=0.5, debounce=0.0
    )
    assert [value for value, _, _ in measured(shock, 0.667, 0.5, 0.02, 0.98)] == ["off", "on", None, None]


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("channel", {"channel": 8}),
        ("point", {"point": "auxiliaries.safedoor"}),
        ("alarm", {"alarm": "ajar"}),
        ("short", {"short": "ajar"}),
        ("alarm", {"alarm": "closed"}),
        ("alarm_level", {"alarm_level": 0.55}),
        ("alarm_level", {"normal_level": 0.95}),
        ("debounce", {"debounce": 61.0}),
    ],
)
def test_loops_that_cannot_be(key, more):
    with pytest.raises(ValueError, match=f"^{key}: "):
        Loop(**({"channel": 0, "point": "auxiliaries.safeDoor"} | more))


def test_pulses_are_closings_without_bounces():
    pulses = Pulses()
    for at in (0.0, 0.1, 0.2):
        for closed, later in ((True, 0.0), (False, 0.001), (True, 0.002), (False, 0.04)):
            pulses.edge(closed, at + later, 0.03)
    assert pulses.counted == 3


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("pin", {"pin": 64}),
        ("point", {"point": "environment.temperature_c"}),
        ("each", {"each": 0.0}),
        ("shortest", {"shortest": 11.0}),
    ],
)
def test_pulses_that_cannot_be(key, more):
    with pytest.raises(ValueError, match=f"^{key}: "):
        Pulse(**({"pin": 5, "point": "energy.import_kwh"} | more))


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("contacts", {}),
        (
            "contacts",
            {"contacts": (Contact(pin=5, point="auxiliaries.safeDoor"),), "pulses": (Pulse(pin=5, point="energy.import_kwh"),)},
        ),
        ("contacts", {"contacts": (Contact(pin=5, point="auxiliaries.safeDoor"),), "loops": (SAFE,)}),
        ("loops", {"loops": (SAFE, Loop(channel=0, point="auxiliaries.cabinetDoor"))}),
        ("pin_factory", {"loops": (SAFE,), "pin_factory": "sim:socket"}),
        ("pin_factory", {"loops": (SAFE,), "pin_factory": "guess"}),
        ("sample", {"loops": (SAFE,), "sample": 0.001}),
        ("loops", {"loops": (Loop(channel=4, point="auxiliaries.safeDoor"),), "converter": "mcp3204"}),
    ],
)
def test_settings_that_make_no_sense(key, more):
    with pytest.raises(ValueError, match=f"^{key}: "):
        Settings(**more)


# A converter on gpiozero's simulated bus --------------------------------------------------------------------------------------


@pytest.fixture
def bus(loops, monkeypatch):
    """A factory whose software SPI gpiozero takes; it looks for that at its default."""
    monkeypatch.setattr(gpiozero.Device, "pin_factory", loops)
    monkeypatch.setattr(loops, "pin_class", MockPin)
    return loops


@pytest.mark.filterwarnings("ignore::gpiozero.SPISoftwareFallback")
@pytest.mark.usefixtures("nothing_leaks")
@pytest.mark.parametrize(("name", "bits"), [("mcp3004", 10), ("mcp3008", 10), ("mcp3204", 12), ("mcp3208", 12)])
async def test_a_converter_tells_four_states_over_its_bus(name, bits, bus):
    converter = Converter(bus, bits)
    converter.levels[1], converter.levels[3] = 0.5, 0.667
    safe = Loop(channel=1, point="auxiliaries.safeDoor", short="tampered", debounce=0.0)
    cabinet = Loop(channel=3, point="auxiliaries.cabinetDoor", debounce=0.0)
    settings = Settings(loops=(safe, cabinet), converter=name, sample=0.02)
    source = GpioSource(Context("pins", "atm-1", "gw-1", lambda: NOW), settings, Chip(lambda: bus))
    async with aclosing(source.read(None)) as given:
        assert await wanted(given, "auxiliaries.cabinetDoor", "open") == "open"
        for level, value in ((0.667, "open"), (0.01, "tampered"), (0.98, None), (0.5, "closed")):
            converter.levels[1] = level
            assert await wanted(given, "auxiliaries.safeDoor", value) == value


def test_a_converter_without_its_bus_says_what_to_switch_on(loops):
    class NoSpi:
        """A real factory whose computer has SPI switched off: gpiozero would go on with pins of its own."""

        def spi(self, **_: object) -> None:
            warnings.warn(SPISoftwareFallback("failed to initialize hardware SPI"), stacklevel=1)

        def close(self) -> None:
            pass

    with pytest.raises(LineLost, match=r"the mcp3008 needs the SPI bus .* dtparam=spi=on"):
        Pins(Chip(NoSpi), [], print, [SAFE], "mcp3008")


# The simulated pins -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(
            Levels,
            st.dictionaries(st.integers(0, 63), st.booleans(), max_size=4),
            st.dictionaries(st.integers(0, 7), st.floats(0, 1), max_size=3),
        ),
        max_size=4,
    ),
    st.data(),
)
def test_any_chunking_gives_the_same_levels(sent, draw):
    stream = b"".join(encode(*each) for each in sent)
    decoder, got = Decoder(), []
    while stream:
        size = draw.draw(st.integers(1, len(stream)))
        got += decoder.feed(stream[:size])
        stream = stream[size:]
    assert (got, decoder.unknown) == (sent, 0)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_no_bytes_raise_anything(chunks):
    decoder = Decoder()
    for chunk in [*chunks, b"x" * (LINE_LIMIT + 1), b'{"pins":{"99":true}}\n{"channels":{"0":7}}\n']:
        decoder.feed(chunk)
    assert len(decoder._held) <= LINE_LIMIT


class Simulator:
    """The other end of the socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        self._agent: socket.socket | None = None

    def say(self, pins=None, channels=None) -> None:
        if self._agent is None:
            self._agent, _ = self._server.accept()
        self._agent.sendall(encode(pins or {}, channels or {}))

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()
        self._server.close()


@contextmanager
def simulator(path):
    made = Simulator(str(path))
    try:
        yield made
    finally:
        made.close()


async def soon(_: float) -> None:
    await asyncio.sleep(0.001)


async def wanted(given, name: str, *values: object) -> object:
    async with asyncio.timeout(5):
        while True:
            for reading in (await anext(given)).readings:
                if reading.point == name and reading.value in values:
                    return reading.value


@pytest.mark.usefixtures("nothing_leaks")
async def test_a_simulator_moves_contacts_loops_and_pulses(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.sources.gpio.COUNTERS_EVERY", 0.05)
    settings = Settings(
        contacts=(
            Contact(pin=17, point="auxiliaries.cabinetDoor", debounce=0.0),
            Contact(pin=27, point="auxiliaries.tamperSensor", closed="off", open="on", pull="down", debounce=0.0),
        ),
        loops=(Loop(channel=0, point="auxiliaries.safeDoor", debounce=0.0),),
        pulses=(Pulse(pin=5, point="energy.import_kwh", each=0.5, shortest=0.0),),
        pin_factory=f"sim:{tmp_path}/pins",
        sample=0.02,
    )
    source = open_source(Context("pins", "atm-1", "gw-1", lambda: NOW), settings)
    source._sleep = soon
    async with aclosing(source.read(None)) as given:
        assert await wanted(given, "gateway.source.pins", "missing") == "missing"
        for life in range(2):
            (tmp_path / "pins").unlink(missing_ok=True)
            with simulator(tmp_path / "pins") as told:
                first = asyncio.get_running_loop().run_in_executor(None, told.say, {17: True, 27: True, 5: False}, {0: 0.5})
                await wanted(given, "gateway.source.pins", "ok")
                await first
                for closed in (False, True):
                    told.say({17: closed})
                    await wanted(given, "auxiliaries.cabinetDoor", "closed" if closed else "open")
                told.say({27: False})
                await wanted(given, "auxiliaries.tamperSensor", "on")
                told.say(channels={0: 0.667})
                await wanted(given, "auxiliaries.safeDoor", "open")
                for closed in (True, False, True, False):
                    told.say({5: closed})
                await wanted(given, "energy.import_kwh", 1.0 + life)
            await wanted(given, "gateway.source.pins", "missing", "broken")
    await asyncio.get_running_loop().shutdown_default_executor()
