"""Where requests arrive: each is written down before it runs, and answered once, whatever happens in between.

    token ──verify──> in time, ours, new ──journal "taken"──> command ──Answer + journal "answered"──> platform

What nobody's key has signed gets no answer, only an entry in the audit trail. A request that was taken and whose answer is not to
be found after a restart is answered `interrupted`: it never runs a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from agent.control import TABLE
from agent.control.commands import COMMANDS, Command, Done, arguments_of
from agent.control.request import Request, RequestRefused, open_request
from agent.errors import AgentError, StoreUnavailable
from agent.records import Answer, Body, Outcome

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

log = logging.getLogger(__name__)

WATERMARK = "watermark"  # of the journal: everything that ended before it is late, whatever the clock says
SINCE = "since"  # of the journal: it was lost then, and what was asked before may have run already
LONGEST = 7 * 86_400.0  # s that a request may be good for: so long its id is remembered
AHEAD = 300.0  # s that the operator's clock may be before ours
LIMIT = 1_000  # requests that are remembered at once
PATIENCE = 60.0  # s that a command may take
TEXT_LIMIT = 16_384  # characters of an answer; a configuration may have more mistakes than one message holds
QUEUE = 16  # tokens that wait; more are turned away, for a flood must not fill the memory

TAKEN, ANSWERED = "taken", "answered"


class Keep(Protocol):
    """Puts records and notes into the store (`agent.ingest.Ingest.keep`); the future is done when they are on disk."""

    def __call__(
        self, bodies: Sequence[Body], changes: Mapping[str, dict[str, dict[str, Any] | None]]
    ) -> asyncio.Future[None]: ...


class _Again(RequestRefused):
    def __init__(self, jti: str) -> None:
        super().__init__("seen before")
        self.jti = jti


class Desk:
    """Takes requests one after the other. `take` belongs to the event loop; `run` is its one task."""

    def __init__(
        self,
        gateway: str,
        keys: Mapping[str, Ed25519PublicKey],
        commands: Mapping[str, Command],
        keep: Keep,
        now: Callable[[], float],
        audit: Callable[[str], None],
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._commands = commands
        self._keep = keep
        self._now = now
        self._audit = audit
        self._seen: dict[str, float] = {}  # id -> exp
        self._watermark = float("-inf")
        self._since = float("-inf")
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._came_again: set[str] = set()
        self.refused = 0
        self.repeated = 0

    def restore(self, documents: Mapping[str, Mapping[str, Any]], answered: Collection[str]) -> None:
        """Go on where an earlier run ended. `answered`: the ids whose Answer is in the store already.

        Answers without a journal: it was lost, so nobody can say what ran. What was asked before now is not taken any more.
        """
        changes: dict[str, dict[str, Any] | None] = {}
        bodies: list[Body] = []
        for name, document in documents.items():
            exp = document.get("exp")
            if not isinstance(exp, int | float):
                continue  # a note that somebody spoilt
            if name == WATERMARK:
                self._watermark = float(exp)
                continue
            if name == SINCE:
                self._since = float(exp)
                continue
            self._seen[name] = float(exp)
            if document.get("state") == TAKEN:
                changes[name] = {**document, "state": ANSWERED}
                if name not in answered:
                    text = "the agent ended while this was under way; look what is the case, and ask again with a new id"
                    bodies.append(self._answer(name, str(document.get("command", "")), Outcome.INTERRUPTED, text))
        if answered and not documents:
            self._since = self._now()
            changes[SINCE] = {"exp": self._since}
            self._audit("the journal of the requests was lost; what was asked before now is refused")
        if changes:
            self._keep(bodies, {TABLE: changes})

    def take(self, token: bytes) -> None:
        """A token has come, from whichever link. Never blocks."""
        try:
            self._waiting.put_nowait(token)
        except asyncio.QueueFull:
            self._turn_away("too many requests wait; the newest was not looked at")

    async def run(self) -> None:
        """Handle what comes, for ever."""
        while True:
            await self.handle(await self._waiting.get())

    async def handle(self, token: bytes) -> None:
        """One request, from its token to its answer."""
        try:
            request = open_request(token, self._keys)
            self._check(request)
        except _Again as again:
            self._note_again(again.jti)
            return
        except RequestRefused as error:
            self._turn_away(str(error))
            return
        self._forget()
        journalled = await self._journal(request)
        arguments, why = self._arguments(request)
        if not journalled:
            await self._close(request, Outcome.FAILED, Done("the store does not take it now; ask again with a new id"))
        elif arguments is None:
            self._audit(f"request {request.jti}: {request.command}: refused: {why}")
            await self._close(request, Outcome.REFUSED, Done(why))
        else:
            await self._close(request, *await self._run(request, arguments))

    # Checks -------------------------------------------------------------------------------------------------------------

    def _check(self, request: Request) -> None:
        """Raises RequestRefused for what gets no answer: it is not for us, or it has had its one chance."""
        now = self._now()
        if request.aud != self._gateway:
            raise RequestRefused(f"request {request.jti} is for another gateway")
        if request.jti in self._seen:
            raise _Again(request.jti)
        if not request.iat < request.exp <= request.iat + LONGEST:
            raise RequestRefused(f"request {request.jti} is good for no time, or for more than {LONGEST / 86_400:.0f} days")
        if request.exp <= max(now, self._watermark):
            raise RequestRefused(f"request {request.jti} came after its time")
        if request.iat < self._since:
            raise RequestRefused(f"request {request.jti} is from before the journal was lost; ask again with a new id")
        if request.iat > now + AHEAD:
            raise RequestRefused(f"request {request.jti} is of a later time than this gateway's clock shows")
        if len(self._seen) >= LIMIT and not any(exp <= now for exp in self._seen.values()):
            raise RequestRefused(f"request {request.jti}: {LIMIT} requests are remembered already; wait until they end")

    def _arguments(self, request: Request) -> tuple[Struct | None, str]:
        try:
            arguments = arguments_of(request.command, request.arguments)
        except ValueError as error:
            return None, str(error)
        if request.command not in self._commands:
            return None, f"this gateway is configured without {request.command}"
        return arguments, ""

    def _note_again(self, jti: str) -> None:
        """A broker delivers twice, an observed resource is shown again at each connection: said once, and never run again."""
        self.repeated += 1
        if jti not in self._came_again:
            self._came_again.add(jti)
            self._audit(f"request {jti} was seen before and does not run again; a new request needs a new id")

    def _turn_away(self, why: str) -> None:
        self.refused += 1
        self._audit(f"a request was refused: {why}")

    # Journal ------------------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Ids whose time is over need not be known one by one: the watermark stands for them."""
        now = self._now()
        over = {jti: exp for jti, exp in self._seen.items() if exp <= now}
        if not over or (len(over) < LIMIT // 10 and len(self._seen) < LIMIT):
            return
        self._watermark = max(self._watermark, *over.values())
        for jti in over:
            del self._seen[jti]
        self._came_again &= self._seen.keys()
        self._keep((), {TABLE: {**dict.fromkeys(over), WATERMARK: {"exp": self._watermark}}})

    async def _journal(self, request: Request) -> bool:
        """Write down that it was taken. False when the disk does not say so in time."""
        self._seen[request.jti] = request.exp
        return await self._kept((), request, TAKEN)

    async def _kept(self, bodies: Sequence[Body], request: Request, state: str) -> bool:
        document = {"exp": request.exp, "command": request.command if request.command in COMMANDS else "", "state": state}
        done = self._keep(bodies, {TABLE: {request.jti: document}})
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(done)
        except (TimeoutError, StoreUnavailable):
            done.add_done_callback(_heard)
            return False
        return True

    # The command --------------------------------------------------------------------------------------------------------

    async def _run(self, request: Request, arguments: Struct) -> tuple[Outcome, Done]:
        self._audit(f"request {request.jti}: {request.command}")
        try:
            async with asyncio.timeout(PATIENCE):
                return Outcome.DONE, await self._commands[request.command](arguments)
        except TimeoutError:
            return Outcome.FAILED, Done(f"it took longer than {PATIENCE:.0f} s and was given up")
        except (AgentError, OSError) as error:  # a full disk, say: the command has failed, not the agent
            return Outcome.FAILED, Done(str(error))

    async def _close(self, request: Request, outcome: Outcome, done: Done) -> None:
        """Answer, then do what may only be done once that is on disk."""
        command = request.command if request.command in COMMANDS else ""
        answer = self._answer(request.jti, command, outcome, done.text, done.result)
        await self._kept([answer], request, ANSWERED)
        if done.afterwards is not None:
            done.afterwards()

    def _answer(self, jti: str, command: str, outcome: Outcome, text: str, result: Mapping[str, Any] | None = None) -> Answer:
        told = text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]} …"
        return Answer(self._gateway, self._now(), jti, command, outcome, told, dict(result) if result is not None else None)


def _heard(done: asyncio.Future[None]) -> None:
    """Take note of a failure that nobody waits for any more."""
    with contextlib.suppress(asyncio.CancelledError):
        done.exception()


def answered(bodies: Iterable[Body]) -> set[str]:
    """The ids of the requests that are answered in these records."""
    return {body.request for body in bodies if isinstance(body, Answer)}
