"""Opening a port without stopping the loop: one descriptor, whatever the kind of port.

A device is opened, locked and set up by pyserial in a short-lived thread, then only its descriptor is kept: nothing is left
that could set an attribute on a port that is gone. A device server is a TCP connection with keep-alive, so that one that
vanished is noticed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import serial
import serial.rs485
import serial.tools.list_ports  # now: a port may be gone because the disk that this would be read from is

from agent.errors import LineLost
from agent.sources.ports import LineSettings, PortName, device_of, parse, why_closed, why_unreachable

T = TypeVar("T")

CONNECT_TIMEOUT = 3.0  # s; a device server stands in the same network
KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))  # s, s, probes: 25 s to notice
PSEUDO = "/dev/pts/"
CMSPAR = 0o10000000000  # parity stays the same, whatever the byte; termios does not name it
PARITIES = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


async def open_descriptor(settings: LineSettings) -> int:
    """A non-blocking descriptor of the port, to be closed with os.close. Raises LineLost; cancelling it leaves nothing open."""
    name = parse(settings.port)
    if name.kind in ("device", "usb"):
        return await off_loop(lambda: _open_device(settings, name), close_descriptor, f"open {settings.port}")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await _connect(settings.port, name)
    except (OSError, UnicodeError) as error:
        raise why_unreachable(settings.port, error) from error


async def off_loop(work: Callable[[], T], undo: Callable[[T], object], name: str) -> T:
    """What `work` returns or raises, done in a thread of its own. When nobody waits any more, the result is undone."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if error is not None:
            if not future.cancelled():
                future.set_exception(error)
        elif future.cancelled():
            undo(result)  # type: ignore[arg-type]  # without an error there is a result
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - carried over to the one who waits, whatever it is
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended
            if error is None:
                undo(result)  # type: ignore[arg-type]

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None:
            undo(future.result())  # it came in the same turn of the loop as the cancellation
        raise


def _open_device(settings: LineSettings, name: PortName) -> int:
    path = device_of(name)
    port = serial.Serial()
    port.port = path
    port.baudrate = settings.baud
    pseudo = os.path.realpath(path).startswith(PSEUDO)
    if not pseudo:  # it has neither, and the C library calls it a mistake to ask for them; see _mark
        port.bytesize = settings.data_bits
        port.parity = PARITIES[settings.parity]
    port.stopbits = settings.stop_bits
    port.exclusive = True  # a lock (flock): two readers would each get half of the bytes
    port.rts = settings.rts
    port.dtr = settings.dtr
    if settings.rs485:
        port.rs485_mode = serial.rs485.RS485Settings()
    try:
        port.open()
        descriptor = os.dup(port.fileno())  # the lock belongs to both, and stays with this one
    except (OSError, termios.error) as error:
        raise why_closed(settings.port, path, error) from error
    except ValueError as error:  # pyserial's word for a setting that this port does not know
        what = "RS-485 direction" if "RS485" in str(error) else f"{settings.line}"
        raise LineLost(f"{settings.port} does not take {what} ({error}): change that setting or the adapter", "broken") from error
    finally:
        port.close()
    return _ready(descriptor, settings, path, pseudo=pseudo)


def _ready(descriptor: int, settings: LineSettings, path: str, *, pseudo: bool) -> int:
    """Let a read of nothing say "not yet", so that "nothing at all" can only mean that the port is gone."""
    try:
        attributes = termios.tcgetattr(descriptor)
        attributes[6][termios.VMIN] = 1
        attributes[6][termios.VTIME] = 0
        if pseudo:
            _mark(attributes, settings)
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    except (OSError, termios.error) as error:
        os.close(descriptor)
        raise why_closed(settings.port, path, error) from error
    return descriptor


def _mark(attributes: list[Any], settings: LineSettings) -> None:
    """Tell the other end of a pseudo terminal, which has neither parity nor word length, by flags that it keeps."""
    if settings.parity != "none":
        attributes[0] |= termios.INPCK
    if settings.data_bits == 7:
        attributes[0] |= termios.ISTRIP  # and this is what seven bits are
    if settings.parity in ("odd", "mark"):
        attributes[2] |= termios.PARODD
    if settings.parity in ("mark", "space"):
        attributes[2] |= CMSPAR


async def _connect(port: str, name: PortName) -> int:
    loop = asyncio.get_running_loop()
    found = await off_loop(
        lambda: socket.getaddrinfo(name.host, name.tcp, type=socket.SOCK_STREAM), lambda _: None, f"look up {port}"
    )
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            return connection.detach()
        except OSError as error:
            last = error
        finally:
            connection.close()  # does nothing once detached
    raise last


def close_descriptor(descriptor: int) -> None:
    """Let go of a port at once: bytes that still wait to go out are dropped, or closing could take half a minute."""
    with suppress(OSError, termios.error):
        termios.tcflush(descriptor, termios.TCOFLUSH)
    with suppress(OSError):
        os.close(descriptor)
