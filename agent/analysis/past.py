"""What happened at one machine, gathered from its records: one pass, a few hundred bytes a window."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.analysis.spans import Span
from agent.records import Alarm, Body, CashPosition, EventClass, PointSummary, Severity, Summary, Value

SERVICE, VISIT, OPEN = "machine.service", "machine.visit", "machine.open"
DOWN, DEGRADED, UNKNOWN = "outOfService", "degraded", "unknown"
STOCKED = 2  # a count that grows by more notes than this between two windows was loaded; test notes come back one by one


class Seen(NamedTuple):
    """One window, as far as it matters here. Times in seconds since the epoch, amounts in minor units."""

    start: float
    end: float
    observed: float  # seconds
    down: float  # seconds out of service
    degraded: float
    unknown: float
    last: Value  # the service's word at its end
    visited: float  # seconds within a visit
    cash: int | None
    score: float | None  # the highest of all models
    temperature: float | None  # mean, degrees Celsius
    hint: str = ""  # what words alone say of the cause of downtime
    exposure: float | None = None  # minor units


class Episode(NamedTuple):
    """One alarm from its evidence to its end; `end` is None while it is open."""

    rule: str
    point: str
    class_: EventClass
    severity: Severity
    attack: str | None
    planned: bool
    start: float  # of the evidence
    raised: float
    end: float | None
    repeats: int
    text: str


@dataclass(frozen=True)
class Replenishment:
    """Cassettes that were filled between two windows: notes a unit before and after, and what arithmetic had expected."""

    at: float
    before: dict[str, int]
    after: dict[str, int]
    expected: dict[str, int] | None
    """Since the replenishment before: initial count + in - out; None when that one was not seen."""

    @property
    def difference(self) -> int | None:
        """Notes that were missing (positive) or too many, over all units."""
        if self.expected is None:
            return None
        return sum(self.expected[unit] - count for unit, count in self.before.items() if unit in self.expected)


@dataclass
class Past:
    """Everything that was gathered. `add` the bodies of one machine in their order."""

    machine: str
    windows: list[Seen] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    replenishments: list[Replenishment] = field(default_factory=list)
    totals: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Growth of each counter."""
    seconds: defaultdict[str, defaultdict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    """Seconds in each word of the points that say what customers get."""
    currency: str = ""
    _open: dict[tuple[str, str], int] = field(default_factory=dict)  # rule and point -> index of the open episode
    position: CashPosition | None = None
    """The newest."""
    paid: Counter[str] = field(default_factory=Counter)
    """Notes that left each unit."""
    _moved: Counter[str] | None = None  # notes by unit since the last replenishment: in less out
    _stock: dict[str, int] | None = None  # notes by unit right after it

    def add(self, body: Body) -> None:
        """Take one record; what belongs to another machine is passed over."""
        if isinstance(body, Summary) and body.machine == self.machine:
            self._window(body)
        elif isinstance(body, Alarm) and body.machine == self.machine:
            self._alarm(body)

    # Windows ------------------------------------------------------------------------------------------------------------

    def _window(self, summary: Summary) -> None:
        for name, point in summary.points.items():
            if point.delta:
                self.totals[name] += point.delta
            if name in _WORDS and point.states:
                for word, spent in point.states.items():
                    self.seconds[name][word] += spent
        self._cash(summary)
        service = summary.points.get(SERVICE, _NOTHING)
        states = service.states or {}
        visit = summary.points.get(VISIT, _NOTHING).states or {}
        temperature = summary.points.get("environment.temperature_c", _NOTHING).mean
        self.windows.append(
            Seen(
                summary.start,
                summary.end,
                summary.observed * (summary.end - summary.start),
                states.get(DOWN, 0.0),
                states.get(DEGRADED, 0.0),
                states.get(UNKNOWN, 0.0),
                service.last,
                sum(seconds for word, seconds in visit.items() if word != "none"),
                summary.cash.value if summary.cash is not None else None,
                max(summary.scores.values()) if summary.scores else None,
                temperature,
                next((cause for point, word, cause in _HINTS if _spent(summary, point, word)), ""),
                _number(summary.points.get("machine.exposure", _NOTHING).last),
            )
        )

    def _cash(self, summary: Summary) -> None:
        """Follow the cassettes from window to window."""
        last, position = self.position, summary.cash
        if position is None:
            return
        self.currency, self.position = position.currency, position
        if last is not None:
            self.paid += +Counter({unit: last.units.get(unit, count) - count for unit, count in position.units.items()})
        if last is not None and any(count > last.units.get(unit, count) + STOCKED for unit, count in position.units.items()):
            self.replenishments.append(Replenishment(summary.end, last.units, position.units, self._expected()))
            self._moved, self._stock = Counter(), position.units
            return
        if self._moved is None:
            return
        for unit in position.units:
            for name, sign in _MOVES.items():
                self._moved[unit] += sign * round(summary.points.get(f"storage.{unit}.{name}", _NOTHING).delta or 0)

    def _expected(self) -> dict[str, int] | None:
        if self._stock is None or self._moved is None:
            return None
        return {unit: count + self._moved[unit] for unit, count in self._stock.items()}

    # Alarms -------------------------------------------------------------------------------------------------------------

    def _alarm(self, alarm: Alarm) -> None:
        key = alarm.rule, alarm.point
        index = self._open.pop(key, None)
        if alarm.cleared:
            if index is not None:
                self.episodes[index] = self.episodes[index]._replace(end=alarm.at, repeats=alarm.repeats)
            return
        if index is not None:  # a planned one that outlasted its visit
            self.episodes[index] = self.episodes[index]._replace(end=alarm.at)
        start = min((each.at for each in alarm.evidence if 0 < each.at <= alarm.at), default=alarm.at)
        self._open[key] = len(self.episodes)
        self.episodes.append(
            Episode(
                alarm.rule, alarm.point, alarm.class_, alarm.severity, alarm.attack, alarm.planned, start, alarm.at, None, 0,
                alarm.text,
            )
        )  # fmt: skip

    # What it comes to ---------------------------------------------------------------------------------------------------

    @property
    def span(self) -> Span | None:
        """From the first window to the last; None when there is none."""
        return Span(self.windows[0].start, self.windows[-1].end) if self.windows else None

    def down(self) -> list[Span]:
        """When the machine was out of service. Within a window in which it changed, it is put where it fits its neighbours."""
        return self._placed()[DOWN]

    def unknown(self) -> list[Span]:
        """When nobody knew whether it was in service, put in the same way and beside the downtime."""
        return self._placed()[UNKNOWN]

    def _placed(self) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = {DOWN: [], UNKNOWN: []}
        before: Value = None
        for window in self.windows:
            left = {word: spent for word, spent in ((DOWN, window.down), (UNKNOWN, window.unknown)) if spent}
            at, last = window.start, window.last
            if isinstance(last, str) and last in left and last != before:
                found[last].append(Span(window.end - left.pop(last), window.end))
            for word in sorted(left, key=lambda word: word != before):
                found[word].append(Span(at, at + left[word]))
                at += left[word]
            before = last
        return found


def _spent(summary: Summary, point: str, word: str) -> float:
    return (summary.points.get(point, _NOTHING).states or {}).get(word, 0.0)


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) else None


_NOTHING = PointSummary()
_WORDS = frozenset({SERVICE, VISIT, OPEN, "cashManagement.dispenser", "powerManagement.powerInStatus", "link.host"})
_HINTS = (
    ("powerManagement.powerInStatus", "noPower", "power"),
    ("link.host", "down", "host"),
    ("cashManagement.dispenser", "stop", "cashOut"),
)
_MOVES = {"presented": -1, "rejected": -1, "deposited": 1}


def gathered(machine: str, bodies: Iterable[Body]) -> Past:
    """The past of one machine out of its records, in their order."""
    past = Past(machine)
    for body in bodies:
        past.add(body)
    return past


def security(episodes: Sequence[Episode]) -> list[Episode]:
    """Alarms that the security desk looks at."""
    return [each for each in episodes if each.class_ is EventClass.SECURITY and not each.planned]
