"""A file on its way to the platform: every piece once in order, on from where it was, given up when it is refused or damaged."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from agent import outgoing
from agent.forward import guarded
from agent.outgoing import LANE, MANIFEST, PIECE, Manifest, Outgoing, outgoing_of, read_manifest, write_manifest
from agent.records import Chunk, Envelope, Loss, Receipt, Stamp
from agent.store import ALARMS, LANES

T = TypeVar("T")
NAME = "gw-20260102T030405Z.atmbackup"


class Disk:
    """A store's writer that has nothing of its own, or one envelope in its lanes."""

    def __init__(self, waiting: Sequence[Envelope] = ()) -> None:
        self._waiting = list(waiting)

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        assert LANE not in lanes
        return self._waiting

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        return self._waiting

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        raise AssertionError(f"a receipt for {lane} came to the store")

    async def do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)


class Gateway:
    """With one file that waits."""

    def __init__(self, room: Path, size: int) -> None:
        self.directory, self.told = room / "store-outgoing", [("", "")][:0]
        self.directory.mkdir()
        self.data = hashlib.shake_128(b"backup").digest(size)
        (self.directory / NAME).write_bytes(self.data)
        self.manifest = Manifest(NAME, size, hashlib.sha256(self.data).hexdigest())
        write_manifest(self.directory, self.manifest)
        self.again()

    def again(self) -> None:
        """The agent was started anew."""
        stamp = Stamp(9.0, 1.0, "boot", synced=True)
        self.box = Outgoing(Disk(), self.directory, "gw", lambda: stamp, lambda what, name: self.told.append((what, name)))

    async def read(self, limit: int = 500) -> list[Envelope]:
        return await self.box.first("platform", (*LANES, LANE), limit, 256 * 1024)

    async def settle(self, accepted: Sequence[int], rejected: Sequence[int] = (), why: str = "") -> None:
        await self.box.settle("platform", LANE, self.manifest.epoch, Receipt(tuple(accepted), tuple(rejected), why))


@pytest.mark.parametrize("size", [1, PIECE, PIECE + 1, 5 * PIECE])
async def test_every_byte_is_sent_once_and_nothing_stays(tmp_path: Path, size: int) -> None:
    gateway, came, positions = Gateway(tmp_path, size), b"", []
    while batch := await gateway.read(limit=2):
        for envelope in batch:
            assert isinstance(envelope.body, Chunk)
            assert (envelope.body.offset, envelope.epoch, envelope.lane) == (len(came), gateway.manifest.epoch, LANE)
            came += envelope.body.data
        positions += [each.position for each in batch]
        await gateway.settle([each.position for each in batch])
    assert came == gateway.data
    assert positions == list(range(1, -(-size // PIECE) + 1))
    assert gateway.told == [("delivered", NAME)]
    assert list(gateway.directory.iterdir()) == []


async def test_after_a_restart_it_goes_on_behind_what_was_acknowledged(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, 5 * PIECE)
    assert [each.position for each in await gateway.read()] == [1, 2, 3, 4, 5]
    await gateway.settle([1, 2, 4])  # 3 was not named: it comes again, and what follows it
    gateway.again()
    assert [each.position for each in await gateway.read()] == [3, 4, 5]
    await gateway.box.settle("platform", LANE, "another file's", Receipt((3, 4, 5)))
    assert [each.position for each in await gateway.read()] == [3, 4, 5]


async def test_what_the_platform_refuses_is_given_up_and_said(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, 3 * PIECE)
    await gateway.settle([1], [2], "it wants no files")
    assert await gateway.read() == []
    assert gateway.told == [("refused", f"{NAME}: it wants no files")]
    assert list(gateway.directory.iterdir()) == []


def cut(place: Path) -> None:
    (place / NAME).write_bytes(b"short")


def gone(place: Path) -> None:
    (place / NAME).unlink()


def spoilt(place: Path) -> None:
    (place / MANIFEST).write_bytes(b'{"name": "../../etc/passwd", "size": 1, "sha256": "", "sent": 0}')


def emptied(place: Path) -> None:
    (place / MANIFEST).write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut, gone, spoilt, emptied])
async def test_what_was_spoilt_is_given_up_and_said_and_the_link_goes_on(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway(tmp_path, 3 * PIECE)
    spoil(gateway.directory)
    assert await gateway.read() == []
    assert await gateway.read() == []
    assert gateway.told == [("damaged", NAME)] or "what waited there is not sent" in caplog.text
    assert read_manifest(gateway.directory) is None


async def test_its_digits_are_no_card_data_and_nothing_waits_where_nothing_is(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, PIECE)
    batch = await gateway.read()
    assert isinstance(batch[0].body, Chunk)
    assert guarded([*batch, batch[0].__class__("g", "e", LANE, 2, "b", 0.0, 0.0, True, batch[0].body)]) == ()
    empty = Outgoing(Disk(), outgoing_of(tmp_path / "other"), "gw", lambda: Stamp(0.0, 0.0, "", synced=True), lambda *_: None)
    assert await empty.first("platform", (*LANES, LANE), 1, 1) == []
    assert outgoing.LARGEST % PIECE == 0


async def test_whatever_waits_in_the_store_goes_before(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, PIECE)
    (piece,) = await gateway.read()
    alarm = Envelope("gw", "epoch", ALARMS, 1, "boot", 1.0, 9.0, True, Loss("readings", 1, 2, 2, "evicted"))
    busy = Outgoing(Disk([alarm]), gateway.directory, "gw", lambda: Stamp(9.0, 1.0, "boot", synced=True), lambda *_: None)
    assert await busy.first("platform", (*LANES, LANE), 500, 256 * 1024) == [alarm]
    assert await busy.settled("platform", ALARMS, 10) == [alarm]
    assert await busy.settled("platform", LANE, 10) == []
    assert (piece.lane, piece.position) == (LANE, 1)
