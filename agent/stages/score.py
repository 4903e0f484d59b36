"""Scores: what a model says of a machine, every few seconds, beside the rules and never in their way.

The model itself is a plain callable that `agent.scoring` makes; one that fails gives no score. A score above the threshold for
long enough is an Alarm that names the points that drove it. A model that first has to learn what is usual at a machine is a
`Learner`, one for each machine; what it has learned is kept with the open alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, ValidationError, convert, structs, to_builtins

from agent.records import Alarm, EventClass, Evidence, Reading, Severity
from agent.stages import Documents
from agent.stages.features import Feature, Features

CLEAR_SHARE = 0.5  # of the threshold: below it the alarm may end
OF = ": "  # between a model and the name of what it has learned; no model has a colon in its name
CLEAR_AFTER = 60.0  # s below it; a model's score flutters where a contact does not


class Score(Struct, frozen=True):
    """A model's answer: 0 to 1, the features that drove it (strongest first), and the attack class if it tells one."""

    value: float
    drivers: tuple[str, ...] = ()
    attack: str | None = None
    contributions: tuple[float, ...] = ()
    """Of each driver, in the model's own measure: parts of the score, or of the logit behind it."""


Model: TypeAlias = Callable[[Sequence[float]], Score | None]


class Learner(Protocol):
    """A model of one machine that learns what is usual there, and answers None until it has."""

    @property
    def learned(self) -> float:
        """Share of its commissioning window that is there; 1 when it gives scores."""

    def __call__(self, features: Sequence[float], now: float) -> Score | None: ...

    def changed(self) -> Documents:
        """What has changed since the last call and must be known again after a restart."""

    def documents(self) -> Documents:
        """All that must be known again after a restart."""

    def restore(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on where an earlier run ended; what cannot be read is learned again."""


@dataclass(frozen=True)
class Scoring:
    """How one model is asked, and what its answer means."""

    name: str
    features: tuple[Feature, ...]
    model: Model
    threshold: float
    every: float = 5.0
    """Seconds between two scores."""
    hold: int = 2
    """Scores in a row above the threshold that make an Alarm."""
    shadow: bool = False
    """Scores are recorded, and raise nothing."""
    learner: Callable[[str], Learner] | None = None
    """Makes, for a machine, the model that is asked instead of `model`."""
    event: EventClass = EventClass.SECURITY
    """What kind of attention its Alarm asks for; SECURITY has severity 3, any other 2."""
    says: str = "takes this for an attack"
    """What the Alarm says of the model."""


class _Saved(Struct, omit_defaults=True):
    """An open alarm, as it is saved."""

    alarm: Alarm
    calm_since: float | None = None


class Scores:
    """One model's scores of one machine. `due`: when `tick` must be called next."""

    def __init__(self, machine: str, scoring: Scoring) -> None:
        self._machine = machine
        self._scoring = scoring
        self._features = Features(scoring.features)
        self._point = f"model.{scoring.name}.score"
        self._above = 0
        self._calm_since: float | None = None
        self._alarm: Alarm | None = None
        self._dirty = False
        self._last: dict[str, Reading] = {}
        self._points = {feature.point for feature in scoring.features}
        self._learner = None if scoring.learner is None else scoring.learner(machine)
        self.latest: float | None = None
        self.due = -inf

    def feed(self, reading: Reading) -> None:
        """Take note of a Reading that has been cleaned."""
        self._features.feed(reading)
        if reading.point in self._points:
            self._last[reading.point] = reading

    def tick(self, now: float, *, planned: bool = False) -> tuple[Reading | None, Alarm | None]:
        """The score at `now` as a Reading, and an Alarm that it raises or ends. `planned`: within a planned visit.

        While a model learns, the Reading is the share of its window that is there.
        """
        every = self._scoring.every
        self.due = now - now % every + every
        values = self._features.values(self._scoring.features, now)
        score = self._scoring.model(values) if self._learner is None else self._learner(values, now)
        self.latest = None if score is None else score.value
        if score is None:
            return self._learning(now), None
        return Reading(self._machine, self._point, score.value, now), self._judge(score, now, planned=planned)

    def _learning(self, now: float) -> Reading | None:
        if self._learner is None or self._learner.learned >= 1.0:
            return None
        return Reading(self._machine, f"model.{self._scoring.name}.learned", round(self._learner.learned, 4), now)

    def _judge(self, score: Score, now: float, *, planned: bool) -> Alarm | None:
        threshold = self._scoring.threshold
        self._above = self._above + 1 if score.value >= threshold else 0
        surprising = self._above >= self._scoring.hold and not self._scoring.shadow
        if self._alarm is None or (self._alarm.planned and not planned and surprising):
            if not surprising:
                return None
            self._alarm = self._raise(score, now, planned=planned)
            self._calm_since, self._dirty = None, True
            return self._alarm
        if score.value >= threshold * CLEAR_SHARE:
            self._dirty = self._dirty or self._calm_since is not None
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since, self._dirty = now, True
        elif now >= self._calm_since + CLEAR_AFTER:
            return self.end(now, score.value)
        return None

    def _raise(self, score: Score, now: float, *, planned: bool) -> Alarm:
        named = dict.fromkeys(feature.partition("(")[2].split(",")[0].split("=")[0] for feature in score.drivers)
        evidence = tuple(Evidence(point, self._last[point].value, self._last[point].at) for point in named if point in self._last)
        return Alarm(
            self._machine,
            now,
            f"model.{self._scoring.name}",
            EventClass.SERVICE if planned else self._scoring.event,
            Severity.ROUTINE if planned else self._severity,
            self._point,
            score.value,
            evidence,
            f"The model {self._scoring.name} {self._scoring.says}; strongest signs: {', '.join(score.drivers[:3])}",
            score.attack,
            planned=planned,
        )

    @property
    def _severity(self) -> Severity:
        return Severity.SUSPEND if self._scoring.event is EventClass.SECURITY else Severity.WARNING

    def end(self, now: float, value: float | None = None) -> Alarm | None:
        """End the open alarm: the score has fallen, or nobody asks the model any more."""
        raised, self._alarm = self._alarm, None
        if raised is None:
            return None
        self._dirty = True
        return structs.replace(raised, at=now, value=value, cleared=True)

    def shift(self, by: float) -> None:
        """The clock was set by so many seconds: every moment that is remembered moves with it."""
        self._features.shift(by)
        self._calm_since = None if self._calm_since is None else self._calm_since + by
        self.due += by

    # Restart ------------------------------------------------------------------------------------------------------------

    def changed(self) -> Documents:
        """The open alarm and what was learned, as far as they have changed since the last call."""
        dirty, self._dirty = self._dirty, False
        return (self._open() if dirty else {}) | self._named({} if self._learner is None else self._learner.changed())

    def documents(self) -> Documents:
        """All that `restore` takes."""
        return self._open() | self._named({} if self._learner is None else self._learner.documents())

    def _open(self) -> Documents:
        return {self._scoring.name: None if self._alarm is None else to_builtins(_Saved(self._alarm, self._calm_since))}

    def _named(self, documents: Documents) -> Documents:
        return {f"{self._scoring.name}{OF}{name}": document for name, document in documents.items()}

    def owns(self, key: str) -> bool:
        """Whether a document of that name is this model's."""
        return key == self._scoring.name or key.startswith(self._scoring.name + OF)

    def restore(self, documents: Mapping[str, dict[str, Any] | None]) -> None:
        """Take back an open alarm and what was learned; what cannot be read is left out, those of other models are."""
        name = self._scoring.name
        if (open_alarm := documents.get(name)) is not None:
            try:
                saved = convert(open_alarm, _Saved)
            except ValidationError:
                pass
            else:
                self._alarm, self._calm_since = saved.alarm, saved.calm_since
        if self._learner is not None:
            found = {key.removeprefix(name + OF): each for key, each in documents.items() if key.startswith(name + OF)}
            self._learner.restore({key: each for key, each in found.items() if each is not None})
