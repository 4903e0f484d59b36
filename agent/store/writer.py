"""The one thread that owns the disk, and its asyncio side: group commit, and a bounded memory for when the disk refuses.

    put ──> [ waiting a commit interval ] ──> alarms, summaries, readings, notes ──fdatasync──> done
                                       └─ OSError ──> memory store (an epoch of its own) ──> disk again, later

Whoever puts goes on at once; the future that it gets is done when the records are on disk. While the disk refuses, alarms and
summaries are kept in memory, can be read and sent from there, and move to the disk when it takes them again.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from agent.errors import StoreUnavailable
from agent.records import Body, Envelope, Receipt, Stamp
from agent.store import ALARMS, LANES, Store, lane_of
from agent.store.notes import Changes

T = TypeVar("T")

RETRY_FIRST = 1.0  # s between attempts to use a disk that refused
RETRY_LIMIT = 30.0
HELD = 10_000  # puts that may wait for the disk's return; the oldest are told that it did not come
MOVE = 200  # records moved from memory to disk at once

NO_UPLINK = "disk"
WORDS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "readOnly",
}  # gateway.store; anything else is "failing"


@dataclass(slots=True)
class _Put:
    bodies: Sequence[Body]
    changes: Changes
    stamp: Stamp
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    done: asyncio.Future[Any]


class _Stop:
    pass


@dataclass(slots=True)
class Health:
    """What the writer says about itself; read from any thread."""

    word: str = "ok"
    error: str = ""
    commits: int = 0
    turned: float = field(default_factory=time.monotonic)  # when the thread last went round


class Writer:
    """Use as `async with`. Every method belongs to the event loop; the stores belong to the thread.

    Both stores know the same uplinks; without any, the memory store is opened for the uplink `disk`.
    """

    def __init__(self, disk: Store, memory: Store, uplinks: Sequence[str], commit_interval: float) -> None:
        self._disk, self._memory, self._uplinks = disk, memory, tuple(uplinks) or (NO_UPLINK,)
        self._interval = commit_interval
        self.hurry = False  # commit at once: the power is failing
        self.health = Health()
        self._queue: queue.SimpleQueue[_Put | _Job | _Stop] = queue.SimpleQueue()
        self._held: list[_Put] = []  # on no disk yet; their records are in the memory store
        self._notes: dict[str, dict[str, dict[str, Any] | None]] = {}  # refused by the disk, the latest of each name
        self._retry_at = 0.0
        self._retry = RETRY_FIRST
        self._loop: asyncio.AbstractEventLoop
        self.crashed: asyncio.Future[None]  # fails when the thread does
        self._thread = threading.Thread(target=self._run, name="store")

    async def __aenter__(self) -> Writer:
        self._loop = asyncio.get_running_loop()
        self.crashed = self._loop.create_future()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what waits, close both stores, end the thread."""
        self._queue.put(_Stop())
        await asyncio.to_thread(self._thread.join)

    # From the event loop ------------------------------------------------------------------------------------------------

    def put(self, bodies: Sequence[Body], changes: Changes, stamp: Stamp) -> asyncio.Future[None]:
        """Store records of any lanes, then notes. The future is done when all of it is on disk; that may take for ever."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Put(bodies, changes, stamp, done))
        return done

    async def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        """The next envelopes for an uplink: what is only in memory first."""

        def work() -> list[Envelope]:
            return self._memory.read(uplink, lane, limit, max_bytes) or self._disk.read(uplink, lane, limit, max_bytes)

        return await self._call(work)

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        """Take note of a receipt for envelopes of one epoch."""
        store = self._memory if epoch == self._memory.epoch else self._disk
        await self._call(lambda: store.settle(uplink, lane, receipt))

    async def backlog(self, uplink: str) -> dict[str, int]:
        """How many positions wait in each lane."""

        def work() -> dict[str, int]:
            held = self._memory.backlog(uplink)
            return {lane: count + held[lane] for lane, count in self._disk.backlog(uplink).items()}

        return await self._call(work)

    async def tidy(self, stamp: Stamp) -> None:
        """Upkeep; called every few seconds."""

        def work() -> None:
            self._memory.tidy(stamp)
            self._try(lambda: self._disk.tidy(stamp))
            if self._held and time.monotonic() >= self._retry_at:
                self._recover(stamp)

        await self._call(work)

    async def _call(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(work, done))
        return await done

    # On the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  a bug: the loop must hear of it, whoever it was that waited
            self._answer(self.crashed, error=error)
        finally:
            self._disk.close()
            self._memory.close()

    def _work(self) -> None:
        going = True
        while going:
            batch: list[_Put] = []
            going = self._gather(batch)
            if batch:
                self._commit(batch)
            self.health.turned = time.monotonic()

    def _gather(self, batch: list[_Put]) -> bool:
        """Collect what is put within one commit interval; jobs are done on the way. False when it is time to stop."""
        deadline: float | None = None
        while True:
            try:
                timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
                item = self._queue.get(timeout=timeout)
            except queue.Empty:
                return True
            match item:
                case _Stop():
                    return False
                case _Job():
                    self._do(item)
                    if not batch:
                        return True
                case _Put():
                    batch.append(item)
                    urgent = self.hurry or any(lane_of(body) == ALARMS for body in item.bodies)
                    wait = 0.0 if urgent else self._interval
                    deadline = min(deadline or float("inf"), time.monotonic() + wait)

    def _do(self, job: _Job) -> None:
        try:
            result = job.work()
        except Exception as error:  # noqa: BLE001  the caller awaits it: it is raised there
            self._answer(job.done, error=error)
        else:
            self._answer(job.done, result)

    def _commit(self, batch: list[_Put]) -> None:
        stamp = batch[-1].stamp
        bodies: dict[str, list[Body]] = {lane: [] for lane in LANES}
        for put in batch:
            for body in put.bodies:
                bodies[lane_of(body)].append(body)
            for table, documents in put.changes.items():
                self._notes.setdefault(table, {}).update(documents)
        refused = False
        for lane, records in bodies.items():
            if records and (refused or not self._try(partial(self._disk.append, lane, records, stamp))):
                refused = True
                self._memory.append(lane, records, stamp)
        if refused or self._held or not self._save_notes():
            self._hold(batch)
            return
        self.health.commits += 1
        for put in batch:
            self._answer(put.done, None)

    def _hold(self, batch: list[_Put]) -> None:
        self._held.extend(batch)
        for forgotten in self._held[:-HELD]:
            self._answer(forgotten.done, error=StoreUnavailable(self.health.error))
        del self._held[:-HELD]

    def _save_notes(self) -> bool:
        if self._notes and not self._try(lambda: self._disk.remember(self._notes)):
            return False
        self._notes = {}
        return True

    def _try(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except OSError as error:
            self.health.word = WORDS.get(error.errno or 0, "failing")
            self.health.error = str(error)
            self._retry_at = time.monotonic() + self._retry
            self._retry = min(self._retry * 2, RETRY_LIMIT)
            return False
        return True

    def _recover(self, stamp: Stamp) -> None:
        """Move to the disk what it refused, then tell those who wait for it."""
        for lane in LANES:
            while moving := self._waiting_in_memory(lane):
                bodies = [envelope.body for envelope in moving]
                if not self._try(partial(self._disk.append, lane, bodies, stamp)):
                    return
                for uplink in self._uplinks:
                    self._memory.settle(uplink, lane, Receipt(tuple(envelope.position for envelope in moving)))
        if not self._save_notes():
            return
        self.health.word, self.health.error = "ok", ""
        self._retry = RETRY_FIRST
        for put in self._held:
            self._answer(put.done, None)
        self._held.clear()

    def _waiting_in_memory(self, lane: str) -> list[Envelope]:
        """What some uplink has not had yet, the longest list of them: the others have had its beginning."""
        return max((self._memory.read(uplink, lane, MOVE, 2**30) for uplink in self._uplinks), key=len, default=[])

    def _answer(self, done: asyncio.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
        def answer() -> None:
            if done.cancelled() or done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError:  # the loop has ended; nobody waits any more
            return
