"""A recorded session as a source: what was heard once, said again with today's time."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.records import Quality, Reading
from agent.sources import Context
from agent.sources.replay import AHEAD, Pace, ReplaySource, Settings
from agent.stages.session import Recorder

pytestmark = pytest.mark.usefixtures("nothing_leaks")

NOW = 1_750_000_000.0
THEN = 1_741_831_800.0
DOOR, LIGHT, HEAT = "auxiliaries.cabinetDoor", "banknoteNeutralization.light", "environment.temperature_c"


async def soon(_: float) -> None:
    await asyncio.sleep(0.001)


def write(path: Path, *moments: list[Reading], machine: str = "old") -> None:
    recorder = Recorder(machine)
    lines = [recorder.head, *(line for moment in moments for line in recorder.lines(moment))]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def door(word: str, at: float, machine: str = "old") -> list[Reading]:
    return [Reading(machine, DOOR, word, THEN + at)]


def opened(path: Path, context: Context, **more) -> ReplaySource:
    chosen = {"speed": 10_000.0} | more
    return ReplaySource(context, Settings(file=path, **chosen), Random(3), soon)


async def said(source: ReplaySource, until: str, words: tuple[str, ...]) -> list[Reading]:
    """Everything up to the Reading that says one of these at this point."""
    found: list[Reading] = []
    async with asyncio.timeout(5), aclosing(source.read(None)) as given_by_source:
        async for given in given_by_source:
            found += given.readings
            if any(each.point == until and each.value in words for each in given.readings):
                break
    return found


def of_machine(readings: list[Reading]) -> list[Reading]:
    return [each for each in readings if not each.point.startswith("gateway.")]


STATE = "gateway.source.board"


async def test_it_says_the_session_again_with_todays_time(tmp_path, context):
    write(tmp_path / "s", door("locked", 0.0), door("open", 30.0), door("locked", 60.0))
    found = of_machine(await said(opened(tmp_path / "s", context, speed=1000.0), STATE, ("stopped",)))
    assert [(each.machine, each.point, each.value) for each in found] == [
        ("atm-1", DOOR, word) for word in ("locked", "open", "locked")
    ]
    assert all(NOW - 0.5 < each.at <= NOW for each in found)


async def test_what_was_told_late_is_dated_back(tmp_path, context):
    write(tmp_path / "s", door("locked", 100.0), door("open", 40.0))
    first, second = of_machine(await said(opened(tmp_path / "s", context, speed=10.0), STATE, ("stopped",)))
    assert first.at - second.at == pytest.approx(6.0, abs=0.5)


async def test_one_machine_of_several_and_nothing_of_the_gateway(tmp_path, context):
    gateway = [Reading("gw", "gateway.source.doors", "ok", THEN)]
    write(tmp_path / "s", door("locked", 0.0), gateway, door("open", 1.0, "other"), door("closed", 2.0))
    found = of_machine(await said(opened(tmp_path / "s", context), STATE, ("stopped",)))
    assert [each.value for each in found] == ["locked", "closed"]
    found = await said(opened(tmp_path / "s", context, of="other"), STATE, ("stopped",))
    assert [each.value for each in of_machine(found)] == ["open"]
    assert not any(each.point == "gateway.source.doors" for each in found)


async def test_values_that_no_point_has_give_none_and_are_counted(tmp_path, context):
    odd = [
        Reading("old", HEAT, 900.0, THEN),
        Reading("old", "no.such.point", 1, THEN),
        Reading("old", LIGHT, None, THEN, Quality.BAD, "x"),
    ]
    write(tmp_path / "s", odd)
    found = await said(opened(tmp_path / "s", context), STATE, ("stopped",))
    assert [(each.point, each.value, each.quality) for each in of_machine(found)] == [(HEAT, None, "bad"), (LIGHT, None, "bad")]
    assert next(each.value for each in reversed(found) if each.point == "gateway.line.board.unknown") == 2


async def test_it_waits_for_a_file_and_begins_again_when_it_becomes_another(tmp_path, context):
    path = tmp_path / "s"
    async with asyncio.timeout(5), aclosing(opened(path, context).read(None)) as given_by_source:
        words = []
        async for given in given_by_source:
            for each in given.readings:
                if each.point == STATE and each.value not in words[-1:]:
                    words.append(each.value)
                    if words == ["missing"]:
                        write(path, door("open", 0.0))
                    elif words[-1] == "stopped" and len(words) == 3:
                        path.write_text("no session\n")
            if words[-1:] == ["broken"]:
                break
    assert words == ["missing", "ok", "stopped", "broken"]


async def test_what_stands_before_a_bad_line_is_said(tmp_path, context, caplog):
    write(tmp_path / "s", door("open", 0.0))
    with (tmp_path / "s").open("a") as file:
        file.write("{torn\n")
    found = await said(opened(tmp_path / "s", context), STATE, ("broken",))
    assert [each.value for each in of_machine(found)] == ["open"]
    assert "s:3:" in caplog.text


@pytest.mark.parametrize("what", ["empty", "folder", "of nobody"])
async def test_what_holds_nothing_is_broken(tmp_path, context, what):
    path = tmp_path / "s"
    path.mkdir() if what == "folder" else write(path, door("open", 0.0)) if what == "of nobody" else path.touch()
    more = {"of": "nobody"} if what == "of nobody" else {}
    await said(opened(path, context, **more, repeat=True), STATE, ("broken",))


async def test_it_repeats_when_asked_to(tmp_path, context):
    write(tmp_path / "s", door("locked", 0.0), door("open", 1.0))
    words = []
    async with asyncio.timeout(5), aclosing(opened(tmp_path / "s", context, repeat=True).read(None)) as given_by_source:
        async for given in given_by_source:
            words += [each.value for each in of_machine(list(given.readings))]
            if len(words) == 6:
                break
    assert words == ["locked", "open"] * 3


async def test_a_long_session_comes_whole_and_in_order(tmp_path, context):
    number = 3 * AHEAD + 5
    write(tmp_path / "s", *([Reading("old", HEAT, float(each % 90), THEN + each / 100)] for each in range(number)))
    found = of_machine(await said(opened(tmp_path / "s", context), STATE, ("stopped",)))
    assert [each.value for each in found] == [float(each % 90) for each in range(number)]


async def test_it_stops_at_once_while_it_waits(tmp_path, context):
    write(tmp_path / "s", door("locked", 0.0), door("open", 86_400.0))
    source = ReplaySource(context, Settings(file=tmp_path / "s"))
    task = asyncio.ensure_future(said(source, DOOR, ("open",)))
    await asyncio.sleep(0.02)
    began = asyncio.get_running_loop().time()
    task.cancel()
    await asyncio.wait([task])
    assert asyncio.get_running_loop().time() - began < 1.0


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=20), st.floats(0.01, 10_000.0), st.floats(0, 1e6))
@settings(max_examples=50)
def test_the_pace_keeps_order_and_distance(times, speed, begin):
    pace = Pace(speed)
    dues = [pace.due(at, begin) for at in times]
    latest = times[0]
    for at, (due, earlier) in zip(times, dues, strict=True):
        latest = max(latest, at)
        assert earlier >= 0.0
        assert due - begin == pytest.approx((latest - times[0]) / speed, abs=1e-3)
        assert due - earlier - begin == pytest.approx((at - times[0]) / speed, abs=1e-3)
    assert [due for due, _ in dues] == sorted(due for due, _ in dues)


@pytest.mark.parametrize("speed", [0.0, -1.0, 1e9, float("nan")])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(ValueError, match="speed: expected more than 0"):
        Settings(file=Path("s"), speed=speed)


async def test_a_file_that_may_not_be_read_says_who_may(tmp_path, context, monkeypatch, caplog):
    write(tmp_path / "s", door("open", 0.0))
    monkeypatch.setattr(Path, "open", _denied)
    await said(opened(tmp_path / "s", context), STATE, ("denied",))
    assert "it belongs to user" in caplog.text


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(13, os.strerror(13))
