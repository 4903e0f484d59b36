"""`atm-agent reload CONFIG`: let the running agent apply what its file says now, without losing a reading."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from agent import config
from agent.config.settings import GatewaySettings
from agent.errors import EXIT_CONFIG, EXIT_OK, ConfigError, Unavailable
from agent.local import ask


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "reload",
        help="let the running agent apply its changed file",
        description="Check the file, and let the running agent apply it. What did not change goes on. A file with mistakes is "
        "refused, each mistake is said, and the agent goes on as before; exit status 78.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file that the agent runs with")


def run(args: argparse.Namespace) -> int:
    """Ask, and say what became of it. A broken file is judged by the agent too, which notes in its audit trail who tried."""
    broken: ConfigError | None = None
    try:
        directory = config.load(args.config).gateway.runtime
    except ConfigError as error:
        broken, directory = error, Path(os.environ.get("RUNTIME_DIRECTORY", GatewaySettings.runtime))  # systemd.exec(5)
    try:
        answer = asyncio.run(ask(directory, {"ask": "reload"}))
    except Unavailable as error:
        raise broken or error from None
    if broken is not None and answer.get("done"):  # it has looked at its own file, which is another one
        raise broken
    if not answer.get("done"):
        for line in answer.get("refused", ["the agent gave no reason"]):
            print(line, file=sys.stderr)
        return EXIT_CONFIG
    for line in answer.get("changed", []):
        print(line)
    if not answer.get("changed"):
        print("nothing has changed")
    return EXIT_OK
