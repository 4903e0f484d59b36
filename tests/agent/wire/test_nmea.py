"""NMEA sentences, against those of the manuals."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.frames import BadFrame
from agent.wire.nmea import sentence
from firmware_sim.twins.nmea import sentence as summed

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "nmea.json").read_text())


@pytest.mark.parametrize("one", GOLDEN["fixes"], ids=lambda one: one["line"][:6])
def test_golden_fixes(one: dict[str, Any]) -> None:
    for noise in (b"", b"$GPRM", b"\xff\x00"):
        said = sentence(noise + one["line"].encode())
        assert said is not None
        assert (said.kind, said.hdop) == (one["kind"], one["hdop"])
        assert (said.lat, said.lon) == (pytest.approx(one["lat"], abs=1e-6), pytest.approx(one["lon"], abs=1e-6))
    body = one["line"][1:-3]
    assert summed(body).decode() == one["line"] + "\r\n"  # the twin's sum


@pytest.mark.parametrize("line", GOLDEN["no_fix"])
def test_what_is_not_valid_is_no_fix(line: str) -> None:
    said = sentence(line.encode())
    assert said is not None
    assert said.lat is said.lon is None


@pytest.mark.parametrize("quality", [0, 6, 7, 8])
def test_an_estimated_or_simulated_place_is_no_fix(quality: int) -> None:
    said = sentence(summed(f"GPGGA,123519,4807.038,N,01131.000,E,{quality},08,0.9,545.4,M,46.9,M,,").strip())
    assert said is not None
    assert said.lat is None


def test_other_sentences_are_intact_and_nothing() -> None:
    assert [sentence(line.encode()) for line in GOLDEN["others"]] == [None]


@pytest.mark.parametrize("counter", ["wrong_sum", "garbage"])
def test_what_is_none(counter: str) -> None:
    for line in GOLDEN[counter]:
        with pytest.raises(BadFrame) as bad:
            sentence(line.encode())
        assert bad.value.counter == ("crcErrors" if counter == "wrong_sum" else "garbageBytes")


@settings(max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=120), st.text("0123456789,.NSEWAV-", max_size=70).map(lambda body: summed("GPRMC," + body).strip())
    )
)
def test_nothing_raises_anything_else(line: bytes) -> None:
    with suppress(BadFrame):
        sentence(line)
