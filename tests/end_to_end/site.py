"""A gateway for the end-to-end tests: the agent as its own process, a machine on a pseudo terminal, a platform that listens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.records import Envelope
from agent.store.history import history
from tests.servers import HOST, free_port

PATIENCE = 60.0  # s that a condition may take to come true on a busy machine; nothing is asserted of how long it took
REPOSITORY = Path(__file__).parents[2]


class Process:
    """One of our programs, with what it says kept in a file."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        with log.open("ab") as file:
            self.running = subprocess.Popen([sys.executable, "-m", *words], stdout=file, stderr=file, cwd=REPOSITORY)

    def says(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit status."""
        self.running.send_signal(number)
        return self.running.wait(PATIENCE)


class Site:
    """Everything of one test, in its directory."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.board = room / "board"
        self.store = room / "store"
        self.received = room / "received.jsonl"
        self._processes: list[Process] = []

    # Programs -----------------------------------------------------------------------------------------------------------

    def configure(self, uplinks: list[dict[str, Any]], **more: Any) -> Path:
        """Write a configuration with one machine and one board; returns its path."""
        path = self.room / "config.yaml"
        settings = {
            "gateway": {"id": "gw", "runtime": str(self.room), "log": "info"},
            "machines": [{"id": "ATM"}],
            "sources": [{"name": "board", "kind": "board", "machine": "ATM", "port": str(self.board)}],
            "forward": {"summaries": "2s", "readings": "all"},
            "store": {"path": str(self.store), "checkpoint": "1s", "free_floor": "1MiB"},
            "uplinks": uplinks,
        }
        path.write_text(json.dumps(settings | more))
        return path

    def start(self, log: str, *words: str) -> Process:
        process = Process(self.room / log, *words)
        self._processes.append(process)
        return process

    def agent(self, config: Path) -> Process:
        """The agent, ready."""
        process = self.start("agent.log", "agent", "run", str(config))
        until(lambda: self.status() is not None, process)
        return process

    def machine(self, *arguments: str) -> Process:
        """A simulated machine on the pseudo terminal."""
        return self.start("machine.log", "firmware_sim", "--pty", str(self.board), "--forever", *arguments)

    def receiver(self, *way: str) -> Process:
        """The platform's end, ready."""
        ready = self.room / "ready"
        ready.unlink(missing_ok=True)
        files = ("--out", str(self.received), "--ready-file", str(ready), "--json")
        process = self.start("receiver.log", "agent", "receive", *way, *files)
        until(ready.exists, process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.running.poll() is None:
                process.running.kill()
                process.running.wait()

    # What can be seen ---------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any] | None:
        """The agent's status; None while it does not answer."""
        import socket

        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(PATIENCE)
            try:
                channel.connect(str(self.room / "status.sock"))
                with channel.makefile("rb") as lines:
                    return json.loads(lines.readline() or b"null")  # type: ignore[no-any-return]
            except (FileNotFoundError, ConnectionError):
                return None

    def point(self, name: str, machine: str = "ATM") -> Any:
        """The newest value of a point."""
        status = self.status()
        return None if status is None else status["points"].get(machine, {}).get(name)

    def arrived(self) -> list[Envelope]:
        """What the receiver has written down, whole lines only."""
        data = self.received.read_bytes() if self.received.exists() else b""
        return [msgspec.json.decode(line, type=Envelope) for line in data[: data.rfind(b"\n") + 1].splitlines()]

    def stored(self) -> list[Envelope]:
        """What the agent's store holds, delivered or not."""
        return list(history(self.store))


def identities(envelopes: list[Envelope]) -> set[tuple[str, str, int]]:
    return {(each.epoch, each.lane, each.position) for each in envelopes}


def until(true: Callable[[], Any], process: Process | None = None) -> None:
    """Wait for a condition; a process that ends meanwhile, or one that takes for ever, fails the test with its own words."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        words = process.says() if process is not None else ""
        assert process is None or process.running.poll() is None, f"ended at once: {words}"
        assert time.monotonic() < deadline, f"it never became true: {words}"
        time.sleep(0.05)


def coap_uplink(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "platform", "kind": "coap", "url": f"coap://{HOST}:{port}", "ack_timeout": "1s", **more}


def mqtt_uplink(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "platform", "kind": "mqtt", "url": f"mqtt://{HOST}:{port}", "ack_timeout": "2s", **more}


AS_NOBODY = """
import os, sys
import agent.app, agent.sources.board, agent.uplinks.coap, aiocoap.transports.udp6
import concurrent.futures.thread, encodings.idna, encodings.utf_8_sig
from agent.cli import main, parser
parser()
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def as_nobody(room: Path, *words: str) -> list[str]:
    """A command line that runs one of ours without root's rights, which no file permission binds.

    It imports everything first: the interpreter may lie where nobody may look. The room becomes readable for everybody.
    """
    for parent in (room, *room.parents):
        if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
            parent.chmod(parent.stat().st_mode | 0o055)
    return [sys.executable, "-c", AS_NOBODY, *words]


def free_udp_port() -> int:
    import socket

    return free_port(socket.SOCK_DGRAM)
