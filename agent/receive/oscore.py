"""OSCORE (RFC 8613) at the platform's end: whoever has no security context here is not heard.

A directory holds one security context a gateway, in a directory that has the gateway's name; docs/platform-link.md shows the
files. A replay window is not written at each request: after a crash a gateway is asked for an Echo (appendix B.1.2).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.error
import aiocoap.pipe
from aiocoap import interfaces, oscore

from agent.oscore import close_context, open_context

log = logging.getLogger(__name__)


def open_contexts(directory: Path) -> dict[str, Any]:
    """The security contexts below a directory, by gateway. Raises ValueError("DIRECTORY: what is wrong, what would be right")."""
    found: dict[str, Any] = {}
    path = directory
    try:
        for path in sorted(each for each in directory.iterdir() if each.is_dir()):
            found[path.name] = open_context(path)
    except (ValueError, OSError) as error:
        close_contexts(found)
        wrong = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: {wrong}; expected a directory of contexts, one a gateway") from None
    if not found:
        raise ValueError(f"{directory}: it holds no context; expected a directory for each gateway")
    return found


def close_contexts(contexts: Mapping[str, Any]) -> None:
    """Write down what has been seen, and let them go."""
    for context in contexts.values():
        close_context(context)


class _Gateway:
    """A remote that a security context has proved; everything else is the remote's below."""

    def __init__(self, remote: Any, name: str) -> None:
        self._remote = remote
        self.gateway = name
        self.blockwise_key = (remote.blockwise_key, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)


class Guarded(interfaces.Resource):  # type: ignore[misc]  # aiocoap publishes no types
    """The door of a site: requests come in protected, responses go out so."""

    def __init__(self, site: Any, contexts: Mapping[str, Any]) -> None:
        self._site = site
        self._contexts = contexts

    async def render(self, request: Any) -> Any:
        raise NotImplementedError("everything goes through render_to_pipe")

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        raise NotImplementedError("everything goes through render_to_pipe")

    async def render_to_pipe(self, pipe: Any) -> None:
        """One request. What is answered without protection is what RFC 8613, 8.2 lets be."""
        name, context, inner, request_id = self._unprotected(pipe.request)
        inner.remote = _Gateway(pipe.request.remote, name)
        site = aiocoap.pipe.IterablePipe(inner)
        answering = aiocoap.pipe.error_to_message(site, log)
        aiocoap.pipe.run_driving_pipe(answering, self._site.render_to_pipe(site), name=f"coap: a request of {name}")
        async for event in site:
            failed = event.exception is not None
            is_last = event.is_last or failed
            message = aiocoap.Message(code=aiocoap.INTERNAL_SERVER_ERROR) if failed else event.message
            if not is_last:
                message.opt.observe = 0  # inside it is only there or not (RFC 8613, 4.1.3.5.2)
            protected, _ = context.protect(message, request_id)
            if not is_last:
                protected.opt.observe = context.sender_sequence_number & 0xFFFFFF
            pipe.add_response(protected, is_last=is_last)
            if is_last:
                return

    def _unprotected(self, request: Any) -> tuple[str, Any, Any, Any]:
        """Gateway, context, the request inside, and what the response is protected with. Raises aiocoap's renderable errors."""
        try:
            bag = oscore.verify_start(request)
        except oscore.NotAProtectedMessage:
            raise aiocoap.error.Unauthorized("OSCORE only") from None
        except oscore.ProtectionInvalid:
            raise aiocoap.error.BadOption("Failed to decode COSE") from None
        name = self._named(bag)
        try:
            inner, request_id = self._contexts[name].unprotect(request)
        except aiocoap.error.RenderableError:  # asks for an Echo; it is a kind of ReplayError too
            raise
        except oscore.ReplayError:
            raise aiocoap.error.Unauthorized("Replay detected") from None
        except oscore.DecodeError:
            raise aiocoap.error.BadOption("Failed to decode COSE") from None
        except (oscore.ProtectionInvalid, ValueError):
            raise aiocoap.error.BadRequest("Decryption failed") from None
        return name, self._contexts[name].context_for_response(), inner, request_id

    def _named(self, bag: Mapping[Any, Any]) -> str:
        for name, context in self._contexts.items():
            if bag.get(oscore.COSE_KID) == context.recipient_id and bag.get(oscore.COSE_KID_CONTEXT) in (
                None,
                context.id_context,
            ):
                return name
        raise aiocoap.error.Unauthorized("Security context not found")
