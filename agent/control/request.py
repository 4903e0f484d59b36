"""A request and its token: a JSON Web Signature in compact form (RFC 7515, 3.1) with Ed25519 (RFC 8037, 3.1).

    base64url(header) "." base64url(request) "." base64url(signature of all that stands before)

    header   {"alg": "EdDSA", "typ": "atm-request+jws", "kid": the first 16 hexadecimal digits of the key's SHA-256}
    request  {"jti": id, "aud": gateway, "iat": from when, "exp": until when, "command": …, "arguments": {…}}

The names are those of RFC 7519, so any JOSE library can make one. A header with anything else in it is refused: what a verifier
does not look at must not be there (RFC 8725, 3.1, 3.10 and 3.11).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agent.errors import AgentError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_TOKEN = 1024 * 1024  # bytes; a model of 200 kB has 360 kB in a token
KEY_LIMIT = 16 * 1024  # bytes of a key file
SIGNATURE_BYTES = 64
TYPE: Literal["atm-request+jws"] = "atm-request+jws"


class RequestRefused(AgentError):
    """A token that is no request for this gateway. The message never quotes what came."""


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the first point."""

    alg: Literal["EdDSA"]
    typ: Literal["atm-request+jws"]
    kid: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator asks of one gateway. Times are seconds since the epoch."""

    jti: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{8,64}\Z")]
    """Its id: never used for another request."""
    aud: Annotated[str, Meta(min_length=1, max_length=128)]
    """The one gateway that it is for."""
    iat: float
    exp: float
    command: Annotated[str, Meta(max_length=32)]
    arguments: dict[str, Any] = {}


_header = msgspec.json.Decoder(Header)
_request = msgspec.json.Decoder(Request)


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def seal(request: Request, key: Ed25519PrivateKey) -> bytes:
    """The token of a request, signed."""
    header = Header("EdDSA", TYPE, key_id(key.public_key()))
    signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (header, request))
    return signed + b"." + _base64url(key.sign(signed))


def open_request(token: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Request:
    """The request of a token that one of the keys (by `key_id`) has signed. Raises RequestRefused, whatever the bytes are."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  loaded only where a key is configured

    if len(token) > MAX_TOKEN:
        raise RequestRefused(f"it has {len(token)} bytes, more than the {MAX_TOKEN} of a request")
    parts = token.strip().split(b".")
    if len(parts) != 3:
        raise RequestRefused("it is no signed request: three parts with points between them make one")
    try:
        header = _header.decode(_bytes(parts[0]))
        signature = _bytes(parts[2])
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error):
        raise RequestRefused("its header or its signature cannot be read") from None
    key = keys.get(header.kid)
    if key is None:
        raise RequestRefused(f"the key {header.kid} is none of this gateway's")
    try:
        key.verify(signature, b".".join(parts[:2]))
    except InvalidSignature:
        raise RequestRefused("its signature is wrong: it was changed on the way, or somebody else made it") from None
    try:
        return _request.decode(_bytes(parts[1]))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, RecursionError):
        raise RequestRefused("it is signed well, but it is no request") from None


def public_keys(paths: Sequence[Path]) -> dict[str, Ed25519PublicKey]:
    """The operator's public keys (PEM) by `key_id`. Raises ConfigError with one line for each file that holds none."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    keys: dict[str, Ed25519PublicKey] = {}
    mistakes = []
    for path in paths:
        key: object = None
        try:
            key = load_pem_public_key(_short(path))
        except OSError as error:
            mistakes.append(f"control.keys: {path}: {error.strerror}; name a file that this user may read")
            continue
        except (ValueError, UnsupportedAlgorithm):
            pass
        if isinstance(key, Ed25519PublicKey):
            keys[key_id(key)] = key
        else:
            remedy = "make it with: openssl pkey -in PRIVATE -pubout -out operator.pem"
            mistakes.append(f"control.keys: {path}: is no Ed25519 public key; {remedy}")
    if mistakes:
        raise ConfigError(mistakes)
    return keys


def private_key(path: Path) -> Ed25519PrivateKey:
    """The operator's private key (PEM, not encrypted). Raises AgentError with the remedy."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    key: object = None
    try:
        key = load_pem_private_key(_short(path), None)
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a file that this user may read") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    if not isinstance(key, Ed25519PrivateKey):
        raise AgentError(
            f"{path}: is no Ed25519 private key; make one with: openssl genpkey -algorithm ed25519 -out operator.key"
        )
    return key


def _short(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(KEY_LIMIT)


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    """base64url without padding (RFC 7515, 2): the one spelling of these bytes, nothing else."""
    data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _base64url(data) != text:
        raise binascii.Error("another spelling of the same bytes")
    return data
