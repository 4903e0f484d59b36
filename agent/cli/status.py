"""`atm-agent status CONFIG`: what the running agent is doing now."""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

from agent import config
from agent.errors import EXIT_OK, AgentError
from agent.status import SOCKET, statuses


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "status", help="what the running agent is doing now", description="Ask the running agent what it is doing now."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file that the agent runs with")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--follow", action="store_true", help="go on, one object a second")
    parser.add_argument("--watch", action="store_true", help="the same as a table that stays in its place")


def run(args: argparse.Namespace) -> int:
    """Print one status, or one a second."""
    directory = config.load(args.config).gateway.runtime
    try:
        return asyncio.run(_print(directory, args))
    except BrokenPipeError:
        raise  # whoever read our output has had enough of it
    except OSError as error:
        raise AgentError(
            f"{directory / SOCKET}: no agent answers ({error.strerror}); is it running, and may this user read it?"
        ) from error


async def _print(directory: Path, args: argparse.Namespace) -> int:
    async with aclosing(statuses(directory)) as told:
        async for status in told:
            if args.json:
                print(json.dumps(status), flush=True)
            else:
                _table(status, clear=args.watch)
            if not (args.follow or args.watch):
                break
    return EXIT_OK


def _table(status: dict[str, Any], *, clear: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.cli.terminal import plain

    console = Console()
    if clear:
        console.clear()
    head = Table(show_header=False, box=None)
    for key in ("gateway", "configuration", "backlog", "made", "card", "rss_mb", "cpu_s"):
        head.add_row(key, plain(_text(status[key])))
    console.print(head)
    console.print(_legs(status["legs"], status["at"]))
    for machine, points in status["points"].items():
        table = Table(title=plain(machine), title_justify="left")
        table.add_column("point")
        table.add_column("value", justify="right")
        for name, value in sorted(points.items()):
            shown = "no answer" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            table.add_row(plain(name), plain(shown))
        console.print(table)


def _legs(legs: list[dict[str, Any]], now: float) -> Any:
    """The way from a sensor to the platform, a row a leg."""
    from rich.table import Table

    from agent.cli.terminal import plain

    table = Table(title="from sensor to platform", title_justify="left")
    for heading in ("leg", "name", "state", "for", "numbers"):
        table.add_column(heading)
    for leg in legs:
        age = "-" if leg["since"] is None else _span(now - leg["since"])
        numbers = ", ".join(f"{name} {value:g}" for name, value in leg["numbers"].items())
        why = f" ({leg['why']})" if leg["why"] else ""
        cells = (leg["leg"], leg["name"], leg["state"] + why, age, numbers)
        table.add_row(*map(plain, cells), style="" if leg["good"] else "bold red")
    return table


def _span(seconds: float) -> str:
    """A time in the two units that matter."""
    whole = max(0, int(seconds))
    for unit, size, smaller, small in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {smaller}"
    return f"{whole} s"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "-"
    return str(value)
