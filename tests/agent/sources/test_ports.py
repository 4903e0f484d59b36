from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
import serial

from agent.errors import LineLost
from agent.sources import ports
from agent.sources.ports import LineSettings, PortName, device_of, parse, why_closed, why_unreachable

pytestmark = pytest.mark.usefixtures("nothing_leaks")

ADAPTERS = [
    SimpleNamespace(device="/dev/ttyUSB0", vid=0x0403, pid=0x6001, serial_number="A10K2"),
    SimpleNamespace(device="/dev/ttyUSB1", vid=0x0403, pid=0x6001, serial_number="A10K3"),
    SimpleNamespace(device="/dev/ttyACM0", vid=0x2341, pid=0x0043, serial_number=None),
    SimpleNamespace(device="/dev/ttyS0", vid=None, pid=None, serial_number=None),
]


@pytest.mark.parametrize(
    ("port", "name"),
    [
        ("/dev/ttyUSB0", PortName("device", path="/dev/ttyUSB0")),
        ("/dev/serial/by-id/usb-FTDI_A:B-if00-port0", PortName("device", path="/dev/serial/by-id/usb-FTDI_A:B-if00-port0")),
        ("usb:0403:6001", PortName("usb", vendor=0x403, product=0x6001)),
        ("usb:2341:004A:A1:B2", PortName("usb", vendor=0x2341, product=0x4A, serial="A1:B2")),
        ("socket://192.0.2.7:4001", PortName("socket", host="192.0.2.7", tcp=4001)),
        ("socket://[2001:db8::7]:4001/", PortName("socket", host="2001:db8::7", tcp=4001)),
        ("rfc2217://server.example:2217", PortName("rfc2217", host="server.example", tcp=2217)),
    ],
)
def test_names_of_ports(port, name):
    assert parse(port) == name


@pytest.mark.parametrize(
    "port",
    ["", "ttyUSB0", "COM3", "usb:403:6001", "usb:0403", "usb:0403:6001:", "usb:wxyz:6001", "socket://host", "socket://:4001",
     "socket://host:99999", "socket://host:x", "socket://user@host:1", "socket://host:1/path", "rfc2217://host:1?logging=debug",
     "loop://", "http://host:1", "/dev/tty\0USB0"],
)  # fmt: skip
def test_what_is_no_port_is_told_with_the_setting_and_an_example(port):
    with pytest.raises(ValueError, match=r"^port: .*expected ") as refused:
        LineSettings(port=port)
    assert repr(port) in str(refused.value)


@pytest.mark.parametrize("baud", [0, 49, -9600, 4_000_001])
def test_speeds_that_no_line_has(baud):
    with pytest.raises(ValueError, match=f"^baud: {baud} .*expected"):
        LineSettings(port="/dev/ttyUSB0", baud=baud)


@pytest.mark.parametrize("port", ["socket://h:1", "rfc2217://h:1"])
def test_a_device_server_turns_the_direction_itself(port):
    with pytest.raises(ValueError, match=r"^rs485: "):
        LineSettings(port=port, rs485=True)


def test_the_short_form_of_a_line():
    assert LineSettings(port="/dev/ttyS0").line == "115200 8N1"
    assert LineSettings(port="/dev/ttyS0", baud=9600, parity="even", data_bits=7, stop_bits=2).line == "9600 7E2"


# USB names --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def adapters(monkeypatch, tmp_path):
    monkeypatch.setattr(ports, "comports", lambda: ADAPTERS)
    monkeypatch.setattr(ports, "BY_ID", tmp_path)
    (tmp_path / "usb-FTDI_A10K2-if00").symlink_to("/dev/null")


@pytest.mark.usefixtures("adapters")
def test_a_usb_name_finds_its_device_wherever_it_is():
    assert device_of(parse("usb:2341:0043")) == "/dev/ttyACM0"
    assert device_of(parse("usb:0403:6001:A10K3")) == "/dev/ttyUSB1"


@pytest.mark.usefixtures("adapters")
def test_a_usb_name_that_fits_two_asks_for_the_serial_number():
    with pytest.raises(LineLost, match=r"A10K2.*A10K3.*add the serial number") as lost:
        device_of(parse("usb:0403:6001"))
    assert lost.value.word == "broken"


@pytest.mark.usefixtures("adapters")
def test_a_usb_name_that_fits_none_tells_what_is_there(tmp_path):
    with pytest.raises(LineLost, match="usb:1a86:7523 is plugged in") as lost:
        device_of(parse("usb:1A86:7523"))
    assert lost.value.word == "missing"
    assert "/dev/ttyUSB0" in str(lost.value)
    assert str(tmp_path / "usb-FTDI_A10K2-if00") in str(lost.value)


