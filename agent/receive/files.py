"""Files that gateways send in pieces, put together: DIRECTORY/GATEWAY/NAME, once its hash is the one that every piece names.

A piece is on the medium before it is acknowledged. Pieces come in order, as a gateway sends them; one that was had already is
passed over, one that leaves a hole is refused, and the gateway gives that file up.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from agent.encode import Undecodable
from agent.records import Chunk, Envelope

LARGEST = 256 * 1024 * 1024  # bytes of one file
LONGEST_PIECE = 64 * 1024  # bytes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
HASH = re.compile(r"[0-9a-f]{64}")


class Files:
    """One directory. `say` is given a line for people for each file that is whole."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory, self._say = directory, say

    def take(self, envelope: Envelope) -> Envelope:
        """Put a piece where it belongs; returns the envelope without its bytes, and any other as it is.

        Raises Undecodable for what cannot be a piece of that file, OSError when it cannot be written down.
        """
        piece = envelope.body
        if not isinstance(piece, Chunk):
            return envelope
        _check(envelope.gateway, piece)
        place = self._directory / envelope.gateway
        if not (place / piece.name).exists():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(place, piece)
        return replace(envelope, body=replace(piece, data=b""))

    def _write(self, place: Path, piece: Chunk) -> None:
        part = place / f".{piece.name}.{piece.sha256[:16]}.part"
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b") as file:
            have = os.fstat(file.fileno()).st_size
            if piece.offset > have:
                raise Undecodable(f"a piece at {piece.offset}, and {have} bytes of {piece.name} are here; send it anew")
            if piece.offset + len(piece.data) > have:
                file.seek(piece.offset)
                file.write(piece.data)
                file.flush()
                os.fsync(file.fileno())
                have = piece.offset + len(piece.data)
            if have < piece.size:
                return
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != piece.sha256:
            part.unlink()
            raise Undecodable(f"{piece.name} is whole and is not what its hash says; send it anew")
        part.replace(place / piece.name)
        number = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
        self._say(f"file  {place / piece.name}: {piece.size} bytes, sha256 {digest}")


def _check(gateway: str, piece: Chunk) -> None:
    right = (
        NAME.fullmatch(gateway) and NAME.fullmatch(piece.name) and HASH.fullmatch(piece.sha256)
        and 0 <= piece.offset < piece.size <= LARGEST and 0 < len(piece.data) <= LONGEST_PIECE
        and piece.offset + len(piece.data) <= piece.size
    )  # fmt: skip
    if not right:
        raise Undecodable("a piece whose name, place or size no file of a gateway has")
