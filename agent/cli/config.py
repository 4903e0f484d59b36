"""`atm-agent config schema|show|migrate`: the configuration file for editors, with its defaults, from older versions."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agent import config
from agent.errors import EXIT_OK, ConfigError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("config", help="schema for editors, effective settings, older files")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("schema", help="print the JSON Schema of the file, for editors")
    show = actions.add_parser("show", help="print what a file says")
    show.add_argument("--effective", action="store_true", help="with every default, as the agent understands it")
    migrate = actions.add_parser("migrate", help="rename keys of an older version; comments and order stay")
    migrate.add_argument("--write", action="store_true", help="change the file, and keep the old one as FILE.old")
    for each in (show, migrate):
        each.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    if args.action == "schema":
        from agent.config.editors import schema

        print(json.dumps(schema(), indent=1))
    elif args.action == "show":
        settings = config.load(args.config)
        if args.effective:
            from agent.config.effective import effective

            print(effective(settings), end="")
        else:
            print(args.config.read_text(encoding="utf-8"), end="")
    else:
        _migrate(args)
    return EXIT_OK


def _migrate(args: argparse.Namespace) -> None:
    from agent.config.migrate import migrated

    try:
        text, told = migrated(args.config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{args.config}: cannot be read: {error.strerror}; name a file that this user may read"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{args.config}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from error
    except ConfigError as error:
        raise ConfigError([f"{args.config}: {mistake}" for mistake in error.mistakes]) from error
    for line in told:
        print(f"{args.config}: {line}", file=sys.stderr)
    if not args.write:
        print(text, end="")
    elif told:
        args.config.with_name(args.config.name + ".old").write_text(args.config.read_text(encoding="utf-8"), encoding="utf-8")
        draft = args.config.with_name(args.config.name + ".new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(args.config.stat().st_mode & 0o777)
        draft.replace(args.config)
    if not told:
        print(f"{args.config}: is of today's form", file=sys.stderr)
