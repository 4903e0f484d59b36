"""The commands. Exit status: 0 well, 1 failed, 2 usage, 78 configuration (EX_CONFIG)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from agent import __version__
from agent.cli.ending import ended
from agent.errors import EXIT_CONFIG, AgentError, ConfigError

COMMANDS = (
    "run",
    "check",
    "config",
    "probe",
    "demo",
    "receive",
    "history",
    "analyse",
    "replay",
    "record",
    "status",
    "doctor",
    "reload",
    "model",
    "store",
    "control",
    "backup",
    "restore",
)


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, of all commands or of some. Each command's module adds its own part and runs it."""
    top = argparse.ArgumentParser(
        prog="atm-agent",
        description="Edge gateway agent for cash machines: reads, keeps, scores and forwards, through outages.",
        epilog="Exit status: 0 well, 1 failed, 2 usage, 78 configuration. `atm-agent COMMAND --help` tells more.",
    )
    top.add_argument("--version", action="version", version=f"atm-agent {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"agent.cli.{name}").add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Errors that the agent foresaw are one line each on stderr."""
    words = sys.argv[1:] if argv is None else argv
    known = words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS  # an agent that runs loads no other command
    args = parser(known).parse_args(argv)
    return ended("atm-agent", partial(_run, args), AgentError, daemon=args.command == "run")


def _run(args: argparse.Namespace) -> int:
    try:
        return int(import_module(f"agent.cli.{args.command}").run(args))
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return EXIT_CONFIG
