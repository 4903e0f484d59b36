"""The machine's contacts at a socket, read by the agent's own pins; and on the files of a kernel's simulated chip."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from agent.sources import Context
from agent.sources.contacts import Contact
from agent.sources.gpio import Settings, open_source
from agent.sources.loops import Loop, Pulse
from firmware_sim.firmware import Pace
from firmware_sim.pin_board import KernelChip, PinBoard
from firmware_sim.twins.contacts import CHANNELS, PINS, PULSES, Contacts
from firmware_sim.world import World


def test_contacts_open_with_the_doors_and_when_they_are_cut():
    world = World()
    contacts = Contacts(world)
    assert all(contacts.pins().values())
    assert set(contacts.channels().values()) == {0.5}
    world.site.housing.safe = "open"
    assert [pin for pin, closed in contacts.pins().items() if not closed] == [17]
    assert contacts.channels() == {0: 0.667, 1: 0.5}
    world.site.housing.safe = "locked"
    world.site.board.cut.add("auxiliaries.safeDoor")
    assert (contacts.pins()[17], contacts.channels()[0]) == (False, 1.0)


def test_the_meter_gives_a_pulse_a_watt_hour():
    world = World()
    contacts, counted, spent = Contacts(world), 0, 0.0
    for _ in range(600):
        world.step(6.0)
        spent += float(world.numbers()["energy.active_power_w"] or 0.0) * 6.0 / 3600.0
        counted += contacts.pulses()
    assert counted > 50
    assert abs(counted - spent) <= 1.5


def test_the_lines_of_a_kernels_chip_are_pulled(tmp_path):
    for number in range(20):
        folder = tmp_path / "gpio-sim.0" / "gpiochip3" / f"sim_gpio{number}"
        folder.mkdir(parents=True)
        (folder / "pull").write_text("pull-down")
    chip = KernelChip(tmp_path)
    assert chip
    chip.show({17: True, 5: False, 27: True})
    pulls = {path.parent.name: path.read_text() for path in tmp_path.glob("*/*/*/pull")}
    assert (pulls["sim_gpio17"], pulls["sim_gpio5"], pulls["sim_gpio3"]) == ("pull-down", "pull-up", "pull-down")
    assert not KernelChip(tmp_path / "none")


async def test_the_agents_pins_show_what_the_world_does(tmp_path):
    world = World()
    pace = Pace(world.now, time.time(), 60.0)
    settings = Settings(
        contacts=tuple(Contact(pin=pin, point=PINS[pin].point, debounce=0.0) for pin in (17, 27)),
        loops=(Loop(channel=0, point="auxiliaries.vandalShield", debounce=0.0),),
        pulses=(Pulse(pin=PULSES, point="energy.import_kwh", each=0.001),),
        pin_factory=f"sim:{tmp_path}/pins",
    )
    assert CHANNELS[0] == PINS[17]
    seen: dict[str, object] = {}

    async def until(given, name: str, *values: object) -> None:
        async with asyncio.timeout(10):
            while seen.get(name, "?") not in values:
                seen.update({each.point: each.value for each in (await anext(given)).readings})

    async with PinBoard((world, pace), tmp_path / "pins", time.time) as board:
        assert board.address == f"sim:{tmp_path}/pins"
        running = asyncio.ensure_future(board.run(float("inf"), lambda: None))
        source = open_source(Context("pins", "atm-1", "gw-1", time.time), settings)
        async with aclosing(source.read(None)) as given:
            await until(given, "auxiliaries.safeDoor", "closed")
            await until(given, "auxiliaries.vandalShield", "closed")
            world.site.housing.safe = "open"
            await until(given, "auxiliaries.safeDoor", "open")
            await until(given, "auxiliaries.vandalShield", "open")
            world.site.housing.safe = "bolted"
            await until(given, "auxiliaries.safeDoor", "closed")
        board.stop()
        await running
    assert not (tmp_path / "pins").exists()
