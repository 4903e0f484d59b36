"""What the agent costs a small board, beside ThingsBoard's gateway from PyPI: memory, idle CPU, start, bytes written.

Both run at once, idle, with no connector, connected to one mosquitto, each with its durable storage on disk (SQLite for
thingsboard-gateway). The starts take turns. A start of the agent ends with READY=1 to a notify socket, one of the other with its
line "Gateway started.". Memory is the resident set (proc(5), statm), CPU the threads' time on a processor (schedstat).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure, main

REFERENCE = "thingsboard-gateway==3.8.5"
NAME = "thingsboard-gateway 3.8.5"
STARTS = 5
SPANS, SPAN = 4, 30.0  # idle spans, and seconds of each
SETTLE = 15.0  # s after the start in which nothing is measured
PATIENCE = 180.0  # s that a start may take on a busy machine
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "atm-agent-benchmarks"
REPOSITORY = Path(__file__).parents[1]
LOADED = (
    "agent.app, agent.cli.run, agent.sources.board, agent.sources.gpio, agent.uplinks.coap, agent.uplinks.mqtt, "
    "agent.scoring.loading, agent.scoring.models, agent.scoring.probe, aiocoap.transports.udp6, gpiozero.pins.mock"
)


def measure(tell: Callable[[str], None]) -> list[Figure]:
    """Start, idle, weigh."""
    CACHE.mkdir(parents=True, exist_ok=True)
    reference = _reference(tell)
    subprocess.run([sys.executable, "-c", f"import {LOADED}"], cwd=REPOSITORY, env=compiled(), check=True)
    with contextlib.ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=CACHE)))
        port = stack.enter_context(_broker(room))
        starters: dict[str, Callable[[], Any]] = {
            "agent": lambda: _agent(_write(room / "agent", _plain(port))),
            "reference": lambda: _thingsboard(reference, room / "reference", port),
        }
        starts: dict[str, list[float]] = {name: [] for name in starters}
        running: dict[str, subprocess.Popen[bytes]] = {}
        for number in range(STARTS):
            tell(f"start {number + 1} of {STARTS}")
            for name in list(starters)[:: 1 if number % 2 else -1]:
                begun = time.perf_counter()
                process = stack.enter_context(starters[name]())
                starts[name].append(time.perf_counter() - begun)
                if number < STARTS - 1:
                    _stop(process)
                running[name] = process
        figures = [_start_figure(starts), *_idle(running, tell)]
        figures += _full(room, port, tell)
    return figures


def _start_figure(starts: dict[str, list[float]]) -> Figure:
    ratios = [ours / theirs for ours, theirs in zip(starts["agent"], starts["reference"], strict=True)]
    return figure("cold_start_vs_reference", ratios, "ratio", NAME, "<= 1.0")


def _idle(running: dict[str, subprocess.Popen[bytes]], tell: Callable[[str], None]) -> list[Figure]:
    """Both do nothing for a while, at the same time."""
    time.sleep(SETTLE)
    cpu: dict[str, list[float]] = {name: [] for name in running}
    memory: dict[str, list[float]] = {name: [] for name in running}
    written: dict[str, list[float]] = {name: [] for name in running}
    for number in range(SPANS):
        tell(f"idle {number + 1} of {SPANS}, {SPAN:g} s")
        before = {name: (_cpu(process), _written(process)) for name, process in running.items()}
        time.sleep(SPAN)
        for name, process in running.items():
            cpu[name].append(_cpu(process) - before[name][0])
            written[name].append((_written(process) - before[name][1]) * 3600 / SPAN)
            memory[name].append(_resident(process))
    both = zip(memory["agent"], memory["reference"], strict=True)
    busy = zip(cpu["agent"], cpu["reference"], strict=True)
    return [
        figure("resident_vs_reference", [ours / theirs for ours, theirs in both], "ratio", NAME, "<= 1.0"),
        figure("resident_idle", memory["agent"], "MB", "none"),
        figure("resident_reference", memory["reference"], "MB", "none"),
        figure("idle_cpu_vs_reference", [ours / theirs for ours, theirs in busy], "ratio", NAME, "<= 0.25"),
        figure("idle_cpu", [100 * each / SPAN for each in cpu["agent"]], "%", "one processor"),
        figure("written_idle_hour", [sum(written["agent"]) / SPANS / 1e6], "MB", "bytes given to the block layer"),
        figure("written_idle_hour_reference", [sum(written["reference"]) / SPANS / 1e6], "MB", NAME),
    ]


def _full(room: Path, port: int, tell: Callable[[str], None]) -> list[Figure]:
    """A board, contacts, both uplinks and a model: every package is in use."""
    tell("with a board, contacts, MQTT, CoAP and a model")
    place = room / "full"
    place.mkdir()
    board = place / "board"
    simulator = subprocess.Popen(
        [sys.executable, "-m", "firmware_sim", "--pty", str(board), "--forever", "--scenario", "normal_week", "--skip", "12h"],
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with _agent(_write(place, _everything(place, board, port))) as process:
            deadline = time.monotonic() + PATIENCE
            while _model_word(place) != "ok" and time.monotonic() < deadline:
                time.sleep(0.5)
            if _model_word(place) != "ok":
                raise RuntimeError("the model never became ready")
            weighed = []
            for _ in range(3):
                time.sleep(SETTLE)
                weighed.append(_resident(process))
    finally:
        _stop(simulator)
    return [figure("resident_all_packages_and_model", weighed, "MB", "none", "<= 85")]


def _plain(port: int) -> dict[str, Any]:
    return {"machines": [{"id": "ATM"}], "uplinks": [{"name": "platform", "kind": "mqtt", "url": f"mqtt://127.0.0.1:{port}"}]}


def _everything(place: Path, board: Path, port: int) -> dict[str, Any]:
    contact = {"pin": 17, "point": "auxiliaries.gatewayLid", "closed": "closed", "open": "open"}
    return _plain(port) | {
        "sources": [
            {"name": "board", "kind": "board", "machine": "ATM", "port": str(board)},
            {"name": "pins", "kind": "gpio", "machine": "ATM", "pin_factory": "mock", "contacts": [contact]},
        ],
        "models": [{"name": "attack_risk"}],
        "uplinks": [*_plain(port)["uplinks"], {"name": "fallback", "kind": "coap", "url": "coap://127.0.0.1:9"}],
    }


def _write(place: Path, settings: dict[str, Any]) -> Path:
    place.mkdir(exist_ok=True)
    shutil.rmtree(place / "store", ignore_errors=True)
    path = place / "config.yaml"
    own = {"gateway": {"id": "gw", "runtime": str(place)}, "store": {"path": str(place / "store"), "free_floor": "1MiB"}}
    path.write_text(json.dumps(own | settings))
    return path


def compiled() -> dict[str, str]:
    """An environment in which our modules are compiled already, as pip leaves them on a gateway, and the reference's are too."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


