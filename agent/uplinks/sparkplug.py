"""Sparkplug B 3.0 over MQTT: the gateway is an edge node, each machine a device. docs/platforms.md tells what becomes what.

Births, deaths and data as the specification has them, but for one thing: data goes out with QoS 1 where it says 0, for only an
acknowledgement lets the store forget. A subscriber cannot tell the difference.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from agent.encode import Undecodable
from agent.encode.sparkplug import Metric, decode, encode_metric
from agent.encode.sparkplug_node import NAMESPACE, REBIRTH, REQUEST, Node, is_birth
from agent.errors import ConfigError, Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Size
from agent.uplinks.mqtt_access import Access, Will
from agent.uplinks.mqtt_line import Line, said
from agent.uplinks.portions import Outcome, Portions, Verdict, at_leisure, check_batch

log = logging.getLogger(__name__)

FORBIDDEN = "+#/\0"  # in a group's, a node's or a host's id (Sparkplug 3.0, 4.1)

ROUND_A_METRIC = 10  # bytes: its field, its length, and its alias, at most


@dataclass(frozen=True, slots=True)
class Settings(Access):
    """One broker, and who this edge node is there."""

    group: str = ""
    """The group id; needed."""
    node: str = ""
    """The edge node id; the gateway's id when not given."""
    primary_host: str = ""
    """A host application without which nothing is sent: its STATE must say that it is online. Empty: whoever listens."""
    bd_seq_file: Path | None = None
    """Where the number of the last connection is kept over restarts; without it, every start begins with 0."""
    batch: int = 100
    """Envelopes told of at once, at most: a message for each device among them."""
    batch_bytes: Size = 64 * 1024
    window: int = 16
    """Portions on their way at once, at most; the broker's Receive Maximum if that is less."""

    def __post_init__(self) -> None:
        self.check_access()
        if not self.group:
            raise ValueError("group: missing; expected the Sparkplug group id that this gateway belongs to")
        for key, word in (("group", self.group), ("node", self.node), ("primary_host", self.primary_host)):
            if any(each in word for each in FORBIDDEN):
                raise ValueError(f"{key}: expected an id without + # and /")
        check_batch(self.ack_timeout, self.batch, self.batch_bytes, self.window)


def open_uplink(name: str, gateway: str, settings: Settings) -> SparkplugUplink:
    """The uplink, not connected yet."""
    return SparkplugUplink(name, gateway, settings)


