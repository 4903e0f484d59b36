"""Ways out to the platform. One protocol a file, each with its own settings class; imported only when configured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self, runtime_checkable

from agent.errors import Unreachable
from agent.records import Envelope, Receipt


class Refused(Unreachable):
    """The platform answers, and will not take anything as this link is set up. The message says what to change, and where."""


class Busy(Unreachable):
    """The platform asks to be left alone for `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class Uplink(Protocol):
    """A way out. Entered once per connection, left before it is entered again; one task uses it."""

    name: str

    async def __aenter__(self) -> Self:
        """Connect, and see the far end answer.

        Raises Unreachable when it does not, ConfigError when it never will with these settings (a file that is missing).
        """

    async def __aexit__(self, *exc: object) -> None:
        """Say goodbye and let go of everything; never raises for a link that is already gone."""

    async def send(self, batch: Sequence[Envelope], urgent: Callable[[], bool]) -> Receipt:
        """Deliver envelopes of one lane, in order. Called again only after the last call has ended.

        The receipt names only what the platform itself has acknowledged, and at least one position; the rest of the batch is
        sent again. It may end early, and does soon once something is `urgent`: an alarm waits for its turn.

        Raises Unreachable when nothing was acknowledged: everything is kept, the link must be left.
        """

    async def lost(self) -> str:
        """Return, with the reason, when the link is seen to be gone. Awaited, and cancelled, while there is nothing to send."""


@runtime_checkable
class Asked(Protocol):
    """An uplink over which the platform may ask for something."""

    on_request: Callable[[bytes], None] | None
    """Given each request, on the event loop, as often as the link brings it; set before the uplink is entered."""


@runtime_checkable
class Timed(Protocol):
    """An uplink that says when its messages were sent."""

    now: Callable[[], float]
    """Seconds since the epoch; set before the uplink is entered."""


@runtime_checkable
class Recalling(Protocol):
    """An uplink whose next message depends on what it has delivered: it must not forget that when the agent ends."""

    def recall(self, settled: Sequence[Envelope]) -> None:
        """The last envelopes of a lane that were settled, in order. Called once for each lane, before it is entered first."""


UPLINKS = {
    "mqtt": "agent.uplinks.mqtt",
    "coap": "agent.uplinks.coap",
    "sparkplug": "agent.uplinks.sparkplug",
    "thingsboard": "agent.uplinks.thingsboard",
    "thingspeak": "agent.uplinks.thingspeak",
}
"""kind -> module with `Settings` and `open_uplink(name, gateway, settings) -> Uplink`"""
