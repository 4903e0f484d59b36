"""The ways in from outside, together: signed requests of the operator, and the technician's page. Both only ask `Running`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent import rooms
from agent.errors import AgentError
from agent.records import Body
from agent.running import Running

if TYPE_CHECKING:
    from agent.control.desk import Desk, Keep
    from agent.view import View
    from agent.web.server import Page
    from agent.web.settings import WebSettings


class Outside:
    """Of one running agent. Without the operator's keys there is no desk, nothing is taken, and nothing of it is loaded."""

    def __init__(self, running: Running, keep: Keep, keys: Mapping[str, Any]) -> None:
        self._running = running
        self._view: View | None = None
        self.desk: Desk | None = None
        if keys:
            from agent.control.desk import Desk  # noqa: PLC0415
            from agent.requests import Requests  # noqa: PLC0415

            requests = Requests(running, time.perf_counter)
            gateway = running.settings().gateway.id
            self.desk = Desk(gateway, keys, requests.by_name(), keep, running.now, self._audit)

    def restore(self, journal: Mapping[str, Mapping[str, Any]]) -> None:
        """Answer what an earlier run was asked and did not answer."""
        if self.desk is not None:
            self.desk.restore(journal, rooms.answered(self._running.settings()))

    def ask(self, token: bytes) -> None:
        """A request has come, over whichever way. Raises AgentError when this gateway takes none."""
        if self.desk is None:
            raise AgentError("this gateway takes no requests; control.keys names the operator's public keys")
        self.desk.take(token)

    def _audit(self, text: str) -> None:
        self._running.audit("control", "refused" if "refused" in text else "taken", "platform", text)

    async def page(self, settings: WebSettings) -> Page:
        """The technician's page, to be entered. Raises ConfigError."""
        from agent.requests import Requests  # noqa: PLC0415
        from agent.view import View  # noqa: PLC0415
        from agent.web.server import Page  # noqa: PLC0415  a gateway without the page never loads aiohttp

        view = View(self._running, Requests(self._running, time.perf_counter))
        page = Page(settings, view)
        self._view = view
        await view.remember()
        return page

    def note(self, bodies: Sequence[Body]) -> None:
        """Records on their way into the store."""
        if self._view is not None:
            self._view.note(bodies)
