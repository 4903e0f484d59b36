"""Named tasks of one group: one that fails fails them all; one can be ended and begun again by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class Tasks:
    """Belongs to the event loop, like the group that it fills."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: dict[str, asyncio.Task[Any]] = {}

    def begin(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task. One of that name must have ended."""
        self._running[name] = self._group.create_task(work, name=name)

    async def end(self, names: Iterable[str]) -> None:
        """Cancel tasks and wait until they have let go of what they hold; names that do not run are passed over."""
        ending = [task for name in names if (task := self._running.pop(name, None)) is not None]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def names(self, wanted: Callable[[str], bool] = lambda _: True) -> list[str]:
        """Names of the tasks that were begun and not ended."""
        return [name for name in self._running if wanted(name)]
