"""What a new configuration changes in a running agent, and what it cannot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.change import LIVE, Change, change
from agent.config.settings import Settings
from agent.errors import ConfigError

BOARD = {"name": "board", "kind": "board", "machine": "A", "port": "/dev/ttyUSB0"}
PLATFORM = {"name": "platform", "kind": "mqtt", "url": "mqtt://127.0.0.1"}
BASE: dict[str, Any] = {"gateway": {"id": "g"}, "machines": [{"id": "A"}, {"id": "B"}], "sources": [BOARD], "uplinks": [PLATFORM]}


def settings(room: Path, **more: Any) -> Settings:
    path = room / "c.yaml"
    path.write_text(json.dumps(BASE | more))
    return config.load(path)


def changed(room: Path, **more: Any) -> Change:
    return change(settings(room), settings(room, **more))


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert changed(tmp_path) == Change()
    assert changed(tmp_path).told() == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"sources": [BOARD | {"baud": 9600}]}, ["source board: changed"]),
        ({"sources": [BOARD | {"name": "other"}]}, ["source board: gone", "source other: new"]),
        ({"machines": [{"id": "A", "timezone": "Asia/Tokyo"}, {"id": "C"}]},
         ["machine B: gone", "machine C: new", "machine A: changed"]),
        ({"models": [{"name": "risk"}]}, ["model risk: new"]),
        ({"uplinks": [PLATFORM | {"batch": 7}]}, ["uplink platform: changed"]),
        ({"clean": {"silent_after": "9m"}}, ["rules, cleaning or windows: changed"]),
        ({"gateway": {"id": "g", "log": "debug"}}, ["log level: changed"]),
        ({"store": {"checkpoint": "1s"}}, []),
    ],
)  # fmt: skip
def test_only_what_differs_is_touched(tmp_path: Path, more: dict[str, Any], told: list[str]) -> None:
    assert changed(tmp_path, **more).told() == told


@pytest.mark.parametrize(
    ("more", "key"),
    [({"gateway": {"id": "h"}}, "gateway.id"), ({"gateway": {"id": "g", "runtime": "/x"}}, "gateway.runtime"),
     ({"store": {"path": "/x"}}, "store.path"), ({"uplinks": []}, "uplinks: the names of the uplinks"),
     ({"uplinks": [PLATFORM, PLATFORM | {"name": "second"}]}, "uplinks: the names of the uplinks")],
)  # fmt: skip
def test_what_needs_a_restart_says_so(tmp_path: Path, more: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: cannot change while the agent runs; restart it"):
        changed(tmp_path, **more)


def test_a_part_of_the_file_that_nobody_thought_of_needs_a_restart() -> None:
    assert {field.name for field in dataclasses.fields(Settings)} >= LIVE
