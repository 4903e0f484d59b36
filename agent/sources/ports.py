"""Which port a line is on: its settings, its name, the device behind the name, and what to do when it cannot be opened.

A port is named by
    /dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K2-if00-port0    a device path; this kind stays the same over replugs
    usb:0403:6001 or usb:0403:6001:A10K2                           USB vendor, product and, where two are alike, serial number
    socket://192.0.2.7:4001                                        a serial device server, raw TCP
    rfc2217://192.0.2.7:2217                                       a serial device server that takes line settings too
The name is looked up at each opening, so an adapter that comes back under another device name is the same port.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from agent.errors import LineLost

Parity: TypeAlias = Literal["none", "even", "odd", "mark", "space"]
Kind: TypeAlias = Literal["device", "usb", "socket", "rfc2217"]

BY_ID = Path("/dev/serial/by-id")
SHOWN = 5  # ports that a message names at most
_USB = re.compile(r"usb:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?")
_CONSOLE = re.compile(r"tty\d*")  # of the screen: there are always some, and a machine is on none
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR})
_BUSY = frozenset({errno.EBUSY, errno.EWOULDBLOCK})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


class PortName(NamedTuple):
    """A port's name, taken apart. `path` for a device, `host` and `tcp` for a URL, the others for USB."""

    kind: Kind
    path: str = ""
    host: str = ""
    tcp: int = 0
    vendor: int = 0
    product: int = 0
    serial: str | None = None


@dataclass(frozen=True, kw_only=True)
class LineSettings:
    """Where a line is and how its bytes travel: 115200 8N1 unless told otherwise."""

    port: str
    """A device path, usb:VENDOR:PRODUCT[:SERIAL], socket://HOST:PORT or rfc2217://HOST:PORT."""
    baud: int = 115_200
    parity: Parity = "none"
    data_bits: Literal[5, 6, 7, 8] = 8
    stop_bits: Literal[1, 2] = 1
    rts: bool = True
    """The level of RTS while the port is open."""
    dtr: bool = True
    """The level of DTR while the port is open. Many boards restart when it rises."""
    rs485: bool = False
    """The kernel turns the direction of an RS-485 transceiver with RTS. Most USB adapters do it by themselves."""

    def __post_init__(self) -> None:
        kind = parse(self.port).kind
        if not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: {self.baud} is no speed of a serial line; expected 50 to 4000000, such as 9600 or 115200")
        if self.rs485 and kind in ("socket", "rfc2217"):
            raise ValueError("rs485: the device server turns the direction itself; set it there and leave this out")

    @property
    def line(self) -> str:
        """Speed and character in the usual short form: 115200 8N1."""
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits}"

    @property
    def shared(self) -> bool:
        """Whether another source may name the same port: devices that are asked take turns on it."""
        return False

    @property
    def character(self) -> Mapping[str, object]:
        """All that a port has one of: who share it must agree on these."""
        return {key.name: getattr(self, key.name) for key in fields(LineSettings) if key.name != "port"}


def parse(port: str) -> PortName:
    """The parts of a port's name. Raises ValueError, which names the setting `port`."""
    if port.startswith("usb:"):
        found = _USB.fullmatch(port)
        if found is None:
            raise ValueError(f"port: {port!r} is no USB name; expected usb:VENDOR:PRODUCT[:SERIAL], as in usb:0403:6001:A10K2")
        return PortName("usb", vendor=int(found[1], 16), product=int(found[2], 16), serial=found[3])
    if port.startswith(("socket://", "rfc2217://")):
        return _parse_url(port)
    if not port.startswith("/") or "\0" in port:
        raise ValueError(
            f"port: {port!r} is no port; expected a device such as /dev/serial/by-id/..., usb:VENDOR:PRODUCT[:SERIAL], "
            "socket://HOST:PORT or rfc2217://HOST:PORT"
        )
    return PortName("device", path=port)


def _parse_url(url: str) -> PortName:
    kind: Kind = "socket" if url.startswith("socket:") else "rfc2217"
    try:
        parts = urlsplit(url)
        tcp = parts.port
    except ValueError:
        tcp = None
    if tcp is None or not parts.hostname or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ValueError(f"port: {url!r} is no address of a device server; expected {kind}://HOST:PORT and nothing after it")
    return PortName(kind, host=parts.hostname, tcp=tcp)


def device_of(name: PortName) -> str:
    """The device path to open for a device or USB name. Raises LineLost when no or more than one USB port fits."""
    if name.kind == "device":
        return name.path
    found = [
        port
        for port in comports()
        if (port.vid, port.pid) == (name.vendor, name.product) and name.serial in (None, port.serial_number)
    ]
    if len(found) == 1:
        return str(found[0].device)
    wanted = f"usb:{name.vendor:04x}:{name.product:04x}" + (f":{name.serial}" if name.serial else "")
    if found:
        which = ", ".join(f"{port.device} (serial number {port.serial_number or 'none'})" for port in found[:SHOWN])
        raise LineLost(f"{wanted} fits {which}: add the serial number, or name the port by /dev/serial/by-path", "broken")
    raise LineLost(f"no adapter {wanted} is plugged in; {_others('')}")


