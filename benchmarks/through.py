"""From a serial line to the broker: JSON lines on a pty, stored, sent with QoS 1, beside a short script that stores nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.encode import BY_MEDIA_TYPE
from agent.records import Reading
from benchmarks.brokers import HOST, Mosquitto, mosquitto
from benchmarks.figures import Figure, figure, main

CHANNELS = 20
RATE = 2_000  # readings a second, for the CPU
ROUNDS = 3
STEADY = 8.0  # s of one measurement
LADDER = (2_000, 4_000, 8_000, 16_000, 24_000, 32_000)  # readings a second
OUTAGE = 60.0  # s without a broker …
SLOW = 200  # … at so many readings a second
COMMIT = 0.05  # s; the store's commit interval
PATIENCE = 120.0  # s for things to begin, on a busy machine
Tell = Callable[[str], None]

CONFIGURATION = """
gateway: {{id: gw-bench, runtime: {folder}}}
machines: [{{id: ATM-0042}}]
sources:
  - {{name: lines, kind: lines, machine: ATM-0042, port: {port}, fields: {fields}}}
forward: {{summaries: 1h, readings: all}}
store: {{path: {folder}/store, budget: 256MiB, free_floor: 1MiB, commit_interval: 50ms}}
uplinks:
  - {{name: platform, kind: mqtt, url: "mqtt://127.0.0.1:{broker}", encoding: cbor, compress: true, batch: 2000,
     batch_bytes: 256KiB, first_pause: 100ms, longest_pause: 1s}}
"""

SCRIPT = """
import json, sys, time
import paho.mqtt.client as mqtt
import serial

PORT, BROKER, TOPIC = sys.argv[1], int(sys.argv[2]), "atm/gw-script/readings"


def on_connect(client, userdata, flags, reason, properties):
    print("connected", reason, flush=True)


def on_disconnect(client, userdata, flags, reason, properties):
    print("lost", reason, flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "script", protocol=mqtt.MQTTv5)
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.max_queued_messages_set(0)
client.connect("127.0.0.1", BROKER)
client.loop_start()

with serial.Serial(PORT, 115200, timeout=1) as line:
    while True:
        text = line.readline()
        if not text.endswith(b"\\n"):
            continue
        try:
            values = json.loads(text)
        except ValueError as error:
            print("not JSON", error, flush=True)
            continue
        at = time.time()
        for name, value in values.items():
            reading = {
                "machine": "ATM-0042",
                "point": "auxiliaries.sensor." + name,
                "value": value,
                "at": at,
            }
            client.publish(TOPIC, json.dumps(reading), qos=1)
"""


class Feeder:
    """The device's end of a pty. What does not fit into the line's buffer is lost, as on a UART that nobody reads in time."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        tty.setraw(self._master)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(slave)
        os.close(slave)  # whoever reads wants the port for himself
        self.lines = 0  # said so far; each line says its number
        self.dropped: set[int] = set()

    def say(self) -> None:
        """One line of 20 channels; the first one is the number of the line."""
        self.lines += 1
        values = {"c0": self.lines} | {f"c{index}": round(20 + (self.lines * index % 97) / 10, 1) for index in range(1, CHANNELS)}
        data = json.dumps(values).encode() + b"\n"
        try:
            if os.write(self._master, data) != len(data):
                self.dropped.add(self.lines)
        except OSError:  # full, or nobody is there
            self.dropped.add(self.lines)

    def feed(self, rate: float, seconds: float) -> None:
        """Say `rate` readings a second."""
        count, begun = round(rate * seconds / CHANNELS), time.monotonic()
        for number in range(count):
            wait = begun + number * CHANNELS / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.say()

    def flush(self) -> None:
        """Nothing of an earlier reader is left in the line."""
        termios.tcflush(self._master, termios.TCIOFLUSH)

    def close(self) -> None:
        os.close(self._master)


