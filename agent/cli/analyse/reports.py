"""The reports of the machines that are asked for, out of a store and, where there is one, the configuration."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import config
from agent.analysis.holidays import COUNTRIES, Holidays
from agent.analysis.measures import PlannedTime
from agent.analysis.report import Asked, Oracle, Report, report
from agent.analysis.spans import Span
from agent.cli.span import CONFIG, store_of
from agent.config.settings import MachineSettings, Settings
from agent.errors import AgentError, ConfigError, ModelRefused
from agent.records import Body, Summary
from agent.stages.calendar import Plan
from agent.store import ALARMS, SUMMARIES
from agent.store.history import Span as Stretch
from agent.store.history import history

if TYPE_CHECKING:
    from agent.scoring.demand import DemandModel

SHIPPED = Path(__file__).parents[3] / "models" / "cash_demand" / "cash_demand.onnx"
NO_MODEL = Path("none")
DEMAND_BUDGET = 5.0  # s; the whole forecast of a machine, asked once


def made(args: argparse.Namespace) -> list[Report]:
    """One for each machine that is named, or for all that the store holds windows of. Raises AgentError."""
    settings, store = _settings(args), store_of(args)
    named: Sequence[str] = list(dict.fromkeys(args.machine or ()))
    if settings is not None:
        _check_configured(named, settings, args.config)
    machines = named or _machines(store)
    model = _model(args)
    configured = {each.id: each for each in settings.machines} if settings is not None else {}
    found = [_report(machine, store, configured.get(machine), model, args) for machine in machines]
    for each in found:
        if not each.windows and (named or len(found) == 1):
            raise AgentError(f"the store holds no windows of {each.machine} in this span; atm-agent history shows what it holds")
    if not any(each.windows for each in found):
        raise AgentError("the store holds no windows of any machine in this span; atm-agent history shows what it holds")
    return [each for each in found if each.windows]


def _machines(store: Path) -> list[str]:
    """All machines that the store holds windows of; the gateway itself is none."""
    found = {
        each.body.machine
        for each in history(store, lanes=(SUMMARIES,))
        if isinstance(each.body, Summary) and each.body.machine != each.gateway
    }
    return sorted(found)


def _report(
    machine: str, store: Path, settings: MachineSettings | None, model: DemandModel | None, args: argparse.Namespace
) -> Report:
    plan = settings.plan() if settings is not None else Plan()
    limit = settings.insured_limit if settings is not None else None
    asked = Asked(machine, Span(args.start, args.end), plan, PlannedTime(args.planned), args.horizon, limit)
    bodies = (_body(each) for each in history(store, Stretch(machine=machine), (ALARMS, SUMMARIES)))
    return report(bodies, asked, _oracle(model, settings.location.country if settings is not None else ""))


def _body(envelope: Any) -> Body:
    body: Body = envelope.body
    return body


def _model(args: argparse.Namespace) -> DemandModel | None:
    """The model that foretells the demand. One that is refused is told, and the past foretells."""
    if args.demand_model == NO_MODEL:
        return None
    from agent.scoring import prove_demand

    try:
        return asyncio.run(prove_demand(args.demand_model, args.demand_sha256, DEMAND_BUDGET))
    except ModelRefused as error:
        sys.stderr.write(f"{error}; the past alone foretells the demand\n")
        return None


def _oracle(model: DemandModel | None, country: str) -> Oracle | None:
    if model is None:
        return None
    holidays = Holidays(country if country in COUNTRIES else "")
    return Oracle(model.id, lambda past, first: model.forecast(past, first, holidays))


def _settings(args: argparse.Namespace) -> Settings | None:
    """The configuration; None where there is none, and the store is named."""
    if args.store is not None and args.config == CONFIG and not args.config.exists():
        return None
    return config.load(args.config)


def _check_configured(named: Sequence[str], settings: Settings, path: Path) -> None:
    known = [each.id for each in settings.machines]
    for machine in named:
        if machine not in known and machine != settings.gateway.id:
            raise ConfigError([f"{path}: no machine {machine!r} is configured; known are {', '.join(known)}"])