class SparkplugUplink:
    """See `agent.uplinks.Uplink`, `Timed`. `on_request` is given what comes as Node Control/Request."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self.on_request: Callable[[bytes], None] | None = None
        self.now: Callable[[], float] = lambda: 0.0
        self._settings = settings
        self._line = Line(name, settings.client_id or gateway, settings)
        self._node = Node(settings.group, settings.node or gateway)
        self._portions = Portions(settings.batch, settings.batch_bytes)
        self._counted = False  # the last connection's number was looked up
        self._birth: asyncio.Future[Verdict] | None = None
        self._state = f"{NAMESPACE}/STATE/{settings.primary_host}" if settings.primary_host else ""
        self._online = asyncio.Event()
        self._offline = asyncio.Event()
        self._told = 0  # the host's own time of its last state

    async def __aenter__(self) -> Self:
        await self._look_up()
        self._node.takes_requests = self.on_request is not None
        will = Will(*self._node.connects(self._ms()), retain=False)
        await self._count()
        self._birth, self._told = None, 0
        self._online.clear()
        self._offline.clear()
        await self._line.open(self._on_message, will)
        try:
            await self._line.subscribe(self._node.topic("NCMD"))
            await self._wait_for_host()
            await self._bear()
        except BaseException:
            await self._line.leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._line.leave(self._node.death(self._ms()))

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool] = at_leisure) -> Receipt:
        if self._offline.is_set():
            raise Unreachable(self._away())
        return await self._portions.deliver(batch, self._post, self._line.window(self._settings.window), urgent)

    async def lost(self) -> str:
        """When the connection is gone, or the primary host is."""
        link = self._line.session
        waiting = [asyncio.ensure_future(event.wait()) for event in (link.lost, self._offline)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return link.why or self._away()

    def _post(self, portion: Sequence[Envelope]) -> asyncio.Future[Verdict]:
        told = self._node.metrics(portion)
        sizes = {device: sum(map(_size, told[device])) for device in told}
        if self._portions.too_long(portion, sum(sizes.values())):
            return said(Verdict(Outcome.TOO_LONG))
        # a number once given must go out, so what the broker will not take is kept from being numbered
        largest = max(sizes, key=sizes.__getitem__)
        oversized = self._line.oversized(self._node.topic("DDATA", largest or ""), sizes[largest])
        return said(oversized) if oversized is not None else self._line.post(self._node.data(told, self._ms()), vital=is_birth)

    # Birth and commands -------------------------------------------------------------------------------------------------

    def _bear(self) -> asyncio.Future[Verdict]:
        self._birth = self._line.post(self._node.births(self._ms()), vital=is_birth)
        return self._birth

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic == self._state:
            self._heed_host(payload)
            return
        try:
            command = decode(payload)
        except Undecodable as error:
            log.warning("uplink %s: a command of %d bytes that is none: %s", self.name, len(payload), error)
            return
        for metric in command.metrics:
            if metric.name == REBIRTH and metric.value is True:
                self._reborn()
            elif metric.name == REQUEST and isinstance(metric.value, str) and self.on_request is not None:
                self.on_request(metric.value.encode())
            else:
                log.warning("uplink %s: a command that this gateway does not have", self.name)

    def _reborn(self) -> None:
        """Once at a time: who asks while a birth is under way is told by that one."""
        if self._birth is None or not self._birth.done():
            return
        log.info("uplink %s: born again, as the host asks", self.name)
        self._bear().add_done_callback(_heard)

    # The primary host (6.3) ---------------------------------------------------------------------------------------------

    async def _wait_for_host(self) -> None:
        if not self._state or not await self._line.subscribe(self._state):
            return
        try:
            async with asyncio.timeout(self._settings.ack_timeout):
                await self._online.wait()
        except TimeoutError:
            raise Unreachable(self._away()) from None

    def _heed_host(self, payload: bytes) -> None:
        try:
            state = json.loads(payload)
            online, at = state["online"], state["timestamp"]
        except (ValueError, KeyError, TypeError, RecursionError):
            log.warning("uplink %s: %s: no state that Sparkplug 3.0 knows", self.name, self._state)
            return
        if not isinstance(at, int) or at < self._told:  # a will that comes late speaks of an earlier connection
            return
        self._told = at
        if online is True:
            self._online.set()
            self._offline.clear()
        elif self._online.is_set():
            self._offline.set()

    def _away(self) -> str:
        return f"the primary host {self._settings.primary_host} is not online; everything is kept until it is"

    # The number of the connection ---------------------------------------------------------------------------------------

    async def _look_up(self) -> None:
        path = self._settings.bd_seq_file
        if path is None or self._counted:
            return
        try:
            text = await asyncio.to_thread(path.read_text)
            self._node.bd_seq = int(text) % 256
        except (FileNotFoundError, ValueError):
            pass  # the first connection, or a torn file: any number is good
        except OSError as error:
            raise self._unusable(path, error) from None
        self._counted = True

    async def _count(self) -> None:
        """On the disk before the broker sees it: two connections must not have one number."""
        path = self._settings.bd_seq_file
        if path is None:
            return
        try:
            await asyncio.to_thread(_write, path, f"{self._node.bd_seq}\n")
        except OSError as error:
            raise self._unusable(path, error) from None

    def _unusable(self, path: Path, error: OSError) -> ConfigError:
        return ConfigError([f"uplink {self.name}: bd_seq_file: {path}: {error.strerror}; name a file that this user may write"])

    def _ms(self) -> int:
        return max(0, round(self.now() * 1000))


def _size(metric: Metric) -> int:
    """Bytes of a metric of data, at most: without its name."""
    return len(encode_metric(msgspec.structs.replace(metric, name=""), typed=False)) + ROUND_A_METRIC


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _heard(birth: asyncio.Future[Verdict]) -> None:
    """A link that broke over it is told of by whoever uses it next."""
    if not birth.cancelled():
        birth.exception()
