"""What customers get: the roll-up of CWA 17852, and one word for the machine."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from agent.records import Reading
from agent.stages.service import DISPENSER, SERVICE, SETTLE, WAIT, Service

WELL = {
    "cashDispenser.device": "online",
    "cardReader.device": "online",
    "link.host": "up",
    DISPENSER: "ok",
    "printer.device": "online",
    "auxiliaries.operatorSwitch": "run",
}


def said(words: dict[str, Any], units: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the stage concludes of these words, once it has had time."""
    service = Service("m", units)
    for point, word in words.items():
        assert service.wants(point), point
        service.feed(Reading("m", point, word, 0.0))
    found: dict[str, Any] = {}
    while service.due < inf:
        found |= {each.point: each.value for each in service.tick(service.due)}
    return found


@pytest.mark.parametrize(
    ("change", "service"),
    [
        ({}, "inService"),
        ({"cashDispenser.device": "deviceBusy"}, "inService"),
        ({"cashDispenser.device": "potentialFraud"}, "inService"),  # CWA 17852: the application may go on
        ({DISPENSER: "attention"}, "inService"),
        ({"storage.unit1.replenishmentStatus": "low"}, "inService"),
        ({"cashDispenser.device": "hardwareError"}, "outOfService"),
        ({"cardReader.device": "noDevice"}, "outOfService"),
        ({"cardReader.media": "jammed"}, "outOfService"),
        ({"link.host": "down"}, "outOfService"),
        ({DISPENSER: "stop"}, "outOfService"),
        ({"cashDispenser.exchange": "active"}, "outOfService"),
        ({"auxiliaries.operatorSwitch": "supervisor"}, "outOfService"),
        ({"vendorMode.service": "active"}, "outOfService"),
        ({"cashDispenser.outDefault.transport": "inoperative"}, "outOfService"),
        ({"cashDispenser.outFront.shutter": "jammedClosed"}, "outOfService"),
        ({"keyManagement.encryptionState": "notInitialized"}, "outOfService"),
        ({"printer.paper.upper": "out"}, "degraded"),
        ({"printer.device": "hardwareError"}, "degraded"),
        ({"cashAcceptor.device": "offline"}, "degraded"),
        ({"storage.unit2.status": "missing"}, "degraded"),
        ({"storage.unit2.replenishmentStatus": "empty"}, "degraded"),
        ({"cashDispenser.device": None}, "unknown"),
        ({DISPENSER: "unknown"}, "unknown"),
        ({"cashDispenser.device": None, "link.host": "down"}, "outOfService"),  # whatever the other is
        ({"printer.device": None}, "inService"),  # cash does not need it
        ({"storage.unit2.status": "missing", "cardReader.device": None}, "unknown"),
    ],
)
def test_one_word_for_the_machine(change: dict[str, Any], service: str) -> None:
    assert said({**WELL, **change})[SERVICE] == service


def test_what_the_machine_does_not_have_is_not_missed() -> None:
    assert said({"cashDispenser.device": "online"}) == {SERVICE: "inService"}


def test_a_machine_whose_devices_nobody_hears_has_no_word() -> None:
    assert said({"auxiliaries.operatorSwitch": "run", "printer.paper.upper": "out"}) == {}


def units(**words: tuple[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"cashDispenser.device": "online"}
    for unit, (status, level) in words.items():
        found |= {f"storage.{unit}.status": status, f"storage.{unit}.replenishmentStatus": level}
    return found


@pytest.mark.parametrize(
    ("words", "roll_up"),
    [
        (units(unit1=("ok", "ok"), unit2=("ok", "ok")), "ok"),
        (units(unit1=("ok", "low"), unit2=("ok", "ok")), "attention"),
        (units(unit1=("ok", "empty"), unit2=("ok", "ok")), "attention"),
        (units(unit1=("manipulated", "ok"), unit2=("ok", "ok")), "attention"),
        (units(unit1=("inoperative", "ok"), unit2=("ok", "ok")), "attention"),
        (units(unit1=("ok", "empty"), unit2=("missing", "ok")), "stop"),
        (units(unit1=("ok", "ok"), unit2=("ok", "ok"), unitReject=("ok", "high")), "attention"),
        (units(unit1=("ok", "ok"), unit2=("ok", "ok"), unitReject=("ok", "full")), "stop"),
        (units(unit1=("ok", "ok"), unit2=("ok", "ok"), unitReject=("missing", "ok")), "stop"),
        ({**units(unit1=("ok", "ok"), unit2=("ok", "ok")), "cashDispenser.device": "hardwareError"}, "unknown"),
        ({**units(unit1=("ok", "ok"), unit2=("ok", "ok")), "storage.unit2.status": None}, "unknown"),
    ],
)
def test_the_roll_up_of_a_machine_that_has_none(words: dict[str, Any], roll_up: str) -> None:
    assert said(words, ("unit1", "unit2"))[DISPENSER] == roll_up


def test_a_roll_up_of_the_machine_itself_is_not_corrected() -> None:
    found = said({**units(unit1=("ok", "empty"), unit2=("ok", "empty")), DISPENSER: "attention"}, ("unit1", "unit2"))
    assert DISPENSER not in found
    assert found[SERVICE] == "degraded"


def test_what_a_frame_says_together_is_judged_together_and_only_news_is_told() -> None:
    service = Service("m")
    for point, word in WELL.items():
        service.feed(Reading("m", point, word, 10.0))
    assert service.due == 10.0 + SETTLE
    assert [each.value for each in service.tick(service.due)] == ["inService"]
    service.feed(Reading("m", "link.host", "up", 20.0))
    assert service.due == inf
    service.feed(Reading("m", "printer.paper.upper", "low", 30.0))
    assert service.tick(service.due) == []


def test_time_for_a_machine_to_say_it_itself() -> None:
    service = Service("m", ("unit1",))
    service.feed(Reading("m", "storage.unit1.status", "ok", 0.0))
    assert service.tick(SETTLE) == []
    assert service.due == WAIT
    service.shift(100.0)
    assert service.due == 100.0 + WAIT