def test_the_consoles_of_the_screen_are_named_to_nobody(tmp_path):
    for name in ("tty7", "tty17", "ttyUSB0"):
        (tmp_path / name).touch()
    path = str(tmp_path / "ttyUSB7")
    told = str(why_closed(path, path, FileNotFoundError(errno.ENOENT, "No such file")))
    assert str(tmp_path / "ttyUSB0") in told
    assert "tty7" not in told
    assert "tty17" not in told


def test_no_port_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(ports, "comports", list)
    monkeypatch.setattr(ports, "BY_ID", tmp_path / "none")
    with pytest.raises(LineLost, match="no serial port is there at all"):
        device_of(parse("usb:1a86:7523"))


# Why a port cannot be opened --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "word", "remedy"),
    [
        (errno.ENOENT, "missing", "does not exist"),
        (errno.ENODEV, "missing", "does not exist"),
        (errno.EIO, "missing", "nothing behind it"),
        (errno.EBUSY, "busy", "is in use"),
        (errno.EWOULDBLOCK, "busy", "stop that program"),
        (errno.EACCES, "denied", "docs/sources.md"),
        (errno.EPERM, "denied", "DeviceAllow=char-"),
        (errno.EMFILE, "broken", "Too many open files"),
        (errno.ENOTTY, "broken", "no serial port"),
    ],
)
def test_each_failure_has_its_word_and_remedy(tmp_path, number, word, remedy):
    path = tmp_path / "ttyUSB0"
    path.touch(mode=0o600)
    lost = why_closed("usb:0403:6001", str(path), serial.SerialException(number, "could not open port"))
    assert lost.word == word
    assert remedy in str(lost)
    assert "usb:0403:6001" in str(lost)
    assert str(path) in str(lost)


def test_the_group_that_may_use_a_port_is_named(tmp_path):
    path = tmp_path / "ttyUSB0"
    path.touch()
    os.chmod(path, 0o660)
    group = next(each for each in grp.getgrall() if each.gr_gid != 0)
    if os.geteuid() == 0:
        os.chown(path, 0, group.gr_gid)
    else:
        group = grp.getgrgid(path.stat().st_gid)
    lost = why_closed(str(path), str(path), PermissionError(errno.EACCES, "Permission denied"))
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert f"sudo usermod -aG {group.gr_name} {user}" in str(lost)


def test_groups_without_a_name_are_shown_as_numbers(monkeypatch, tmp_path):
    path = tmp_path / "ttyUSB0"
    path.touch()

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("grp.getgrgid", unknown)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    lost = why_closed(str(path), str(path), PermissionError(errno.EACCES, "Permission denied"))
    assert f"user {os.geteuid()}" in str(lost)


DENIED = """
import asyncio, os, sys
from agent.errors import LineLost
from agent.sources.line import open_port
from agent.sources.ports import LineSettings
import encodings.idna, serial.serialposix  # what is imported late may lie where nobody may read
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    asyncio.run(open_port(LineSettings(port=sys.argv[1]))).close()
except LineLost as lost:
    print(lost.word, lost)
"""


def denial(port: object) -> str:
    """What somebody who is not root is told about a port."""
    return subprocess.run(
        [sys.executable, "-c", DENIED, str(port)], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_a_port_that_this_user_may_not_use_is_denied(plug, open_folder):
    """Root may use everything, so that the one who tries is somebody else."""
    os.chmod(plug.devices[-1], 0o000)
    port = open_folder / "board"
    port.symlink_to(plug.devices[-1])
    told = denial(port)
    assert told.startswith(f"denied {port}: it belongs to user "), told
    os.chmod(open_folder, 0o000)
    told = denial(port)
    os.chmod(open_folder, 0o755)
    assert told.startswith(f"denied {port}: user "), told
    assert "may not enter the folder" in told


@pytest.mark.parametrize(
    ("error", "word", "remedy"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "missing", "nothing listens"),
        (socket.gaierror(-2, "Name or service not known"), "missing", "give its address"),
        (TimeoutError(), "missing", "does not answer"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "missing", "No route to host"),
        (PermissionError(errno.EPERM, "Operation not permitted"), "denied", "firewall"),
    ],
)
def test_why_a_device_server_cannot_be_reached(error, word, remedy):
    lost = why_unreachable("socket://192.0.2.7:4001", error)
    assert lost.word == word
    assert remedy in str(lost)
    assert "socket://192.0.2.7:4001" in str(lost)


def test_who_holds_a_port_is_found_even_without_a_lock(plug):
    """A program that took the port for itself alone (TIOCEXCL) has no lock that could be seen."""
    with open(plug.path, "rb", buffering=0):
        lost = why_closed(str(plug.path), str(plug.path), OSError(errno.EBUSY, "busy"))
    assert f"(process {os.getpid()})" in str(lost)
