"""The commands. Exit status: 0 well, 1 failed, 2 usage, 78 configuration (EX_CONFIG)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from agent import __version__
from agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, AgentError, ConfigError

COMMANDS = (
    "run",
    "check",
    "config",
    "probe",
    "demo",
    "receive",
    "history",
    "analyse",
    "replay",
    "record",
    "status",
    "doctor",
    "reload",
    "model",
    "store",
    "control",
    "backup",
    "restore",
)


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, of all commands or of some. Each command's module adds its own part and runs it."""
    top = argparse.ArgumentParser(
        prog="atm-agent",
        description="Edge gateway agent for cash machines: reads, keeps, scores and forwards, through outages.",
        epilog="Exit status: 0 well, 1 failed, 2 usage, 78 configuration. `atm-agent COMMAND --help` tells more.",
    )
    top.add_argument("--version", action="version", version=f"atm-agent {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"agent.cli.{name}").add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Errors that the agent foresaw are one line each on stderr."""
    words = sys.argv[1:] if argv is None else argv
    known = words[:1] if words[:1] and words[0] in COMMANDS else COMMANDS  # an agent that runs loads no other command
    args = parser(known).parse_args(argv)
    try:
        status = int(import_module(f"agent.cli.{args.command}").run(args))
        sys.stdout.flush()  # here it can still be told that nobody took it
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return EXIT_CONFIG
    except AgentError as error:
        print(f"atm-agent: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:  # whoever read our output has had enough of it
        _close_output()
        return EXIT_OK
    except OSError as error:
        if args.command == "run":
            raise  # a bug: the journal wants all of it
        if error.filename is None:
            _close_output()
        place = "standard output" if error.filename is None else error.filename
        print(f"atm-agent: {place}: {error.strerror}; look at the disk, and at who may use it", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells expect
    else:
        return status


def _close_output() -> None:
    """What it did not take is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
