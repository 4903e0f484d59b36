"""Models in the running agent: what is learned there, what is ordered and installed while it runs, what a kill costs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from agent.records import Summary
from agent.scoring.trust import sha256
from tests.end_to_end.site import REPOSITORY, Process, Site, until

START = 1_741_651_200.0  # 2025-03-11, a Tuesday
SPEED = 60.0
ROWS = 800
FEATURES = ["mean(environment.temperature_c,60s)", "max(motion.tilt_deg,60s)", "mean(powerManagement.inputVoltage_v,60s)"]


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "model", *map(str, words)],
        capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False,
    )  # fmt: skip


@pytest.fixture
def config(site: Site) -> Path:
    """A machine whose world runs fast, and two models of which one learns what is usual in minutes of its time."""
    models = [
        {"name": "attack_risk", "budget": "1s"},
        {"name": "anomaly", "every": "1s", "window": f"{ROWS}s", "features": FEATURES, "budget": "1s"},
    ]
    return site.configure([], models=models, forward={"summaries": "60s"})


def agent(site: Site, config: Path, anchor: float) -> Process:
    clock = ("--clock-start", str(START), "--clock-anchor", str(anchor), "--clock-speed", str(SPEED))
    process = site.start("agent.log", "agent", "run", str(config), *clock)
    until(lambda: site.status() is not None, process)
    return process


def learned(site: Site) -> float:
    found = site.point("model.anomaly.learned")
    return 0.0 if found is None else float(found)


def model_id(site: Site, name: str = "attack_risk") -> str:
    status = site.status()
    assert status is not None
    return str(status["models"].get(name, {}).get("id", ""))


def test_a_machine_is_learned_over_a_kill_scored_and_commissioned_again(site: Site, config: Path) -> None:
    anchor = time.time()
    world = ("--scenario", "normal_week", "--start", "2025-03-10T23:00:00+00:00", "--skip", "1h")
    site.machine(*world, "--anchor", str(anchor), "--speed", str(SPEED))
    running = agent(site, config, anchor)
    starting = time.time() - anchor
    until(lambda: learned(site) > 0.2, running)
    killed = time.time()
    running.stop(signal.SIGKILL)
    running = agent(site, config, anchor + time.time() - killed + starting)  # as if it had taken no time to start it again
    until(lambda: learned(site) > 0, running)
    assert learned(site) >= 0.16  # 160 rows are two whole chunks
    until(lambda: site.point("model.anomaly.score") is not None, running)
    assert site.point("gateway.model.anomaly", "gw") == "ok"
    until(lambda: any("anomaly" in (body.scores or {}) for body in summaries(site)), running)
    unknown = command("commission", "anomaly", "--config", config, "--machine", "ATX")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (1, 1)
    ordered = command("commission", "anomaly", "--config", config, "--json")
    assert json.loads(ordered.stdout) == {"name": "anomaly", "machines": ["ATM"]}
    until(lambda: learned(site) < 0.5, running)
    until(lambda: learned(site) > 0.1, running)
    assert running.stop() == 0


def summaries(site: Site) -> list[Summary]:
    return [each.body for each in site.stored() if isinstance(each.body, Summary)]


def test_what_is_installed_is_taken_by_the_running_agent_and_what_is_bad_is_not(site: Site, config: Path) -> None:
    shipped = REPOSITORY / "models" / "attack_risk" / "attack_risk.onnx"
    newer = site.room / "newer.onnx"
    changed = onnx.load(shipped)
    entry = changed.metadata_props[0]
    entry.value = json.dumps({**json.loads(entry.value), "version": "9.9"})
    onnx.save(changed, newer)
    running = agent(site, config, time.time())
    until(lambda: model_id(site).startswith("attack_risk-"), running)
    before = model_id(site)
    cut = site.room / "cut.onnx"
    cut.write_bytes(newer.read_bytes()[:-100])
    refused = command("install", cut, "--sha256", sha256(cut.read_bytes()), "--config", config)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    installed = command("install", newer, "--sha256", sha256(newer.read_bytes()), "--config", config, "--budget", "5", "--shadow")
    assert installed.returncode == 0, installed.stderr
    until(lambda: model_id(site, "attack_risk-shadow").startswith("attack_risk-9.9"), running)
    assert model_id(site) == before
    installed = command("install", newer, "--sha256", sha256(newer.read_bytes()), "--config", config, "--budget", "5")
    assert installed.returncode == 0, installed.stderr
    until(lambda: model_id(site).startswith("attack_risk-9.9"), running)
    spoil = next((site.room / "store-models" / "attack_risk").glob("9.9-*.onnx"))
    shutil.copy(cut, spoil)
    (spoil.parent / "shelf.json").touch()
    until(lambda: site.point("gateway.model.attack_risk", "gw") in ("ok", "refused"), running)
    assert model_id(site).startswith("attack_risk-9.9")  # what runs goes on
    assert command("rollback", "attack_risk", "--config", config).returncode == 0
    until(lambda: model_id(site) == before, running)
    until(lambda: site.point("gateway.model.attack_risk", "gw") == "ok", running)
