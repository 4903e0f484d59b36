from __future__ import annotations

import logging

from agent.records import Reading
from agent.sources import Context
from agent.sources.health import Health

CONTEXT = Context("ups", "atm-1", "gateway-1", lambda: 0.0)


def test_nothing_is_said_about_a_state_that_is_not_known():
    health = Health(CONTEXT, dict)
    assert health.due(at=100.0, mono=0.0) == []


def test_a_state_is_said_at_each_change_and_every_minute():
    health = Health(CONTEXT, dict)
    said = []
    for second in range(200):
        if second in (5, 70):
            health.turn("missing")
        if second in (68, 90):
            health.turn("ok")
        said += [(second, reading.value) for reading in health.due(at=1000.0 + second, mono=float(second))]
    assert said == [(5, "missing"), (65, "missing"), (68, "ok"), (70, "missing"), (90, "ok"), (150, "ok")]


def test_counters_come_with_a_change_and_every_ten_seconds():
    counts = {"frames": 0, "crcErrors": 0}
    health = Health(CONTEXT, lambda: counts)
    said = []
    for second in range(35):
        counts["frames"] = second
        if second == 23:
            health.turn("silent")
        said += [(second, reading.value) for reading in health.due(1000.0, float(second)) if reading.point.endswith("frames")]
    assert said == [(0, 0), (10, 10), (20, 20), (23, 23), (33, 33)]


def test_names_and_times():
    health = Health(CONTEXT, lambda: {"lost": 3})
    health.turn("ok")
    assert health.due(at=1234.5, mono=7.0) == [
        Reading("gateway-1", "gateway.source.ups", "ok", 1234.5),
        Reading("gateway-1", "gateway.line.ups.lost", 3, 1234.5),
    ]


def test_a_change_is_logged_once_with_its_reason(caplog):
    caplog.set_level(logging.INFO)
    health = Health(CONTEXT, dict)
    for _ in range(3):
        health.turn("denied", "it belongs to group dialout")
    health.turn("ok")
    assert [record.getMessage() for record in caplog.records] == [
        "source ups: denied: it belongs to group dialout",
        "source ups: ok",
    ]
