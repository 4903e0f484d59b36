"""`atm-agent replay`: sessions written by hand, through the rules of today and through others."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main

NINE = 1_741_597_200.0  # Monday 2025-03-10 09:00 UTC
CONFIG = """\
gateway: {id: gw}
machines:
  - id: ATM
    visits: [{from: "2025-03-10T09:00:00+00:00", to: "2025-03-10T10:30:00+00:00"}]
    cassettes: {unit1: {value: 1000, currency: EUR, capacity: 2500, load: 600, low: 100}}
    insured_limit: 500000
"""
AT_REST: Mapping[str, Any] = {
    "gateway.power": "mains", "auxiliaries.operatorSwitch": "run", "transaction.count": 100, "cashDispenser.device": "online",
    "cashDispenser.exchange": "inactive", "storage.unit1.presented": 100, "storage.unit1.rejected": 1,
}  # fmt: skip


def session(path: Path, news: Mapping[int, Mapping[str, Any]], minutes: int) -> Path:
    """A line a minute; `news` by minute. Everything else says the same again."""
    lines = [json.dumps({"session": 1, "machine": "ATM"})]
    for minute in range(minutes):
        values = {**(AT_REST if minute == 0 else {}), **news.get(minute, {})}
        lines.append(json.dumps({"at": NINE + 60 * minute, "again": minute > 0, "values": values}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def replayed(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[dict[str, Any]]:
    assert main(["replay", "--json", *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def told(bodies: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Minutes and rules of what was raised."""
    return [((each["at"] - NINE) / 60, each["rule"]) for each in bodies if each["kind"] == "alarm" and not each.get("cleared")]


def test_a_gateway_on_its_own_battery_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = replayed(capsys, session(tmp_path / "s", {3: {"gateway.power": "battery"}, 6: {"gateway.power": "mains"}}, 10))
    assert told(bodies) == [(3 + 5 / 60, "gatewayPower")]
    assert [each["at"] for each in bodies if each.get("cleared")] == [NINE + 7 * 60]


