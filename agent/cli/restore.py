"""`atm-agent restore FILE CONFIG`: let this box go on where another one was backed up."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from agent import backup, config
from agent.cli.passphrase import add_passphrase, passphrase
from agent.errors import EXIT_OK, AgentError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "restore",
        help="let this box go on where another one was backed up",
        description="Unpack a backup: the configuration to CONFIG, the records and models to where it says. Nothing that exists "
        "is overwritten. What is restored keeps its identity; what is made from now on carries a new epoch. Stop it first.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup")
    parser.add_argument("config", metavar="CONFIG", type=Path, help="where the configuration goes; must not exist")
    parser.add_argument("--keep-config", action="store_true", help="CONFIG exists and stays; its store and gateway count")
    add_passphrase(parser)


def run(args: argparse.Namespace) -> int:
    """Unpack beside the target, check, and only then put everything in its place."""
    if args.config.exists() and not args.keep_config:
        raise AgentError(f"{args.config}: exists; remove it, or give --keep-config")
    if not args.file.is_file():
        raise AgentError(f"{args.file}: there is no such file; name one that atm-agent backup wrote")
    secret = passphrase(args, twice=False)
    args.config.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=args.config.parent) as scratch:
        try:
            with args.file.open("rb") as source:
                manifest = backup.read(source, secret, Path(scratch))
        except OSError as error:
            raise AgentError(f"{args.file}: {error.strerror}; nothing was restored") from error
        except AgentError as error:
            raise AgentError(f"{args.file}: {error}") from error
        _put_in_place(Path(scratch), args, manifest["gateway"])
    when = datetime.fromtimestamp(manifest["at"], UTC)
    print(f"restored the gateway {manifest['gateway']} as of {when:%Y-%m-%d %H:%M} UTC; new records carry a new epoch")
    print("Passwords and keys are not in a backup: give this box its own, then start the agent.")
    return EXIT_OK


def _put_in_place(scratch: Path, args: argparse.Namespace, gateway: str) -> None:
    from agent.store.snapshot import begin_new_life

    settings = config.load(args.config if args.keep_config else scratch / backup.CONFIG)
    if settings.gateway.id != gateway:
        raise AgentError(
            f"{args.config} is of the gateway {settings.gateway.id!r}, the backup of {gateway!r}; nothing was restored"
        )
    store = settings.store.path
    moves = [(scratch / backup.STORE, store), (scratch / backup.MODELS, store.with_name(f"{store.name}-models"))]
    moves += [(scratch / backup.FILES / model.file.name, model.file) for model in settings.models if model.file is not None]
    if not args.keep_config:
        moves.append((scratch / backup.CONFIG, args.config))
    moves = [(source, target) for source, target in moves if source.exists()]
    for _, target in moves:
        if os.path.lexists(target):
            raise AgentError(f"{target}: exists; nothing was restored. Move it away first: what it holds would be lost")
    if (scratch / backup.STORE).exists():
        begin_new_life(scratch / backup.STORE)
    for source, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        _own(source, target.parent)
        _move(source, target)


def _own(path: Path, like: Path) -> None:
    """Root restores for the agent's user: what goes into a directory belongs to whoever the directory does.

    Called where nobody else can reach: no name may become a link to another file meanwhile.
    """
    owner = like.stat()
    for each in (path, *path.rglob("*")):
        if os.geteuid() == 0:
            os.chown(each, owner.st_uid, owner.st_gid)
        each.chmod(0o750 if each.is_dir() else 0o640)


def _move(source: Path, target: Path) -> None:
    """To where nothing is, not even a link, and never through one; across file systems too. Raises AgentError."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise AgentError(f"{target}: {error.strerror}; what was restored so far stays") from error
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=target.parent) as scratch:  # ours alone, on that file system
            copy = Path(scratch) / target.name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy)
            _own(copy, target.parent)
            os.rename(copy, target)
