"""The pages say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from agent import vocabulary
from agent.wire.board_points import POINTS
from firmware_sim.lines import LINES
from firmware_sim.scenarios import SCENARIOS, Setting

ROOT = Path(__file__).parents[2]
LINK = (ROOT / "docs" / "board-link.md").read_text()
SIMULATOR = (ROOT / "docs" / "simulator.md").read_text()
GOLDEN = json.loads((ROOT / "tests" / "golden" / "board_link.json").read_text())
UNITS = {"Cel": "°C", "deg": "degrees", "lat": "degrees", "lon": "degrees", "%RH": "% relative humidity", "m/s2": "m/s²"}


def says(point: vocabulary.Point) -> str:
    if point.words:
        return ", ".join(point.words)
    unit = UNITS.get(point.unit, point.unit)
    return f"counter, {unit}" if point.counter else f"number, {unit}, {point.low:g} to {point.high:g}"


def rows(page: str, pattern: str) -> list[tuple[str, ...]]:
    return [match.groups() for match in re.finditer(pattern, page, re.MULTILINE)]


def test_the_table_of_points_is_the_codecs_and_the_vocabularys() -> None:
    expected = []
    for code, name in sorted(POINTS.items()):
        entry = vocabulary.point(name)
        assert entry is not None
        expected.append((str(code), name, says(entry)))
    assert rows(LINK, r"^\| (\d+) \| `([^`]+\.[^`]+)` \| (.+) \|$") == expected


def test_the_worked_examples_are_the_golden_frames() -> None:
    lines = {one["line"].upper() for one in GOLDEN["frames"][:6]}
    assert {line for (line,) in rows(LINK, r"^\| .* \| `([0-9A-F]{20,})` \|$")} == lines
    event = next(one for one in GOLDEN["frames"] if one["name"] == "EVENT")
    (data,) = rows(LINK, r"^data      ((?:[0-9A-F]{2} ?)+)$")
    assert bytes.fromhex(data[0]).hex() == event["data"]


def test_the_golden_frames_are_what_their_program_computes() -> None:
    program = ROOT / "tests" / "golden" / "board_link.py"
    printed = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == GOLDEN
    assert "import agent" not in program.read_text()
    assert "from agent" not in program.read_text()


def shown(value: Setting) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else f"{value:%H:%M}" if hasattr(value, "hour") else str(value)


def test_the_table_of_scenarios_is_the_codes() -> None:
    expected = [
        (one.name, one.summary, ", ".join(f"{key}={shown(value)}" for key, value in one.settings.items()) or "none")
        for one in SCENARIOS.values()
    ]
    assert rows(SIMULATOR, r"^\| `(\w+)` \| (.+) \| `?([^`|]+?)`? \|$") == expected


def test_every_line_is_described() -> None:
    assert [name for (name,) in rows(SIMULATOR, r"^- `(\w+)`: ")] == list(LINES)
