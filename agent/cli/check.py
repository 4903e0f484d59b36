"""`atm-agent check CONFIG`: read a configuration and say every mistake in it. Touches no hardware, no network, no store."""

from __future__ import annotations

import argparse

from agent import config
from agent.errors import EXIT_OK


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "check",
        help="say every mistake in a configuration file",
        description="Read a configuration and say every mistake in it, as file:line: path: what is wrong, what would be right. "
        "Touches no hardware, no network and no store. Exit status 78 when there is a mistake.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file")


def run(args: argparse.Namespace) -> int:
    """Check; ConfigError carries the mistakes to `main`."""
    settings = config.load(args.config)
    rules = config.rules(settings.rules)
    counts = [(len(settings.machines), "machine"), (len(settings.sources), "source"), (len(rules), "rule"),
              (len(settings.models), "model"), (len(settings.uplinks), "uplink")]  # fmt: skip
    print(f"{args.config}: good: " + ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts))
    if not settings.uplinks:
        print(f"{args.config}: note: no uplink is configured; records stay on this gateway")
    return EXIT_OK
