"""How a command ends: by its exit status, and by one line where something stood in its way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from agent.errors import EXIT_FAILED, EXIT_OK

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells expect


def ended(name: str, work: Callable[[], int], *foreseen: type[Exception], daemon: bool = False) -> int:
    """Do it. 0 well; 1 when something cannot be used, which is said in one line; 130 when it was interrupted.

    An OSError that a daemon did not foresee is a bug, and raised: the journal wants all of it.
    """
    try:
        status = work()
        sys.stdout.flush()  # here it can still be told that nobody took it
    except BrokenPipeError:  # whoever read our output has had enough of it
        _close_output()
        return EXIT_OK
    except foreseen as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        if daemon:
            raise
        if error.filename is None:
            _close_output()
        place = "standard output" if error.filename is None else error.filename
        print(f"{name}: {place}: {error.strerror}; look at the disk, and at who may use it", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    else:
        return status


def _close_output() -> None:
    """What it did not take is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
