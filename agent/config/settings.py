"""Everything that can be configured, with its default. `systemd/config.example.yaml` shows the same for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

from agent.pipeline import Forwarded
from agent.scrape import parse as address_of
from agent.settings import Duration, Name, Size
from agent.stages.calendar import Plan, Visit, weekly
from agent.stages.cash import Cassette
from agent.stages.clean import CleanSettings
from agent.stages.features import parse
from agent.stages.rules import Rule
from agent.vocabulary import UNIT_ID
from agent.web.settings import WebSettings


@dataclass(frozen=True)
class GatewaySettings:
    """The box that the agent runs on."""

    id: Name
    """Its name towards the platform; also the machine of its own `gateway.*` Readings."""
    runtime: Path = Path("/run/atm-agent")
    """Directory of the status socket; on a file system in memory."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    metrics: str = ""
    """Where a collector on this machine finds /metrics and /healthz: 127.0.0.1:9464. Nothing listens without it."""

    def __post_init__(self) -> None:
        if self.metrics:
            try:
                address_of(self.metrics)
            except ValueError as error:
                raise ValueError(f"metrics: {error}") from None


@dataclass(frozen=True)
class Location:
    """Where a machine stands."""

    name: str = ""
    latitude: float | None = None
    longitude: float | None = None
    country: str = ""
    """ISO 3166 code, for holidays."""

    def __post_init__(self) -> None:
        if self.latitude is not None and not -90 <= self.latitude <= 90:
            raise ValueError(f"latitude: expected -90 to 90 degrees, got {self.latitude}")
        if self.longitude is not None and not -180 <= self.longitude <= 180:
            raise ValueError(f"longitude: expected -180 to 180 degrees, got {self.longitude}")


@dataclass(frozen=True)
class Hours:
    """A weekly span, in the machine's time zone."""

    days: str
    """A day or a range: mon, mon-fri, all."""
    time: str
    """06:00-22:00"""

    def __post_init__(self) -> None:
        weekly(self.days, self.time)


@dataclass(frozen=True)
class PlannedVisit:
    """A single visit: ISO 8601 times with their offset."""

    from_: str
    to: str
    who: str = ""

    def __post_init__(self) -> None:
        start, end = _moment("from", self.from_), _moment("to", self.to)
        if start >= end:
            raise ValueError(f"to: expected a time after {self.from_}, got {self.to}")

    def visit(self) -> Visit:
        """As seconds since the epoch."""
        return Visit(_moment("from", self.from_), _moment("to", self.to), self.who)


