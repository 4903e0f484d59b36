"""What delivery costs: a backlog drained beside bare paho, an alarm that overtakes it, bytes on the wire, CoAP beside aiocoap."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiocoap
import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.encode import ENCODINGS
from agent.forward import Arrivals, Link, Plan, forward
from agent.records import Alarm, Body, Envelope, EventClass, PointSummary, Reading, Receipt, Severity, Stamp, Summary
from agent.store import READINGS
from agent.store.lane_store import LaneStore
from agent.store.opening import open_durable, open_memory
from agent.store.room import Bounds
from agent.store.writer import Writer
from agent.uplinks import Uplink, coap, mqtt
from benchmarks.brokers import HOST, coap_receiver, counted, mosquitto
from benchmarks.figures import Figure, figure, main

BACKLOG = 200_000
ROUNDS = 5
ONE_BY_ONE = 6_000  # a round, of the mode of one envelope a message, and of bare paho
ALARMS = 600  # for each of the two latencies: of fewer the 99th percentile is a single stall of the machine
GATEWAY = "gw-branch-0042"
EPOCH = "5f2c9a7d1e3b4f60"
BOUNDS = Bounds(budget=2**30, free_floor=2**20, keep_days=0.0, keep_bytes=0)
STAMP = Stamp(1_760_000_000.25, 86_400.125, "0b1c2d3e-4f50-4a61-8b72-9c83ad94be05", synced=True)
POINTS = (
    "environment.temperature_c", "environment.humidity_pct", "energy.voltage_v", "energy.current_a", "energy.active_power_w",
    "energy.apparent_power_va", "energy.power_factor", "energy.frequency_hz", "motion.tilt_deg", "motion.rms_ms2",
    "motion.peak_ms2", "motion.drill_band_ms2", "motion.grind_band_ms2", "powerManagement.inputVoltage_v",
    "powerManagement.outputVoltage_v", "powerManagement.load_pct", "powerManagement.batteryVoltage_v",
    "powerManagement.batteryCharge_pct", "powerManagement.temperature_c", "position.hdop",
)  # fmt: skip
SUMMARIES = 20  # in a message: twenty minutes of one machine
COAP_BATCHES = 60  # a round
Tell = Callable[[str], None]


def measure(tell: Tell) -> list[Figure]:
    """Everything, in one run."""
    with tempfile.TemporaryDirectory(prefix="bench-uplinks-") as directory:
        folder = Path(directory)
        with mosquitto(folder) as broker:
            figures = asyncio.run(_mqtt(folder, broker.port, tell))
            figures += asyncio.run(_bytes(broker.port, tell))
        with coap_receiver(folder) as port:
            figures += asyncio.run(_coap(port, tell))
    return figures


# Draining --------------------------------------------------------------------------------------------------------------


def reading(position: int) -> Reading:
    """One Reading: 21.625 °C."""
    return Reading("branch-0042-atm-1", POINTS[position % len(POINTS)], 21.625, 1_760_000_000.25 + position)


def fill(folder: Path, names: Sequence[str]) -> Any:
    """A store with the backlog for each of some uplinks."""
    store, _ = open_durable(folder / "store", GATEWAY, names, BOUNDS, lambda: EPOCH)
    for start in range(1, BACKLOG + 1, 5_000):
        store.extend(READINGS, [(reading(position), STAMP) for position in range(start, start + 5_000)])
    return store


class Watched:
    """An uplink that stops delivering after so many envelopes, and notes when alarms were acknowledged."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.name = uplink.name
        self.delivered = 0
        self.alarms = 0
        self.limit = 0
        self.enough = asyncio.Event()
        self.alarm = asyncio.Event()

    async def __aenter__(self) -> Watched:
        await self._uplink.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._uplink.__aexit__(*exc)

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        receipt = await self._uplink.send(batch, urgent)
        if batch[0].lane == "alarms":
            self.alarms += len(receipt.accepted)
            self.alarm.set()
            return receipt
        self.delivered += len(receipt.accepted)
        if self.limit and self.delivered >= self.limit:
            self.enough.set()
            await asyncio.Event().wait()  # until it is cancelled
        return receipt

    async def lost(self) -> str:
        return await self._uplink.lost()


async def drained(writer: Writer, uplink: Uplink, count: int) -> float:
    """Envelopes a second, over a fresh connection; connecting is not counted."""
    watched = Watched(uplink)
    watched.limit = count
    async with watched:
        task = asyncio.create_task(forward(Entered(watched), writer, Arrivals(), _link(uplink.name), Plan(), random.Random(1)))
        begun = time.perf_counter()
        await watched.enough.wait()
        spent = time.perf_counter() - begun
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return watched.delivered / spent


class Entered:
    """An uplink that has been entered already: entering it again costs nothing."""

    def __init__(self, uplink: Watched) -> None:
        self._uplink = uplink
        self.name = uplink.name

    async def __aenter__(self) -> Entered:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        return await self._uplink.send(batch, urgent)

    async def lost(self) -> str:
        return await self._uplink.lost()


