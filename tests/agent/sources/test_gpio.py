from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from agent.errors import ConfigError
from agent.records import Reading
from agent.sources import gpio
from agent.sources.contacts import Contact
from agent.sources.gpio import Crossing, GpioSource, Settings, open_source
from agent.sources.pins import Chip

pytestmark = pytest.mark.usefixtures("nothing_leaks")

DOOR = Contact(pin=17, point="auxiliaries.safeDoor", debounce=0.0)
SHOCK = Contact(pin=27, point="auxiliaries.seismicSensor", closed="off", open="on", debounce=0.02, normally="open")


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


def source(context, loops, *contacts, factory=None, refresh=60.0):
    return GpioSource(context, Settings(contacts=contacts, refresh=refresh), Chip(factory or (lambda: loops)), sleep=at_once)


async def wanted(given, *points):
    """The next values of these points, in the order of their coming."""
    found = {}
    async with asyncio.timeout(5):
        while not found.keys() >= set(points):
            for reading in (await anext(given)).readings:
                if reading.point in points:
                    found[reading.point] = reading.value
    return found


async def test_every_state_is_given_at_the_start(context, loops):
    loops.pin_class.closed.add(17)
    async with aclosing(source(context, loops, DOOR, SHOCK).read(None)) as given:
        readings = list((await anext(given)).readings)
    at = context.now()
    assert readings == [
        Reading("atm-1", "auxiliaries.safeDoor", "closed", at),
        Reading("atm-1", "auxiliaries.seismicSensor", "on", at),
        Reading("atm-1", "gpio.17.edges", 0, at),
        Reading("atm-1", "gpio.27.edges", 0, at),
        Reading("gateway-1", "gateway.source.board", "ok", at),
        Reading("gateway-1", "gateway.line.board.lost", 0, at),
        Reading("gateway-1", "gateway.line.board.reconnects", 0, at),
    ]


async def test_edges_that_come_in_a_thread_of_gpiozeros_are_given(context, loops):
    loops.pin_class.closed.add(17)
    async with aclosing(source(context, loops, DOOR).read(None)) as given:
        await anext(given)
        for closed, word in ((False, "open"), (True, "closed"), (False, "open")):
            thread = threading.Thread(target=lambda closed=closed: loops.pin(17).drive(closed=closed))
            thread.start()
            assert await wanted(given, "auxiliaries.safeDoor") == {"auxiliaries.safeDoor": word}
            thread.join()


async def test_a_cut_wire_is_an_open_loop(context, loops):
    loops.pin_class.closed.add(17)
    async with aclosing(source(context, loops, DOOR).read(None)) as given:
        await anext(given)
        loops.pin(17).pull = "floating"
        loops.pin_class.closed.clear()
        loops.pin(17).pull = "up"
        assert await wanted(given, "auxiliaries.safeDoor") == {"auxiliaries.safeDoor": "open"}


async def test_bounces_are_counted_and_taken_out(context, loops, monkeypatch):
    monkeypatch.setattr(gpio, "COUNTERS_EVERY", 0.05)
    loops.pin_class.closed.add(27)
    async with aclosing(source(context, loops, SHOCK).read(None)) as given:
        await anext(given)
        for _ in range(10):
            loops.pin(27).drive(closed=False)
            loops.pin(27).drive(closed=True)
        loops.pin(27).drive(closed=False)
        told = {}
        async with asyncio.timeout(5):
            while told != {"auxiliaries.seismicSensor": "on", "gpio.27.edges": 21}:
                for reading in (await anext(given)).readings:
                    if reading.point in ("auxiliaries.seismicSensor", "gpio.27.edges"):
                        told[reading.point] = reading.value


async def test_every_state_is_given_again_at_each_refresh(context, loops):
    it = source(context, loops, DOOR, SHOCK, refresh=1.0)
    object.__setattr__(it._settings, "refresh", 0.02)
    async with aclosing(it.read(None)) as given:
        for _ in range(3):
            assert len(await wanted(given, "auxiliaries.safeDoor", "auxiliaries.seismicSensor", "gpio.17.edges")) == 3


async def test_a_level_whose_edge_was_missed_is_found_at_the_refresh(context, loops):
    loops.pin_class.closed.add(17)
    it = source(context, loops, DOOR, refresh=1.0)
    object.__setattr__(it._settings, "refresh", 0.02)
    async with aclosing(it.read(None)) as given:
        await anext(given)
        loops.pin(17)._state = True  # nobody is told
        while (await wanted(given, "auxiliaries.safeDoor"))["auxiliaries.safeDoor"] != "open":
            pass


