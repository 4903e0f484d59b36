"""`atm-agent doctor CONFIG`: what keeps this gateway from working, or soon will, each with its remedy."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from agent import config
from agent.clock import SystemClock
from agent.config.settings import ModelSettings, Settings
from agent.doctor import Finding, files, machine, platform
from agent.errors import EXIT_FAILED, EXIT_OK
from agent.status import statuses


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="what keeps this gateway from working, each with its remedy",
        description="Look at user, ports, clock, disk, card, certificates, platforms, models and the running agent. "
        "Changes nothing. Run it as root: others may not look at everything. Exit status 1 when there is a finding.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file that the agent runs with")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--no-models", action="store_true", help="do not prove the models, which takes seconds each")


def run(args: argparse.Namespace) -> int:
    """Look at everything; ConfigError carries the mistakes of a file that is broken to `main`."""
    settings = config.load(args.config)
    findings = asyncio.run(_examine(settings, with_models=not args.no_models))
    for each in sorted(findings, key=lambda finding: finding.well):
        if args.json:
            print(json.dumps({**each._asdict(), "well": each.well}))
        else:
            print(f"{'ok     ' if each.well else 'FINDING'} {each.check}: {each.what}")
            if not each.well:
                print(f"        remedy: {each.remedy}")
    return EXIT_OK if all(each.well for each in findings) else EXIT_FAILED


async def _examine(settings: Settings, *, with_models: bool) -> list[Finding]:
    status = await _status(settings.gateway.runtime)
    own = status["points"].get(settings.gateway.id, {}) if status is not None else {}
    proved = await _prove(settings.models) if with_models else {}
    return [
        *machine.user(),
        *machine.ports(settings, running=status is not None),
        *machine.clock(synced=await _synced(own)),
        *machine.disk(settings, own),
        *files.files(settings, time.time()),
        *(files.models(settings, lambda model: _told(proved[model.name])) if with_models else ()),
        *await platform.platforms(settings),
        *platform.legs(status),
    ]


async def _status(directory: Path) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(5.0), aclosing(statuses(directory)) as told:
            return await anext(told, None)
    except (OSError, TimeoutError):
        return None


async def _synced(own: dict[str, Any]) -> bool:
    word = own.get("gateway.clock")
    return word == "synced" if word is not None else SystemClock().synced()


async def _prove(models: tuple[ModelSettings, ...]) -> dict[str, Any]:
    """What became of each model's probe: a name, or the refusal."""
    from agent.errors import ModelRefused
    from agent.rooms import came_with
    from agent.scoring import foretells, prove, prove_demand
    from agent.scoring.models import DEMAND_BUDGET

    found: dict[str, Any] = {}
    for model in models:
        path, keys = model.file or came_with(model.name), model.keys if model.file else ()
        try:
            if await asyncio.to_thread(foretells, path):
                found[model.name] = (await prove_demand(path, model.sha256, DEMAND_BUDGET, keys)).id
            else:
                found[model.name] = (await prove(path, model.sha256, model.budget, time.perf_counter, keys)).id
        except ModelRefused as error:
            found[model.name] = error
    return found


def _told(result: Any) -> str:
    if isinstance(result, Exception):
        raise result
    return str(result)
