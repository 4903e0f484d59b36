"""The command line of the simulator: what it may say, and what is wrong with what it says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from random import Random

from firmware_sim.demand import Demand, DemandError, load
from firmware_sim.lines import LINES, line
from firmware_sim.scenarios import SettingError
from firmware_sim.twins import TWINS
from firmware_sim.world import World

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
FASTEST = 10_000.0
BOARD, XFS4IOT, PINS = "board", "xfs4iot", "pins"
ALWAYS_TAPPED = frozenset({"ccnet", "ebds", "id003"})
"""Devices that no gateway may ask: without their controller nobody would hear anything of them."""

EPILOG = """\
DURATION is a number of seconds, or numbers with units: 90s, 10m, 4h10m, 2d, 1w.
Exit status: 0 done, 1 the port failed, 2 wrong usage."""


@dataclass(frozen=True, slots=True)
class Options:
    """A usable command line."""

    world: World
    pty: Path | None
    tcp: tuple[str, int] | None
    line: str
    speed: float
    skip: float  # s of world time before serving
    anchor: float | None  # real time at which the world shows its start and `skip`; None: when it begins to serve
    until: float  # world time; infinity for ever
    truth: Path | None
    hexdump: bool
    device: str  # board, or one of TWINS
    tapped: bool  # the machine's own controller talks to the device
    host_pty: Path | None  # where that controller is heard
    any_settings: bool  # bytes pass whatever the line is set to
    socket: Path | None  # of the simulated pins
    certificate: tuple[Path, Path] | None  # of the XFS4IoT services, and its key: TLS


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    grammar = argparse.ArgumentParser(
        prog="python -m firmware_sim",
        description="A simulated cash machine: a sensor board on a serial line (docs/board-link.md).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = grammar.add_argument
    add("--pty", metavar="PATH", type=Path, help="serve on a pseudo terminal; PATH becomes a link to it")
    add("--tcp", metavar="HOST:PORT", type=_endpoint, help="serve on a socket, one gateway at a time")
    add("--scenario", metavar="NAME", default="normal_week", help="what happens (default: %(default)s); see --list")
    add("--seed", metavar="N", type=int, default=1, help="chance; the same seed gives the same bytes (default: 1)")
    add("--speed", metavar="X", type=_speed, default=1.0, help="world seconds per real second (default: 1)")
    add("--line", metavar="NAME", type=_line, default="clean", help=f"the line: {', '.join(LINES)}")
    add("--demand", metavar="FILE:SERIES", type=_demand, help="daily withdrawals: a column of a CSV of dates × machines")
    add("--set", metavar="KEY=VALUE", type=_change, action="append", default=[], help="change a setting; repeatable")
    add("--skip", metavar="DURATION", type=duration, default=0.0, help="let so much pass before serving")
    add("--anchor", metavar="UNIXTIME", type=_unix_time, help="real time at which the world shows start + skip (default: now)")
    add("--start", metavar="ISO", type=_moment, help="when the world begins (default: the scenario's own)")
    add("--until", metavar="DURATION", type=duration, help="end so long after the start (default: the scenario's end)")
    add("--forever", action="store_true", help="do not end by itself")
    add("--truth", metavar="FILE", type=Path, help="write what really happens, as JSON lines")
    add("--hexdump", action="store_true", help="print the frames of the first minute and end")
    add(
        "--device",
        metavar="NAME",
        type=_device,
        default=BOARD,
        help=f"what is served: {', '.join((BOARD, *TWINS, XFS4IOT, PINS))}",
    )
    always = ", ".join(sorted(ALWAYS_TAPPED))
    add("--tapped", action="store_true", help=f"the machine's own controller talks to the device; you listen (always: {always})")
    add("--host-pty", metavar="PATH", type=Path, help="with --tapped: a second pseudo terminal, for what the controller says")
    add("--any-settings", action="store_true", help="take every speed, parity and word length on a pseudo terminal")
    add("--socket", metavar="PATH", type=Path, help="with --device pins: where the agent finds them, as pin_factory sim:PATH")
    add("--certificate", metavar="FILE", type=Path, help="with --device xfs4iot: serve wss:// with this certificate (PEM)")
    add("--key", metavar="FILE", type=Path, help="with --certificate: its key (PEM)")
    add("--list", action="store_true", help="print the scenarios and end")
    add("--json", action="store_true", help="with --list: as JSON")
    return grammar


def read(arguments: Sequence[str] | None) -> Options | argparse.Namespace:
    """The options; or, for --list, what was parsed. Ends with status 2 and a message when they cannot be used."""
    grammar = parser()
    given = grammar.parse_args(arguments)
    given.tapped |= given.device in ALWAYS_TAPPED
    if given.json and not given.list:
        grammar.error("--json goes with --list")
    if given.list:
        return given
    if (given.pty is None) + (given.tcp is None) != 1 and not given.hexdump and given.device != PINS:
        grammar.error("give either --pty PATH or --tcp HOST:PORT (or --hexdump, or --list)")
    if given.forever and given.until is not None:
        grammar.error("--forever and --until contradict each other")
    _check_device(grammar, given)
    try:
        world = World(given.scenario, given.seed, given.demand, settings=dict(given.set), start=given.start)
    except SettingError as error:
        grammar.error(str(error))
    until = float("inf") if given.forever else world.end if given.until is None else world.start + given.until
    if world.start + given.skip >= until:
        grammar.error("--skip reaches beyond the end of the run; give a later --until, or --forever")
    return Options(
        world=world,
        pty=given.pty,
        tcp=given.tcp,
        line=given.line,
        speed=given.speed,
        skip=given.skip,
        anchor=given.anchor,
        until=until,
        truth=given.truth,
        hexdump=given.hexdump,
        device=given.device,
        tapped=given.tapped,
        host_pty=given.host_pty,
        any_settings=given.any_settings,
        socket=given.socket,
        certificate=(given.certificate, given.key) if given.certificate is not None else None,
    )


def _check_device(grammar: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """End with a message for options that do not go with the device."""
    if (given.device == PINS) != (given.socket is not None) or (given.socket and (given.pty or given.tcp or given.tapped)):
        grammar.error(f"--device {PINS} is served on --socket PATH, and nothing else is")
    if given.device == BOARD and (given.tapped or given.host_pty or given.any_settings):
        grammar.error("--tapped, --host-pty and --any-settings go with --device")
    if given.device != BOARD and given.hexdump:
        grammar.error("--hexdump shows the frames of the board; it does not go with --device")
    if given.host_pty is not None and not given.tapped:
        grammar.error("--host-pty goes with --tapped")
    if given.device == XFS4IOT and (given.tcp is None or given.tapped or given.any_settings):
        grammar.error(f"--device {XFS4IOT} is served on --tcp HOST:PORT; it has no line to tap or to set")
    if (given.certificate is None) != (given.key is None) or (given.certificate and given.device != XFS4IOT):
        grammar.error(f"--certificate and --key go together, with --device {XFS4IOT}")


def duration(text: str) -> float:
    """Seconds of "90", "90s", "10m", "4h10m", "2d" or "1w"."""
    if not re.fullmatch(r"\d+(\.\d+)?|(\d+(\.\d+)?[smhdw])+", text):
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 10m, 4h10m or 2d, got {text!r}")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhdw]?)", text))


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT such as 127.0.0.1:4001, got {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= FASTEST:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to {FASTEST:.0f}, got {text!r}")
    return speed


def _unix_time(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < 1e11:
        raise argparse.ArgumentTypeError(f"expected seconds since 1970 such as 1741564800, got {text!r}")
    return seconds


def _line(text: str) -> str:
    try:
        line(text, Random())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _device(text: str) -> str:
    known = (BOARD, *TWINS, XFS4IOT, PINS)
    if text not in known:
        near = get_close_matches(text, known, n=1, cutoff=0.0)[0]
        raise argparse.ArgumentTypeError(f"unknown device {text!r}; did you mean {near!r}? There are {', '.join(known)}")
    return text


def _demand(text: str) -> Demand:
    path, colon, series = text.rpartition(":")
    if not colon or not path or not series:
        raise argparse.ArgumentTypeError(f"expected FILE:SERIES such as withdrawals.csv:NN5-063, got {text!r}")
    try:
        return load(Path(path), series)
    except DemandError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE such as at=02:10, got {text!r}")
    return key, value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date or time such as 2025-03-10T06:00, got {text!r}") from None
    if not 1970 < moment.year < 2200:
        raise argparse.ArgumentTypeError(f"{text} is no time that a cash machine could see; choose one after 1970")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
