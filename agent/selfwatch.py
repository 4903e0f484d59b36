"""The agent is one more sensor: its disk, its links, its models, its memory are Readings named `gateway.*`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from agent.clock import Clock
from agent.records import Value
from agent.store.flash import card_life

REPEAT = 60.0  # s after which a word is said again, so that it does not go stale
PAGE = 4096  # bytes; proc(5) counts in pages


class StoreHealth(Protocol):
    """What the store's writer says about itself (`agent.store.writer.Health`)."""

    word: str
    error: str
    status: Any


class Model(Protocol):
    """What a loaded model says about itself (`agent.scoring.LoadedModel`)."""

    word: str
    error: str
    times: Any

    @property
    def id(self) -> str:
        """Name, version and the beginning of the file's hash."""


class SelfWatch:
    """Turns what the agent knows of itself into Readings. `note` takes a point, a value and a time."""

    def __init__(self, note: Callable[[str, Value, float], None], clock: Clock, endurance: float) -> None:
        self._note = note
        self._clock = clock
        self._endurance = endurance
        self._said: dict[str, tuple[str, float]] = {}
        self.models: Mapping[str, Model] = {}
        self.backlog: dict[str, int] = {}
        self.backlogs: dict[str, int] = {}
        self.card: dict[str, float] = {}
        """Bytes written in all and a day, and the years that the card has left at that rate."""

    def say(self, point: str, value: Value) -> None:
        """Words are said when they change and now and then, numbers every time."""
        now = self._clock.now()
        if isinstance(value, str):
            before, at = self._said.get(point, ("", float("-inf")))
            if value == before and abs(now - at) < REPEAT:
                return
            self._said[point] = (value, now)
        self._note(point, value, now)

    def store(self, health: StoreHealth) -> None:
        """The disk: its word, its bytes, what it costs the card and what was lost."""
        self.say("gateway.store", health.word)
        status = health.status
        self.say("gateway.storeBytes", status.size)
        if status.flash_bytes:
            self.say("gateway.flashBytes", status.flash_bytes)
        life = card_life(self._endurance, status.flash_bytes, status.flash_per_day)
        self.card = {"written": status.flash_bytes, "per_day": round(status.flash_per_day)}
        if life is not None:
            self.card["life_years"] = round(life, 1)
            self.say("gateway.cardLife", round(life, 1))
        for lane, count in status.lost.items():
            self.say(f"gateway.lost.{lane}", count)

    def waiting(self, backlogs: Mapping[str, Mapping[str, int]]) -> None:
        """How much waits for the platform, by uplink; what is told is of the one that is furthest behind."""
        self.backlogs = {uplink: sum(lanes.values()) for uplink, lanes in backlogs.items()}
        waiting = list(backlogs.values())
        self.backlog = {lane: max(each[lane] for each in waiting) for lane in (waiting[0] if waiting else ())}
        for lane, count in self.backlog.items():
            self.say(f"gateway.backlog.{lane}", count)

    def process(self, guard_hits: int, held_lines: int) -> None:
        """Clock, memory, what the guard kept out and what the log did."""
        self.say("gateway.run", "running")
        self.say("gateway.clock", "synced" if self._clock.synced() else "unsynced")
        self.say("gateway.memory", resident_memory())
        self.say("gateway.guardHits", guard_hits)
        self.say("gateway.logDropped", held_lines)

    def look_at_models(self) -> None:
        """What a score costs."""
        for name, model in self.models.items():
            if model.times:
                self.say(f"gateway.modelTime.{name}", sorted(model.times)[len(model.times) // 2])

    def status(self) -> dict[str, Any]:
        """The part of the status that is the agent's own."""
        return {
            "backlog": self.backlog,
            "models": {
                name: {"word": model.word, "id": model.id, "p50_us": _median_us(model)} for name, model in self.models.items()
            },
            "card": self.card,
            "rss_mb": round(resident_memory() / 1e6, 1),
            "cpu_s": round(time.process_time(), 2),
        }


def _median_us(model: Model) -> float | None:
    times = sorted(model.times)
    return round(times[len(times) // 2] * 1e6, 1) if times else None


def resident_memory() -> int:
    """Bytes of this process in memory (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
