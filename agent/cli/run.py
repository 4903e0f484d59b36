"""`atm-agent run CONFIG`: the agent itself, in the foreground; systemd is its supervisor."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
from pathlib import Path

from agent import journal
from agent.clock import Clock, ScaledClock, SystemClock
from agent.config.file import ConfigurationFile
from agent.config.settings import Settings
from agent.errors import ConfigError
from agent.quiet import Quiet

M_ARENA_MAX = -8  # malloc.h


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "run",
        help="run the agent",
        description="Run the agent in the foreground until SIGTERM or SIGINT.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    parser.add_argument("--good", metavar="FILE", type=Path, help="keep a copy of the configuration that works here")
    parser.add_argument("--fall-back", action="store_true", help="start with that copy when CONFIG is broken, instead of ending")
    simulated = parser.add_argument_group(
        "simulated time", "for life beside a simulated machine that runs faster than the world; never on a gateway"
    )
    simulated.add_argument("--clock-start", type=float, metavar="SECONDS", help="what the clock shows at the anchor (epoch)")
    simulated.add_argument("--clock-anchor", type=float, metavar="SECONDS", help="the real time of that moment (epoch)")
    simulated.add_argument("--clock-speed", type=float, default=1.0, metavar="X", help="how much faster it runs")


def run(args: argparse.Namespace) -> int:
    """Load, wire, run."""
    file = ConfigurationFile(args.config, args.good)
    settings = _read(file, fall_back=args.fall_back)
    _keep_memory_together()
    handler, quiet = journal.handler(), Quiet()
    handler.addFilter(journal.Scrub())
    handler.addFilter(quiet)
    logging.basicConfig(handlers=[handler], level=settings.gateway.log.upper())
    from agent.app import Agent

    return asyncio.run(Agent(settings, _clock(args), quiet, file).run())


def _keep_memory_together() -> None:
    """One heap for all threads, before there are any: they are few, take turns, and each of their own would keep what it had
    freed (mallopt(3), M_ARENA_MAX). Other C libraries than glibc have no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def _read(file: ConfigurationFile, *, fall_back: bool) -> Settings:
    if fall_back:
        return file.read_or_last_good()
    try:
        return file.read()
    except ConfigError as error:
        if file.good is None or not file.good.exists():
            raise
        raise ConfigError(
            [*error.mistakes, f"{file.path}: the last that worked is {file.good}; --fall-back starts with it"]
        ) from None


def _clock(args: argparse.Namespace) -> Clock:
    if args.clock_start is None or args.clock_anchor is None:
        return SystemClock()
    return ScaledClock(args.clock_start, args.clock_anchor, args.clock_speed)