def why_closed(port: str, path: str, error: Exception) -> LineLost:
    """What to report for a device that could not be opened: missing, denied, busy or broken, with the remedy."""
    number = _number(error)
    shown = port if path in ("", port) else f"{port} ({path})"
    if number in _GONE:
        return LineLost(f"{shown} does not exist; {_others(path)}")
    if number in _DENIED:
        return LineLost(f"{shown}: {sandboxed(path) if number == errno.EPERM else denial(path)}", "denied")
    if number in _BUSY:
        return LineLost(f"{shown} is in use{_holder(path)}: stop that program, or give this source another port", "busy")
    if number == errno.EIO:
        return LineLost(f"{shown} has nothing behind it: is the adapter plugged in, and is this port fitted?")
    if number == errno.ENOTTY:
        return LineLost(f"{shown} is no serial port: name one that is", "broken")
    return LineLost(f"{shown} cannot be used: {_inner(error)}", "broken")


def why_unreachable(port: str, error: Exception) -> LineLost:
    """What to report for a device server that could not be reached."""
    if isinstance(error, ConnectionRefusedError):
        return LineLost(f"nothing listens at {port}: is this the TCP port of the serial line, and is it not taken?")
    if isinstance(error, socket.gaierror):
        return LineLost(f"the host of {port} is unknown to the name service ({error.strerror}): give its address instead")
    if isinstance(error, TimeoutError):
        return LineLost(f"{port} does not answer: is the device server on, and in this network?")
    if isinstance(error, OSError) and error.errno in _DENIED:
        return LineLost(f"the system forbids a connection to {port} ({error.strerror}): check the firewall", "denied")
    return LineLost(f"{port} cannot be reached: {_inner(error)}")


def _number(error: Exception) -> int | None:
    """The system's number of an error: pyserial's own exceptions carry it, or stand around one that does (termios.error)."""
    for each in (error, error.__context__):
        if each is not None and each.args and isinstance(each.args[0], int):
            return each.args[0]
    return None


def _inner(error: Exception) -> str:
    """The system's words for an error, where there are some."""
    number = _number(error)
    return os.strerror(number) if number is not None else str(error)


def _others(path: str) -> str:
    """Ports that are there, those first whose names are most like the one that is not."""
    found: dict[str, None] = dict.fromkeys(str(link) for link in _entries(BY_ID))
    found.update(dict.fromkeys(str(port.device) for port in comports()))
    wanted = Path(path).name
    if path:
        names = (each for each in _entries(Path(path).parent) if _CONSOLE.fullmatch(each.name) is None)
        alike = (each for each in names if SequenceMatcher(None, each.name, wanted).ratio() >= 0.6)
        found.update(dict.fromkeys(map(str, alike)))
    if not found:
        return "no serial port is there at all: check cable and power"
    ranked = sorted(found, key=lambda each: -SequenceMatcher(None, Path(each).name, wanted).ratio())
    return f"there are {', '.join(ranked[:SHOWN])}: check cable and power, or name one of these"


def comports() -> list[Any]:
    """Every serial port of this computer, as pyserial finds them."""
    from serial.tools.list_ports import comports as found  # noqa: PLC0415  whoever opens ports has loaded it (opening.py)

    return list(found())


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(folder.iterdir())


def denial(path: str) -> str:
    user = _user(os.geteuid())
    try:
        state = os.stat(path)
    except OSError:
        return f"user {user} may not enter the folder that it is in"
    group = _group(state.st_gid)
    who = f"it belongs to user {_user(state.st_uid)} and group {group}, and user {user} may not use it"
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o060 != 0o060 or state.st_gid == 0:
        return f"{who} (mode {mode:o}): give it to the group dialout with a udev rule, as docs/sources.md shows"
    return f"{who}: sudo usermod -aG {group} {user}, then start the agent again"


def sandboxed(path: str) -> str:
    """The owner would let this user in, and the cgroup of the unit does not: that is EPERM, and never EACCES."""
    try:
        kind = f"char-{os.major(os.stat(path).st_rdev)}"
    except OSError:
        kind = "char-MAJOR"
    return f"the unit's sandbox does not name it: DeviceAllow={kind} rw in a drop-in (systemctl edit atm-agent), then start again"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _holder(path: str) -> str:
    """Who holds the port, as far as /proc tells this user."""
    for pid in (*_lockers(path), *_openers(path)):
        with suppress(OSError):
            return f" by {Path(f'/proc/{pid}/comm').read_text().strip()} (process {pid})"
    return ""


def _lockers(path: str) -> Iterator[int]:
    """Processes with a lock on the file: the fifth and sixth word of a line of /proc/locks are process and file."""
    with suppress(OSError, ValueError, IndexError):
        state = os.stat(path)
        file = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[5] == file:
                yield int(words[4])


def _openers(path: str) -> Iterator[int]:
    """Processes that have the file open, of those that this user may look into."""
    device = os.path.realpath(path)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(file) == device for file in (process / "fd").iterdir()):
                yield int(process.name)
