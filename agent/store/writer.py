"""The one thread that owns the disk, and its asyncio side: group commit, and a bounded memory for when the disk refuses.

    put ──> [ waiting a commit interval ] ──> alarms, summaries, readings, notes ──fdatasync──> done
                                       └─ OSError ──> shelter (memory, an epoch of its own) ──> disk again, later

Whoever puts goes on at once; the future that it gets is done when the records are on disk. While the disk refuses, alarms and
summaries are kept in memory, can be read and sent from there, and move to the disk when it takes them again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from agent.errors import StoreUnavailable
from agent.records import Body, Envelope, Receipt, Stamp
from agent.stages.guard import scrubbed
from agent.store import ALARMS, LANES, Status, Store, lane_of
from agent.store.lane_store import LaneStore
from agent.store.late import LateStore
from agent.store.notes import Changes, overlaid
from agent.store.shelter import Shelter

T = TypeVar("T")

log = logging.getLogger(__name__)

RETRY_FIRST = 1.0  # s between attempts to use a disk that refused
RETRY_LIMIT = 30.0
HELD = 10_000  # puts that may wait for the disk's return; the oldest are told that it did not come
PENDING = 20_000  # records that may wait for the thread, which hangs while a medium does; twice as many when alarms come
BATCH = 5_000  # records that one commit waits for at most
PORTION = 200  # records of one transaction: room is made for a transaction as a whole, or it is refused as a whole

NO_UPLINK = "disk"
FULL = "full"
WORDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
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


class _Wake:
    """Commit what waits, now."""


class _Stop:
    """Commit what waits, and end."""


@dataclass(slots=True)
class Health:
    """What the writer says about itself; read from any thread."""

    word: str = "ok"
    """A word of the point `gateway.store`."""
    error: str = ""
    commits: int = 0
    turned: float = 0.0
    """Monotonic time at which the thread last went round."""
    guard_hits: int = 0
    """Places in records that looked like card data, and were left out."""
    sheltered: int = 0
    """Bytes of records that are in memory alone."""
    status: Status = field(default_factory=Status)
    """Of the store on disk, after the last commit or upkeep."""


class Writer:
    """Use as `async with`. Every method belongs to the event loop; the stores belong to the thread.

    A `disk` that is a LateStore is let go when it fails in another way than by being full, and opened anew.
    `open_memory` gives the store for an outage: empty, of a new epoch, for the same uplinks; without any, for `disk`.
    `sheltered` is called on the loop when records are in memory alone and can be read; True when there is an alarm among them.
    """

    def __init__(
        self,
        disk: Store,
        open_memory: Callable[[], LaneStore],
        uplinks: Sequence[str],
        commit_interval: float,
        monotonic: Callable[[], float] = time.monotonic,
        sheltered: Callable[[bool], object] = lambda _alarm: None,
    ) -> None:
        self._disk, self._shelter = disk, Shelter(open_memory, tuple(uplinks) or (NO_UPLINK,))
        self._interval, self._monotonic, self._sheltered = commit_interval, monotonic, sheltered
        self._hurry = False
        self.health = Health(turned=monotonic())
        self._queue: queue.SimpleQueue[_Put | _Job | _Wake | _Stop] = queue.SimpleQueue()
        self._bell = threading.Event()  # rung when what was queued cannot wait for the end of the commit interval
        self._given, self._taken = 0, 0  # records, counted by the loop and by the thread
        self._dropped: Counter[str] = Counter()  # records by lane that were not even queued
        self._dropping = threading.Lock()
        self._refused = False  # the disk takes nothing; everything goes to the shelter
        self._held: list[_Put] = []  # on no disk yet; their records are in the shelter
        self._notes: dict[str, dict[str, dict[str, Any] | None]] = {}  # not on disk yet, the latest of each name
        self._retry_at, self._retry = 0.0, RETRY_FIRST  # by the stamps' monotonic clock
        self._last: Stamp | None = None
        self._postponed: _Job | None = None
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
        self._give(_Stop())
        await asyncio.to_thread(self._thread.join)
        if self.crashed.done() and not self.crashed.cancelled():
            self.crashed.exception()  # whoever cares has asked by now

    # From the event loop ------------------------------------------------------------------------------------------------

    @property
    def hurry(self) -> bool:
        """Commit at once, and what waits now: the power is failing."""
        return self._hurry

    @hurry.setter
    def hurry(self, hurry: bool) -> None:
        self._hurry = hurry
        self._give(_Wake())

    def put(self, bodies: Sequence[Body], changes: Changes, stamp: Stamp) -> asyncio.Future[None]:
        """Store records of any lanes, then notes. The future is done when all of it is on disk; that may take for ever.

        It fails with StoreUnavailable when the records, or the puts that wait for a disk, are too many for the memory.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        bodies = self._scrubbed(bodies)
        lanes = Counter(map(lane_of, bodies))
        if self._given - self._taken + len(bodies) > PENDING * (2 if ALARMS in lanes else 1):
            with self._dropping:
                self._dropped.update(lanes)
            done.set_exception(StoreUnavailable("the disk hangs, and too many records wait for it"))
            return done
        self._given += len(bodies)
        self._give(_Put(bodies, changes, stamp, done), urgent=self._hurry or ALARMS in lanes or self._given - self._taken > BATCH)
        return done

    def _give(self, item: _Put | _Job | _Wake | _Stop, *, urgent: bool = True) -> None:
        """Queue something for the thread. Each time that it wakes it takes the loop's turn, so it is not woken without need."""
        self._queue.put(item)
        if urgent:
            self._bell.set()

    def _scrubbed(self, bodies: Sequence[Body]) -> Sequence[Body]:
        """The second lock: what looks like card data reaches no disk, not even in a record of our own making."""
        clean = [scrubbed(body) for body in bodies]
        hits = sum(count for _, count in clean)
        if not hits:
            return bodies
        self.health.guard_hits += hits
        log.error("something that looks like card data was about to be stored; it was left out")
        return [body for body, _ in clean]

    async def read(self, uplink: str, lane: str, limit: int, max_bytes: int) -> list[Envelope]:
        """The next envelopes for an uplink, all of one epoch: what is only in memory first. Raises StoreUnavailable."""
        return await self.first(uplink, (lane,), limit, max_bytes)

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        """`read` of the first of these lanes that has anything: what an uplink asks for, a thread's turn for all of them."""

        def work() -> list[Envelope]:
            reads = (
                self._shelter.read(uplink, lane, limit, max_bytes) or self._disk.read(uplink, lane, limit, max_bytes)
                for lane in lanes
            )
            return next(filter(None, reads), [])

        return await self._call(work)

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        """The last envelopes on the disk that an uplink has settled, in order. Raises StoreUnavailable."""
        return await self._call(partial(self._disk.settled, uplink, lane, count))

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        """Take note of a receipt for envelopes of one epoch.

        Raises StoreUnavailable when the disk cannot keep what was rejected: it will be read again.
        """

        def work() -> None:
            on_disk = self._shelter.settle(uplink, lane, epoch, receipt)
            if on_disk is None and isinstance(self._disk, LateStore) and self._disk.is_gone(epoch):
                return
            if on_disk is None:
                self._disk.settle(uplink, lane, receipt)
                self._disk.tell_refused(lane, receipt.rejected)
            else:
                self._disk.settle_sent(uplink, lane, on_disk)

        await self._call(work)

    async def backlog(self, uplink: str) -> dict[str, int]:
        """How many positions wait in each lane."""

        def work() -> dict[str, int]:
            held = self._shelter.backlog(uplink)
            return {lane: count + held[lane] for lane, count in self._disk.backlog(uplink).items()}

        return await self._call(work)

    async def recall(self, tables: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """The documents of some tables: those on disk, and of a disk that refuses those that wait for it."""

        def work() -> dict[str, dict[str, dict[str, Any]]]:
            found = {table: self._disk.recall(table) for table in tables}
            return overlaid(found, {table: self._notes.get(table, {}) for table in tables})

        return await self._call(work)

    async def do(self, work: Callable[[], T]) -> T:
        """Let the thread do something with the store's files while nothing is written to them. Raises StoreUnavailable."""
        return await self._call(work)

    def made(self) -> dict[str, int]:
        """How many positions of each lane were given, as of the last commit."""
        return dict.fromkeys(LANES, 0) | dict(self.health.status.made)

    async def tidy(self, stamp: Stamp) -> None:
        """Upkeep; called every few seconds."""
        await self._call(partial(self._tidy, stamp))

    async def _call(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()
        self._give(_Job(work, done))
        return await done

    # On the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            try:
                self._note_health()
                self._work()
            finally:
                self._close()
        except BaseException as error:  # noqa: BLE001  a bug: the loop must hear of it, whoever it was that waited
            self._answer([self.crashed], error=error)

    def _work(self) -> None:
        going = True
        while going:
            batch: list[_Put] = []
            going = self._gather(batch)
            if batch:
                self._commit(batch)
            if self._postponed is not None:
                job, self._postponed = self._postponed, None
                self._do(job)
            self.health.turned = self._monotonic()

    def _gather(self, batch: list[_Put]) -> bool:
        """Collect what is put within one commit interval. False when it is time to stop.

        Jobs are done on the way, but none keeps an alarm waiting: it is postponed until the commit is done.
        """
        deadline, records = float("inf"), 0
        while records < BATCH:
            try:
                item = self._queue.get(block=not batch)
            except queue.Empty:
                wait = deadline - self._monotonic()
                if wait <= 0.0:
                    return True
                self._bell.wait(wait)
                self._bell.clear()
                continue
            match item:
                case _Stop():
                    return False
                case _Wake():
                    return True
                case _Job() if deadline <= self._monotonic():
                    self._postponed = item
                    return True
                case _Job():
                    self._do(item)
                    if not batch:
                        return True
                case _Put():
                    batch.append(item)
                    records += 1 + len(item.bodies)
                    urgent = self._hurry or any(lane_of(body) == ALARMS for body in item.bodies)
                    deadline = min(deadline, self._monotonic() + (0.0 if urgent else self._interval))
        return True

    def _do(self, job: _Job) -> None:
        try:
            result = job.work()
        except OSError as error:
            self._answer([job.done], error=StoreUnavailable(str(error)))
        except Exception as error:  # noqa: BLE001  the caller awaits it: it is raised there
            self._answer([job.done], error=error)
        else:
            self._answer([job.done], result)

    def _commit(self, batch: list[_Put]) -> None:
        entries: dict[str, list[tuple[Body, Stamp]]] = {lane: [] for lane in LANES}
        for put in batch:
            self._taken += len(put.bodies)
            for body in put.bodies:
                entries[lane_of(body)].append((body, put.stamp))
            for table, documents in put.changes.items():
                self._notes.setdefault(table, {}).update(documents)
        self._last = stamp = batch[-1].stamp
        if self._refused and stamp.mono >= self._retry_at:
            self._recover(stamp)
        for lane, records in entries.items():
            for start in range(0, len(records), PORTION):
                portion = records[start : start + PORTION]
                if self._refused or not self._try(partial(self._disk.extend, lane, portion), stamp):
                    self._shelter.keep(lane, portion)
        stored = not self._refused and self._try(self._save_notes, stamp)
        self.health.commits += 1
        self._note_health()
        if stored:
            self._answer([put.done for put in batch])
        else:
            self._hold(batch)

    def _hold(self, batch: list[_Put]) -> None:
        if lanes := {lane_of(body) for put in batch for body in put.bodies}:
            self._on_loop(partial(self._sheltered, ALARMS in lanes))
        self._held.extend(batch)
        self._answer([put.done for put in self._held[:-HELD]], error=StoreUnavailable(self.health.error))
        del self._held[:-HELD]

    def _save_notes(self) -> None:
        for lane in LANES:
            if count := self._dropped[lane]:
                self._disk.lose(lane, count, "stalled")
                with self._dropping:
                    self._dropped[lane] -= count
        if self._notes:
            self._disk.remember(self._notes)
            self._notes = {}

    def _tidy(self, stamp: Stamp) -> None:
        self._last = stamp
        self._shelter.tidy(stamp)
        if not self._refused:
            self._try(partial(self._catch_up, stamp), stamp)
        elif stamp.mono >= self._retry_at:
            self._recover(stamp)
        self._note_health()

    def _try(self, work: Callable[[], object], stamp: Stamp) -> bool:
        try:
            work()
        except OSError as error:
            if not self._refused:
                log.error("store: %s; records are kept in memory", error)  # noqa: TRY400  the disk's, not ours
            self._refused = True
            self.health.word = WORDS.get(error.errno or 0, "failing")
            self.health.error = str(error)
            if self.health.word != FULL and isinstance(self._disk, LateStore):
                self._disk.let_go()  # what comes back may be another mount, and cannot while files of this one are open
            self._retry_at = stamp.mono + self._retry
            self._retry = min(self._retry * 2, RETRY_LIMIT)
            return False
        return True

    def _recover(self, stamp: Stamp) -> None:
        """Move to the disk what it refused, then tell those who wait for it."""

        if self._try(partial(self._catch_up, stamp), stamp):
            self._refused, self._retry = False, RETRY_FIRST
            self.health.word, self.health.error = "ok", ""
            log.warning("store: the disk takes records again")
            self._note_health()
            self._answer([put.done for put in self._held])
            self._held.clear()

    def _catch_up(self, stamp: Stamp) -> None:
        self._shelter.move(self._disk, stamp)
        self._save_notes()
        self._disk.tidy(stamp)

    def _note_health(self) -> None:
        self.health.sheltered = self._shelter.size
        self.health.status = self._disk.status

    def _close(self) -> None:
        if self._refused and self._last is not None:
            self._recover(self._last)
        try:
            self._disk.close()
        except OSError as error:
            self.health.error = str(error)
        gone = StoreUnavailable(self.health.error or "the store is closed")
        self._answer([put.done for put in self._held], error=gone)
        while not self._queue.empty():
            item = self._queue.get()
            if isinstance(item, _Put | _Job):
                self._answer([item.done], error=gone)

    def _answer(self, futures: Iterable[asyncio.Future[Any]], result: Any = None, error: BaseException | None = None) -> None:
        waiting = list(futures)
        if not waiting:
            return

        def answer() -> None:
            for done in waiting:
                if done.done():
                    continue
                if error is not None:
                    done.set_exception(error)
                else:
                    done.set_result(result)

        self._on_loop(answer)

    def _on_loop(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended; nobody waits any more
            self._loop.call_soon_threadsafe(call)
