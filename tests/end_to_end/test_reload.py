"""Another configuration for a running agent: what changed begins again, what did not goes on, and no EVENT is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.records import Alarm, Reading
from tests.end_to_end.board import CountingBoard
from tests.end_to_end.site import REPOSITORY, Site, coap_uplink, free_udp_port, until


def reload(config: Path, runtime: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`runtime`: what systemd tells a command of the unit (RUNTIME_DIRECTORY)."""
    command = [sys.executable, "-m", "agent", "reload", str(config)]
    environment = os.environ | ({"RUNTIME_DIRECTORY": str(runtime)} if runtime is not None else {})
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, env=environment, check=False)


def rewrite(config: Path, **more: Any) -> None:
    """Put it in place whole, as an editor does."""
    draft = config.with_suffix(".new")
    draft.write_text(json.dumps(json.loads(config.read_text()) | more))
    os.replace(draft, config)


def counted(site: Site) -> set[int]:
    readings = (each.body for each in site.stored() if isinstance(each.body, Reading))
    return {int(each.value) for each in readings if each.point == "transaction.count" and isinstance(each.value, int | float)}


def audited(site: Site) -> list[tuple[str, Any]]:
    alarms = (each.body for each in site.stored() if isinstance(each.body, Alarm))
    return [(alarm.rule, alarm.value) for alarm in alarms if alarm.rule.startswith("audit.configuration")]


def test_rules_source_and_uplink_change_under_load_and_no_event_is_lost(site: Site) -> None:
    first, second = free_udp_port(), free_udp_port()
    config = site.configure([coap_uplink(first)])
    with CountingBoard(site.board, 150) as board:
        agent = site.agent(config)
        until(lambda: len(board.acknowledged) >= 30, agent)
        rewrite(config, rules={"disable": ["lineErrors"]}, clean={"silent_after": "2m"})
        done = reload(config)
        assert (done.returncode, done.stdout.strip()) == (0, "rules, cleaning or windows: changed")
        until(lambda: len(board.acknowledged) >= 60, agent)
        source = {"name": "board", "kind": "board", "machine": "ATM", "port": str(site.board), "silent_after": "20s"}
        rewrite(config, sources=[source], uplinks=[coap_uplink(second)])
        done = reload(config)
        assert done.stdout.splitlines() == ["source board: changed", "uplink platform: changed"], done.stderr
        site.receiver("coap", "--bind", f"127.0.0.1:{second}")
        until(lambda: len(board.acknowledged) == 150, agent)
        until(lambda: (site.status() or {})["uplinks"].get("platform") == "up", agent)
        assert agent.stop() == 0
    assert counted(site) == set(range(150))
    assert audited(site) == [("audit.configuration", "applied")] * 2


def test_a_broken_file_is_refused_with_its_mistakes_and_the_agent_goes_on(site: Site) -> None:
    config, good = site.configure([coap_uplink(9)]), site.room / "good.yaml"
    agent = site.start("agent.log", "agent", "run", "--good", str(good), str(config))
    until(lambda: site.status() is not None, agent)
    right = config.read_text()
    assert good.read_text() == right
    rewrite(config, forward={"summaries": "7s"})
    agent.running.send_signal(signal.SIGHUP)
    until(lambda: "forward.summaries: expected a length" in agent.says(), agent)
    until(lambda: audited(site) == [("audit.configuration", "refused")], agent)
    assert site.point("gateway.configuration", "gw") == "refused"
    config.write_text("gateway: [")
    done = reload(config, site.room)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"{config}:")
    until(lambda: audited(site) == [("audit.configuration", "refused")] * 2, agent)
    assert f"configuration refused by uid {os.geteuid()}: {config}:" in agent.says()
    other = config.with_name("other.yaml")
    other.write_text("gateway: [")
    config.write_text(right)
    assert reload(other, site.room).returncode == 78, "the agent's own file is good, and the one that was named is not"
    assert reload(other, site.room / "nowhere").stderr.startswith(f"{other}:"), "no agent answers, and the mistake is told"
    rewrite(config, store={"path": str(site.room / "elsewhere")})
    done = reload(config)
    assert done.returncode == 78
    assert "store.path: cannot change while the agent runs; restart it" in done.stderr
    config.write_text(right)
    assert reload(config).stdout.strip() == "nothing has changed"
    assert good.read_text() == right
    assert agent.stop() == 0


def test_a_start_with_a_broken_file_is_78_unless_the_last_good_is_asked_for(site: Site) -> None:
    config, good = site.configure([coap_uplink(9)]), site.room / "good.yaml"
    good.write_text(config.read_text())
    rewrite(config, gateway={"id": "no spaces allowed", "runtime": str(site.room)})
    agent = site.start("agent.log", "agent", "run", "--good", str(good), str(config))
    assert agent.running.wait(60) == 78
    assert f"the last that worked is {good}; --fall-back starts with it" in agent.says()
    agent = site.start("agent.log", "agent", "run", "--good", str(good), "--fall-back", str(config))
    until(lambda: site.point("gateway.configuration", "gw") == "lastGood", agent)
    assert "the file is broken, and the last that worked is used" in agent.says()
    assert agent.stop() == 0
