"""Events and losses of machines out of a table, for what no store tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.analysis.fleet import Event
from agent.cli.table import lines
from agent.errors import AgentError

COLUMNS = ("machine", "events", "loss")
MACHINES_LIMIT = 100_000


def read(path: Path) -> list[Event]:
    """A machine a line: name, events expected in the horizon, loss of one in minor units; commas, semicolons or tabs part them.

    Raises AgentError.
    """
    found: list[Event] = []
    rows = lines(path)
    _, header = next(rows)
    lacking = [name for name in COLUMNS if name not in header]
    if lacking:
        raise AgentError(f"{path}:1: has no column {lacking[0]!r}; the first line names the columns {', '.join(COLUMNS)}")
    places = [header.index(name) for name in COLUMNS]
    for number, cells in rows:
        found.append(_event([cells[at].strip() if at < len(cells) else "" for at in places], f"{path}:{number}"))
        if len(found) > MACHINES_LIMIT:
            raise AgentError(f"{path}: names more than {MACHINES_LIMIT:,} machines; analyse them in parts")
    if not found:
        raise AgentError(f"{path}: names no machine; give a line for each, with {', '.join(COLUMNS)}")
    return found


def _event(cells: Sequence[str], place: str) -> Event:
    machine, events, loss = cells
    try:
        return Event(machine, float(events), float(loss))
    except ValueError as error:
        raise AgentError(f"{place}: {error}; expected a machine, a number of events and a loss") from None