class Subscriber:
    """Counts readings, and the lines that they are of, as they come from the broker; connects again as soon as it can."""

    def __init__(self, port: int) -> None:
        self.lines: dict[int, float] = {}  # line -> when its number came
        self.readings = 0
        self.bytes = 0
        self.up_at = 0.0  # when the agent last said that its link is up
        self._client = Client(CallbackAPIVersion.VERSION2, "count", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(0, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("atm/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect_async(HOST, port, keepalive=5)
        self._client.loop_start()

    def _on_message(self, _c: Client, _u: Any, message: Any) -> None:
        now = time.monotonic()
        if message.topic.endswith("status"):
            if b"up" in message.payload:
                self.up_at = now
            return
        self.bytes += len(message.payload) + len(message.topic) + 8
        media = getattr(message.properties, "ContentType", None)
        self.bytes += len(media) + 6 if media else 0
        if media is None:
            reading = json.loads(message.payload)
            self._note(reading["point"], reading["value"], now)
            return
        for envelope in BY_MEDIA_TYPE[media].decode(message.payload):
            if isinstance(envelope.body, Reading) and envelope.body.point.startswith("auxiliaries.sensor."):
                self._note(envelope.body.point, envelope.body.value, now)

    def _note(self, point: str, value: Any, now: float) -> None:
        self.readings += 1
        if point.endswith(".c0") and value is not None:
            self.lines.setdefault(int(value), now)

    def has(self, lines: int, seconds: float) -> bool:
        """Whether so many lines have come, within so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if len(self.lines) >= lines:
                return True
            time.sleep(0.02)
        return len(self.lines) >= lines

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def agent(folder: Path, feeder: Feeder, broker: int) -> Iterator[subprocess.Popen[bytes]]:
    """The agent in a process of its own."""
    fields = "{" + ", ".join(f"c{index}: {{point: auxiliaries.sensor.c{index}}}" for index in range(CHANNELS)) + "}"
    file = folder / "agent.yaml"
    file.write_text(CONFIGURATION.format(folder=folder, port=feeder.port, fields=fields, broker=broker))
    with _process([sys.executable, "-m", "agent", "run", str(file)], folder / "agent.log") as process:
        yield process


@contextlib.contextmanager
def script(folder: Path, feeder: Feeder, broker: int) -> Iterator[subprocess.Popen[bytes]]:
    """The short script in a process of its own."""
    with _process([sys.executable, "-c", SCRIPT, feeder.port, str(broker)], folder / "script.log") as process:
        yield process


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def awaken(feeder: Feeder, subscriber: Subscriber) -> None:
    """Say lines until one has come through: what follows is counted from here."""
    deadline, before = time.monotonic() + PATIENCE, len(subscriber.lines)
    while len(subscriber.lines) == before:
        if time.monotonic() > deadline:
            raise SystemExit("nothing comes through")
        feeder.say()
        time.sleep(0.1)
    time.sleep(1.0)
    feeder.dropped.clear()


Subject = Callable[[Path, Feeder, int], Any]


def steady(subject: Subject, folder: Path, broker: Mosquitto, rate: float, seconds: float) -> tuple[float, float, bool]:
    """CPU seconds of 1,000 readings, bytes on the wire of a reading, and whether everything came."""
    feeder, subscriber = Feeder(), Subscriber(broker.port)
    try:
        with subject(Path(tempfile.mkdtemp(dir=folder)), feeder, broker.port) as process:
            awaken(feeder, subscriber)
            before, lines, size = cpu(process), len(subscriber.lines), subscriber.bytes
            first, readings = feeder.lines, subscriber.readings
            feeder.feed(rate, seconds)
            said = feeder.lines - first
            whole = subscriber.has(lines + said - len(feeder.dropped), 2.0 + seconds) and not feeder.dropped
            count = max(1, subscriber.readings - readings)
            return (cpu(process) - before) / count * 1000, (subscriber.bytes - size) / count, whole
    finally:
        subscriber.close()
        feeder.close()


def greatest(subject: Subject, folder: Path, broker: Mosquitto) -> float:
    """The greatest rate of the ladder at which nothing is lost."""
    best = 0.0
    for rate in LADDER:
        if not steady(subject, folder, broker, rate, 3.0)[2]:
            break
        best = rate
    return best


def outage(folder: Path, broker: Mosquitto, tell: Tell) -> list[Figure]:
    """A minute without a broker."""
    feeder, subscriber = Feeder(), Subscriber(broker.port)
    try:
        with agent(Path(tempfile.mkdtemp(dir=folder)), feeder, broker.port):
            awaken(feeder, subscriber)
            lines, first = len(subscriber.lines), feeder.lines
            broker.stop()
            tell(f"{OUTAGE:.0f} s without a broker")
            feeder.feed(SLOW, OUTAGE)
            said = feeder.lines - first
            broker.start()
            begun = time.monotonic()
            subscriber.has(lines + said, 30.0)
            came = [at for line, at in subscriber.lines.items() if line > first]
            lost = said - len(came) - len(feeder.dropped)
            back = min(came, default=begun + 30.0) - begun
            drained = max(came, default=begun + 30.0) - min(came, default=begun)
            reference = f"{said * CHANNELS} readings kept while the broker was away {OUTAGE:.0f} s"
            return [
                figure("outage_connected_again", [back], "s", reference, "<= 2"),
                figure("outage_drained", [drained], "s", reference, "<= 3"),
                figure("outage_lost", [lost * CHANNELS], "readings", reference, "<= 0"),
            ]
    finally:
        subscriber.close()
        feeder.close()


def kills(folder: Path, broker: Mosquitto, tell: Tell) -> Figure:
    """A cold boot without a broker and two kills; what each kill cost, in seconds of what was said."""
    feeder = Feeder()
    place = Path(tempfile.mkdtemp(dir=folder))
    broker.stop()
    spans: list[tuple[int, int]] = []
    try:
        for _ in range(3):
            tell("a boot without a broker" if not spans else "kill -9, and again")
            with agent(place, feeder, broker.port):
                _await_store(place)
                time.sleep(3.0)
                feeder.flush()
                first = feeder.lines
                feeder.feed(SLOW, 5.0)
                spans.append((first + 1, feeder.lines))
        broker.start()
        subscriber = Subscriber(broker.port)
        try:
            with agent(place, feeder, broker.port):
                subscriber.has(feeder.lines, 20.0)
            costs = [sum(line not in subscriber.lines and line not in feeder.dropped for line in range(first, last + 1))
                     for first, last in spans]  # fmt: skip
        finally:
            subscriber.close()
    finally:
        feeder.close()
    seconds = [cost * CHANNELS / SLOW for cost in costs]
    interval = COMMIT + CHANNELS / SLOW  # what was said in one commit interval, and the line that was being said
    return figure("kill_lost", [max(seconds)], "s", f"kill -9, {len(spans)} times, at {SLOW}/s", f"<= {interval:g}")


def _await_store(place: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (place / "store" / "readings").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)


def measure(tell: Tell) -> list[Figure]:
    """Everything, in one run."""
    with tempfile.TemporaryDirectory(prefix="bench-through-") as directory, mosquitto(Path(directory)) as broker:
        folder = Path(directory)
        ours: list[tuple[float, float, bool]] = []
        theirs: list[tuple[float, float, bool]] = []
        for turn in range(ROUNDS):
            tell(f"{RATE} readings/s, round {turn + 1} of {ROUNDS}")
            theirs.append(steady(script, folder, broker, RATE, STEADY))
            ours.append(steady(agent, folder, broker, RATE, STEADY))
        tell("the greatest rate")
        rates = greatest(script, folder, broker), greatest(agent, folder, broker)
        figures = outage(folder, broker, tell)
        figures.append(kills(folder, broker, tell))
    name = "a script: pyserial, json, paho, a message a reading"
    cpus = [own[0] / other[0] for own, other in zip(ours, theirs, strict=True)]
    sizes = [own[1] / other[1] for own, other in zip(ours, theirs, strict=True)]
    return [
        figure("cpu_per_1000", [own[0] * 1000 for own in ours], "ms", name),
        figure("cpu_vs_script", cpus, "ratio", name, "<= 0.25"),
        figure("greatest_rate", [rates[1]], "1/s", f"{name}: {rates[0]:g}"),
        figure("greatest_rate_vs_script", [rates[1] / max(rates[0], 1.0)], "ratio", name, ">= 2"),
        figure("bytes_vs_script", sizes, "ratio", name, "<= 0.1"),
        *figures,
    ]


if __name__ == "__main__":
    main("through", measure, __doc__ or "")
