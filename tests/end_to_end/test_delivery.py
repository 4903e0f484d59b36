"""The main job, with real parts: a board on a pseudo terminal, the agent as a process, real servers, real kills."""

from __future__ import annotations

import signal

import pytest

from agent.records import Reading, Summary
from tests.end_to_end.board import CountingBoard, Lines
from tests.end_to_end.site import Site, coap_uplink, free_udp_port, identities, mqtt_uplink, until
from tests.servers import libcoap, mosquitto, running

POWER_IN = 30  # powerManagement.powerInStatus


def counted(site: Site) -> set[float]:
    """The numbers of the board's EVENTs that have arrived."""
    readings = (each.body for each in site.arrived() if isinstance(each.body, Reading))
    return {int(body.value) for body in readings if body.point == "transaction.count" and isinstance(body.value, int | float)}


def test_a_simulated_machine_reaches_mosquitto(site: Site) -> None:
    with running(mosquitto(site.room)) as broker:
        site.receiver("mqtt", f"mqtt://127.0.0.1:{broker.port}")
        site.machine("--scenario", "normal_week", "--skip", "12h", "--seed", "3")
        agent = site.agent(site.configure([mqtt_uplink(broker.port)]))
        until(lambda: any(isinstance(each.body, Summary) and each.body.machine == "ATM" for each in site.arrived()), agent)
        assert agent.stop() == 0
        assert identities(site.stored()) <= identities(site.arrived())


def test_a_simulated_machine_reaches_libcoap(site: Site) -> None:
    with running(libcoap(site.room, "-d", "100")) as server:
        site.machine("--scenario", "normal_week", "--skip", "12h", "--seed", "3")
        agent = site.agent(site.configure([coap_uplink(server.port)]))
        until(lambda: (site.status() or {})["uplinks"].get("platform") == "up" and len(site.stored()) > 20, agent)
        until(lambda: sum((site.status() or {})["backlog"].values()) == 0, agent)
        assert agent.stop() == 0


@pytest.mark.parametrize("line", ["lossy", "byte_at_a_time", "babbling", "stalling", "cut"])
def test_a_bad_line_loses_no_sense(site: Site, line: str) -> None:
    """Over each bad line the machine is still heard, and nothing but its words and numbers comes through."""
    port = free_udp_port()
    site.receiver("coap", "--bind", f"127.0.0.1:{port}")
    site.machine("--scenario", "normal_week", "--skip", "12h", "--line", line)
    agent = site.agent(site.configure([coap_uplink(port)]))
    until(lambda: site.point("auxiliaries.safeDoor") is not None, agent)
    until(lambda: any(isinstance(each.body, Reading) and each.body.machine == "ATM" for each in site.arrived()), agent)
    assert agent.stop() == 0
    readings = [each.body for each in site.arrived() if isinstance(each.body, Reading)]
    assert all(body.reason not in ("unknownPoint", "unknownWord", "notANumber") for body in readings)


def test_a_kill_in_an_outage_costs_no_event_and_nothing_that_was_committed(site: Site) -> None:
    """The platform goes away, the agent is killed twice, the platform comes back: it has what was committed, each once."""
    port = free_udp_port()
    config = site.configure([coap_uplink(port)])
    platform = site.receiver("coap", "--bind", f"127.0.0.1:{port}")
    with CountingBoard(site.board, 120) as board:
        agent = site.agent(config)
        until(lambda: counted(site), agent)
        platform.stop(signal.SIGKILL)
        until(lambda: len(board.acknowledged) >= 40, agent)
        agent.stop(signal.SIGKILL)
        agent = site.agent(config)
        until(lambda: len(board.acknowledged) >= 80, agent)
        agent.stop(signal.SIGKILL)
        committed = identities(site.stored())
        site.receiver("coap", "--bind", f"127.0.0.1:{port}")
        agent = site.agent(config)
        until(lambda: counted(site) >= set(range(120)), agent)
        assert agent.stop() == 0
    arrived = identities(site.arrived())
    assert committed <= arrived
    assert arrived == identities(site.stored())
    assert len(arrived) == len(site.arrived()), "something was written down twice"


def test_a_broker_that_is_away_through_a_kill_gets_everything_that_was_committed(site: Site) -> None:
    """200 readings a second on a line, a boot without a broker, kill -9 in the middle, and then mosquitto is there."""
    fields = {f"c{index}": {"point": f"auxiliaries.sensor.c{index}"} for index in range(20)}
    lines = {"name": "lines", "kind": "lines", "machine": "ATM", "port": str(site.board), "fields": fields}
    broker = mosquitto(site.room)
    config = site.configure([mqtt_uplink(broker.port, unheard="keep", longest_pause="500ms")], sources=[lines])
    with Lines(site.board) as device:
        agent = site.agent(config)
        until(lambda: device.said >= 20 and len(site.stored()) >= 200, agent)
        agent.stop(signal.SIGKILL)
        committed = identities(site.stored())
        agent = site.agent(config)
        until(lambda: len(site.stored()) >= len(committed) + 200, agent)
        with running(broker):
            site.receiver("mqtt", f"mqtt://127.0.0.1:{broker.port}")
            device.hush()
            until(lambda: committed <= identities(site.stored()) <= identities(site.arrived()), agent)
            assert agent.stop() == 0
            until(lambda: identities(site.stored()) <= identities(site.arrived()))
    assert identities(site.arrived()) == identities(site.stored())


def test_while_the_power_fails_nothing_waits_for_company(site: Site) -> None:
    """The board's window is 8 EVENTs and the commit interval ten seconds: 120 of them would take minutes."""
    store = {"path": str(site.store), "commit_interval": "10s", "free_floor": "1MiB"}
    agent = site.agent(site.configure([], store=store))
    with CountingBoard(site.board, 120, {POWER_IN: "noPower"}) as board:
        until(lambda: len(board.acknowledged) == 120, agent)
    assert "the power fails" in agent.says()
    assert agent.stop() == 0


def test_a_kill_between_two_windows_goes_on_with_the_open_one(site: Site) -> None:
    """A window that was open when the agent was killed says which share of it was observed."""
    port = free_udp_port()
    site.receiver("coap", "--bind", f"127.0.0.1:{port}")
    config = site.configure([coap_uplink(port)], forward={"summaries": "3s", "readings": "none"})
    site.machine("--scenario", "normal_week", "--skip", "12h")
    agent = site.agent(config)
    until(lambda: site.point("auxiliaries.safeDoor") is not None, agent)
    agent.stop(signal.SIGKILL)
    agent = site.agent(config)

    def summaries() -> list[Summary]:
        return [each.body for each in site.arrived() if isinstance(each.body, Summary) and each.body.machine == "ATM"]

    until(lambda: len(summaries()) >= 2, agent)
    assert agent.stop() == 0
    assert all(0.0 <= each.observed <= 1.0 for each in summaries())
    assert any(each.observed < 1.0 for each in summaries())
    ends = [each.end for each in summaries()]
    assert len(ends) == len(set(ends)), "a window was told twice"
