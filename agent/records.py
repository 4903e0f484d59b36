"""The values that travel through the agent: frozen, typed, compared by content.

    firmware, pins ──> Reading ──> Summary | Alarm ──> Envelope ──> platform
                                                    <── Receipt ──

Times are seconds since the epoch, UTC, as float. Units are SI (`vocabulary`). Money is integer minor units.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TypeAlias

from msgspec import Struct, field

Value: TypeAlias = float | int | str | None
"""A number, a word of the vocabulary, or None: asked and not usable. A point that is not fitted has no Reading at all."""


class Quality(StrEnum):
    """How far a Reading may be trusted; `Reading.reason` says why it is not `good`."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
    STALE = "stale"

    @property
    def doubted(self) -> Quality:
        """What is left of it when something about the Reading is in doubt."""
        return Quality.UNCERTAIN if self is Quality.GOOD else self


class EventClass(StrEnum):
    """What kind of attention an Alarm asks for."""

    THRESHOLD = "THRESHOLD"
    STATE_CHANGE = "STATE_CHANGE"
    FAULT = "FAULT"
    SECURITY = "SECURITY"
    SERVICE = "SERVICE"
    GATEWAY = "GATEWAY"


class Severity(IntEnum):
    """The NDC fitness scale, which every ATM operator reads."""

    NONE = 0
    ROUTINE = 1
    WARNING = 2
    SUSPEND = 3
    FATAL = 4


class Reading(Struct, frozen=True, gc=False, tag_field="kind", tag="reading", omit_defaults=True):
    """One answer of one sensor of one machine."""

    machine: str
    point: str
    value: Value
    at: float
    quality: Quality = Quality.GOOD
    reason: str = ""


class PointSummary(Struct, frozen=True, omit_defaults=True):
    """What one point did in one window.

    `n` counts usable Readings, `bad` unusable ones (None, out of limits), `late` those that came after their window had
    closed. Numbers give min, mean, max, last and deviation (population); counters give `delta` over resets;
    words give `states`: seconds spent in each word, and `changes`, how often the word changed.
    """

    n: int = 0
    bad: int = 0
    late: int = 0
    min: float | None = None
    mean: float | None = None
    max: float | None = None
    last: Value = None
    deviation: float | None = None
    delta: float | None = None
    states: dict[str, float] | None = None
    changes: int = 0


class CashPosition(Struct, frozen=True, omit_defaults=True):
    """Cash in the machine: integer minor units of one currency, and notes per storage unit."""

    currency: str
    value: int
    units: dict[str, int]


class Summary(Struct, frozen=True, tag_field="kind", tag="summary", omit_defaults=True):
    """One machine over one window [start, end), aligned to the epoch and named by its end.

    A window without Readings is still a Summary: silence is a measurement. `observed` is the share of the window during
    which the agent was running and listening.
    """

    machine: str
    start: float
    end: float
    observed: float
    points: dict[str, PointSummary]
    cash: CashPosition | None = None
    scores: dict[str, float] | None = None


class Evidence(Struct, frozen=True, array_like=True):
    """One observation that an Alarm rests on."""

    point: str
    value: Value
    at: float


class Alarm(Struct, frozen=True, tag_field="kind", tag="alarm", omit_defaults=True):
    """Something that somebody must act on, or (`cleared`) no longer must.

    `repeats` counts the raisings folded into this one since the last that was sent.
    """

    machine: str
    at: float
    rule: str
    class_: EventClass = field(name="class")
    severity: Severity
    point: str
    value: Value
    evidence: tuple[Evidence, ...]
    text: str = ""
    attack: str | None = None
    cleared: bool = False
    planned: bool = False
    repeats: int = 0


class Loss(Struct, frozen=True, tag_field="kind", tag="loss", omit_defaults=True):
    """What the agent could not keep: positions first to last of a lane, how many of them, and why."""

    lane: str
    first: int
    last: int
    count: int
    why: str


class Outcome(StrEnum):
    """What became of a request."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


class Answer(Struct, frozen=True, tag_field="kind", tag="answer", omit_defaults=True):
    """What became of one signed request of the platform: exactly one for each that was taken.

    `machine` is the gateway. `interrupted`: the agent ended while the command ran, and how far it came is not known.
    """

    machine: str
    at: float
    request: str
    command: str
    outcome: Outcome
    text: str = ""
    result: dict[str, Value] | None = None


class Chunk(Struct, frozen=True, tag_field="kind", tag="chunk"):
    """A piece of a file that the gateway hands over: an encrypted backup. `machine` is the gateway.

    `size` and `sha256` (lower-case hexadecimal) are the whole file's; pieces come in the order of their `offset`.
    """

    machine: str
    name: str
    offset: int
    size: int
    sha256: str
    data: bytes


Body: TypeAlias = Summary | Alarm | Loss | Reading | Answer | Chunk


class Stamp(Struct, frozen=True):
    """When something was put into the store, by both clocks. It is never an identity."""

    at: float
    mono: float
    boot: str
    synced: bool


class Envelope(Struct, frozen=True):
    """A record on its way. Its identity is (gateway, epoch, lane, position): contiguous within a lane, never used twice."""

    gateway: str
    epoch: str
    lane: str
    position: int
    boot: str
    mono: float
    at: float
    synced: bool
    body: Body

    @property
    def kind(self) -> str:
        """summary, alarm, loss, reading, answer or chunk."""
        return str(self.body.__struct_config__.tag)


class Receipt(Struct, frozen=True):
    """An uplink's answer to one batch of one lane. A position that it does not name is kept and sent again."""

    accepted: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()
    why: str = ""
