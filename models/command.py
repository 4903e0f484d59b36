"""How every trainer's command ends: by its exit status, and by one line where something stood in its way."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from agent.analysis.holidays import HolidayError
from agent.cli import ending
from agent.errors import AgentError
from models.data import DataError


def ended(name: str, run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run it. 0 well; 1 when something cannot be used, which is said in one line; 130 when it was interrupted."""
    return ending.ended(name, partial(run, options), DataError, HolidayError, AgentError, ModuleNotFoundError)


def among(low: int, high: int) -> Callable[[str], int]:
    """What argparse takes as the type of an option."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {low} to {high}")
        return value

    return number


SEED = among(0, 10**6)
