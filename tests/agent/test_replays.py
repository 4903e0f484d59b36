"""Golden replays: each folder of tests/golden/replays is a session, a machine, and the alarms that must come of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.records import Alarm
from firmware_sim.scenarios import SCENARIOS
from tests.golden.replays.record import CASES, HERE, alarms

FOLDERS = sorted(path.parent for path in HERE.glob("*/expected.jsonl"))
SIZE_LIMIT = 200_000  # bytes of a session: a case is something that a person can read


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("step", [60.0, 7.0])
def test_a_session_tells_the_same_alarms_at_any_pace(folder: Path, step: float) -> None:
    expected = [msgspec.json.decode(line, type=Alarm) for line in (folder / "expected.jsonl").read_bytes().splitlines()]
    assert alarms(folder, step) == expected


def test_there_is_a_case_of_every_scenario() -> None:
    assert {CASES[folder.name].scenario for folder in FOLDERS if folder.name in CASES} == set(SCENARIOS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_case_can_be_read_by_a_person(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"session.jsonl", "config.yaml", "expected.jsonl"}
    assert (folder / "session.jsonl").stat().st_size < SIZE_LIMIT


ATTACKS = {
    "black_box": "BLACK_BOX",
    "cash_trap": "CASH_TRAPPING",
    "drilling": "B2",
    "gas_attack": "X1",
    "ram_raid": "RIP_OUT",
    "skimming_overlay": "SKIMMING",
}


@pytest.mark.parametrize(("case", "attack"), ATTACKS.items())
def test_what_is_expected_names_the_attack(case: str, attack: str) -> None:
    assert f'"attack":"{attack}"' in (HERE / case / "expected.jsonl").read_text()


@pytest.mark.parametrize("case", ["normal_week", "technician_visit", "replenishment", "clock_step"])
def test_what_is_expected_of_planned_work_is_no_alarm(case: str) -> None:
    expected = [msgspec.json.decode(line, type=Alarm) for line in (HERE / case / "expected.jsonl").read_bytes().splitlines()]
    assert [alarm.rule for alarm in expected if alarm.severity > 1] == []
