"""What an operator's request does, once `agent.control` has let it through. Each command is one method; none moves cash."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from agent.control import commands
from agent.control.commands import Command, Done
from agent.errors import AgentError
from agent.running import Running
from agent.stages.calendar import Visit

LONGEST_AHEAD = 90 * 86_400.0  # s before a visit that it may be announced


class Requests:
    """The commands over one running agent."""

    def __init__(self, running: Running, perf_counter: Callable[[], float]) -> None:
        self._running = running
        self._perf_counter = perf_counter

    def by_name(self) -> dict[str, Command]:
        """By the name under which they are asked for."""
        return {
            "readNow": self.read_now,
            "diagnostics": self.diagnostics,
            "setConfiguration": self.set_configuration,
            "installModel": self.install_model,
            "rollBackModel": self.roll_back_model,
            "serviceWindow": self.service_window,
            "flush": self.flush,
            "restart": self.restart,
        }

    async def read_now(self, asked: commands.ReadNow) -> Done:
        """Points as `machine/point`."""
        values = self._running.values()
        if asked.machine is not None:
            self._require_machine(asked.machine)
            values = {asked.machine: values[asked.machine]}
        return Done(result={f"{machine}/{point}": value for machine, points in values.items() for point, value in points.items()})

    async def diagnostics(self, _: commands.Diagnostics) -> Done:
        """The gateway's own points."""
        return Done(result=dict(self._running.values()[self._running.settings().gateway.id]))

    async def set_configuration(self, asked: commands.SetConfiguration) -> Done:
        """What changed, a line each."""
        changed = await self._running.configure(asked.yaml, "control")
        return Done("; ".join(changed) or "nothing changed")

    async def install_model(self, asked: commands.InstallModel) -> Done:
        """Proved with the keys of the configuration, as at a start; the running agent takes it within seconds."""
        from agent.scoring import prove  # noqa: PLC0415  a gateway without models never loads their runtime
        from agent.scoring.shelf import Shelf, shelf_of  # noqa: PLC0415
        from agent.scoring.trust import signature_of  # noqa: PLC0415

        settings = self._running.settings()
        keys = tuple(dict.fromkeys(key for model in settings.models for key in model.keys))
        if not keys:
            raise AgentError("no model of this gateway has `keys`, so nobody's signature is trusted; configure them first")
        shelf = Shelf(shelf_of(settings.store.path))
        with tempfile.TemporaryDirectory(prefix="atm-agent-") as folder:
            path = Path(folder) / "received.onnx"
            path.write_bytes(asked.model)
            signature_of(path).write_bytes(asked.signature)
            model = await prove(
                path, None, min((each.budget for each in settings.models), default=0.05), self._perf_counter, keys
            )
            if model.card.name not in {each.name for each in settings.models}:
                raise AgentError(f"the model calls itself {model.card.name}; no model of that name is configured here")
            install = shelf.install(model.card.name, model.card.version, path, asked.model, shadow=asked.shadow)
        return Done(
            f"{model.id} is on the shelf{' as a shadow' if asked.shadow else ''}; {len(install.previous)} before it are kept"
        )

    async def roll_back_model(self, asked: commands.RollBackModel) -> Done:
        """To the one before, or to what came with the agent."""
        from agent.scoring.shelf import Shelf, shelf_of  # noqa: PLC0415

        row = Shelf(shelf_of(self._running.settings().store.path)).roll_back(asked.name, shadow=asked.shadow)
        return Done(f"{asked.name}: {row.current.file if row.current is not None else 'what came with the agent'} is current")

    async def service_window(self, asked: commands.ServiceWindow) -> Done:
        """Announce, or withdraw with 0 minutes."""
        self._require_machine(asked.machine)
        if asked.minutes == 0:
            self._running.announce(asked.machine, None)
            return Done("nobody is expected any more")
        now = self._running.now()
        start = now if asked.start is None else asked.start
        end = start + asked.minutes * 60.0
        if not now - 60.0 < end or start > now + LONGEST_AHEAD:
            raise AgentError(f"start: expected a moment from now on and within {LONGEST_AHEAD / 86_400:.0f} days")
        self._running.announce(asked.machine, Visit(start, end, asked.who))
        return Done(f"expected until {end:.0f}")

    async def flush(self, _: commands.Flush) -> Done:
        """Links that are up need no telling."""
        self._running.flush()
        return Done()

    async def restart(self, _: commands.Restart) -> Done:
        """Once this is answered."""
        return Done("the agent ends and is started again", afterwards=self._running.stop)

    def _require_machine(self, name: str) -> None:
        known = [machine.id for machine in self._running.settings().machines]
        if name not in known:
            raise AgentError(f"machine: no machine is called {name!r}; known are {', '.join(known)}")