def test_a_replenishment_by_counts_from_the_exchange_to_the_empty_cassette(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine says only what goes out: what was loaded is configured, what is left is arithmetic."""
    presented = {minute: {"storage.unit1.presented": 100 + 10 * (minute - 9)} for minute in range(10, 75)}
    news: dict[int, dict[str, Any]] = {
        5: {"auxiliaries.operatorSwitch": "supervisor", "cashDispenser.exchange": "active"},
        9: {"auxiliaries.operatorSwitch": "run", "cashDispenser.exchange": "inactive"},
        **presented,
    }
    bodies = replayed(capsys, session(tmp_path / "s", news, 80), "--config", config, "--summaries")
    raised = told(bodies)
    assert [(round(minute), rule) for minute, rule in raised if rule not in ("visit", "outOfService")] == [
        (9, "overInsured"),
        (60, "cassetteLow"),
        (69, "cassetteEmpty"),
        (69, "dispenserStop"),
    ]
    cash = [each["cash"]["value"] for each in bodies if each["kind"] == "summary" and "cash" in each]
    assert (cash[0], cash[-1]) == (600_000, -50_000), "more went out than was loaded: a difference is told, not hidden"


def test_supervisor_mode_that_lasts_too_long(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    news = {100: {"auxiliaries.operatorSwitch": "supervisor"}}
    raised = told(replayed(capsys, session(tmp_path / "s", news, 230), "--config", config))
    assert [(minute, rule) for minute, rule in raised if rule == "leftInServiceMode"] == [(220, "leftInServiceMode")]
    assert (100 + 5.2 / 60, "unplannedVisit") in [(pytest.approx(minute), rule) for minute, rule in raised]


def test_customers_who_stay_away_are_missed_by_hour_and_weekday(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sixty transactions an hour for three weeks, day and night; then none."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules: [{rule: quiet, class: FAULT, severity: 2, text: Nobody comes., when: [{point: transaction.count, overdue: 30}]}]"
    )
    lines = [json.dumps({"session": 1, "machine": "ATM"})]
    last = 21 * 24 * 6
    for number in range(last + 18):
        count = 10 * min(number, last)
        lines.append(json.dumps({"at": NINE + 600 * number, "values": {"transaction.count": count}}))
    path = tmp_path / "s"
    path.write_text("\n".join(lines))
    limit = tmp_path / "config.yaml"
    limit.write_text("gateway: {id: gw}\nmachines: [{id: ATM}]\nclean: {silent_after: 1h}\nforward: {summaries: 1h}\n")
    ((minute, rule),) = told(replayed(capsys, path, "--rules", rules, "--config", limit))
    assert rule == "quiet"
    assert minute == pytest.approx(last * 10 + 30, abs=1.0)


def test_a_changed_rule_set_against_the_past(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules: [{rule: mine, class: FAULT, severity: 2, text: '{point} is {value}.', "
        "when: [{point: gateway.power, is: battery, for: 2m}]}]"
    )
    path = session(tmp_path / "s", {3: {"gateway.power": "battery"}}, 10)
    (alarm,) = replayed(capsys, path, "--rules", rules)
    assert (alarm["rule"], alarm["text"], alarm["at"]) == ("mine", "gateway.power is battery.", NINE + 5 * 60)
    assert alarm["evidence"] == [["gateway.power", "battery", NINE + 3 * 60]]


@pytest.mark.parametrize("words", [(), ("--config",)])
def test_what_was_recorded_begins_with_the_gateway_and_is_of_a_machine(
    words: tuple[str, ...], tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = session(tmp_path / "s", {3: {"gateway.power": "battery"}}, 10)
    own = {"at": NINE - 1, "machine": "gw-1", "values": {"gateway.source.board": "ok"}}
    path.write_text(f"{json.dumps(own)}\n{path.read_text()}")
    alarms = replayed(capsys, path, *words, *([config] if words else []))
    assert {alarm["machine"] for alarm in alarms} == {"ATM"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_editor_may_have_put_its_mark_first(mark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = session(tmp_path / "s", {3: {"gateway.power": "battery"}}, 10)
    path.write_text(mark + path.read_text().replace("\n", "\r\n"), newline="")
    assert [alarm["rule"] for alarm in replayed(capsys, path)] == ["gatewayPower"]


def test_people_read_a_table_and_a_session_may_come_on_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = session(tmp_path / "s", {3: {"gateway.power": "battery"}}, 10).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["replay", "-", "--summaries"]) == 0
    out = capsys.readouterr().out
    assert "gatewayPower" in out
    assert "observed 100%" in out


def test_a_session_whose_clock_leaps_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    moments = [{"at": at, "values": {"gateway.power": "mains"}} for at in (NINE, NINE + 60, 9e10, NINE + 120, 0.0)]
    path.write_text("\n".join(json.dumps(each) for each in [{"session": 1, "machine": "ATM"}, *moments]))
    assert told(replayed(capsys, path)) == []


def test_hostile_values_raise_nothing_and_stop_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = session(tmp_path / "s", {1: {"gateway.power": "battery"}}, 3)
    hostile = [
        {"environment.temperature_c": 1e308}, {"environment.temperature_c": "hot"}, {"auxiliaries.cabinetDoor": 7},
        {"no.such.point": 1}, {"transaction.count": -1}, {"motion.peak_ms2": None}, {"": 0}, {"auxiliaries.cabinetDoor": "ajar"},
    ]  # fmt: skip
    lines = path.read_text().splitlines()
    lines[2:2] = [json.dumps({"at": NINE + 10 + number, "values": values}) for number, values in enumerate(hostile)]
    path.write_text("\n".join(lines))
    assert [rule for _, rule in told(replayed(capsys, path))] == ["gatewayPower"]


@pytest.mark.parametrize(
    ("content", "words", "message", "status"),
    [
        (None, [], "s: No such file or directory; name a session", 1),
        ("", [], "holds no reading", 1),
        ("rubbish", [], "s:1: ", 1),
        ('{"at": 1e99, "values": {}, "machine": "m"}', [], "is no time in seconds since the epoch", 1),
        ('{"at": NaN, "values": {}}', [], "s:1: ", 1),
        ('{"at": 5, "values": {"gateway.power": [1]}, "machine": "m"}', [], "s:1: ", 1),
        ('{"at": 5, "values": {}}', [], "names no machine", 1),
        ('{"session": 9}', [], "reads version 1", 1),
        (
            '{"at": 5, "values": {"gateway.power": "mains"}, "machine": "m"}',
            ["--rules", "/nowhere"],
            "/nowhere:1: cannot be read",
            78,
        ),
        ('{"at": 5, "values": {"gateway.power": "mains"}, "machine": "m"}', ["--config", "CONFIG"], "known are ATM", 78),
        ('{"at": 5, "values": {"gateway.power": "mains"}, "machine": "m"}', ["--machine", "n"], "says nothing of n", 1),
    ],
)
def test_one_line_says_what_is_wrong(
    tmp_path: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    words: list[str],
    message: str,
    status: int,
) -> None:
    path = tmp_path / "s"
    if content is not None:
        path.write_text(content)
    named = [str(config) if word == "CONFIG" else word for word in words]
    assert main(["replay", str(path), *named]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
