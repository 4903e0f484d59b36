"""Tokens: what RFC 8037 publishes is read, what anybody else makes is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.control.request import MAX_TOKEN, Request, RequestRefused, key_id, open_request, private_key, public_keys, seal
from agent.errors import AgentError, ConfigError

# RFC 8037, appendix A.1 and A.4: a key, a header and payload, and the signature over them
RFC_SECRET = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_PUBLIC = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_TOKEN = (
    b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEY = Ed25519PrivateKey.from_private_bytes(unpadded(RFC_SECRET))
KEYS = {key_id(KEY.public_key()): KEY.public_key()}
REQUEST = Request("0123456789", "gw", 1_000.0, 2_000.0, "readNow", {"machine": "atm-1"})


def sealed(header: dict[str, object], payload: bytes = b"{}", key: Ed25519PrivateKey = KEY) -> bytes:
    """A token with whatever header, signed well."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), payload)]
    signed = b".".join(parts)
    return signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")


def header(**more: object) -> dict[str, object]:
    return {"alg": "EdDSA", "typ": "atm-request+jws", "kid": key_id(KEY.public_key()), **more}


def test_the_key_and_the_signature_are_those_of_the_standard() -> None:
    assert KEY.public_key().public_bytes_raw() == unpadded(RFC_PUBLIC)
    signed, _, signature = RFC_TOKEN.rpartition(b".")
    assert KEY.sign(signed) == unpadded(signature.decode())


def test_what_was_sealed_is_read() -> None:
    token = seal(REQUEST, KEY)
    assert token.count(b".") == 2
    assert open_request(token, KEYS) == REQUEST
    assert open_request(token + b"\n", KEYS) == REQUEST


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "no signed request"),
        (RFC_TOKEN, "header or its signature cannot be read"),  # a good signature over something that is no request of ours
        (sealed(header(alg="none")), "cannot be read"),
        (sealed(header(alg="HS256")), "cannot be read"),
        (sealed(header(typ="JWT")), "cannot be read"),
        (sealed(header(jwk={"kty": "OKP"})), "cannot be read"),
        (sealed(header(crit=["exp"])), "cannot be read"),
        (sealed(header(kid="0" * 16)), "none of this gateway's"),
        (sealed(header(), key=Ed25519PrivateKey.generate()), "its signature is wrong"),
        (sealed(header(), b"[]"), "it is no request"),
        (sealed(header(), msgspec.json.encode(REQUEST)[:-1] + b',"more":1}'), "it is no request"),
        (sealed(header(), msgspec.json.encode(REQUEST).replace(b"2000.0", b"1e999")), "it is no request"),
        (sealed(header(), msgspec.json.encode(REQUEST).replace(b"456789", b"456789\\n")), "it is no request"),
        (sealed(header(), b"[" * 100_000), "it is no request"),
        (b"a" * (MAX_TOKEN + 1), "more than"),
    ],
)
def test_anything_else_is_refused(token: bytes, why: str) -> None:
    with pytest.raises(RequestRefused, match=why):
        open_request(token, KEYS)


@given(st.integers(0, len(seal(REQUEST, KEY)) - 1), st.integers(1, 255))
def test_no_byte_may_change(place: int, change: int) -> None:
    token = bytearray(seal(REQUEST, KEY))
    token[place] ^= change
    try:
        assert open_request(bytes(token), KEYS) == REQUEST
    except RequestRefused:
        return
    assert bytes(token).strip() == seal(REQUEST, KEY)  # white space around it is no part of it


@given(st.integers(0, len(seal(REQUEST, KEY)) - 1))
def test_no_byte_may_be_missing(length: int) -> None:
    with pytest.raises(RequestRefused):
        open_request(seal(REQUEST, KEY)[:length], KEYS)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_line(token: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        open_request(token, KEYS)
    assert "\n" not in str(refused.value)


def test_a_key_file_that_is_none_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ConfigError) as error:
        public_keys([tmp_path / "text", tmp_path / "none"])
    assert len(error.value.mistakes) == 2
    assert "openssl pkey" in error.value.mistakes[0]
    with pytest.raises(AgentError, match="openssl genpkey"):
        private_key(tmp_path / "text")
    with pytest.raises(AgentError, match="No such file"):
        private_key(tmp_path / "none")
