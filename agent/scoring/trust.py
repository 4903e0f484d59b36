"""Whether a model file is the one that the operator means: a pinned SHA-256, or an Ed25519 signature (RFC 8032) beside it.

    attack_risk.onnx          the model
    attack_risk.onnx.sig      64 bytes: the signature of the whole file by the operator's private key
    attack_risk.onnx.sha256   of a model that comes with the agent: what the release says it is (the format of sha256sum)

Keys and signatures are those of OpenSSL:

    openssl genpkey -algorithm ed25519 -out operator.key
    openssl pkey -in operator.key -pubout -out operator.pem
    openssl pkeyutl -sign -rawin -inkey operator.key -in attack_risk.onnx -out attack_risk.onnx.sig
"""

from __future__ import annotations

import hashlib
import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ModelRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

READ_LIMIT = 16 * 1024 * 1024  # bytes of a model file; those of this agent have less than 200 kB
SMALL_LIMIT = 16 * 1024  # bytes of a key, a signature or a hash
SIGNATURE_BYTES = 64
HEX = frozenset("0123456789abcdef")


def read(path: Path, limit: int = READ_LIMIT) -> bytes:
    """A whole regular file. Raises ModelRefused: `missing` when it cannot be read, `refused` when it is no such file."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer must not hold us up
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror}; name a file that this user may read", "missing") from error
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise ModelRefused(f"{path}: is no regular file; name the .onnx file of a model")
        if found.st_size > limit:
            raise ModelRefused(f"{path}: has {found.st_size} bytes, more than the {limit} that any such file of this agent has")
        with open(number, "rb", closefd=False) as file:
            return file.read(limit)
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror}; the disk does not give the file", "missing") from error
    finally:
        os.close(number)


def sha256(data: bytes) -> str:
    """In lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_hash(path: Path, data: bytes, pinned: str | None) -> str:
    """The file's sha256. Raises ModelRefused when another one is pinned."""
    found = sha256(data)
    if pinned is not None and found != pinned:
        raise ModelRefused(f"{path}: its sha256 is {found}, wanted is {pinned}; put the right file there")
    return found


def vouched(path: Path) -> str:
    """The sha256 that the release names, of a model that came with the agent. Raises ModelRefused for any other file."""
    found = find_spec("models")
    places = found.submodule_search_locations if found is not None else None
    if not any(path.resolve().is_relative_to(Path(place).resolve()) for place in places or ()):
        raise ModelRefused(f"{path}: nothing vouches for it; give its sha256, or the public key of whoever signs models")
    beside = path.with_name(path.name + ".sha256")
    words = read(beside, SMALL_LIMIT).decode("ascii", "replace").split()
    if not words or len(words[0]) != 64 or not set(words[0]) <= HEX:
        raise ModelRefused(f"{beside}: does not begin with a sha256; install the agent again")
    return words[0]


def check_signature(path: Path, data: bytes, keys: tuple[Path, ...]) -> None:
    """Nothing, when one of the keys has signed the file. Raises ModelRefused.

    To be called in a process of its own: the library for it takes some ten megabytes.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    beside = signature_of(path)
    if not beside.exists():
        raise ModelRefused(f"{path}: its signature {beside.name} is not beside it; bring it, or have the file signed", "missing")
    signature = read(beside, SMALL_LIMIT)
    if len(signature) != SIGNATURE_BYTES:
        raise ModelRefused(f"{beside}: has {len(signature)} bytes, an Ed25519 signature has {SIGNATURE_BYTES}; sign again")
    for key in keys:
        try:
            _public_key(key).verify(signature, data)
        except InvalidSignature:
            continue
        return
    names = ", ".join(str(key) for key in keys)
    raise ModelRefused(f"{path}: its signature is by none of {names}; the file, the signature or the key is not the right one")


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    text = read(path, SMALL_LIMIT)
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ModelRefused(f"{path}: is no Ed25519 public key; make it with: openssl pkey -in PRIVATE -pubout -out operator.pem")
    return key


def signature_of(path: Path) -> Path:
    """Where the signature of a model file is."""
    return path.with_name(path.name + ".sig")