def _moment(key: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{key}: expected a time with its offset such as 2026-12-01T09:00:00+01:00, got {text!r}")
    return moment.timestamp()


@dataclass(frozen=True)
class MachineSettings:
    """One cash machine."""

    id: Name
    location: Location = field(default_factory=Location)
    timezone: str = "UTC"
    hours: tuple[Hours, ...] = (Hours("all", "00:00-24:00"),)
    """When customers may use it."""
    visits: tuple[PlannedVisit, ...] = ()
    """Who is expected when: door alarms are planned work then."""
    weekly_visits: tuple[Hours, ...] = ()
    cassettes: Mapping[str, Cassette] = field(default_factory=dict)
    bins: Mapping[str, int] = field(default_factory=dict)
    """Units that only take notes (reject, retract, deposit): what a note in each is worth at most, in minor units."""
    insured_limit: int | None = None
    """Minor units of the cassettes' currency; more cash than this, the bins' with it, is an Alarm."""

    def __post_init__(self) -> None:
        self.zone  # noqa: B018  raises when there is no such zone
        for key, units in (("cassettes", self.cassettes), ("bins", self.bins)):
            for unit in units:
                if not UNIT_ID.fullmatch(unit):
                    raise ValueError(f"{key}: expected units named unit1, unit2 …, got {unit!r}")
        for unit, value in self.bins.items():
            if unit in self.cassettes:
                raise ValueError(f"bins: {unit} is a cassette already")
            if value <= 0:
                raise ValueError(f"bins: {unit} needs the positive value of its dearest note in minor units, got {value}")
        for unit, cassette in self.cassettes.items():
            if cassette.value <= 0:
                raise ValueError(f"cassettes: {unit} needs a positive value in minor units, got {cassette.value}")
        if len({cassette.currency for cassette in self.cassettes.values()}) > 1:
            raise ValueError("cassettes: all need one currency; a second currency is a second machine")

    @property
    def zone(self) -> tzinfo:
        """The time zone. Raises ValueError when the system does not know it."""
        if self.timezone == "UTC":
            return UTC  # known without the system's tables, which a small system may lack
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415  nor their reader, where nobody needs it

        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            known = "a name such as Europe/Berlin that the system's tzdata knows"
            raise ValueError(f"timezone: expected {known}, got {self.timezone!r}") from None

    def plan(self) -> Plan:
        """What the pipeline must know of the calendar."""
        return Plan(
            self.zone,
            tuple(weekly(each.days, each.time) for each in self.hours),
            tuple(each.visit() for each in self.visits),
            tuple(weekly(each.days, each.time) for each in self.weekly_visits),
        )


@dataclass(frozen=True)
class SourceSettings:
    """One source; `settings` is the driver's own class."""

    name: Name
    kind: str
    machine: str
    settings: Any


@dataclass(frozen=True)
class UplinkSettings:
    """One way out; `settings` is the protocol's own class."""

    name: Name
    kind: str
    settings: Any
    fallback_for: str = ""
    """The uplink that this one stands in for when it fails: one cursor for both. Without it, this one delivers everything too."""
    first_pause: Duration = 0.5
    """Of the back-off: a random time up to this after the first failure, up to twice as much after the next …"""
    longest_pause: Duration = 30.0
    """… and never more than this."""

    def __post_init__(self) -> None:
        check_pauses(self.first_pause, self.longest_pause)


def check_pauses(first_pause: float, longest_pause: float) -> None:
    """Raises ValueError."""
    if not 0.01 <= first_pause <= 300:
        raise ValueError("first_pause: expected 10ms to 5m")
    if not first_pause <= longest_pause <= 3600:
        raise ValueError(f"longest_pause: expected {first_pause:g}s, which is first_pause, to 1h")


@dataclass(frozen=True)
class RulesSettings:
    """Which rules judge."""

    shipped: bool = True
    """The rules that come with the agent."""
    disable: tuple[str, ...] = ()
    """Shipped rules that this gateway does without, by name."""
    own: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class ForwardSettings:
    """What goes to the platform beside alarms."""

    summaries: Duration = 60.0
    """Length of a window."""
    readings: Forwarded = Forwarded.NONE

    def __post_init__(self) -> None:
        if not 1 <= self.summaries <= 86_400 or 86_400 % self.summaries:
            raise ValueError(f"summaries: expected a length between 1s and 1d that divides a day, got {self.summaries:g}s")


@dataclass(frozen=True)
class ModelSettings:
    """One model."""

    name: Name
    file: Path | None = None
    """Without it, the model of this name that comes with the agent."""
    sha256: str | None = None
    """Only this very file is accepted."""
    keys: tuple[Path, ...] = ()
    """Ed25519 public keys (PEM); only a file that one of them has signed is accepted."""
    threshold: float | None = None
    """Of the alarm; without it, the card's."""
    every: Duration | None = None
    """Between two scores; without it, the card's."""
    features: tuple[str, ...] = ()
    """What a model that learns at the machine watches; without any, what its card names."""
    window: Duration | None = None
    """So long it learns before it scores; without it, the card's."""
    shadow: bool = False
    """Scores are recorded and raise nothing."""
    budget: Duration = 0.05
    """A score that takes longer counts as slow; a model that is slow again and again is put aside."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold: expected more than 0 and at most 1, got {self.threshold}")
        if self.sha256 is not None and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            raise ValueError("sha256: expected 64 hexadecimal digits in lower case")
        if self.every is not None and not 1 <= self.every <= 3600:
            raise ValueError(f"every: expected 1s to 1h, got {self.every:g}s")
        for text in self.features:
            try:
                parse(text)
            except ValueError as error:
                raise ValueError(f"features: {error}") from error


@dataclass(frozen=True)
class StoreSettings:
    """Where and how much the agent keeps."""

    path: Path = Path("/var/lib/atm-agent/store")
    budget: Size = 512 * 1024**2
    """Bytes of everything."""
    free_floor: Size = 64 * 1024**2
    """Bytes that stay free on the file system."""
    memory: Size = 1024**2
    """Bytes of records that wait in memory while the disk refuses."""
    keep_days: float = 30.0
    """Delivered records stay so long as history …"""
    keep_bytes: Size = 128 * 1024**2
    """… and no more than this of them."""
    commit_interval: Duration = 0.05
    """Records of so long share one write; alarms never wait."""
    checkpoint: Duration = 10.0
    """How often the open windows are saved; an event of a board saves them at once."""

    card_endurance: Size = 20 * 10**12
    """Bytes that the card or disk may be written in its life; `gateway.cardLife` is reckoned from it."""

    def __post_init__(self) -> None:
        if self.budget < 256 * 1024:
            raise ValueError("budget: expected at least 256KiB")
        if not 0 <= self.commit_interval <= 10:
            raise ValueError(f"commit_interval: expected 0s to 10s, got {self.commit_interval:g}s")
        if not 0.1 <= self.checkpoint <= 3600:
            raise ValueError(f"checkpoint: expected 100ms to 1h, got {self.checkpoint:g}s")


@dataclass(frozen=True)
class ControlSettings:
    """Whose requests this gateway takes (docs/control.md)."""

    keys: tuple[Path, ...] = ()
    """The operator's public keys, Ed25519 in PEM. Without any, it takes none."""


@dataclass(frozen=True)
class Settings:
    """One configuration file."""

    gateway: GatewaySettings
    machines: tuple[MachineSettings, ...]
    sources: tuple[SourceSettings, ...] = ()
    clean: CleanSettings = field(default_factory=CleanSettings)
    rules: RulesSettings = field(default_factory=RulesSettings)
    forward: ForwardSettings = field(default_factory=ForwardSettings)
    models: tuple[ModelSettings, ...] = ()
    store: StoreSettings = field(default_factory=StoreSettings)
    uplinks: tuple[UplinkSettings, ...] = ()
    control: ControlSettings = field(default_factory=ControlSettings)
    web: WebSettings | None = None

    def ways(self) -> dict[str, tuple[UplinkSettings, ...]]:
        """The uplinks that have a cursor, by name, each with those that stand in for it behind it."""
        preferred = [each for each in self.uplinks if not each.fallback_for]
        return {each.name: (each, *(other for other in self.uplinks if other.fallback_for == each.name)) for each in preferred}
