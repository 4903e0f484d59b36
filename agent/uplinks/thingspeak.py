"""ThingSpeak over its MQTT API: fields of channels, no faster than a licence allows. See docs/platforms.md.

Its broker knows QoS 0 alone, and drops in silence what comes too fast or is not allowed. So the acknowledgement is the entry
itself: this gateway subscribes to the channels that it writes to, and an update is delivered when its entry comes back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from agent.encode.thingspeak import Channel, Update, leading
from agent.errors import Unreachable
from agent.records import Envelope, Receipt
from agent.settings import Duration
from agent.uplinks import Refused
from agent.uplinks.mqtt_access import Access
from agent.uplinks.mqtt_line import Line
from agent.uplinks.portions import Outcome, Portions, Verdict, at_leisure

FREE = 15.0  # s between two updates of a channel, by the licence
PAID = 1.0
SLOWEST = 300.0
JITTER = 0.2  # s that two updates may come closer to each other on their way; one that comes too soon is dropped
FIELDS = 8
TOLD_IN_VAIN = "no entry of this update came back"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One channel of one machine."""

    channel: int
    machine: str
    fields: Mapping[str, str] = field(default_factory=dict)
    """field1 to field8 -> a point, or a path within a summary: environment.temperature_c/max."""

    def __post_init__(self) -> None:
        if self.channel < 1:
            raise ValueError("channel: expected the number of a channel")
        unknown = [name for name in self.fields if name not in {f"field{number}" for number in range(1, FIELDS + 1)}]
        if unknown or not self.fields:
            raise ValueError(f"fields: expected field1 to field{FIELDS}, each with the point that it shows")


@dataclass(frozen=True, slots=True)
class Settings(Access):
    """The MQTT device of ThingSpeak that this gateway is: its client id, user name and password, and its channels."""

    channels: tuple[ChannelSettings, ...] = ()
    """Needed. What has no field in any of them is passed over."""
    every: Duration = FREE
    """Between two updates of a channel: 15s with a free licence, 1s with a paid one."""
    protocol: Literal["5", "3.1.1"] = "3.1.1"
    """What its documentation speaks of."""

    def __post_init__(self) -> None:
        self.check_access()
        if not self.channels:
            raise ValueError("channels: missing; expected at least one, with its machine and its fields")
        for key in ("channel", "machine"):
            given = [getattr(each, key) for each in self.channels]
            if len({*given}) < len(given):
                raise ValueError(f"channels: two have one {key}; a machine has one channel")
        if not PAID <= self.every <= SLOWEST:
            raise ValueError("every: expected 1s to 5m; a free licence takes an update in 15s")
        if not 0 < self.ack_timeout <= 600:
            raise ValueError("ack_timeout: expected more than 0s, at most 10m")


def open_uplink(name: str, gateway: str, settings: Settings) -> ThingspeakUplink:
    """The uplink, not connected yet."""
    return ThingspeakUplink(name, gateway, settings)


class ThingspeakUplink:
    """See `agent.uplinks.Uplink`."""

    def __init__(self, name: str, gateway: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._channels = [
            Channel(each.channel, each.machine, {int(key.removeprefix("field")): point for key, point in each.fields.items()})
            for each in settings.channels
        ]
        self._line = Line(name, settings.client_id or gateway, settings)
        self._portions = Portions(cut=lambda portion: portion[: max(1, leading(portion, self._channels)[0])])
        self._free: dict[int, float] = {}  # when a channel may be updated again, by the loop's clock
        self._waiting: tuple[Update, asyncio.Future[None]] | None = None

    async def __aenter__(self) -> Self:
        await self._line.open(self._on_message)
        try:
            for each in self._channels:
                topic = f"channels/{each.number}/subscribe"
                if not await self._line.subscribe(topic):
                    raise Refused(f"{topic}: not allowed; let this MQTT device subscribe to the channel, not only publish")  # noqa: TRY301
        except BaseException:
            await self._line.leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._line.leave()

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool] = at_leisure) -> Receipt:
        return await self._portions.deliver(batch, self._post, 1, urgent)

    async def lost(self) -> str:
        await self._line.session.lost.wait()
        return self._line.session.why

    async def _post(self, portion: Sequence[Envelope]) -> Verdict:
        _, update = leading(portion, self._channels)
        if update is None:
            return Verdict(Outcome.TAKEN)  # there is no place for it on this platform
        await self._turn(update.channel)
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[None] = loop.create_future()
        self._waiting = (update, entered)
        self._free[update.channel] = loop.time() + self._settings.every + JITTER
        try:
            self._raise_if_lost()
            self._line.session.tell(f"channels/{update.channel}/publish", update.payload())
            await self._entered(update, entered)
        finally:
            self._waiting = None
        return Verdict(Outcome.TAKEN)

    async def _turn(self, channel: int) -> None:
        """Wait until the licence allows another update, or the link is gone."""
        wait = self._free.get(channel, 0.0) - asyncio.get_running_loop().time()
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._line.session.lost.wait()
            except TimeoutError:
                return
        self._raise_if_lost()

    async def _entered(self, update: Update, entered: asyncio.Future[None]) -> None:
        losing = asyncio.ensure_future(self._line.session.lost.wait())
        try:
            await asyncio.wait((losing, entered), timeout=self._settings.ack_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            await asyncio.gather(losing, return_exceptions=True)
        if entered.done():
            return
        self._line.session.give_up(
            f"channel {update.channel}: {TOLD_IN_VAIN} within {self._settings.ack_timeout:g} s; check that its fields are "
            f"enabled, that this device may write to it, and `every`"
        )
        self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        session = self._line.session
        if session.lost.is_set():
            raise Unreachable(session.why)

    def _on_message(self, topic: str, payload: bytes) -> None:
        """An entry of a channel: ours, when it says all that the update said. One update is on its way at a time."""
        if self._waiting is None:
            return
        update, entered = self._waiting
        try:
            entry = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if topic != f"channels/{update.channel}/subscribe" or not isinstance(entry, dict) or entered.done():
            return
        if entry.get("created_at") not in (None, update.created):  # of an earlier update that said the same
            return
        if all(_says(entry, key, value) for key, value in update.said.items()):
            entered.set_result(None)


def _says(entry: Mapping[str, object], key: str, value: str) -> bool:
    """A feed shows every field, and not in each of its forms the status."""
    said = entry.get(key)
    return str(said) == value or (key == "status" and said is None)
