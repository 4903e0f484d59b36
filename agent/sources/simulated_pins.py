"""Pins that are not there: a gpiozero factory whose contacts and levels a simulator tells over a socket. No default enables it.

The pins obey gpiozero's own physics of a simulated pin: a contact that is closed pulls against the resistor, one that is open
leaves the pin to it.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from typing import Any

from gpiozero.pins.mock import MockFactory, MockPin

from agent.errors import LineLost
from agent.wire.pins import Decoder, Levels

PREFIX = "sim:"
CONNECT_TIMEOUT = 2.0  # s
FIRST = 2.0  # s for the simulator to tell all that there is
CHUNK = 4096
STATES_LIMIT = 1000


class SimulatedPin(MockPin):  # type: ignore[misc]  # gpiozero publishes no types
    """A pin with a contact on it, open at first."""

    def __init__(self, factory: Any, info: Any) -> None:
        self._contact = False
        super().__init__(factory, info)

    def contact(self, *, closed: bool) -> None:
        """The contact opens or closes."""
        if len(self.states) > STATES_LIMIT:
            self.clear_states()  # gpiozero remembers every change
        self._contact = closed
        self._settle()

    def _settle(self) -> None:
        up = self._get_pull() != "down"
        if self._contact == up:
            self.drive_low()
        else:
            self.drive_high()

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        self._settle()

    def _get_state(self) -> Any:
        if self.factory.gone:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return super()._get_state()


class SimulatedFactory(MockFactory):  # type: ignore[misc]  # gpiozero publishes no types
    """Raises LineLost when no simulator listens. Its thread ends with `close`."""

    def __init__(self, path: str) -> None:
        self.gone = False
        self._levels = Levels({}, {})
        self._told = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_TIMEOUT)
            self._socket.connect(path)
            self._socket.settimeout(None)
        except OSError as error:
            self._socket.close()
            raise LineLost(
                f"no simulator of pins listens at {path} ({error.strerror or error}): start one, or name another"
            ) from error
        super().__init__(pin_class=SimulatedPin)
        self._thread = threading.Thread(target=self._listen, name=f"pins of {path}", daemon=True)
        self._thread.start()
        self._told.wait(FIRST)

    def _listen(self) -> None:
        decoder = Decoder()
        with suppress(OSError):  # closed by us, or by the simulator
            while chunk := self._socket.recv(CHUNK):
                for levels in decoder.feed(chunk):
                    self._take(levels)
        self.gone = True
        self._told.set()

    def _take(self, levels: Levels) -> None:
        self._levels.channels.update(levels.channels)
        for number, closed in levels.pins.items():
            self._levels.pins[number] = closed
            for pin in list(self.pins.values()):
                if pin.info.name == f"GPIO{number}":
                    pin.contact(closed=closed)
        self._told.set()

    def pin(self, name: Any) -> Any:
        """A pin as it is now."""
        pin = super().pin(name)
        number = int(pin.info.name.removeprefix("GPIO"))
        pin.contact(closed=self._levels.pins.get(number, False))
        return pin

    def level(self, channel: int) -> float:
        """An analog input, 0 to 1. Raises OSError when there is none, or the simulator has gone."""
        if self.gone or channel not in self._levels.channels:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return self._levels.channels[channel]

    def close(self) -> None:
        """Let go of the socket and the thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(1.0)
        super().close()
