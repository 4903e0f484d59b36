"""A store that is opened when its disk is there: after the start of an agent, and anew each time that the disk came back."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from agent.records import Body, Envelope, Receipt, Stamp
from agent.store import LANES, Status
from agent.store.lane_store import LaneStore
from agent.store.notes import Changes


class LateStore:
    """See `agent.store.Store`. Whatever must write opens the store first, and raises the OSError while that fails.

    The disk may be full, failing or read-only at the start of an agent, which runs all the same; `Writer` keeps its records
    in memory until this store opens. A file system that failed comes back as another mount, which wants nobody to hold its
    files: `let_go` closes them. What waits there can be read on meanwhile, as far as it is whole.
    """

    def __init__(self, opener: Callable[[], LaneStore], store: LaneStore | None = None) -> None:
        self._opener = opener
        self._store = store
        self._before: LaneStore | None = None  # let go, and not opened anew yet
        self._gone: set[str] = set()

    def _opened(self) -> LaneStore:
        if self._store is not None:
            return self._store
        store = self._opener()
        if self._before is not None:
            try:
                if not store.go_on_from(self._before):
                    self._gone.add(self._before.epoch)
            except BaseException:
                store.let_go()
                raise
        self._store, self._before = store, None
        self._gone.discard(store.epoch)
        return store

    def let_go(self) -> None:
        """Close every file without a word to the medium; the next change opens the store anew."""
        if self._store is not None:
            self._store.let_go()
            self._before, self._store = self._store, None

    def is_gone(self, epoch: str) -> bool:
        """Whether that epoch's records are on no disk any more: a receipt for them says nothing of those that are."""
        return epoch in self._gone

    @property
    def _known(self) -> LaneStore | None:
        return self._store or self._before

    @property
    def epoch(self) -> str:
        return self._known.epoch if self._known else ""

    @property
    def status(self) -> Status:
        return self._known.status if self._known else Status()

    def append(self, lane: str, bodies: Sequence[Body], stamp: Stamp) -> int:
        return self._opened().append(lane, bodies, stamp)

    def extend(self, lane: str, entries: Sequence[tuple[Body, Stamp]]) -> int:
        return self._opened().extend(lane, entries)

    def lose(self, lane: str, count: int, why: str) -> int:
        return self._opened().lose(lane, count, why)

    def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        return self._known.read(uplink, lane, limit, max_bytes) if self._known else []

    def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        return self._known.settled(uplink, lane, count) if self._known else []

    def settle(self, uplink: str, lane: str, receipt: Receipt) -> None:
        self._check_rejected(receipt)
        if self._known:
            self._known.settle(uplink, lane, receipt)

    def settle_sent(self, uplink: str, lane: str, receipt: Receipt) -> None:
        self._check_rejected(receipt)
        if self._known:
            self._known.settle_sent(uplink, lane, receipt)

    def tell_refused(self, lane: str, positions: Sequence[int]) -> None:
        if self._known:
            self._known.tell_refused(lane, positions)

    def _check_rejected(self, receipt: Receipt) -> None:
        if self._before is not None and receipt.rejected:
            raise OSError(errno.EIO, "the disk cannot take what was rejected")

    def backlog(self, uplink: str) -> dict[str, int]:
        return self._known.backlog(uplink) if self._known else dict.fromkeys(LANES, 0)

    def remember(self, changes: Changes) -> None:
        self._opened().remember(changes)

    def recall(self, table: str) -> dict[str, dict[str, Any]]:
        """Nothing before the store is open: what an earlier life noted comes too late for this one."""
        return self._known.recall(table) if self._known else {}

    def tidy(self, stamp: Stamp) -> None:
        """As `Store.tidy`. Raises OSError, too, when somebody took the store's files away: what is written would be lost."""
        store = self._opened()
        store.require_in_place()
        store.tidy(stamp)

    def close(self) -> None:
        if self._store:
            self._store.close()
