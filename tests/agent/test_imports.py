"""A gateway loads what its configuration names and nothing else: memory is what a small board has least of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import sys
from agent import config, rooms
from agent.cli import main, run
from agent.app import Agent
settings = config.load(sys.argv[1])
for name in rooms.machines(settings):
    rooms.pipeline(name, settings)
for ways in settings.ways().values():
    rooms.uplink(ways, "gw", print, float, float, None)
print(*sorted(sys.modules))
"""
NEVER = {
    "agent.analysis.holidays", "agent.backup", "agent.control.desk", "agent.receive", "agent.scoring", "agent.sources.board",
    "agent.sources.simulated_pins", "agent.uplinks.failover", "agent.web.server", "aiohttp", "cryptography",
    "gpiozero", "numpy", "onnxruntime", "pymodbus", "pynmeagps", "serial", "zoneinfo",
}  # fmt: skip
PAHO, AIOCOAP = {"paho.mqtt.client", "agent.uplinks.mqtt"}, {"aiocoap", "agent.uplinks.coap"}


@pytest.mark.parametrize(
    ("kind", "own", "others"), [("mqtt", PAHO, AIOCOAP), ("coap", AIOCOAP, PAHO | {"agent.uplinks.coap_tls"})]
)
def test_only_what_is_configured_is_imported(tmp_path: Path, kind: str, own: set[str], others: set[str]) -> None:
    uplink = {"name": "platform", "kind": kind, "url": f"{kind}://127.0.0.1"}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"gateway": {"id": "gw"}, "machines": [{"id": "ATM"}], "uplinks": [uplink]}))
    done = subprocess.run([sys.executable, "-c", OPEN, str(file)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert own <= loaded
    assert not (NEVER | others) & loaded