def _link(name: str) -> Link:
    return Link(name, lambda _: None, time.monotonic)


def bare(port: int, payloads: Sequence[bytes]) -> float:
    """Messages a second: paho by itself with QoS 1, nothing behind it, the very bytes that our uplink sends."""
    acknowledged = threading.Semaphore(0)
    connected = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "bare", protocol=MQTTProtocolVersion.MQTTv5)
    client.max_queued_messages_set(0)
    client.on_connect = lambda *_: connected.set()
    client.on_publish = lambda *_: acknowledged.release()
    client.connect(HOST, port)
    client.loop_start()
    connected.wait()
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.PayloadFormatIndicator = 1
    topic = f"atm/{GATEWAY}/{READINGS}"
    begun = time.perf_counter()
    for payload in payloads:
        client.publish(topic, payload, qos=1, properties=properties)
    for _ in payloads:
        acknowledged.acquire()
    spent = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return len(payloads) / spent


async def _mqtt(folder: Path, port: int, tell: Tell) -> list[Figure]:
    tell(f"filling a store with {BACKLOG} readings")
    names = ["batches", "singles", "alarms"]
    store = await asyncio.to_thread(fill, folder, names)

    def memory() -> LaneStore:
        return open_memory(GATEWAY, names, BOUNDS, "memory")

    payloads = [ENCODINGS["json"].encode([_enveloped(position, reading(position))]) for position in range(1, ONE_BY_ONE + 1)]
    rates: dict[str, list[float]] = {"bare": [], "batches": [], "singles": []}
    async with Writer(store, memory, names, 0.05) as writer:
        for turn in range(ROUNDS):
            tell(f"draining, round {turn + 1} of {ROUNDS}")
            rates["bare"].append(await asyncio.to_thread(bare, port, payloads))
            rates["batches"].append(await drained(writer, _uplink("batches", port), BACKLOG // ROUNDS))
            rates["singles"].append(await drained(writer, _uplink("singles", port, batch=1, window=20), ONE_BY_ONE))
        tell("alarms")
        idle, busy = await _latencies(writer, port)
    one = "paho, one envelope a message"
    return [
        figure("drain_bare_paho", rates["bare"], "1/s", one),
        figure("drain_batches", rates["batches"], "1/s", one),
        figure("drain_batches_vs_paho", _ratios(rates["batches"], rates["bare"]), "ratio", one, ">= 3"),
        figure("drain_singles_vs_paho", _ratios(rates["singles"], rates["bare"]), "ratio", "paho, the same messages", ">= 0.8"),
        figure("alarm_idle_p99", [_p99(idle) * 1000], "ms", "an idle link: stored, sent, PUBACK"),
        figure("alarm_in_backlog_p99", [_p99(busy) * 1000], "ms", "the same while the backlog drains"),
        figure("alarm_in_backlog_vs_idle", [_p99(busy) / _p99(idle)], "ratio", "p99 on an idle link", "<= 3"),
        figure("alarm_in_backlog_vs_idle_median", [statistics.median(busy) / statistics.median(idle)], "ratio", "medians"),
    ]  # fmt: skip


def _enveloped(position: int, body: Body, lane: str = READINGS) -> Envelope:
    return Envelope(GATEWAY, EPOCH, lane, position, STAMP.boot, STAMP.mono, STAMP.at, STAMP.synced, body)


def _uplink(name: str, port: int, **settings: Any) -> Uplink:
    return mqtt.open_uplink(name, GATEWAY, mqtt.Settings(f"mqtt://{HOST}:{port}", client_id=name, **settings))


def _ratios(own: Sequence[float], reference: Sequence[float]) -> list[float]:
    return [ours / theirs for ours, theirs in zip(own, reference, strict=True)]


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


async def _latencies(writer: Writer, port: int) -> tuple[list[float], list[float]]:
    """Seconds from an alarm's birth to its PUBACK, on an idle link and while the whole backlog drains, by turns."""
    idle: list[float] = []
    busy: list[float] = []
    for turn in range(3):
        idle += await _alarms(writer, port, f"idle{turn}", ALARMS // 3, ("alarms",))
        busy += await _alarms(writer, port, f"busy{turn}", ALARMS // 3, ("alarms", READINGS))
    return idle, busy


async def _alarms(writer: Writer, port: int, client: str, count: int, lanes: tuple[str, ...]) -> list[float]:
    watched = Watched(_uplink("alarms", port))
    watched._uplink._client_id = client  # type: ignore[attr-defined]  # noqa: SLF001
    arrivals = Arrivals()
    task = asyncio.create_task(forward(watched, writer, arrivals, _link("alarms"), Plan(lanes=lanes), random.Random(1)))
    times: list[float] = []
    try:
        await asyncio.sleep(0.5)
        for number in range(count):
            alarm = Alarm("ATM-7", 1e9 + number, "r", EventClass.FAULT, Severity.WARNING, "printer.media", "jammed", ())
            watched.alarm.clear()
            begun = time.perf_counter()
            await writer.put([alarm], {}, STAMP)
            arrivals.announce(alarm=True)
            await watched.alarm.wait()
            times.append(time.perf_counter() - begun)
            await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return times


# Bytes -----------------------------------------------------------------------------------------------------------------


def summary(number: int, chance: random.Random) -> Summary:
    """A minute of 20 points, from 60 readings each as a sensor gives them: two decimals."""
    points = {}
    for name in POINTS:
        values = [round(chance.gauss(20.0, 1.0), 2) for _ in range(60)]
        mean = statistics.fmean(values)
        points[name] = PointSummary(60, 0, 0, min(values), mean, max(values), values[-1], statistics.pstdev(values, mean))
    return Summary("ATM-0042", 1_760_000_000.0 + 60 * number, 1_760_000_060.0 + 60 * number, 1.0, points)


def thingsboard(body: Summary) -> bytes:
    """The same values as ThingsBoard's gateway telemetry (its MQTT gateway API): a key for each of them."""
    values = {f"{name}.{key}": value for name, point in body.points.items() for key, value in msgspec.to_builtins(point).items()}
    return msgspec.json.encode({body.machine: [{"ts": round(body.end * 1000), "values": values}]})


async def _bytes(port: int, tell: Tell) -> list[Figure]:
    tell("bytes on the wire")
    chance = random.Random(42)
    batch = [_enveloped(number, summary(number, chance), "summaries") for number in range(1, SUMMARIES + 1)]
    theirs = await _wire(port, batch, protocol="3.1.1", raw=True)
    told: dict[str, float] = {}
    for name in ("json", "cbor", "senml+cbor"):
        for compress in (False, True):
            told[name + " deflate" * compress] = await _wire(port, batch, encoding=name, compress=compress) / theirs
    reference = f"ThingsBoard's JSON of the same values, {theirs / SUMMARIES:.0f} bytes a summary"
    goals = {"cbor deflate": "<= 0.25", "senml+cbor deflate": "<= 0.4"}
    return [figure(f"bytes_{name.replace(' ', '_').replace('+', '_')}", [ratio], "ratio", reference, goals.get(name, ""))
            for name, ratio in told.items()]  # fmt: skip


async def _wire(port: int, batch: Sequence[Envelope], *, raw: bool = False, **settings: Any) -> float:
    """Bytes towards the broker for a batch, from the first message to the last."""
    async with counted(port) as line:
        options = {"batch_bytes": 512 * 1024, "status_topic": "", **settings}
        link = mqtt.open_uplink("bytes", GATEWAY, mqtt.Settings(f"mqtt://{HOST}:{line.port}", **options))
        async with link:
            before = line.bytes
            if raw:
                for each in batch:
                    assert isinstance(each.body, Summary)
                    await link._link.publish("v1/gateway/telemetry", thingsboard(each.body), int)  # noqa: SLF001
            else:
                await link.send(batch)
            return float(line.bytes - before)


# CoAP ------------------------------------------------------------------------------------------------------------------


async def _coap(port: int, tell: Tell) -> list[Figure]:
    """Batches a second, as confirmable POSTs in blocks of 1 KiB, to the same receiver."""
    chance = random.Random(7)
    batches = [[_enveloped(number * 4 + at, summary(number * 4 + at, chance), "summaries") for at in range(1, 4)]
               for number in range(COAP_BATCHES)]  # fmt: skip
    payloads = [ENCODINGS["cbor"].encode(batch) for batch in batches]
    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(ROUNDS):
        tell(f"CoAP, round {turn + 1} of {ROUNDS}")
        theirs.append(await _bare_coap(port, payloads))
        link = coap.open_uplink("coap", GATEWAY, coap.Settings(f"coap://{HOST}:{port}/atm", batch_bytes=512 * 1024))
        async with link:
            begun = time.perf_counter()
            for batch in batches:
                assert len((await link.send(batch)).accepted) == len(batch)
            ours.append(COAP_BATCHES / (time.perf_counter() - begun))
    reference = f"an aiocoap loop with the same payloads of {statistics.fmean(map(len, payloads)):.0f} bytes"
    return [
        figure("coap_batches", ours, "1/s", reference),
        figure("coap_vs_aiocoap", _ratios(ours, theirs), "ratio", reference, ">= 0.8"),
    ]


async def _bare_coap(port: int, payloads: Sequence[bytes]) -> float:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        begun = time.perf_counter()
        for payload in payloads:
            uri = f"coap://{HOST}:{port}/atm/{GATEWAY}/summaries"
            message = aiocoap.Message(code=aiocoap.POST, payload=payload, uri=uri, content_format=60)
            response = await context.request(message).response
            assert response.code.is_successful(), response
        return len(payloads) / (time.perf_counter() - begun)
    finally:
        await context.shutdown()


if __name__ == "__main__":
    main("uplinks", measure, __doc__ or "")
