"""ThingsBoard's gateway API over MQTT: a device for each machine, telemetry, attributes, calls. See docs/platforms.md.

ThingsBoard acknowledges a message once its own queue has it, and that PUBACK is what the store forgets a record by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from agent.encode import thingsboard as api
from agent.records import Envelope, Receipt
from agent.settings import Size
from agent.uplinks.mqtt_access import Access
from agent.uplinks.mqtt_line import Line, said
from agent.uplinks.portions import Outcome, Portions, Verdict, at_leisure, check_batch

log = logging.getLogger(__name__)

ANSWERS = 16  # to calls on their way at once; further calls stay without one, and ThingsBoard says so to whoever called


@dataclass(frozen=True, slots=True)
class Settings(Access):
    """One ThingsBoard; `username` is the access token of the gateway's device there, or that of its MQTT credentials."""

    device_type: str = "default"
    """The device profile that machines get when ThingsBoard sees them first."""
    batch: int = 100
    """Envelopes in one message, at most."""
    batch_bytes: Size = 60 * 1024
    """ThingsBoard takes 64 KiB in a message unless it is told otherwise."""
    window: int = 4
    """Portions on their way at once, at most; the broker's Receive Maximum if that is less."""

    def __post_init__(self) -> None:
        self.check_access()
        if not self.device_type:
            raise ValueError("device_type: empty; expected the name of a device profile, as in default")
        check_batch(self.ack_timeout, self.batch, self.batch_bytes, self.window)


def open_uplink(name: str, gateway: str, settings: Settings) -> ThingsboardUplink:
    """The uplink, not connected yet."""
    return ThingsboardUplink(name, gateway, settings)


class ThingsboardUplink:
    """See `agent.uplinks.Uplink`. `on_request` is given the token that is the parameter of a call of `request`."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self.on_request: Callable[[bytes], None] | None = None
        self._settings = settings
        self._line = Line(name, settings.client_id or gateway, settings)
        self._portions = Portions(settings.batch, settings.batch_bytes)
        self._moments = api.Moments()
        self._connected: set[str] = set()  # devices, on this connection
        self._answers: set[asyncio.Future[Verdict]] = set()

    def recall(self, settled: Sequence[Envelope]) -> None:
        """Give them the milliseconds that they had: no value may come to lie upon one of theirs."""
        for envelope in settled:
            self._moments.of(envelope, [*api.values_of(envelope)])

    async def __aenter__(self) -> Self:
        self._connected.clear()
        await self._line.open(self._on_message)
        try:
            await self._line.subscribe(api.RPC)
            await self._line.subscribe(f"{api.OWN_RPC}+")
        except BaseException:
            await self._line.leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._line.leave()

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool] = at_leisure) -> Receipt:
        self._moments.let_go(batch)
        return await self._portions.deliver(batch, self._post, self._line.window(self._settings.window), urgent)

    async def lost(self) -> str:
        await self._line.session.lost.wait()
        return self._line.session.why

    def _post(self, portion: Sequence[Envelope]) -> asyncio.Future[Verdict]:
        told = []
        for envelope in portion:
            values = api.values_of(envelope)
            told.append((envelope, self._moments.of(envelope, [*values]), values))
        messages = [*api.telemetry(told), *api.attributes(portion)]
        if self._portions.too_long(portion, sum(len(payload) for _, payload in messages)):
            return said(Verdict(Outcome.TOO_LONG))
        for topic, payload in messages:
            oversized = self._line.oversized(topic, len(payload))
            if oversized is not None:
                return said(oversized)
        new = [device for device in api.devices_of(portion) if device not in self._connected]
        self._connected.update(new)
        return self._line.post([*(api.connection(device, self._settings.device_type) for device in new), *messages])

    def _on_message(self, topic: str, payload: bytes) -> None:
        """Every call is answered at once; what a signed request brings about comes as a record, like everything else."""
        call = api.call(topic, payload)
        if call is None or len(self._answers) >= ANSWERS:
            log.warning("uplink %s: a call of %d bytes stays without an answer", self.name, len(payload))
            return
        if call.signed is None:
            self._answer(call, {"error": "this gateway does what is signed by its operator, and nothing else (docs/control.md)"})
        elif self.on_request is None:
            self._answer(call, {"error": "this gateway takes no requests: it is configured without `control.keys`"})
        else:
            self.on_request(call.signed)
            self._answer(call, {"taken": "what becomes of it comes as `answer`"})

    def _answer(self, call: api.Call, data: dict[str, str]) -> None:
        answer = self._line.post([call.answer(data)])
        self._answers.add(answer)
        answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        self._answers.discard(answer)
        if not answer.cancelled():
            answer.exception()  # whoever sends next is told of a link that is gone
