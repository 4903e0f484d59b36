"""`atm-agent probe CONFIG`: opens each source once, asks each device who it is, and says what to do about those that fail."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from math import inf
from typing import Any

from agent import config
from agent.cli.record import argument, chosen
from agent.config.scalars import duration
from agent.config.settings import SourceSettings
from agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, ConfigError
from agent.records import Reading
from agent.sources import SOURCES, Context, Source

LOOK_EVERY = 0.1  # s
ENOUGH = 1.5  # s without news after which a device that answers has told what it has to tell
INTRODUCED = 4.0  # s that a device which answers gets to say who it is


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "probe",
        help="open each source once, and say who answers and what is wrong with the others",
        description="Open each source of a configuration once, ask each device who it is, and print what answers. For each that "
        "does not it says what to do. Ports that the running agent holds are busy: stop it first. Nothing is sent that the agent "
        "itself would not send. Exit status: 0 all answer, 1 some do not, 78 configuration.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file")
    parser.add_argument("--source", action="append", default=[], metavar="NAME", help="only this one (default: all); repeatable")
    parser.add_argument("--wait", type=argument(duration), default="20s", metavar="DURATION", help="for each (default: 20s)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


@dataclass
class Found:
    """What was found out about one source."""

    name: str
    kind: str
    port: str
    state: str = ""
    why: str = ""
    identity: str = ""
    round_trip_s: float | None = None
    points: dict[str, Any] = field(default_factory=dict)
    mistaken: bool = field(default=False, repr=False)  # it can never work as it is configured
    answered: float = field(default=inf, repr=False)  # loop time of the first answer, and of the last that was news
    heard: float = field(default=inf, repr=False)

    def turned(self, word: str, why: str) -> None:
        """Its state has changed."""
        self.state, self.why = word, why

    def misread(self, error: ConfigError) -> None:
        """Its configuration is at fault, as only its opening could tell."""
        self.mistaken = True
        self.turned("broken", "; ".join(mistake.removeprefix(f"source {self.name}: ") for mistake in error.mistakes))

    def take(self, readings: Sequence[Reading], mono: float) -> None:
        """What it said."""
        before = len(self.points)
        for reading in readings:
            if reading.point == f"gateway.line.{self.name}.roundTrip" and isinstance(reading.value, float):
                self.round_trip_s = reading.value
            elif not reading.point.startswith("gateway."):
                self.points[reading.point] = reading.value
        if self.state == "ok":
            self.answered = min(self.answered, mono)
        if len(self.points) > before:
            self.heard = mono

    def is_known(self, identity: str, mono: float) -> bool:
        """Whether there is no more to wait for: it cannot be opened, or it has told all that it tells."""
        if self.state not in ("ok", "silent", ""):
            return True
        told = self.state == "ok" and mono - self.heard >= ENOUGH
        return told and (bool(identity) or mono - self.answered >= INTRODUCED)

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        hidden = ("answered", "heard", "mistaken")
        return {key: value for key, value in vars(self).items() if key not in hidden}


def run(args: argparse.Namespace) -> int:
    """Probe."""
    settings = config.load(args.config)
    logging.disable(logging.WARNING)  # what it would say stands in the table
    try:
        found = asyncio.run(_all(chosen(settings, args.source, args.config), settings.gateway.id, args.wait))
    finally:
        logging.disable(logging.NOTSET)
    if args.json:
        print(json.dumps({"sources": [each.shown() for each in found]}))
    else:
        _table(found)
    if any(each.mistaken for each in found):
        return EXIT_CONFIG
    return EXIT_OK if all(each.state == "ok" for each in found) else EXIT_FAILED


async def _all(sources: Sequence[SourceSettings], gateway: str, wait: float) -> list[Found]:
    """Every source, all at once; those that share a line take turns on it as they do in the agent."""
    lines: dict[str, Any] = {}
    found = [Found(each.name, each.kind, _port(each.settings)) for each in sources]
    opened: list[tuple[Source, Found]] = []
    for each, result in zip(sources, found, strict=True):
        context = Context(each.name, each.machine, gateway, time.time, lines, result.turned)
        try:
            opened.append((import_module(SOURCES[each.kind]).open_source(context, each.settings), result))
        except ConfigError as error:
            result.misread(error)
    await asyncio.gather(*(_one(source, result, wait) for source, result in opened))
    return found


async def _one(source: Source, found: Found, wait: float) -> None:
    """Listen until it has told what it has to tell, or why it cannot, or until the time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    following = asyncio.ensure_future(_follow(source, found))
    try:
        while not following.done() and loop.time() < until and not found.is_known(source.identity, loop.time()):
            await asyncio.wait([following], timeout=LOOK_EVERY)
    finally:
        following.cancel()
        await asyncio.wait([following])
    if not following.cancelled() and (error := following.exception()) is not None:
        if not isinstance(error, ConfigError):
            raise error
        found.misread(error)
    found.identity = source.identity
    if not found.state:
        found.turned("silent", f"nothing intact came within {wait:g} s: {SETTINGS}, or --wait longer")


async def _follow(source: Source, found: Found) -> None:
    loop = asyncio.get_running_loop()
    async with aclosing(source.read(None)) as given_by_source:
        async for given in given_by_source:
            found.take(given.readings, loop.time())


SETTINGS = "check the device's power, the cable, and the line's speed, parity and word length against its manual"


def _port(settings: Any) -> str:
    """Where a source listens, in short."""
    for key in ("port", "url", "file"):
        if (where := getattr(settings, key, None)) is not None:
            line = getattr(settings, "line", "")
            return f"{where} ({line})" if line else str(where)
    pins = ", ".join(str(each.pin) for each in getattr(settings, "wired", ()))
    channels = ", ".join(str(each.channel) for each in getattr(settings, "loops", ()))
    return "; ".join([f"pins {pins}"] * bool(pins) + [f"{getattr(settings, 'converter', '')} {channels}"] * bool(channels)) or "-"


def _table(found: Sequence[Found]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column in ("source", "port", "device", "identity", "round trip", "points", "state"):
        table.add_column(column, overflow="fold")
    for each in found:
        trip = f"{each.round_trip_s * 1000:.1f} ms" if each.round_trip_s is not None else "-"
        table.add_row(each.name, each.port, each.kind, each.identity or "-", trip, str(len(each.points)), each.state)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for each in found:
        if each.state != "ok":
            print(f"{each.name}: {each.state}: {each.why}")
