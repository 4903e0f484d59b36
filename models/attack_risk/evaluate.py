"""Evaluation on worlds that training never met: what rules and model find, when, and what the model costs in false alarms."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import onnx
from numpy.typing import NDArray

from agent import config
from agent.config.settings import RulesSettings
from agent.errors import ModelRefused
from agent.scoring import onnx_file, trust
from agent.scoring.session import load
from agent.stages.score import Scoring
from models.attack_risk import measure
from models.attack_risk.measure import Found
from models.attack_risk.watch import watch
from models.attack_risk.worlds import ALIKE, Kind, Plot
from models.kept import Arrays, Form, Kept, home, sources, text

EVERY = 5.0  # s between two scores: the configuration's default
HALF_WAY = 0.4  # of the threshold

FalseAlarm: TypeAlias = tuple[float, str, str, bool]
"""When, the class that the model named, what was really going on, whether the rules raised the same."""
_Told: TypeAlias = tuple[float, Found | None, tuple[FalseAlarm, ...]]


@dataclass(frozen=True)
class Outcome:
    """What came of one world."""

    plot: Plot
    days: float
    found: Found | None
    false_alarms: tuple[FalseAlarm, ...]


def judge(file: Path, plot: Plot) -> Outcome:
    """Watch one world with the model and with the rules that come with the agent.

    Weeks of ordinary life are looked through first, by the model alone, a single score that is half way to an alarm being
    enough; only those in which there was one are watched closely.
    """
    data = trust.read(file)
    model = load(file, data, trust.sha256(data), 60.0, time.perf_counter)
    if not model.card.classes:
        raise ModelRefused(f"{file}: names no classes of attacks; name a file that `python -m models.attack_risk train` wrote")
    scoring = Scoring("attack_risk", model.parsed, model, model.card.threshold, EVERY)
    if plot.lives:
        looked = watch(plot, (), [replace(scoring, threshold=HALF_WAY * scoring.threshold, hold=1)], sparing=True)
        if not looked.alarms:
            return Outcome(plot, looked.days, None, ())
    watched = watch(plot, config.rules(RulesSettings()), [scoring])
    false = tuple(
        (alarm.at, alarm.attack or "", measure.cause(watched, alarm.at), measure.by_rules_too(watched, alarm))
        for alarm in measure.false_alarms(watched)
    )
    return Outcome(plot, watched.days, measure.found(watched), false)


def pack(outcome: Outcome) -> dict[str, NDArray[Any]]:
    """An outcome as arrays, without its plot."""
    return {"outcome": text(msgspec.msgpack.encode((outcome.days, outcome.found, outcome.false_alarms)))}


def unpack(plot: Plot, arrays: Arrays) -> Outcome:
    """The same back again, of the plot that it was."""
    return Outcome(plot, *msgspec.msgpack.decode(arrays["outcome"].tobytes(), type=_Told))


def kept(file: Path) -> Kept[Outcome]:
    """Where the outcomes of a model are kept until its evaluation is over: of its graph, whatever its card says."""
    data = trust.read(file)
    onnx_file.check_operators(file, data)
    graph = onnx.load_from_string(data).graph.SerializeToString(deterministic=True)
    about = f"judge/{sha256(graph).hexdigest()}/{sources('models/attack_risk')}"
    return Kept(home("attack_risk") / "evaluate", about, Form(pack, unpack))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All measures, as one JSON object. Delays are in seconds after the first evidence; null is never."""
    attacks = [each.found for each in outcomes if each.found is not None]
    return {
        "attacks": {name: _attack([each for each in attacks if each.scenario == name]) for name in _names(attacks)}
        | {"all": _attack(attacks)},
        "false_alarms": _false_alarms(outcomes, Kind.LIFE),
        "where_rare_things_happen_often": _false_alarms(outcomes, Kind.OFTEN, ALIKE),
        "troubles": _troubles(outcomes),
    }


def _false_alarms(outcomes: Sequence[Outcome], kind: Kind, stands_for: float = 1.0) -> dict[str, Any]:
    """`stands_for`: days of ordinary life that hold as much of what may be mistaken as one day of these worlds."""
    months = stands_for * sum(each.days for each in outcomes if each.plot.kind is kind) / measure.MONTH
    false = [alarm for each in outcomes if each.plot.kind is kind for alarm in each.false_alarms]
    added = [alarm for alarm in false if not alarm[3]]
    per_month, at_most = measure.rate(len(added), months)
    return {
        "machine_months": round(months, 2),
        "raised": len(false),
        "added": len(added),
        "per_machine_month": _number(per_month),
        "at_most_95": _number(at_most),
        "causes": dict(Counter(f"{attack}: {cause}" for _, attack, cause, _ in false)),
    }


def _names(attacks: Iterable[Found]) -> list[str]:
    return sorted({each.scenario for each in attacks})


def _attack(attacks: Sequence[Found]) -> dict[str, Any]:
    result: dict[str, Any] = {"worlds": len(attacks)}
    for what in ("named", "noticed"):
        for by in ("rules", "model", "together"):
            delays = [getattr(each, what if by == "together" else f"{what}_by_{by}") for each in attacks]
            hits = sum(map(isfinite, delays))
            share, low, high = measure.share(hits, len(delays))
            middle, early, late = measure.middle(delays)
            result[f"{what}_by_{by}"] = {
                "share": round(share, 4),
                "share_95": [round(low, 4), round(high, 4)],
                "median_s": _number(middle),
                "median_95": [_number(early), _number(late)],
            }
    return result


def _troubles(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in outcomes:
        if each.plot.kind is Kind.TROUBLE:
            entry = found.setdefault(each.plot.scenario, {"worlds": 0, "with_false_alarm": 0, "classes": []})
            entry["worlds"] += 1
            entry["with_false_alarm"] += bool(each.false_alarms)
            entry["classes"] = sorted({*entry["classes"], *(attack for _, attack, _, _ in each.false_alarms)})
    return dict(sorted(found.items()))


def _number(value: float) -> float | None:
    return round(value, 3) if isfinite(value) else None


def for_card(measures: dict[str, Any]) -> dict[str, Any]:
    """The few figures that the card carries."""
    every, false, often = measures["attacks"]["all"], measures["false_alarms"], measures["where_rare_things_happen_often"]
    protocol = (
        f"{every['worlds']} worlds with an attack, seeds and settings not met in training; python -m models.attack_risk evaluate"
    )
    named, alone = every["named_by_together"], every["named_by_rules"]
    return {
        "attacks named in their time scale by rules and model": {
            "value": named["share"], "spread": f"95 %: {named['share_95']}", "protocol": protocol},
        "median s from first evidence to an alarm that names the attack, rules and model": {
            "value": named["median_s"], "spread": f"95 %: {named['median_95']}", "protocol": protocol},
        "the same, rules alone": {
            "value": alone["median_s"], "spread": f"95 %: {alone['median_95']}", "protocol": protocol},
        "false alarms added per machine-month": {
            "value": false["per_machine_month"], "spread": f"at most {false['at_most_95']} (95 %)",
            "protocol": f"{false['machine_months']} machine-months of ordinary life, machines not met in training"},
        "the same where rare things happen often": {
            "value": often["per_machine_month"], "spread": f"{often['added']} alarms",
            "protocol": f"worlds in which everything rare comes {ALIKE:g} times as often: as much of each as in "
            f"{often['machine_months']} machine-months of ordinary life"},
    }  # fmt: skip
