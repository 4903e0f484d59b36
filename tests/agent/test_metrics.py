"""The numbers for Prometheus: the format by its description, the dashboard by the names, the little server by its manners."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.errors import ConfigError
from agent.legs import GOOD, Leg, Point, legs
from agent.metrics import METRICS, PREFIX, exposition
from agent.scrape import HEAD_LIMIT, HELD, Page, ScrapeServer, parse

DASHBOARD = Path(__file__).parents[2] / "systemd" / "grafana.json"
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+)')
OWN = {
    "gateway.source.board": "ok", "gateway.line.board.frames": 7, "gateway.line.board.crcErrors": 1,
    "gateway.line.board.garbageBytes": 0,
    "gateway.line.board.timeouts": 0, "gateway.line.board.reconnects": 2, "gateway.line.board.lost": 0,
    "gateway.line.board.roundTrip": 0.01, "gateway.model.risk": "slow", "gateway.modelTime.risk": 0.2, "gateway.store": "ok",
    "gateway.storeBytes": 10, "gateway.flashBytes": 20, "gateway.cardLife": 8.5, "gateway.backlog.alarms": 3,
    "gateway.uplink.platform": "down", "gateway.guardHits": 0, "gateway.logDropped": 1, "gateway.loopLag": 0.0,
    "gateway.clock": "synced", "gateway.memory": 4096,
}  # fmt: skip
LINK = SimpleNamespace(name="platform", word="down", why="no route", delivered=None, accepted=5, rejected=1, guard_hits=0)


def told(**link: Any) -> list[Leg]:
    machine = {"a.b": Point(1.5, 10.0), "a.c": Point(None, 20.0), "machine.inService": Point("inService", 5.0)}
    own = {name: Point(value, 30.0) for name, value in OWN.items()}
    return legs(own, {"ATM": machine}, [SimpleNamespace(**vars(LINK) | link)], {"platform": 3}, 1000.0)


def document() -> dict[str, Any]:
    lanes = {"alarms": 3, "summaries": 0, "readings": 0}
    nasty = 'a"b\\c\nd'
    return {"gateway": "gw", "legs": told(delivered=900.0), "backlog": lanes, "made": lanes, "lost": {"readings": 1},
            "cpu_s": 1.25, "points": {"gw": OWN, "ATM": {"a.b": 1.5, "a.c": None, "door": "open", nasty: 2}}}  # fmt: skip


def test_each_leg_has_a_state_a_time_and_numbers() -> None:
    found = {leg.leg: leg for leg in told()}
    assert list(found) == ["sensors", "line", "pipeline", "model", "store", "uplink", "platform"] == list(GOOD)
    assert (found["sensors"].state, found["sensors"].since, found["sensors"].numbers) == (
        "partly",
        20.0,
        {"points": 2, "mute": 1},
    )
    assert found["line"].good
    assert found["line"].numbers["reconnects"] == 2
    assert (found["model"].state, found["model"].good, found["model"].numbers) == ("slow", False, {"seconds": 0.2})
    assert found["store"].numbers["backlog.alarms"] == 3
    assert (found["uplink"].state, found["uplink"].why) == ("down", "no route")
    assert found["platform"].state == "neverHeard"


@pytest.mark.parametrize(("delivered", "state"), [(999.0, "acknowledging"), (100.0, "silent")])
def test_a_platform_that_takes_nothing_is_silent(delivered: float, state: str) -> None:
    assert {leg.leg: leg for leg in told(delivered=delivered)}["platform"].state == state


def test_every_line_has_prometheus_form_and_every_metric_is_told() -> None:
    names, kinds = set(), {}
    for line in exposition(document(), "0.1").splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds, "a family is told once"
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            names.add(found[1])
    assert names == set(kinds) == {PREFIX + name for name in METRICS}
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())


def test_a_name_from_a_device_cannot_break_the_text() -> None:
    assert r'point="a\"b\\c\nd"} 2.0' in exposition(document(), "0.1")


def test_the_dashboard_and_the_page_know_no_other_names() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = set(re.findall(rf"{PREFIX}[a-z_]+", " ".join(expressions) + json.dumps(dashboard["templating"])))
    assert used <= {PREFIX + name for name in METRICS}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert set(re.findall(rf"`{PREFIX}([a-z_]+)", PAGE.read_text())) == set(METRICS)


async def said(server: ScrapeServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    if not request.endswith(b"\r\n\r\n"):
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_server_answers_and_refuses_in_http() -> None:
    pages = {"/metrics": lambda: Page("200 OK", "x 1\n"), "/healthz": lambda: Page("503 Service Unavailable", "stuck: store\n")}
    async with ScrapeServer("127.0.0.1:0", pages) as server:
        answer = await said(server, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"Content-Length: 4\r\nConnection: close\r\n\r\nx 1\n")
        assert (await said(server, b"GET /healthz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        assert (await said(server, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        for request, status in ((b"POST /metrics HTTP/1.1\r\n\r\n", b"405"), (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"),
                                (b"\x16\x03\x01", b"400"), (b"x" * (HEAD_LIMIT + 10) + b"\r\n\r\n", b"431")):  # fmt: skip
            assert (await said(server, request)).split(b" ")[1] == status
        with pytest.raises(ConfigError, match="name a free port"):
            await ScrapeServer(f"127.0.0.1:{server.port}", pages).__aenter__()


async def test_whoever_holds_connections_open_takes_no_more_than_a_few() -> None:
    async with ScrapeServer("127.0.0.1:0", {}) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(HELD + 1)]
        assert await held[-1][0].read() == b"", "closed unheard"
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9464", "192.168.1.2:9464", "localhost:9464", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ""]
)
def test_only_loopback_is_listened_on(address: str) -> None:
    with pytest.raises(ValueError, match="of this machine alone"):
        parse(address)


def test_loopback_in_both_families() -> None:
    assert parse("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert parse("[::1]:9464") == ("::1", 9464)
