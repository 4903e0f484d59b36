"""Configuration files, right and wrong. Every wrong one gives `file:line: path: what is wrong, what would be right`."""

from __future__ import annotations

import dataclasses
import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from agent import config
from agent.config.settings import Settings
from agent.errors import ConfigError
from agent.sources import SOURCES
from agent.stages.rules import Condition, Rule
from agent.uplinks import UPLINKS

EXAMPLE = Path(__file__).parents[3] / "systemd" / "config.example.yaml"
GOOD = """\
gateway:
  id: gw-1
machines:
  - id: ATM-1
    timezone: Europe/Berlin
    hours: [{days: mon-fri, time: "06:00-22:00"}]
    cassettes:
      unit1: {value: 2000, currency: EUR}
sources:
  - name: board
    kind: board
    machine: ATM-1
    port: /dev/ttyUSB0
uplinks:
  - name: platform
    kind: mqtt
    url: mqtt://127.0.0.1
"""


def mistakes(tmp_path: Path, text: str | bytes) -> list[str]:
    """What is wrong with a file of this content, without its path."""
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    for mistake in caught.value.mistakes:
        assert mistake.startswith(f"{path}:"), mistake
    return [mistake.removeprefix(f"{path}:") for mistake in caught.value.mistakes]


def test_a_mistake_is_a_line_that_can_be_read_whatever_it_quotes(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, GOOD.replace("gw-1", "x" * 300_000))
    assert told.startswith("2: gateway.id: expected a name of letters, digits, - and _ (at most 64), got 'xxx")
    assert len(told) < 600


def test_a_good_file_gives_settings_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    settings = config.load(path)
    assert settings.gateway.id == "gw-1"
    assert settings.machines[0].cassettes["unit1"].value == 2000
    assert settings.forward.summaries == 60.0
    assert settings.sources[0].settings.port == "/dev/ttyUSB0"
    assert settings.uplinks[0].settings.url == "mqtt://127.0.0.1"


