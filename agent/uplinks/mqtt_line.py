"""A line to a platform that has its own words, over MQTT.

A portion of envelopes becomes some messages, and is taken when every one of them is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agent.errors import Unreachable
from agent.uplinks import Refused, mqtt_reasons
from agent.uplinks.mqtt_access import AROUND, Access, Largest, Will, judged, opened
from agent.uplinks.mqtt_session import GOODBYE, Session, Welcome
from agent.uplinks.portions import Outcome, Verdict

log = logging.getLogger(__name__)

Message: TypeAlias = tuple[str, bytes]
"""Topic and payload."""


class Line:
    """Lives as long as the uplink, over its connections. Every method belongs to the event loop."""

    def __init__(self, name: str, client_id: str, access: Access) -> None:
        self._name, self._client_id, self._access = name, client_id, access
        self._welcome = Welcome(0)
        self._largest = Largest()
        self._session: Session | None = None

    async def open(self, on_message: Callable[[str, bytes], None], will: Will | None = None) -> None:
        """Connect. Raises Unreachable or ConfigError; otherwise `leave` must follow."""
        session, self._welcome = await opened(f"uplink {self._name}", self._access, self._client_id, will)
        self._largest.heed(self._welcome)
        session.on_message = on_message
        self._session = session

    async def leave(self, *last: Message) -> None:
        """Say the last words, and let go of everything."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if not session.lost.is_set():
                async with asyncio.timeout(GOODBYE):
                    for topic, payload in last:
                        await session.publish(topic, payload, int)
                    await session.goodbye()
        except (Unreachable, TimeoutError):
            pass  # the broker notices by itself
        finally:
            session.close()

    @property
    def session(self) -> Session:
        """The connection that stands."""
        assert self._session is not None, "an uplink is used inside `async with`"
        return self._session

    def window(self, wanted: int) -> int:
        """How many messages may be on their way at once: no more than the broker takes."""
        return self._largest.window(min(wanted, self._welcome.receive_maximum))

    async def subscribe(self, topic: str) -> bool:
        """Whether the broker lets us; otherwise the log says so. Raises Unreachable."""
        reason = await self.session.subscribe(topic)
        if reason >= mqtt_reasons.FAILURE:
            log.warning("uplink %s: %s", self._name, mqtt_reasons.failure(reason, topic))
        return reason < mqtt_reasons.FAILURE

    def oversized(self, topic: str, size: int) -> Verdict | None:
        """The verdict on a message with a payload of `size` bytes, if that is more than the broker takes."""
        largest, size = self._largest.bytes, size + len(topic.encode()) + AROUND
        return None if size <= largest else Verdict(Outcome.TOO_LARGE, f"{size} bytes; the broker takes {largest} at most")

    def post(self, messages: Sequence[Message], vital: Callable[[str], bool] = lambda _topic: False) -> asyncio.Future[Verdict]:
        """Send messages in this order, now. The future has the verdict on all of them together, or Unreachable.

        Without those that are `vital`, by their topics, the others mean nothing: Refused when the broker does not take one.
        """
        answers = [self._publish(*message, vital=vital(message[0])) for message in messages]
        return answers[0] if len(answers) == 1 else _together(answers)

    def _publish(self, topic: str, payload: bytes, *, vital: bool) -> asyncio.Future[Verdict]:
        session, size = self.session, len(topic.encode()) + len(payload) + AROUND

        def judge(reason: int) -> Verdict:
            verdict = judged(reason, topic, size)
            if vital and verdict.outcome is not Outcome.TAKEN:
                raise Refused(f"{topic}: {verdict.why}; nothing can be told without it: raise the broker's limit")
            return verdict

        if vital and self.oversized(topic, len(payload)) is not None:
            refused: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
            limit = self._largest.bytes
            refused.set_exception(
                Refused(f"{topic} has {size} bytes and the broker takes {limit} at most; nothing can be told without it")
            )
            return refused
        sent = session.publish(topic, payload, judge)
        self._largest.watch(session, size, sent)
        return sent


def said(verdict: Verdict) -> asyncio.Future[Verdict]:
    """An answer that is known already."""
    answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    answer.set_result(verdict)
    return answer


def _together(answers: Sequence[asyncio.Future[Verdict]]) -> asyncio.Future[Verdict]:
    """The worst of some verdicts."""
    whole: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    gathered = asyncio.gather(*answers)

    def settle(_: object) -> None:
        error = None if gathered.cancelled() else gathered.exception()
        if whole.done():
            return
        if gathered.cancelled():
            whole.cancel()
        elif error is not None:
            whole.set_exception(error)
        else:
            verdicts = gathered.result()
            whole.set_result(next((each for each in verdicts if each.outcome is not Outcome.TAKEN), verdicts[0]))

    gathered.add_done_callback(settle)
    whole.add_done_callback(lambda _: gathered.cancel() if whole.cancelled() else None)
    return whole