@contextlib.contextmanager
def _agent(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The agent, ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = config.parent / "notify"
        address.unlink(missing_ok=True)
        manager.bind(str(address))
        manager.settimeout(PATIENCE)
        environment = compiled() | {"NOTIFY_SOCKET": str(address)}
        command = [sys.executable, "-m", "agent", "run", str(config)]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
        try:
            if manager.recv(100) != b"READY=1":
                raise RuntimeError("the agent said something before READY=1")
            yield process
        finally:
            _stop(process)


@contextlib.contextmanager
def _thingsboard(python: Path, place: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """thingsboard-gateway, started."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    package = next(python.parents[1].glob("lib/python3*/site-packages/thingsboard_gateway/config"))
    shutil.copytree(package, place / "config")
    settings = json.loads((package / "tb_gateway.json").read_text())
    settings["thingsboard"] |= {"host": "127.0.0.1", "port": port, "remoteConfiguration": False, "statistics": {"enable": False}}
    settings["storage"] |= {"type": "sqlite", "data_file_path": "./data/data.db"}
    (place / "config" / "tb_gateway.json").write_text(json.dumps(settings | {"connectors": []}))
    environment = os.environ | {"TB_GW_CONFIG_DIR": f"{place / 'config'}/", "PYTHONUNBUFFERED": "1"}
    with (place / "log").open("wb") as log:
        command = [str(python.with_name("thingsboard-gateway"))]
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while b"Gateway started." not in (place / "log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{NAME} did not start: {(place / 'log').read_text()[-500:]}")
            time.sleep(0.01)
        yield process
    finally:
        _stop(process)


def _reference(tell: Callable[[str], None]) -> Path:
    """Its Python, in an environment of its own that is kept for the next run."""
    place = CACHE / REFERENCE.replace("==", "-")
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        tell(f"installing {REFERENCE} into {place}, once")
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", REFERENCE], check=True)
        subprocess.run([python, "-m", "compileall", "-q", place], check=False, stdout=subprocess.DEVNULL)
        (place / "complete").touch()
    return python


@contextlib.contextmanager
def _broker(room: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = room / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("mosquitto is not installed: apt-get install mosquitto")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield port
    finally:
        _stop(process)


def _model_word(place: Path) -> str:
    with contextlib.suppress(OSError, KeyError, ValueError), socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(5)
        channel.connect(str(place / "status.sock"))
        status = json.loads(channel.makefile("rb").readline())
        return str(status["models"]["attack_risk"]["word"])
    return ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _resident(process: subprocess.Popen[bytes]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds that its threads were on a processor."""
    files = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _written(process: subprocess.Popen[bytes]) -> int:
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes:")))


if __name__ == "__main__":
    main("footprint", measure, __doc__ or "")
