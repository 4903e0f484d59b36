"""The configuration: one YAML file, read once into frozen values. Reading it touches no hardware, no network, no secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from agent.config.ports import conflicts
from agent.config.schema import BAD, Document, meant
from agent.config.settings import RulesSettings, Settings, SourceSettings, UplinkSettings, check_pauses
from agent.settings import Duration, Name
from agent.sources import SOURCES
from agent.stages.rules import Condition, Rule
from agent.uplinks import UPLINKS
from agent.vocabulary import nearest, point

SHIPPED_RULES = Path(__file__).with_name("rules.yaml")


def load(path: Path | str) -> Settings:
    """Read a configuration file.

    Raises ConfigError with every mistake, each as `file:line: path: what is wrong, what would be right`.
    """
    document = _Configuration(path)
    node = document.compose()
    settings = document.record(Settings, node, "") if node is not None else None
    if isinstance(settings, Settings):
        document.cross_check(settings)
    document.finish()
    assert isinstance(settings, Settings)
    return settings


def rules(settings: RulesSettings) -> tuple[Rule, ...]:
    """The rules that judge: the shipped ones that are not disabled, then the gateway's own."""
    shipped = shipped_rules() if settings.shipped else ()
    return (*(rule for rule in shipped if rule.rule not in settings.disable), *settings.own)


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """The rules that come with the agent, read once. Raises ConfigError when the file was spoilt."""
    return read_rules(SHIPPED_RULES)


def read_rules(path: Path | str) -> tuple[Rule, ...]:
    """A file of rules alone: `rules: [...]`. Raises ConfigError."""
    document = _Configuration(path)
    node = document.compose()
    found = document.record(_RuleFile, node, "") if node is not None else None
    if isinstance(found, _RuleFile):
        document.check_rules(found.rules, "rules")
    document.finish()
    assert isinstance(found, _RuleFile)
    return found.rules


@dataclasses.dataclass(frozen=True)
class _RuleFile:
    rules: tuple[Rule, ...]


@dataclasses.dataclass(frozen=True)
class _SourceHead:
    name: Name
    kind: str
    machine: str


@dataclasses.dataclass(frozen=True)
class _UplinkHead:
    name: Name
    kind: str
    fallback_for: str = ""
    first_pause: Duration = 0.5
    longest_pause: Duration = 30.0

    def __post_init__(self) -> None:
        check_pauses(self.first_pause, self.longest_pause)


