"""Encryption of a stream by a passphrase: scrypt (RFC 7914) for the key, ChaCha20-Poly1305 (RFC 8439) for one chunk at a time.

    header   one line of JSON: {"atm-agent-backup": 1, "n": …, "r": 8, "p": 1, "salt": "…hex…"}
    chunk    4 bytes length (big-endian), then so many bytes: the sealed chunk with its 16 bytes of tag

The nonce of a chunk is its number (11 bytes, big-endian) and 1 for the last one, 0 for every other: chunks can be neither
exchanged, nor left out, nor cut off at the end (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). The
header is authenticated with every chunk. The key is used once: the salt is new each time.
"""

from __future__ import annotations

import io
import json
import os
from typing import IO, Any

from agent.errors import AgentError

CHUNK = 64 * 1024  # bytes of plain text
TAG = 16
HEADER_LIMIT = 1024  # bytes
VERSION = 1
COST = 2**15  # scrypt's N: with r = 8, 32 MiB and some 0.1 s on a small board
COST_LIMIT = 2**17  # of a file that is read: a hostile header must not take all memory; this takes 128 MiB
SHORTEST = 12  # characters of a passphrase


class BadSeal(AgentError):
    """The passphrase is wrong, or the file was damaged, cut or changed."""


def check_passphrase(passphrase: bytes) -> None:
    """Raises AgentError when it is too short to protect anything."""
    if len(passphrase) < SHORTEST:
        raise AgentError(f"the passphrase has {len(passphrase)} characters; take at least {SHORTEST}")


class Sealing(io.RawIOBase):
    """Writes encrypted to `out`. `close` writes the last chunk; without it nobody can read the file."""

    def __init__(self, out: IO[bytes], passphrase: bytes, cost: int = COST) -> None:
        check_passphrase(passphrase)
        self._out, self._waiting, self._number = out, bytearray(), 0
        header = {"atm-agent-backup": VERSION, "n": cost, "r": 8, "p": 1, "salt": os.urandom(16).hex()}
        self._header = json.dumps(header).encode() + b"\n"
        self._cipher = _cipher(passphrase, header)
        out.write(self._header)

    def __del__(self) -> None:
        """What was given up before its end is not sealed as if it were whole."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # one byte more: the last chunk is known only at the end
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._seal(bytes(self._waiting), last=True)
        super().close()

    def _seal(self, plain: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), plain, self._header)
        self._out.write(len(sealed).to_bytes(4, "big") + sealed)
        self._number += 1


class Opening(io.RawIOBase):
    """Reads what `Sealing` wrote. Raises BadSeal at the first chunk that is not as it was written."""

    def __init__(self, source: IO[bytes], passphrase: bytes) -> None:
        self._source, self._plain, self._number, self._ended = source, b"", 0, False
        self._header = source.readline(HEADER_LIMIT)
        self._cipher = _cipher(passphrase, _parse(self._header))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain and not self._ended:
            self._open_chunk()
        count = min(len(buffer), len(self._plain))
        buffer[:count], self._plain = self._plain[:count], self._plain[count:]
        return count

    def _open_chunk(self) -> None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  as in _cipher

        length = int.from_bytes(self._source.read(4), "big")
        sealed = self._source.read(length) if TAG <= length <= CHUNK + TAG else b""
        if len(sealed) != length or length < TAG:
            raise BadSeal("the file ends too early; it was cut, or its copy was not finished")
        for last in (False, True):
            try:
                self._plain = self._cipher.decrypt(_nonce(self._number, last=last), sealed, self._header)
            except InvalidTag:
                continue
            self._ended = last
            self._number += 1
            return
        why = "the passphrase is wrong, or the file was changed" if self._number == 0 else "the file was damaged or changed"
        raise BadSeal(f"{why} (chunk {self._number})")


def _cipher(passphrase: bytes, header: dict[str, Any]) -> Any:
    # loaded for a backup alone: an agent that runs never needs it
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415

    salt = bytes.fromhex(header["salt"])
    return ChaCha20Poly1305(Scrypt(salt=salt, length=32, n=header["n"], r=header["r"], p=header["p"]).derive(passphrase))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        right = header["atm-agent-backup"] == VERSION and len(bytes.fromhex(header["salt"])) == 16
        cost = header["n"]
        right &= isinstance(cost, int) and 2 <= cost <= COST_LIMIT and cost & (cost - 1) == 0
        right &= (header["r"], header["p"]) == (8, 1)
    except (ValueError, KeyError, TypeError, RecursionError):
        right = False
    if not right:
        raise BadSeal("this is no backup of this agent, or of a version that is not known here")
    return header  # type: ignore[no-any-return]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
