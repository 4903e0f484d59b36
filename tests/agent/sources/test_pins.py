from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from gpiozero import InputDevice, PinUnknownPi

from agent.errors import ConfigError, LineLost
from agent.sources import pins as pins_module
from agent.sources.contacts import Contact
from agent.sources.pins import Chip, Pins, chip, why_not

pytestmark = pytest.mark.usefixtures("nothing_leaks")

UP = Contact(pin=17, point="auxiliaries.safeDoor")
DOWN = Contact(pin=27, point="auxiliaries.cabinetDoor", pull="down")


def opened(loops, *contacts):
    told: list[tuple[int, bool]] = []
    return Pins(Chip(lambda: loops), contacts, lambda pin, closed: told.append((pin, closed))), told


def test_levels_and_edges_of_loops_to_ground_and_to_the_supply(loops):
    loops.pin_class.closed.update({27})
    pins, told = opened(loops, UP, DOWN)
    assert pins.levels() == {17: False, 27: True}
    loops.pin(17).drive(closed=True)
    loops.pin(27).drive(closed=False)
    assert told == [(17, True), (27, False)]
    assert pins.levels() == {17: True, 27: False}
    pins.close()


def test_a_closed_pin_tells_nothing_and_may_be_opened_again(loops):
    pins, told = opened(loops, UP)
    pin = loops.pin(17)
    pins.close()
    pins.close()
    pin.drive(closed=True)
    assert told == []
    again, told = opened(loops, UP)
    loops.pin(17).drive(closed=True)
    assert told == [(17, True)]
    again.close()


def test_a_pin_that_is_in_use_is_busy_and_the_others_are_given_back(loops):
    holder = InputDevice(27, pin_factory=loops)
    with pytest.raises(LineLost, match=r"pin 27 \(auxiliaries.cabinetDoor\) is in use") as lost:
        opened(loops, UP, DOWN)
    assert lost.value.word == "busy"
    holder.close()
    pins, _ = opened(loops, UP, DOWN)
    pins.close()


def test_a_pin_that_the_board_does_not_have(loops):
    with pytest.raises(ConfigError, match=r"contacts: pin 60 .*\(BCM\), as in 17"):
        opened(loops, Contact(pin=60, point="auxiliaries.safeDoor"))


def test_a_pull_that_a_pin_cannot_have(loops):
    with pytest.raises(ConfigError, match=r"contacts: pin 2 .*say pull: up"):
        opened(loops, Contact(pin=2, point="auxiliaries.safeDoor", pull="down"))


def test_pins_that_can_no_longer_be_read_are_lost(loops, monkeypatch):
    pins, _ = opened(loops, UP)

    def gone(_):
        raise OSError(19, "No such device")

    monkeypatch.setattr(loops.pin_class, "_get_state", gone)
    with pytest.raises(LineLost, match="No such device") as lost:
        pins.levels()
    assert lost.value.word == "broken"
    pins.close()


def failing(error):
    def factory():
        raise error

    return Chip(factory)


def test_a_computer_without_pins(monkeypatch, tmp_path):
    monkeypatch.setattr(pins_module, "CHIPS", tmp_path)
    with pytest.raises(LineLost, match=r"no .*/gpiochip\* is there") as lost:
        Pins(failing(OSError("can not open gpiochip")), [UP], print)
    assert lost.value.word == "missing"


def test_a_chip_that_this_user_may_not_use(monkeypatch, tmp_path):
    monkeypatch.setattr(pins_module, "CHIPS", tmp_path)
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LineLost, match=r"gpiochip0: it belongs to user .* and group ") as lost:
        Pins(failing(OSError("can not open gpiochip")), [UP], print)
    assert lost.value.word == "denied"


def test_a_chip_that_fails_otherwise(monkeypatch, tmp_path):
    monkeypatch.setattr(pins_module, "CHIPS", tmp_path)
    (tmp_path / "gpiochip0").touch()
    with pytest.raises(LineLost, match="the GPIO chip cannot be opened: bad chip") as lost:
        Pins(failing(RuntimeError("bad chip")), [UP], print)
    assert lost.value.word == "broken"


def test_a_line_that_the_kernel_has_given_to_somebody_else():
    lost = why_not(RuntimeError("GPIO busy"), UP)
    assert isinstance(lost, LineLost)
    assert lost.word == "busy"
    assert "gpioinfo" in str(lost)


def test_a_computer_that_is_no_raspberry_pi():
    with pytest.raises(ConfigError, match="no Raspberry Pi"):
        Pins(failing(PinUnknownPi("unable to locate Pi revision")), [UP], print)


# Factories --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def forgotten():
    """Chips are found once in the life of a program."""
    chip.cache_clear()


def test_the_simulated_factory_says_what_it_is(caplog):
    found = chip("mock")
    assert type(found.take()).__name__ == "MockFactory"
    found.give_back()
    assert "simulated" in caplog.text
    assert chip("mock") is found


def test_two_sources_share_a_chip_and_the_last_closes_it(loops, monkeypatch):
    closed = []
    monkeypatch.setattr(loops, "close", lambda: closed.append(True))
    shared, told = Chip(lambda: loops), []
    one = Pins(shared, [UP], lambda *edge: told.append(edge))
    other = Pins(shared, [DOWN], lambda *edge: told.append(edge))
    one.close()
    assert closed == []
    loops.pin(27).drive(closed=True)
    assert told == [(27, True)]
    other.close()
    other.close()
    assert closed == [True]


@pytest.mark.parametrize("name", ["lgpio", "rpigpio", "pigpio"])
def test_a_factory_whose_package_is_not_installed_names_it(name, monkeypatch):
    library = {"rpigpio": "RPi"}.get(name, name)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not there
    monkeypatch.delitem(sys.modules, f"gpiozero.pins.{name}", raising=False)
    with pytest.raises(ConfigError, match=f"pin_factory: {name} needs the Python package .*apt install python3-"):
        chip(name)


def test_a_factory_without_a_writable_directory_says_what_to_do(monkeypatch):
    monkeypatch.delitem(sys.modules, "lgpio", raising=False)

    def nowhere(prefix: str) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(pins_module, "TemporaryDirectory", nowhere)
    with pytest.raises(ConfigError, match="PrivateTmp=yes"):
        chip("lgpio")


def test_lgpio_leaves_no_pipe_where_the_agent_runs(tmp_path):
    """The real library, where it is installed; its import makes a pipe in the working directory, which may be read-only."""
    if find_spec("lgpio") is None:  # not importorskip: that would make the pipe, and a thread
        pytest.skip("lgpio is not installed")
    program = "from agent.sources.pins import chip; import os; chip('lgpio'); print(os.getcwd())"
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(folder)
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_pins_that_cannot_all_be_opened_give_back_the_factory(loops, monkeypatch):
    closed = []
    monkeypatch.setattr(loops, "close", lambda: closed.append(True))
    with pytest.raises(ConfigError):
        Pins(Chip(lambda: loops), [UP, Contact(pin=61, point="auxiliaries.cabinetDoor")], print)
    assert closed == [True]
