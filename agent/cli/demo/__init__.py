"""`atm-agent demo`: a simulated cash machine, the agent and the platform's end, with an outage and an attack in it.

Four processes: the simulated firmware on a pseudo terminal, the agent, the receiver, and this one, which holds the link between
the last two in its hands and cuts it. No server, no root, no hardware.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from agent.errors import EXIT_FAILED, EXIT_OK

SECONDS = 30.0
SECONDS_LEAST = 24.0  # an outage of 8 s, and enough before and after it to see that there was one


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="watch a simulated cash machine, an outage and an attack",
        description="Start a simulated cash machine, the agent and a receiver, cut the link between the last two for 8 s, attack "
        "the machine meanwhile, and account for every envelope. Exit status 0 only if none is missing and the attack was raised.",
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"how long it runs (default {SECONDS:g})")
    parser.add_argument("--seed", type=int, default=5, metavar="N", help="chance of the simulated world (default 5)")
    parser.add_argument("--mqtt", metavar="mqtt://HOST:PORT", help="through this MQTT broker instead of straight over CoAP")
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Run the show; exit status 0 only if nothing is missing and the attack was raised."""
    from agent.cli.demo.account import table
    from agent.cli.demo.show import Show

    if args.seconds < SECONDS_LEAST:
        raise SystemExit(f"atm-agent demo: --seconds: expected at least {SECONDS_LEAST:g}, got {args.seconds:g}")
    account = asyncio.run(Show(args.seconds, args.seed, args.mqtt).play())
    if args.json:
        print(json.dumps(account))
    else:
        table(account)
    raised = any(alarm["attack"] == "BLACK_BOX" for alarm in account["alarms"])
    return EXIT_OK if account["missing"] == 0 and raised else EXIT_FAILED
