"""A file on its way to the platform, in pieces, behind everything else: the outbox of a forward loop with one lane more.

    DIRECTORY/NAME             the file: a backup, encrypted before it came here (`atm-agent backup --send`)
    DIRECTORY/manifest.json    {"name": …, "size": …, "sha256": …, "sent": pieces that the platform has acknowledged}

Piece n is position n of the lane `backup`, in an epoch that the file's hash names: the platform drops what comes twice, and sees
what is missing, as everywhere. One file at a time; the store and its history never hold a piece.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from agent.records import Chunk, Envelope, Receipt, Stamp

log = logging.getLogger(__name__)

T = TypeVar("T")

LANE = "backup"
PIECE = 8 * 1024  # bytes
LARGEST = 256 * 1024 * 1024  # bytes of one file
MANIFEST = "manifest.json"
EPOCH = 16  # digits of the hash


def outgoing_of(store: Path) -> Path:
    """Where an agent whose store is there looks: beside it."""
    return store.with_name(f"{store.name}-outgoing")


class Manifest(msgspec.Struct, frozen=True):
    """The file that waits."""

    name: str
    size: int
    sha256: str
    sent: int = 0

    @property
    def epoch(self) -> str:
        """Of its pieces."""
        return self.sha256[:EPOCH]


class Outbox(Protocol):
    """The store's writer, as a forward loop and this know it."""

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        """As `agent.forward.Outbox`."""

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        """As `agent.forward.Outbox`."""

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        """As `agent.forward.Outbox`."""

    def do(self, work: Callable[[], T]) -> Awaitable[T]:
        """Let the one thread that owns the disk do something. Raises StoreUnavailable."""


class Outgoing:
    """`told` hears what became of a file: delivered, refused, or damaged, and its name."""

    def __init__(
        self, outbox: Outbox, directory: Path, gateway: str, stamp: Callable[[], Stamp], told: Callable[[str, str], None]
    ) -> None:
        self._outbox, self._directory, self._gateway = outbox, directory, gateway
        self._stamp, self._told = stamp, told

    async def first(self, uplink: str, lanes: Sequence[str], limit: int, max_bytes: int) -> list[Envelope]:
        """What the store has in its lanes; when nothing waits there, the next pieces."""
        batch = await self._outbox.first(uplink, [lane for lane in lanes if lane != LANE], limit, max_bytes)
        if batch or LANE not in lanes:
            return batch
        found = await self._outbox.do(lambda: self._pieces(min(limit, max(1, max_bytes // PIECE))))
        if isinstance(found, str):
            self._told("damaged", found)
            return []
        return found

    async def settled(self, uplink: str, lane: str, count: int) -> list[Envelope]:
        """What the store remembers of its lanes; of pieces that were settled nothing is kept."""
        return [] if lane == LANE else await self._outbox.settled(uplink, lane, count)

    async def settle(self, uplink: str, lane: str, epoch: str, receipt: Receipt) -> None:
        """Take note of a receipt; a file of which a piece is refused is given up."""
        if lane != LANE:
            await self._outbox.settle(uplink, lane, epoch, receipt)
            return
        outcome, name = await self._outbox.do(lambda: self._note(epoch, receipt))
        if outcome:
            self._told(outcome, f"{name}: {receipt.why}" if receipt.why else name)

    # On the disk's thread -----------------------------------------------------------------------------------------------

    def _pieces(self, limit: int) -> list[Envelope] | str:
        """Of the file that waits; its name when it is not what its manifest says, and was given up."""
        manifest = self._waiting()
        if manifest is None:
            return []
        stamp, pieces = self._stamp(), []
        try:
            with (self._directory / manifest.name).open("rb") as file:
                if os.fstat(file.fileno()).st_size != manifest.size:
                    return self._give_up(manifest.name)
                file.seek(manifest.sent * PIECE)
                for position in range(manifest.sent + 1, manifest.sent + 1 + limit):
                    if data := file.read(PIECE):
                        offset = (position - 1) * PIECE
                        body = Chunk(self._gateway, manifest.name, offset, manifest.size, manifest.sha256, data)
                        pieces.append(self._envelope(manifest.epoch, position, stamp, body))
        except OSError:
            return self._give_up(manifest.name)
        return pieces

    def _envelope(self, epoch: str, position: int, stamp: Stamp, body: Chunk) -> Envelope:
        return Envelope(self._gateway, epoch, LANE, position, stamp.boot, stamp.mono, stamp.at, stamp.synced, body)

    def _note(self, epoch: str, receipt: Receipt) -> tuple[str, str]:
        manifest = self._waiting()
        if manifest is None or manifest.epoch != epoch:
            return "", ""
        if receipt.rejected:
            return "refused", self._give_up(manifest.name)
        sent, accepted = manifest.sent, frozenset(receipt.accepted)
        while sent + 1 in accepted:
            sent += 1
        if sent * PIECE >= manifest.size:
            return "delivered", self._give_up(manifest.name)
        write_manifest(self._directory, msgspec.structs.replace(manifest, sent=sent))
        return "", ""

    def _waiting(self) -> Manifest | None:
        try:
            return read_manifest(self._directory)
        except (OSError, ValueError) as error:
            log.error("%s: %s; what waited there is not sent", self._directory / MANIFEST, error)  # noqa: TRY400
            self._give_up("")
            return None

    def _give_up(self, name: str) -> str:
        for each in filter(None, (MANIFEST, name)):
            try:
                (self._directory / each).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s: %s", self._directory / each, error.strerror)
        return name


def read_manifest(directory: Path) -> Manifest | None:
    """The file that waits; None when none does. Raises OSError, ValueError."""
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is damaged ({error})") from None
    if "/" in manifest.name or manifest.name.startswith(".") or len(manifest.sha256) != 64 or manifest.sent < 0:
        raise ValueError("is damaged")
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Whole or not at all. After a power cut an older one costs pieces that are sent again. Raises OSError."""
    draft = directory / f".{MANIFEST}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(msgspec.json.encode(manifest))
    draft.replace(directory / MANIFEST)
    return directory / MANIFEST
