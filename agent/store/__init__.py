"""The store: everything that the agent must say, on disk before anybody hears it, kept until it was acknowledged.

The role is `Store`; `DurableStore` keeps it on TinyDB journals, `MemoryStore` in memory. `JournalDB` is a TinyDB for general
use. docs/store.md tells the file format, the invariants, what is promised and what is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.records import Alarm, Answer, Body, Envelope, Loss, Reading, Receipt, Stamp, Summary
from agent.store.notes import Changes
from agent.store.storage import JournalStorage
from agent.store.tiny import JournalDB, JournalTable

__all__ = [
    "ALARMS",
    "DEAD",
    "LANES",
    "READINGS",
    "SUMMARIES",
    "JournalDB",
    "JournalStorage",
    "JournalTable",
    "Status",
    "Store",
    "lane_of",
]

ALARMS = "alarms"
SUMMARIES = "summaries"
READINGS = "readings"
DEAD = "dead"  # what the platform refused for good
LANES = (ALARMS, SUMMARIES, READINGS)  # in the order in which they are sent and kept

_LANE_OF: dict[type, str] = {Alarm: ALARMS, Answer: ALARMS, Loss: ALARMS, Summary: SUMMARIES, Reading: READINGS}


def lane_of(body: Body) -> str:
    """The lane in which a record travels."""
    return _LANE_OF[type(body)]


@dataclass(frozen=True, slots=True)
class Status:
    """What a store says about itself."""

    size: int = 0
    """Bytes of everything that is kept."""
    made: Mapping[str, int] = field(default_factory=dict)
    """Positions that were given in this epoch, by lane."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Positions lost since the opening, by lane."""
    flash_bytes: int = 0
    """Bytes that reached the card in all lives of the store (`agent.store.flash`); 0 in memory."""
    flash_per_day: float = 0.0
    """The same by day, of the last days; 0 while nothing is known."""


class Store(Protocol):
    """Keeps records until every uplink has settled them. Called from one thread; raises OSError as the medium does."""

    @property
    def epoch(self) -> str:
        """One life of the store, in which no position is given twice; empty while it is not known."""

    @property
    def status(self) -> Status: ...

    def append(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> int:
        """Store records of one lane, all or nothing; durable on return. Returns the first one's position.

        When there is no room for them by the budget, their positions become a Loss instead.
        """

    def extend(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> int:
        """`append` of records with a stamp each."""

    def lose(self, lane: str, count: int, why: str) -> int:
        """Use up `count` positions for records that could not be kept, and tell the platform. Returns the first one."""

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        """The oldest envelopes that the uplink has not settled, in order, all of one epoch.

        About `max_bytes` encoded, but at least one.
        """

    def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        """The last envelopes before those that `read` gives, `count` at most, in order: as far as they are still kept."""

    def settle(self, uplink: str, lane: str, receipt: Receipt) -> None:
        """Take note of a receipt. What it rejects moves to the lane `dead`; what it does not name will be read again."""

    def settle_sent(self, uplink: str, lane: str, receipt: Receipt) -> None:
        """`settle`, of records that were sent under another identity; a Loss tells the platform why it never sees these."""

    def tell_refused(self, lane: str, positions: Sequence[int]) -> None:
        """Let a Loss name what some platform refused, so that it can account for it; not a Loss that it refused."""

    def backlog(self, uplink: str) -> dict[str, int]:
        """How many positions wait in each lane."""

    def remember(self, changes: Changes) -> None:
        """Keep small named documents (`notes.Changes`), all or nothing; durable on return."""

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        """The documents of a table, by name."""

    def tidy(self, stamp: Stamp) -> None:
        """Called every few seconds: cursors to the medium, old history away, losses reported."""

    def close(self) -> None:
        """Called once, last."""