async def test_a_flood_of_edges_is_bounded_counted_and_ends_in_the_right_state(context, loops, monkeypatch):
    monkeypatch.setattr(gpio, "EDGES_LIMIT", 10)
    monkeypatch.setattr(gpio, "COUNTERS_EVERY", 0.05)
    monkeypatch.setattr("agent.sources.health.COUNTERS_EVERY", 0.05)
    loops.pin_class.closed.add(17)
    async with aclosing(source(context, loops, DOOR).read(None)) as given:
        await anext(given)
        for _ in range(500):
            loops.pin(17).drive(closed=False)
            loops.pin(17).drive(closed=True)
        loops.pin(17).drive(closed=False)
        found = {}
        async with asyncio.timeout(5):
            while found.get("gpio.17.edges") != 1001 or "gateway.line.board.lost" not in found:
                for reading in (await anext(given)).readings:
                    found[reading.point] = reading.value
        assert found["gateway.line.board.lost"] == 991
        assert found["auxiliaries.safeDoor"] == "open"


async def test_the_crossing_wakes_the_loop_once_however_many_edges_come():
    loop = asyncio.get_running_loop()
    crossing = Crossing(loop, [17])
    woken = []
    crossing._loop = type(
        "Loop", (), {"time": loop.time, "call_later": None, "call_soon_threadsafe": lambda _, *call: woken.append(call)}
    )()
    threads = [threading.Thread(target=lambda: [crossing.put(17, True) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(woken) == 1
    edges = crossing.take()
    assert len(edges) == crossing.counts()[17] == 400
    assert [edge.mono for edge in edges] == sorted(edge.mono for edge in edges)
    crossing.put(17, False)
    assert len(woken) == 2


def test_an_edge_after_the_end_of_the_loop_disturbs_nobody():
    loop = asyncio.new_event_loop()
    crossing = Crossing(loop, [17])
    loop.close()
    crossing.put(17, True)
    assert crossing.counts() == {17: 1}


async def test_pins_that_are_busy_or_missing_are_looked_for_again(context, loops, monkeypatch, tmp_path):
    monkeypatch.setattr("agent.sources.pins.CHIPS", tmp_path)
    failures = [RuntimeError("GPIO busy"), OSError("can not open gpiochip")]

    def factory():
        if failures:
            raise failures.pop(0)
        return loops

    async with aclosing(source(context, loops, DOOR, factory=factory).read(None)) as given:
        words = []
        async with asyncio.timeout(5):
            while not words or words[-1] != "ok":
                words += [each.value for each in (await anext(given)).readings if each.point == "gateway.source.board"]
    assert words == ["busy", "missing", "ok"]


async def test_a_chip_that_goes_away_is_opened_again(context, loops, monkeypatch):
    it = source(context, loops, DOOR, refresh=1.0)
    object.__setattr__(it._settings, "refresh", 0.02)
    async with aclosing(it.read(None)) as given:
        await wanted(given, "auxiliaries.safeDoor")
        with monkeypatch.context() as gone:

            def fail(_):
                raise OSError(19, "No such device")

            gone.setattr(loops.pin_class, "_get_state", fail)
            assert await wanted(given, "gateway.source.board") == {"gateway.source.board": "broken"}
        found = await wanted(given, "gateway.source.board", "gateway.line.board.reconnects")
        assert found == {"gateway.source.board": "ok", "gateway.line.board.reconnects": 1}


async def test_a_mistake_in_the_configuration_ends_the_source(context, loops):
    wrong = Contact(pin=60, point="auxiliaries.safeDoor")
    async with aclosing(source(context, loops, wrong).read(None)) as given:
        with pytest.raises(ConfigError, match="source board: contacts: pin 60"):
            await anext(given)


def test_a_factory_that_is_not_installed_is_told_before_anything_starts(context, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pigpio", None)
    with pytest.raises(ConfigError, match="source board: pin_factory: pigpio needs"):
        open_source(context, Settings(contacts=(DOOR,), pin_factory="pigpio"))


async def test_what_is_configured_is_opened(context):
    it = open_source(context, Settings(contacts=(DOOR,), pin_factory="mock"))
    it.acknowledge({})
    async with aclosing(it.read(None)) as given:
        assert (await anext(given)).position is None


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"contacts": ()}, "^contacts: is empty"),
        ({"refresh": 0.5}, "^refresh: expected 1s to 1h"),
        ({"contacts": (DOOR, Contact(pin=17, point="auxiliaries.cabinetDoor"))}, "^contacts: pin 17 stands there twice"),
        ({"contacts": (DOOR, Contact(pin=18, point="auxiliaries.safeDoor"))}, "^contacts: point auxiliaries.safeDoor stands"),
    ],
)
def test_mistakes_name_the_key_and_what_would_be_right(settings, mistake):
    with pytest.raises(ValueError, match=mistake):
        Settings(**{"contacts": (DOOR,), **settings})
