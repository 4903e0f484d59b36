"""Input pins through gpiozero: one factory, chosen by name and never guessed; what fails says what to do."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gpiozero
from gpiozero import GPIOPinInUse, GPIOZeroError, InputDevice, PinFixedPull, PinInvalidPin, PinUnknownPi, SPISoftwareFallback
from gpiozero.pins.mock import MockFactory

from agent.errors import ConfigError, LineLost
from agent.sources.contacts import Contact
from agent.sources.loops import Loop, Pulse
from agent.sources.ports import denial
from agent.sources.simulated_pins import PREFIX, SimulatedFactory

PACKAGES = {
    "lgpio": "lgpio (apt install python3-lgpio, or pip install lgpio)",
    "rpigpio": "RPi.GPIO (apt install python3-rpi-lgpio, or pip install rpi-lgpio)",
    "pigpio": "pigpio (apt install python3-pigpio, or pip install pigpio)",
}
CHIPS = Path("/dev")
SPI_ON = (
    "put dtparam=spi=on into /boot/firmware/config.txt, start the computer again, and let the agent's user into the group spi"
)

log = logging.getLogger(__name__)


class Chip:
    """One pin factory for all sources that use it: gpiozero keeps the pins of all in one table, and closing one closes all."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._factory: Any = None
        self._users = 0

    def take(self) -> Any:
        """The factory, made for the first who asks. Raises what gpiozero raises."""
        with self._lock:
            if self._factory is None:
                self._factory = self._make()
            self._users += 1
            return self._factory

    def give_back(self) -> None:
        """The last one closes it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                factory, self._factory = self._factory, None
                with contextlib.suppress(*backend_errors()):
                    factory.close()


@cache
def chip(name: str) -> Chip:
    """The chip behind a pin factory. To be called before there are threads: lgpio is imported in a directory of its own.

    Raises ConfigError when the package behind it is not installed.
    """
    if name.startswith(PREFIX):
        log.warning("pin_factory: %s: these pins are simulated and tell nothing about a machine", name)
        return Chip(lambda: SimulatedFactory(name.removeprefix(PREFIX)))
    found = [entry for entry in entry_points(group="gpiozero_pin_factories") if entry.name == name]
    try:
        with _private_directory() if name == "lgpio" and "lgpio" not in sys.modules else contextlib.nullcontext():
            if name == "lgpio":
                importlib.import_module("lgpio")
            factory: Callable[[], Any] = found[0].load()
    except ImportError as error:
        package = PACKAGES.get(name, "gpiozero (pip install gpiozero)")
        raise ConfigError([f"pin_factory: {name} needs the Python package {package}; it says: {error}"]) from error
    except OSError as error:
        remedy = "give the agent a writable /tmp (PrivateTmp=yes in its unit) or set TMPDIR"
        raise ConfigError([f"pin_factory: {name} has no place for its pipe: {error.strerror}; {remedy}"]) from error
    if name == "mock":
        log.warning("pin_factory: mock: these pins are simulated and tell nothing about a machine")
    return Chip(factory)


@contextlib.contextmanager
def _private_directory() -> Iterator[None]:
    """lgpio makes a pipe (.lgd-nfy0) in the working directory when it is imported, which under systemd may be read-only.

    Both of its ends are open once the import is done, so the directory can go again.
    """
    with TemporaryDirectory(prefix="atm-agent-") as directory, contextlib.chdir(directory):
        yield


class Pins:
    """The pins of one source, open. `told(pin, closed)` is called at each edge, in a thread of gpiozero's.

    Opening raises LineLost for what may pass, ConfigError for what will not.
    """

    def __init__(
        self,
        chip: Chip,
        contacts: Sequence[Contact | Pulse],
        told: Callable[[int, bool], None],
        loops: Sequence[Loop] = (),
        converter: str = "",
    ) -> None:
        try:
            self._factory = chip.take()
        except backend_errors() as error:
            raise why_not(error) from error
        self._chip: Chip | None = chip
        self._errors = backend_errors()
        self._devices: dict[int, InputDevice] = {}
        self._listeners: list[_Listener] = []  # gpiozero itself holds them only weakly
        self._inputs: dict[int, Callable[[], float]] = {}
        self._converters: list[Any] = []
        try:
            for contact in contacts:
                self._open(contact, told)
            for loop in loops:
                self._inputs[loop.channel] = self._input(loop, converter)
        except BaseException:
            self.close()
            raise

    def _input(self, loop: Loop, converter: str) -> Any:
        """What reads a channel's level, 0 to 1."""
        channel = loop.channel
        if isinstance(self._factory, SimulatedFactory):
            return partial(self._factory.level, channel)
        try:
            with warnings.catch_warnings():
                if not isinstance(self._factory, MockFactory):  # a bus of its own is all that a simulated converter has
                    warnings.simplefilter("error", SPISoftwareFallback)
                device = getattr(gpiozero, converter.upper())(channel=channel, pin_factory=self._factory)
        except SPISoftwareFallback as error:
            raise LineLost(f"the {converter} needs the SPI bus ({error}): {SPI_ON}", "broken") from error
        except GPIOPinInUse as error:
            raise LineLost(f"the SPI bus of the {converter} is in use ({error}): free its pins", "busy") from error
        except self._errors as error:
            raise LineLost(f"channel {channel} ({loop.point}) of the {converter} cannot be opened: {error}", "broken") from error
        self._converters.append(device)
        return partial(getattr, device, "value")

    def _open(self, contact: Contact | Pulse, told: Callable[[int, bool], None]) -> None:
        try:
            device = InputDevice(contact.pin, pull_up=contact.pull == "up", pin_factory=self._factory)
            self._devices[contact.pin] = device
            listener = _Listener(contact, told)
            self._listeners.append(listener)
            device.pin.bounce = None
            device.pin.edges = "both"
            device.pin.when_changed = listener.changed
        except self._errors as error:
            raise why_not(error, contact) from error

    def levels(self) -> Mapping[int, bool]:
        """For each pin whether its loop is closed, asked now. Raises LineLost."""
        try:
            return {pin: bool(device.value) for pin, device in self._devices.items()}
        except self._errors as error:
            raise LineLost(f"the pins can no longer be read: {error}", "broken") from error

    def measured(self) -> Mapping[int, float]:
        """For each channel its level, 0 to 1, asked now. Raises LineLost."""
        try:
            return {channel: float(level()) for channel, level in self._inputs.items()}
        except self._errors as error:
            raise LineLost(f"the converter can no longer be read: {error}", "broken") from error

    def close(self) -> None:
        """Give every pin back. Edges are no longer told."""
        for converter in self._converters:
            with contextlib.suppress(*self._errors):
                converter.close()
        self._converters.clear()
        for device in self._devices.values():
            with contextlib.suppress(*self._errors):
                device.pin.when_changed = None
                device.close()
        self._devices.clear()
        if self._chip is not None:
            self._chip.give_back()
            self._chip = None


