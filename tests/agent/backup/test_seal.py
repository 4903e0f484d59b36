"""The sealed stream: what was written comes back, and nothing else does."""

from __future__ import annotations

import io
import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given
from hypothesis import strategies as st

from agent.backup import seal
from agent.backup.seal import CHUNK, BadSeal, Opening, Sealing
from agent.errors import AgentError

SECRET = b"correct horse battery"
CHEAP = 2  # scrypt's cost, for tests


def sealed(plain: bytes, portion: int = 1000) -> bytes:
    out = io.BytesIO()
    with Sealing(out, SECRET, CHEAP) as sealing:
        for start in range(0, len(plain), portion):
            sealing.write(plain[start : start + portion])
    return out.getvalue()


def opened(data: bytes, secret: bytes = SECRET) -> bytes:
    with Opening(io.BytesIO(data), secret) as opening:
        return opening.read()


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    """Header, and the chunks with their lengths."""
    header, rest = data.split(b"\n", 1)
    found = []
    while rest:
        size = 4 + int.from_bytes(rest[:4], "big")
        found.append(rest[:size])
        rest = rest[size:]
    return header + b"\n", found


@given(st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]), st.sampled_from([999, CHUNK, 10**7]))
def test_what_was_written_comes_back(size: int, portion: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    data = sealed(plain, portion)
    assert opened(data) == plain
    assert plain[:64] not in data or size == 0 or size == 1


def test_the_format_is_the_one_of_the_page() -> None:
    """Read by the libraries alone, as the module describes it."""
    plain = b"x" * (CHUNK + 5)
    header, parts = chunks(sealed(plain))
    told = json.loads(header)
    key = Scrypt(salt=bytes.fromhex(told["salt"]), length=32, n=told["n"], r=8, p=1).derive(SECRET)
    cipher = ChaCha20Poly1305(key)
    nonces = [(0).to_bytes(11, "big") + b"\x00", (1).to_bytes(11, "big") + b"\x01"]
    assert b"".join(cipher.decrypt(nonce, part[4:], header) for nonce, part in zip(nonces, parts, strict=True)) == plain


def test_a_file_that_was_cut_is_refused_wherever_it_was() -> None:
    data = sealed(b"y" * (2 * CHUNK + 9))
    header, parts = chunks(data)
    places = [
        0,
        5,
        len(header) - 1,
        len(header),
        len(header) + 2,
        len(data) - 1,
        len(header + parts[0]),
        len(header + parts[0] + parts[1]),
    ]
    for place in places:
        with pytest.raises(BadSeal):
            opened(data[:place])


@given(st.data())
def test_a_file_that_was_changed_is_refused(data: st.DataObject) -> None:
    whole = bytearray(sealed(b"z" * 300))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadSeal):
        opened(bytes(whole))


def test_chunks_cannot_be_exchanged_left_out_or_repeated() -> None:
    header, (first, second, third) = chunks(sealed(b"a" * CHUNK + b"b" * CHUNK + b"c"))
    for wrong in ((second, first, third), (first, third), (first, first, second, third), (first, second, second)):
        with pytest.raises(BadSeal):
            opened(header + b"".join(wrong))


def test_a_wrong_passphrase_says_so() -> None:
    with pytest.raises(BadSeal, match="the passphrase is wrong"):
        opened(sealed(b"plain"), b"another passphrase")


def test_what_was_given_up_is_not_whole() -> None:
    out = io.BytesIO()
    sealing = Sealing(out, SECRET, CHEAP)
    sealing.write(bytes(10))
    del sealing
    with pytest.raises(BadSeal):
        opened(out.getvalue())


def test_two_backups_of_the_same_differ() -> None:
    assert sealed(b"same") != sealed(b"same")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**30},
        {"n": 2**18},
        {"n": 3},
        {"n": 0},
        {"n": "many"},
        {"r": 80},
        {"salt": "zz"},
        {"salt": ""},
        {"atm-agent-backup": 2},
    ],
)
def test_a_hostile_header_is_refused_before_any_memory_is_taken(change: dict[str, object]) -> None:
    header, parts = chunks(sealed(b"plain"))
    with pytest.raises(BadSeal):
        opened(json.dumps(json.loads(header) | change).encode() + b"\n" + b"".join(parts))
    with pytest.raises(BadSeal):
        opened(b"[" * 1023 + b"\n" + b"".join(parts))


def test_a_passphrase_that_protects_nothing_is_refused() -> None:
    with pytest.raises(AgentError, match="at least 12"):
        Sealing(io.BytesIO(), b"short")
    assert seal.COST >= 2**15
