"""Events and losses of machines out of a table, for what no store tells."""

from __future__ import annotations

import csv
from pathlib import Path

from agent.analysis.fleet import Event
from agent.errors import AgentError

COLUMNS = ("machine", "events", "loss")
MACHINES_LIMIT = 100_000


def read(path: Path) -> list[Event]:
    """A machine a line: name, events expected in the horizon, loss of one in minor units. Raises AgentError."""
    found: list[Event] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file, skipinitialspace=True)
            lacking = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
            if lacking:
                raise AgentError(f"{path}:1: has no column {lacking[0]!r}; the first line names the columns {', '.join(COLUMNS)}")
            for line in lines:
                found.append(_event(line, f"{path}:{lines.line_num}"))
                if len(found) > MACHINES_LIMIT:
                    raise AgentError(f"{path}: names more than {MACHINES_LIMIT:,} machines; analyse them in parts")
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a CSV file that this user may read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AgentError(f"{path}: is no CSV file ({error})") from error
    if not found:
        raise AgentError(f"{path}: names no machine; give a line for each, with {', '.join(COLUMNS)}")
    return found


def _event(line: dict[str, str | None], place: str) -> Event:
    try:
        return Event(line["machine"] or "", float(line["events"] or ""), float(line["loss"] or ""))
    except ValueError as error:
        raise AgentError(f"{place}: {error}; expected a machine, a number of events and a loss") from None