class _Configuration(Document):
    """A document that knows which class the settings of a source or an uplink are of, by its `kind`."""

    def record(self, kind: type[Any], node: yaml.Node, path: str) -> Any:
        if kind is SourceSettings:
            return self._driver(kind, _SourceHead, SOURCES, node, path)
        if kind is UplinkSettings:
            return self._driver(kind, _UplinkHead, UPLINKS, node, path)
        return super().record(kind, node, path)

    def _driver(self, kind: type[Any], head: type[Any], modules: Mapping[str, str], node: yaml.Node, path: str) -> Any:
        entries = self.entries(node, path)
        if entries is None:
            return BAD
        found = self.fill(head, entries, node, path, besides=entries)
        word = self.choice({word: word for word in modules}, entries["kind"][1], f"{path}.kind") if "kind" in entries else BAD
        if word is BAD:
            return BAD
        own = [field.name for field in dataclasses.fields(head)]
        settings = self.fill(import_module(modules[word]).Settings, entries, node, path, besides=own)
        if found is BAD or settings is BAD:
            return BAD
        return kind(**dataclasses.asdict(found), settings=settings)

    def cross_check(self, settings: Settings) -> None:
        """What no single value can tell."""
        machines = [machine.id for machine in settings.machines]
        self._unique("machines", "id", machines)
        self._unique("sources", "name", [source.name for source in settings.sources])
        self._unique("uplinks", "name", [uplink.name for uplink in settings.uplinks])
        self._unique("models", "name", [model.name for model in settings.models])
        if not machines and not self.mistakes:
            self.note("machines", "needs at least one machine")
        if settings.gateway.id in machines:
            self.note("gateway.id", "is the id of a machine too; the gateway needs a name of its own")
        machines_read = not any(message.startswith("machines") for _, message in self.mistakes)
        for index, source in enumerate(settings.sources):
            if machines_read and source.machine not in machines:
                known = ", ".join(machines)
                self.note(f"sources[{index}].machine", f"no machine {source.machine!r} is configured; known are {known}")
            self._check_ports(settings.sources, index)
        self._check_fallbacks(settings)
        for name in settings.clean.limits:
            if point(name) is None:
                self.note(f"clean.limits.{name}", _no_such_point(name))
        self.check_rules(settings.rules.own, "rules.own")
        names = [rule.rule for rule in shipped_rules()]
        for index, name in enumerate(settings.rules.disable):
            if name not in names:
                self.note(f"rules.disable[{index}]", f"no shipped rule is called {name!r}{meant(name, names)}")

    def _unique(self, path: str, key: str, names: Sequence[str]) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                self.note(f"{path}[{index}].{key}", f"{name!r} is taken by another; names are given once")

    def _check_ports(self, sources: Sequence[SourceSettings], index: int) -> None:
        for key, other, wrong, remedy in conflicts(sources, index):
            line = self.line_of(f"sources[{other}].{key}")
            self.note(f"sources[{index}].{key}", f"{wrong} source {sources[other].name} (line {line}); {remedy}")

    def _check_fallbacks(self, settings: Settings) -> None:
        """Each stands in for an uplink that is none itself."""
        preferred = [uplink.name for uplink in settings.uplinks if not uplink.fallback_for]
        for index, uplink in enumerate(settings.uplinks):
            if uplink.fallback_for and uplink.fallback_for not in preferred:
                known = ", ".join(preferred) or "none"
                message = f"no uplink {uplink.fallback_for!r} that is no fallback itself; known are {known}"
                self.note(f"uplinks[{index}].fallback_for", message)

    def check_rules(self, rules: Sequence[Rule], path: str) -> None:
        """Conditions name points and words that exist."""
        self._unique(path, "rule", [rule.rule for rule in rules])
        for index, rule in enumerate(rules):
            try:
                rule.text.format(machine="", point="", value="")
            except (KeyError, IndexError, ValueError):
                self.note(f"{path}[{index}].text", "may hold {machine}, {point} and {value}, and no other braces")
            for key, conditions in (("when", rule.when), ("unless", rule.unless)):
                for at, condition in enumerate(conditions):
                    self._check_condition(condition, f"{path}[{index}].{key}[{at}]")

    def _check_condition(self, condition: Condition, path: str) -> None:
        entry = point(condition.point.replace("*", "unit1")) or point(condition.point.replace("*", "cashDispenser"))
        if entry is None:
            self.note(f"{path}.point", _no_such_point(condition.point))
            return
        for word in (*condition.is_, *condition.is_not):
            if word not in entry.words:
                known = ", ".join(entry.words) or f"numbers ({entry.unit}) only"
                self.note(path, f"{condition.point} has no word {word!r}; it has {known}")
        numeric = next((test for test in NUMERIC if getattr(condition, test) is not None), None)
        if numeric is not None and entry.words:
            self.note(f"{path}.{numeric}", f"{condition.point} gives words ({', '.join(entry.words)}) and no number")
        if condition.per is not None and point(condition.per) is None:
            self.note(f"{path}.per", _no_such_point(condition.per))


NUMERIC = ("above", "below", "grows", "rises", "falls", "swings", "above_usual", "below_usual", "overdue")


def _no_such_point(name: str) -> str:
    close = nearest(name)
    return f"the vocabulary has no point {name!r}" + (f"; did you mean {close}?" if close else "")
