"""The fuzzer's targets, with random bytes and with spoilt frames, in every run of the tests; `make fuzz` goes on for longer."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.codecs import TARGETS

GOLDEN = Path(__file__).parents[2] / "golden"
FRAMES = [
    bytes.fromhex(each["line"])
    for name in ("id003", "ccnet", "ebds")
    for each in json.loads((GOLDEN / "acceptors.json").read_text())[name]
]
TEXTS = [
    b'{"t": 1}\n',
    b"t=1 h=2\n",
    b"(226.0 195.0 226.0 014 49.0 27.5 30.0 00001000\r",
    bytes.fromhex("010404013102222ace"),
    bytes.fromhex("015002463030c0800356"),
    bytes.fromhex("010302004e61bc8f"),
    b'{"header":{"name":"Common.Status","type":"event"},"payload":{"unit1":{}}}',
]
pieces = st.one_of(st.binary(max_size=80), st.sampled_from(FRAMES + TEXTS))


def test_make_fuzz_knows_every_target():
    (line,) = [line for line in (GOLDEN.parents[1] / "Makefile").read_text().splitlines() if line.startswith("FUZZ := ")]
    assert sorted(line.removeprefix("FUZZ := ").split()) == sorted(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
@given(st.lists(pieces, max_size=6).map(b"".join))
@example(b"")
@settings(max_examples=40)
def test_no_bytes_raise_anything_that_is_not_documented(name, data):
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_time_for_noise_grows_with_its_length_and_no_faster(name):
    noise = random.Random(1).randbytes(16_000)

    def spent(data: bytes) -> float:
        begun = time.process_time()
        TARGETS[name](data)
        return time.process_time() - begun

    spent(noise[:100])
    short = max(min(spent(noise[:4_000]) for _ in range(3)), 1e-3)
    assert min(spent(noise) for _ in range(3)) < 25 * short
