"""A backup of a running agent, and another box that goes on from it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from agent.records import Alarm, Reading
from tests.end_to_end.board import CountingBoard
from tests.end_to_end.site import REPOSITORY, Site, coap_uplink, free_udp_port, identities, until


def atm_agent(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)


def audited(site: Site) -> list[tuple[str, object]]:
    """What the trail says."""
    return [(each.body.rule, each.body.value) for each in site.stored() if isinstance(each.body, Alarm)]


def test_another_box_goes_on_without_a_record_lost_or_sent_as_new_again(site: Site, tmp_path: Path) -> None:
    port = free_udp_port()
    secret, file = tmp_path / "passphrase", tmp_path / "gw.atmbackup"
    secret.write_text("correct horse battery\n")
    config = site.configure([coap_uplink(port)])
    with CountingBoard(site.board, 90) as board:
        site.receiver("coap", "--bind", f"127.0.0.1:{port}")
        agent = site.agent(config)
        until(lambda: len(site.arrived()) > 20, agent)  # some is delivered …
        site.close()
        agent = site.agent(config)
        until(lambda: len(board.acknowledged) >= 60, agent)  # … and some waits
        done = atm_agent("backup", "--passphrase-file", secret, config, file)
        assert done.returncode == 0, done.stderr
        agent.stop(signal.SIGKILL)  # the box is lost, with what came after
    saved = {each for each in site.stored() if isinstance(each.body, Reading) and each.body.point == "transaction.count"}
    assert b"transaction" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("store-snapshot-*"))

    other = Site(tmp_path / "other")
    other.room.mkdir()
    text = json.loads(config.read_text())
    text["gateway"]["runtime"] = str(other.room)
    text["store"]["path"] = str(other.store)
    new = other.room / "config.yaml"
    new.write_text(json.dumps(text))
    assert atm_agent("restore", "--passphrase-file", secret, "--keep-config", file, new).returncode == 0
    again = atm_agent("restore", "--passphrase-file", secret, "--keep-config", file, new)
    assert again.returncode == 1
    assert "exists; nothing was restored" in again.stderr
    restored = other.stored()
    before = {each.epoch for each in restored}
    assert identities(restored) <= identities(list(site.stored()))
    try:
        files = tmp_path / "files"
        site.receiver("coap", "--bind", f"127.0.0.1:{port}", "--files", str(files))
        agent = other.agent(new)
        until(lambda: sum((other.status() or {})["backlog"].values()) == 0, agent)
        until(lambda: {each.epoch for each in site.arrived()} - before, agent)
        done = atm_agent("backup", "--send", "--passphrase-file", secret, new)
        assert done.returncode == 0, done.stderr
        until(lambda: list(files.glob("gw/*.atmbackup")), agent)
        until(lambda: ("audit.backup", "delivered") in audited(other), agent)
        assert agent.stop() == 0
    finally:
        other.close()
        site.close()
    third = tmp_path / "third.yaml"
    third.write_text(new.read_text().replace(str(other.room), str(tmp_path / "third")))
    (received,) = files.glob("gw/*.atmbackup")
    assert atm_agent("restore", "--passphrase-file", secret, "--keep-config", received, third).returncode == 0
    assert (tmp_path / "third" / "store" / "state.journal").exists()
    arrived = site.arrived()
    assert identities(restored) <= identities(arrived)
    bodies: dict[tuple[str, str, int], object] = {}
    for each in arrived:
        assert bodies.setdefault((each.epoch, each.lane, each.position), each.body) == each.body
    old = max(each.position for each in restored if each.lane == "readings")
    fresh = [each.position for each in other.stored() if each.epoch not in before and each.lane == "readings"]
    assert all(position > old for position in fresh)
    assert len({each.body for each in saved}) == len(saved)
