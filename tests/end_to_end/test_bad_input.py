"""What is wrong from outside: one clear line with the remedy, a word of the gateway where the agent goes on, 78 where not."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
import tty
from pathlib import Path

import pytest

from agent.sources import SOURCES
from tests.end_to_end.site import REPOSITORY, Site, as_nobody, coap_uplink, free_udp_port, mqtt_uplink, until
from tests.servers import mosquitto, mosquitto_password, running

UPLINK = [coap_uplink(9)]  # nobody listens there


def atm_agent(*words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False, **more)  # type: ignore[call-overload,no-any-return]


def test_help_tells_every_command() -> None:
    done = atm_agent("--help")
    assert done.returncode == 0
    for command in ("run", "check", "demo", "receive", "history", "status", "model"):
        assert command in done.stdout


@pytest.mark.parametrize("words", [(), ("fly",), ("check",), ("history", "--from", "yesterday-ish")])
def test_wrong_usage_is_2(words: tuple[str, ...]) -> None:
    assert atm_agent(*words).returncode == 2


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_configuration_is_78_and_one_line_a_mistake(site: Site, command: str) -> None:
    config = site.configure(UPLINK)
    config.write_text(config.read_text().replace('"kind": "board"', '"kind": "bord"'))
    done = atm_agent(command, config)
    assert done.returncode == 78
    known = ", ".join(SOURCES)
    assert done.stderr.strip() == f"{config}:1: sources[0].kind: expected one of {known}; got 'bord'; did you mean board?"


def test_check_touches_nothing(site: Site) -> None:
    config = site.configure(UPLINK, models=[{"name": "none", "file": str(site.room / "none.onnx")}])
    assert atm_agent("check", config).returncode == 0
    assert not site.store.exists()


def test_a_store_that_cannot_be_written_is_78(site: Site) -> None:
    (site.room / "closed").mkdir()
    config = site.configure(UPLINK, store={"path": str(site.room / "closed" / "store")})
    done = subprocess.run(as_nobody(site.room, "run", str(config)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 78, done.stderr
    assert "store.path" in done.stderr
    assert "name a directory that this user may write to" in done.stderr


def test_a_file_in_the_place_of_the_store_is_78(site: Site) -> None:
    (site.room / "file").write_text("")
    done = atm_agent("run", site.configure(UPLINK, store={"path": str(site.room / "file" / "store")}))
    assert done.returncode == 78
    assert "store.path" in done.stderr


def test_a_second_agent_on_the_same_store_is_refused(site: Site) -> None:
    config = site.configure(UPLINK)
    site.agent(config)
    done = atm_agent("run", config)
    assert done.returncode == 1
    assert "in use by another agent" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_port_is_looked_for_until_it_comes(site: Site) -> None:
    agent = site.agent(site.configure(UPLINK))
    until(lambda: site.point("gateway.source.board", "gw") == "missing", agent)
    site.machine("--scenario", "normal_week")
    until(lambda: site.point("gateway.source.board", "gw") == "ok", agent)
    assert "does not exist" in agent.says()


def test_a_port_without_permission_names_the_remedy(site: Site) -> None:
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        os.chmod(os.ttyname(slave), 0o600)
        site.board.symlink_to(os.ttyname(slave))
        own = site.room / "own"
        own.mkdir()
        own.chmod(0o777)
        config = site.configure(UPLINK, gateway={"id": "gw", "runtime": str(own)}, store={"path": str(own / "store")})
        log = site.room / "nobody.log"
        with log.open("wb") as out, subprocess.Popen(as_nobody(site.room, "run", str(config)), stderr=out) as process:
            try:
                until(lambda: "board: denied" in log.read_text())
            finally:
                process.kill()
    finally:
        os.close(master)
        os.close(slave)


def test_a_busy_port_says_so(site: Site) -> None:
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        site.board.symlink_to(os.ttyname(slave))
        hold = "held = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); time.sleep(99)"
        holder = f"import serial, sys, time; {hold}"
        with subprocess.Popen([sys.executable, "-c", holder, str(site.board)], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            agent = site.agent(site.configure(UPLINK))
            until(lambda: site.point("gateway.source.board", "gw") == "busy", agent)
            other.kill()
    finally:
        os.close(master)
        os.close(slave)


def test_noise_on_the_line_is_counted_and_nothing_else(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = {"name": "board", "kind": "board", "machine": "ATM", "port": f"socket://127.0.0.1:{port}"}
        agent = site.agent(site.configure(UPLINK, sources=[source]))
        line, _ = server.accept()
        with line:
            line.sendall(b"hello, is anybody there?\r\n\0" * 50 + b"\x01" * 5000 + b"\0" + b"\x05\x01\x02\x03\x04\0")
        until(lambda: (site.point("gateway.line.board.garbageBytes", "gw") or 0) > 5000, agent)  # told when the line ends
        assert site.status() is not None


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-200]), "refused"),
        (lambda file: file.write_bytes(b"not a model"), "refused"),
        (
            lambda file: file.write_bytes(file.read_bytes().replace(b"cashDispenser.presents", b"cashDispenser.prezents")),
            "refused",
        ),
    ],
)
def test_a_model_that_cannot_be_used_costs_its_scores_and_nothing_else(site: Site, spoil: object, word: str) -> None:
    file = site.room / "model.onnx"
    shutil.copy(REPOSITORY / "models" / "attack_risk" / "attack_risk.onnx", file)
    spoil(file)  # type: ignore[operator]
    site.machine("--scenario", "normal_week", "--skip", "12h")
    agent = site.agent(site.configure(UPLINK, models=[{"name": "attack_risk", "file": str(file)}]))
    until(lambda: site.point("gateway.model.attack_risk", "gw") == word, agent)
    until(lambda: site.point("auxiliaries.safeDoor") is not None, agent)
    until(lambda: any(getattr(each.body, "rule", "") == "modelDown" for each in site.stored()), agent)
    assert str(file) in agent.says()


def test_a_broker_that_refuses_the_password_is_told_and_everything_kept(site: Site) -> None:
    users = mosquitto_password(site.room, gw="right")
    secret = site.room / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    with running(mosquitto(site.room, "allow_anonymous false", f"password_file {users}")) as broker:
        uplink = mqtt_uplink(broker.port, username="gw", password_file=str(secret))
        agent = site.agent(site.configure([uplink]))
        until(lambda: (site.status() or {})["uplinks"].get("platform") == "refused", agent)
        until(lambda: sum((site.status() or {})["backlog"].values()) > 0, agent)
        secret.write_text("right\n")
        until(lambda: (site.status() or {})["uplinks"].get("platform") == "up", agent)


def test_history_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    done = atm_agent("history", "--store", tmp_path / "none")
    assert done.returncode == 1
    assert "there is no store" in done.stderr


def test_history_prints_table_json_and_csv(site: Site) -> None:
    port = free_udp_port()
    site.machine("--scenario", "normal_week", "--skip", "12h")
    agent = site.agent(site.configure([coap_uplink(port)]))
    until(lambda: any("auxiliaries.safeDoor" in getattr(each.body, "points", ()) for each in site.stored()), agent)
    assert agent.stop() == 0
    for form in ((), ("--json",), ("--csv",)):
        done = atm_agent("history", "--store", site.store, "--machine", "ATM", *form)
        assert done.returncode == 0
        assert "auxiliaries.safeDoor" in done.stdout
    assert not atm_agent("history", "--store", site.store, "--machine", "ATM", "--json", "--to", "2001-01-01").stdout
