"""The agent as systemd sees it: what it says over the notify socket, and that no file of its state keeps it from starting."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.app import Agent
from agent.clock import SystemClock
from agent.config.file import ConfigurationFile
from agent.outgoing import Manifest, outgoing_of, write_manifest
from agent.quiet import Quiet
from agent.records import Loss
from agent.status import statuses
from agent.store.history import history
from tests.end_to_end.site import REPOSITORY, Site, as_nobody, coap_uplink, mqtt_uplink, until


def test_ready_watchdog_reloading_and_stopping_are_told(site: Site) -> None:
    file = site.configure([coap_uplink(9)])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(site.room / "notify"))
        manager.settimeout(60)
        environment = os.environ | {"NOTIFY_SOCKET": str(site.room / "notify"), "WATCHDOG_USEC": "300000"}
        command = [sys.executable, "-m", "agent", "run", str(file)]
        agent = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
        try:
            assert manager.recv(1000) == b"READY=1"
            assert manager.recv(1000) == b"WATCHDOG=1"
            agent.send_signal(signal.SIGHUP)
            told = next(told for told in iter(lambda: manager.recv(1000), b"") if told != b"WATCHDOG=1")
            first, second = told.split(b"\n")
            assert first == b"RELOADING=1"
            assert int(second.removeprefix(b"MONOTONIC_USEC=")) > 0
            assert next(told for told in iter(lambda: manager.recv(1000), b"") if told != b"WATCHDOG=1") == b"READY=1"
            agent.terminate()
            assert next(told for told in iter(lambda: manager.recv(1000), b"") if told != b"WATCHDOG=1") == b"STOPPING=1"
            assert agent.wait(60) == 0
        finally:
            agent.kill()
            agent.wait()


def test_an_end_does_not_wait_for_a_disk_that_takes_nothing(site: Site) -> None:
    file = site.configure([])
    command = [sys.executable, "-m", "agent", "run", str(file)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as agent:
        try:
            until(site.status)
            resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            until(lambda: (site.status() or {})["store"] == "full")
            agent.terminate()
            assert agent.wait(60) == 0
        finally:
            agent.kill()


async def life(file: Path) -> None:
    """One agent in this process: until it answers, then its orderly end."""
    copies = ConfigurationFile(file, file.with_name("good.yaml"))
    agent = Agent(copies.read(), SystemClock(), Quiet(), copies)
    running = asyncio.create_task(agent.run())
    try:
        while not running.done():
            try:
                async for _ in statuses(file.parent):
                    break
                break
            except OSError:
                await asyncio.sleep(0.01)
        agent._audit.event("test", "done", "this test")
        agent._stop.set()
        assert await running == 0
    finally:
        running.cancel()


SPOILINGS: dict[str, Callable[[Path], object]] = {
    "corrupted": lambda file: file.write_bytes(file.read_bytes()[:40] + b"\xff" * 60 + file.read_bytes()[100:]),
    "emptied": lambda file: file.write_bytes(b""),
    "replaced": lambda file: file.write_bytes(os.urandom(file.stat().st_size)),
    "removed": lambda file: file.unlink(),
}


@pytest.mark.parametrize("spoiling", SPOILINGS)
async def test_no_file_of_the_state_keeps_the_agent_from_starting(
    site: Site, spoiling: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = site.configure([mqtt_uplink(9)], sources=[])
    await life(file)
    for name in ("alarms/0000000000000001.journal", "summaries/0000000000000001.journal", "dead/0000000000000001.journal",
                 "state.journal"):  # fmt: skip
        before = len(list(history(site.store)))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            SPOILINGS[spoiling](site.store / name)
            held = before - len(list(history(site.store)))
            await life(file)
            await life(file)
        losses = [each.body for each in history(site.store) if isinstance(each.body, Loss)]
        assert losses or "was damaged" in caplog.text or not held, f"{name}: nothing was said"
    good, outgoing = file.with_name("good.yaml"), outgoing_of(site.store)
    copies = ConfigurationFile(file, good)
    _, waiting = copies.draft(file.read_text())
    copies.adopt(waiting)
    outgoing.mkdir()
    write_manifest(outgoing, Manifest("gw.atmbackup", 9, "0" * 64))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for name in (good, file.with_name("received.yaml"), outgoing / "manifest.json"):
            SPOILINGS[spoiling](name)
        await life(file)
    assert good.read_bytes() == file.read_bytes(), "it is made anew"
    if spoiling != "removed":
        assert "what the platform sent is lost" in caplog.text


def test_a_file_that_may_not_be_read_is_set_aside(site: Site) -> None:
    own = site.room / "own"
    own.mkdir()
    own.chmod(0o777)
    file = site.configure([], gateway={"id": "gw", "runtime": str(own)}, store={"path": str(own / "store")})
    site.store = own / "store"

    def nobody() -> subprocess.Popen[bytes]:
        log = (site.room / "nobody.log").open("ab")
        with log:
            return subprocess.Popen(as_nobody(site.room, "run", "--good", str(own / "good.yaml"), str(file)), stderr=log)

    def answers() -> bool:
        return (own / "status.sock").exists()

    for _ in range(2):
        agent = nobody()
        try:
            until(answers)
        finally:
            agent.terminate()
            assert agent.wait(60) == 0
        for victim in (*own.rglob("*.journal"), own / "good.yaml"):
            if victim.parent.name == "alarms" or victim.name in ("state.journal", "good.yaml"):
                victim.chmod(0)
                os.chown(victim, 0, 0)
    said = (site.room / "nobody.log").read_text()
    assert said.count("it is set aside as") == 2
    assert "state.journal" in said
    assert "good.yaml: the configuration that works cannot be kept: Permission denied" in said