def keys_of(kind: Any, found: set[str]) -> set[str]:
    """Every YAML key of a settings class and of those in it."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        found.add(field.name.rstrip("_"))
        for inner in (hints[field.name], *get_args(hints[field.name])):
            if dataclasses.is_dataclass(inner):
                keys_of(inner, found)
    return found


def test_the_example_is_good() -> None:
    assert config.load(EXAMPLE).machines


def test_the_examples_that_are_commented_out_can_be_read_too(tmp_path: Path) -> None:
    shown = re.sub(r"^  # (?=[- ] )", "  ", EXAMPLE.read_text(), flags=re.MULTILINE)
    (tmp_path / "config.yaml").write_text(shown)
    sources = config.load(tmp_path / "config.yaml").sources
    assert len(sources) > len(config.load(EXAMPLE).sources)
    assert {source.kind for source in sources} >= {"board", "gpio", "lines", "ups", "modbus", "cctalk", "lcdm", "mdb", "nmea"}


@pytest.mark.parametrize("kind", [Settings, *(import_module(name).Settings for name in (*SOURCES.values(), *UPLINKS.values()))])
def test_the_example_shows_every_key(kind: Any) -> None:
    text = EXAMPLE.read_text()
    rule_keys = {field.name.rstrip("_") for each in (Rule, Condition) for field in dataclasses.fields(each)}  # docs/rules.md
    for key in keys_of(kind, set()) - rule_keys - {"settings"}:
        assert re.search(rf"(^|[\s{{]){key}:", text), f"the example does not show {key}"


def test_a_misspelt_key_of_the_example_is_found(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    number = next(index for index, line in enumerate(lines) if line.startswith("    baud:"))
    lines[number] = lines[number].replace("baud", "buad")
    found = mistakes(tmp_path, "\n".join(lines) + "\n")
    assert [each.split(";")[:2] for each in found] == [[f"{number + 1}: sources[0].buad: unknown key", " did you mean baud?"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "1: is empty; expected settings"),
        ("- a\n- b\n", "1: expected settings (key: value), got a list"),
        ("just words\n", "1: expected settings (key: value), got 'just words'"),
        ("gateway:\n\tid: gw\n", "2: a tab stands where YAML wants spaces; indent with spaces"),
        ("gateway: {id: a\n", "2: "),
        (b"gateway: {id: caf\xe9}\n", "1: holds a byte that is not UTF-8"),
        ("gateway: &a {id: *a}\nmachines: []\n", "1: gateway.id: "),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert any(mistake.startswith(expected) for mistake in mistakes(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        config.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "right", "line", "path", "word"),
    [
        ("gateway", "gatewy", 1, "gatewy", "did you mean gateway?"),
        ("timezone", "timezon", 5, "machines[0].timezon", "did you mean timezone?"),
        ("port: /dev", "prot: /dev", 13, "sources[0].prot", "did you mean port?"),
        ("url: mqtt", "ulr: mqtt", 17, "uplinks[0].ulr", "did you mean url?"),
        ("currency", "curency", 8, "machines[0].cassettes.unit1.curency", "did you mean currency?"),
    ],
)
def test_a_misspelt_key_names_line_key_and_the_right_spelling(
    tmp_path: Path, wrong: str, right: str, line: int, path: str, word: str
) -> None:
    found = mistakes(tmp_path, GOOD.replace(wrong, right, 1))
    assert any(each.startswith(f"{line}: {path}: unknown key") and word in each for each in found), found


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("Europe/Berlin", "Europe/Berln", 5, "machines[0].timezone: expected a name such as Europe/Berlin"),
        ("mon-fri", "mon-fry", 6, "machines[0].hours[0]"),
        ("06:00-22:00", "22:00-06:00", 6, "machines[0].hours[0]"),
        ("value: 2000", "value: 20.00", 8, "machines[0].cassettes.unit1.value: expected a whole number, got '20.00'"),
        ("value: 2000", "value: -5", 8, "machines[0].cassettes"),
        ("unit1:", "cassette1:", 8, "machines[0].cassettes"),
        ("cassettes:", "bins: {unit1: 5000}\n    cassettes:", 7, "machines[0].bins: unit1 is a cassette already"),
        (
            "cassettes:",
            "bins: {unit9: 0}\n    cassettes:",
            7,
            "machines[0].bins: unit9 needs the positive value of its dearest note",
        ),
        (
            "cassettes:",
            "bins: {reject: 5000}\n    cassettes:",
            7,
            "machines[0].bins: expected units named unit1, unit2 …, got 'reject'",
        ),
        ("kind: board", "kind: bord", 11, "sources[0].kind: expected one of board, "),
        ("machine: ATM-1", "machine: ATM-2", 12, "sources[0].machine: no machine 'ATM-2' is configured; known are ATM-1"),
        ("id: gw-1", "id: gw 1", 2, "gateway.id: expected a name of letters"),
        ("id: gw-1", "id: ATM-1", 2, "gateway.id: is the id of a machine too"),
        ("    port: /dev/ttyUSB0\n", "", 10, "sources[0].port: is missing"),
        ("mqtt://127.0.0.1", "mqtt://broker.example", 17, "uplinks[0].url"),
    ],
)
def test_a_wrong_value_says_what_would_be_right(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(old, new, 1))
    assert any(each.startswith(f"{line}: {message}") or each.split(": ")[1].startswith(message) for each in found), found


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("Europe/Berlin", "nowhere").replace("kind: board", "kind: bord").replace("id: gw-1", "id: gw 1")
    text += "forward: {summaries: 7s, readings: sometimes}\nstore: {budget: 3}\n"
    found = "\n".join(mistakes(tmp_path, text))
    for path in (
        "gateway.id",
        "machines[0].timezone",
        "sources[0].kind",
        "forward.summaries",
        "forward.readings",
        "store.budget",
    ):
        assert path in found


def test_a_key_given_twice_names_both_lines(tmp_path: Path) -> None:
    found = mistakes(tmp_path, GOOD + "gateway: {id: other}\n")
    assert any("gateway: is given twice, first in line 1" in each for each in found)


def test_names_are_given_once(tmp_path: Path) -> None:
    second = GOOD.split("sources:\n")[1].split("uplinks:", maxsplit=1)[0]
    found = mistakes(tmp_path, GOOD.replace("uplinks:", second + "uplinks:"))
    assert any("sources[1].name: 'board' is taken" in each for each in found)


@pytest.mark.parametrize("text", ["10", "ten s", "10 parsecs", "-5s"])
def test_a_duration_has_a_unit(tmp_path: Path, text: str) -> None:
    found = mistakes(tmp_path, GOOD + f"store: {{commit_interval: {text}}}\n")
    assert any("expected a duration such as" in each for each in found)


def test_words_of_yaml_1_1_stay_words(tmp_path: Path) -> None:
    """`on` is a boolean to YAML 1.1 and a word to XFS4IoT."""
    path = tmp_path / "config.yaml"
    rule = "{rule: heat, class: SECURITY, severity: 3, when: [{point: auxiliaries.heatSensor, is: on}]}"
    path.write_text(GOOD + f"rules: {{own: [{rule}]}}\n")
    assert config.load(path).rules.own[0].when[0].is_ == ("on",)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{point: auxiliaries.safeDor, is: open}", "did you mean auxiliaries.safeDoor?"),
        ("{point: auxiliaries.safeDoor, is: ajar}", "has no word 'ajar'; it has closed, open"),
        ("{point: auxiliaries.safeDoor, above: 3}", "gives words (closed, open, locked, bolted, tampered) and no number"),
        ("{point: transaction.count, grows: 3, per: transaction.cont, ratio: 1}", "did you mean transaction.count"),
        ("{point: auxiliaries.safeDoor}", "needs exactly one test"),
        ("{point: motion.tilt_deg, above: 5, below: 3}", "needs exactly one test"),
    ],
)
def test_rules_name_points_and_words_that_exist(tmp_path: Path, rule: str, message: str) -> None:
    text = GOOD + f"rules: {{own: [{{rule: x, class: FAULT, severity: 2, when: [{rule}]}}]}}\n"
    assert any(message in each for each in mistakes(tmp_path, text))


def test_a_file_that_would_grow_without_bound_is_refused(tmp_path: Path) -> None:
    """The billion laughs: a few lines of aliases of aliases."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    deep = "rules: {disable: " + "*a8}\n"
    found = mistakes(tmp_path, "\n".join(lines) + "\n" + deep + GOOD)
    assert found


