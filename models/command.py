"""How every trainer's command ends: by its exit status, and by one line where something stood in its way."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from agent.analysis.holidays import HolidayError
from agent.errors import AgentError
from models.data import DataError

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells expect


def ended(name: str, run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run it. 0 well; 1 when something cannot be used, which is said in one line; 130 when it was interrupted."""
    try:
        status = run(options)
        sys.stdout.flush()  # here it can still be told that nobody took it
    except BrokenPipeError:  # whoever read our output has had enough of it
        _close_output()
        return 0
    except OSError as error:
        if error.filename is None:
            _close_output()
        place = "standard output" if error.filename is None else error.filename
        print(f"{name}: {place}: {error.strerror}; look at the disk, and at who may use it", file=sys.stderr)
        return 1
    except (DataError, HolidayError, AgentError, ModuleNotFoundError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    else:
        return status


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


def _close_output() -> None:
    """What it did not take is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
