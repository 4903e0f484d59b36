"""Megatec and Voltronic, against the examples of their documents."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import megatec
from agent.wire.frames import BadFrame

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "ups.json").read_text())
READ = {name: getattr(megatec, f"read_{name.lower()}") for name in ("Q1", "F", "QGS", "QBV", "QMOD", "QWS")}


def plain(said: Any) -> Any:
    if isinstance(said, frozenset):
        return sorted(said)
    return said if isinstance(said, str) else said._asdict()


@pytest.mark.parametrize("request_", READ)
def test_golden_answers(request_: str) -> None:
    for one in GOLDEN[request_]:
        line = one["line"].encode()
        assert plain(READ[request_](line)) == one["says"]
        assert plain(READ[request_](b"\x00\xff" + line)) == one["says"]  # noise before it
        assert all(READ[request_](line[:size]) is None for size in range(len(line)))


def test_q1_is_47_bytes_long() -> None:
    assert len(GOLDEN["Q1"][0]["line"]) == 47


@pytest.mark.parametrize("line", GOLDEN["refused"])
def test_what_is_not_exactly_of_its_form_is_refused(line: str) -> None:
    with pytest.raises(BadFrame) as bad:
        megatec.read_q1(line.encode())
    assert (bad.value.counter, bad.value.size) == ("garbageBytes", len(line))


def test_a_ups_that_does_not_know_the_request() -> None:
    assert megatec.read_qgs(b"(NAK\r") == megatec.Refused()
    assert megatec.read_qgs(b"QGS\r") == megatec.Refused()
    assert megatec.read_i(b"#maker      model    1.0\r") == b"maker      model    1.0"


@given(st.binary(max_size=200))
def test_no_answer_raises_anything_else(data: bytes) -> None:
    for read in READ.values():
        with suppress(BadFrame):
            read(data)