@pytest.mark.parametrize(
    "text", ["[" * 50_000, "gateway: " + "{id: " * 50_000, "- " * 50_000, "? " * 50_000, "[" * 200 + "]" * 200]
)
def test_a_file_that_nests_without_bound_is_refused(tmp_path: Path, text: str) -> None:
    """Composing it would take the process with it: the binding of libyaml recurses in C."""
    (found,) = mistakes(tmp_path, text)
    assert "nests more than" in found or "got a list" in found


def test_a_mistake_quotes_no_more_than_people_read(tmp_path: Path) -> None:
    assert all(len(each) < 700 for each in mistakes(tmp_path, GOOD + f"clean: {{limits: {{{'x' * 1_000}: {'y' * 200_000}}}}}\n"))


def test_the_shipped_rules_are_good() -> None:
    rules = config.shipped_rules()
    assert rules
    assert len({rule.rule for rule in rules}) == len(rules)


def test_a_disabled_rule_is_gone_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    name = config.shipped_rules()[0].rule
    path = tmp_path / "config.yaml"
    path.write_text(GOOD + f"rules: {{disable: [{name}]}}\n")
    assert name not in {rule.rule for rule in config.rules(config.load(path).rules)}
    found = mistakes(tmp_path, GOOD + f"rules: {{disable: [{name}x]}}\n")
    assert any(f"did you mean {name}?" in each for each in found)


def with_sources(*sources: str) -> str:
    """The good configuration with more sources, one a line."""
    return GOOD.replace("uplinks:", "".join(f"  - {{machine: ATM-1, {each}}}\n" for each in sources) + "uplinks:")


def test_devices_that_are_asked_share_a_port_and_agree_on_its_line(tmp_path: Path) -> None:
    climate = "name: climate, kind: modbus, port: /dev/ttyUSB2, unit: 1, map: xy-md02"
    meter = "name: meter, kind: modbus, port: /dev/ttyUSB2, unit: 2, map: sdm120"
    path = tmp_path / "config.yaml"
    path.write_text(with_sources(climate, meter))
    assert len(config.load(path).sources) == 3
    assert mistakes(tmp_path, with_sources(climate, meter + ", baud: 2400, parity: even")) == [
        "15: sources[2].baud: 2400, but 9600 at source climate (line 14); on one port all have the same",
        "15: sources[2].parity: even, but none at source climate (line 14); on one port all have the same",
    ]


@pytest.mark.parametrize(
    ("source", "key", "port", "other", "line"),
    [
        ("kind: id003, port: /dev/ttyUSB0", "port", "/dev/ttyUSB0", "board", 13),
        ("kind: id003, port: /dev/ttyUSB9, host_port: /dev/ttyUSB2", "host_port", "/dev/ttyUSB2", "meter", 14),
        ("kind: modbus, map: xy-md02, port: /dev/ttyUSB0", "port", "/dev/ttyUSB0", "board", 13),
        ("kind: lcdm, port: /dev/ttyUSB2", "port", "/dev/ttyUSB2", "meter", 14),
    ],
)
def test_a_port_has_one_owner(tmp_path: Path, source: str, key: str, port: str, other: str, line: int) -> None:
    meter = "name: meter, kind: modbus, port: /dev/ttyUSB2, map: sdm120"
    (mistake,) = mistakes(tmp_path, with_sources(meter, f"name: last, {source}"))
    assert mistake.startswith(f"15: sources[2].{key}: {port} is taken by source {other} (line {line}); a port has one owner")


def test_a_pin_has_one_source(tmp_path: Path) -> None:
    doors, shocks = (
        f"name: {name}, kind: gpio, contacts: [{{pin: 17, point: auxiliaries.{point}}}]"
        for name, point in (("doors", "safeDoor"), ("shocks", "cabinetDoor"))
    )
    assert mistakes(tmp_path, with_sources(doors, shocks)) == [
        "15: sources[2].contacts: pin 17 is taken by source doors (line 14); a pin has one contact"
    ]
    path = tmp_path / "config.yaml"
    path.write_text(with_sources(doors, shocks + ", pin_factory: sim:/run/pins"))
    assert len(config.load(path).sources) == 3