class _Listener:
    def __init__(self, contact: Contact | Pulse, told: Callable[[int, bool], None]) -> None:
        self._pin = contact.pin
        self._closed_level = contact.pull == "down"
        self._told = told

    def changed(self, ticks: float, state: float) -> None:
        """Called by gpiozero at each edge."""
        del ticks  # opaque, and not of the loop's clock
        self._told(self._pin, bool(state) == self._closed_level)


def backend_errors() -> tuple[type[Exception], ...]:
    """What gpiozero and the libraries below it raise; lgpio and pigpio have an exception of their own each."""
    own = [getattr(sys.modules.get(library), "error", None) for library in ("lgpio", "pigpio")]
    return (GPIOZeroError, OSError, RuntimeError, *(each for each in own if isinstance(each, type)))


def why_not(error: Exception, contact: Contact | Pulse | None = None) -> Exception:
    """What to raise for pins that cannot be opened, with the remedy."""
    if isinstance(error, LineLost):
        return error
    where = f"pin {contact.pin} ({contact.point})" if contact else "the GPIO chip"
    if isinstance(error, PinUnknownPi):
        return ConfigError(["pin_factory: this computer is no Raspberry Pi, and gpiozero knows no other; take the source out"])
    if isinstance(error, PinInvalidPin):
        return ConfigError([f"contacts: {where}: this board has no such line; expected the chip's number (BCM), as in 17"])
    if isinstance(error, PinFixedPull):
        return ConfigError([f"contacts: {where}: the line has a pull-up of its own; say pull: up, or take another pin"])
    if isinstance(error, GPIOPinInUse) or "busy" in str(error).lower():
        return LineLost(f"{where} is in use: gpioinfo tells by whom; free it, or take another pin", "busy")
    chips = sorted(CHIPS.glob("gpiochip*"))
    if not chips:
        return LineLost(f"no {CHIPS}/gpiochip* is there: enable GPIO in the kernel, or take the source out")
    denied = [chip for chip in chips if not os.access(chip, os.R_OK | os.W_OK)]
    if denied:
        return LineLost(f"{denied[0]}: {denial(str(denied[0]))}", "denied")
    return LineLost(f"{where} cannot be opened: {error}", "broken")
