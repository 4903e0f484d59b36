"""A store whose disk was not there when the agent started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agent.records import Body, Envelope, Receipt, Stamp
from agent.store import LANES, Status
from agent.store.lane_store import LaneStore
from agent.store.notes import Changes


class LateStore:
    """See `agent.store.Store`. Whatever must write opens the store first, and raises the OSError while that fails.

    The disk may be full, failing or read-only at the start of an agent, which runs all the same; `Writer` keeps its records
    in memory until this store opens.
    """

    def __init__(self, opener: Callable[[], LaneStore]) -> None:
        self._opener = opener
        self._store: LaneStore | None = None

    def _opened(self) -> LaneStore:
        if self._store is None:
            self._store = self._opener()
        return self._store

    @property
    def epoch(self) -> str:
        return self._store.epoch if self._store else ""

    @property
    def status(self) -> Status:
        return self._store.status if self._store else Status()

    def append(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> int:
        return self._opened().append(lane, bodies, stamp)

    def extend(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> int:
        return self._opened().extend(lane, entries)

    def lose(self, lane: str, count: int, why: str) -> int:
        return self._opened().lose(lane, count, why)

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        return self._store.read(uplink, lane, limit, max_bytes) if self._store else []

    def settle(self, uplink: str, lane: str, receipt: Receipt) -> None:
        if self._store:
            self._store.settle(uplink, lane, receipt)

    def backlog(self, uplink: str) -> dict[str, int]:
        return self._store.backlog(uplink) if self._store else dict.fromkeys(LANES, 0)

    def remember(self, changes: Changes) -> None:
        self._opened().remember(changes)

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        """Nothing before the store is open: what an earlier life noted comes too late for this one."""
        return self._store.recall(table) if self._store else {}

    def tidy(self, stamp: Stamp) -> None:
        self._opened().tidy(stamp)

    def close(self) -> None:
        if self._store:
            self._store.close()
