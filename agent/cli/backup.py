"""`atm-agent backup CONFIG [FILE]`: one encrypted file, consistent while the agent runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent import __version__, backup, config
from agent.cli.passphrase import add_passphrase, passphrase
from agent.config.settings import Settings
from agent.errors import EXIT_OK, AgentError, Unavailable
from agent.local import ask
from agent.outgoing import LARGEST, MANIFEST, PIECE, Manifest, outgoing_of, read_manifest, write_manifest
from agent.rooms import CARRIERS, carrier


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "backup",
        help="write configuration, models and records into one encrypted file",
        description="Write configuration, baselines, models, and the store with what was not delivered into one file that is "
        "encrypted with a passphrase. The agent may run meanwhile. Passwords and keys are not in it.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file that the agent runs with")
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="the backup; - for standard output")
    parser.add_argument(
        "--into", metavar="DIRECTORY", type=Path, help="instead of FILE: a new file in this directory, by its time"
    )
    parser.add_argument(
        "--send", action="store_true", help="instead of FILE: hand it to the agent, which sends it to the platform in pieces"
    )
    parser.add_argument("--keep", metavar="N", type=int, default=0, help="with --into: keep the newest N, remove older ones")
    add_passphrase(parser)


def run(args: argparse.Namespace) -> int:
    """Take a snapshot, write, and remove what is too old."""
    settings = config.load(args.config)
    if (args.file is not None) + (args.into is not None) + args.send != 1:
        raise AgentError("name one of FILE, --into and --send")
    into = _outgoing(settings) if args.send else args.into
    secret = passphrase(args, twice=True)
    target = args.file if into is None else into / _name(settings.gateway.id)
    if args.into is not None:
        args.into.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _snapshot(settings) as snapshot:
        named = tuple(model.file for model in settings.models if model.file is not None and model.file.is_file())
        manifest = {"gateway": settings.gateway.id, "at": time.time(), "version": __version__}
        shelf = settings.store.path.with_name(f"{settings.store.path.name}-models")
        content = backup.Content(manifest, args.config, snapshot, shelf, named)
        if str(target) == "-":
            backup.write(content, sys.stdout.buffer, secret)
            return EXIT_OK
        _write(content, target, secret)
    print(f"{target}: {target.stat().st_size} bytes")
    if args.send:
        _hand_over(target)
    if args.into is not None and args.keep > 0:
        for old in sorted(args.into.glob(f"{settings.gateway.id}-*.atmbackup"))[: -args.keep]:
            old.unlink()
            print(f"{old}: removed")
    return EXIT_OK


def _name(gateway: str) -> str:
    return f"{gateway}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.atmbackup"


def _write(content: backup.Content, target: Path, secret: bytes) -> None:
    """Whole or not at all."""
    draft = target.with_name(f".{target.name}.new")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            backup.write(content, file, secret)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise AgentError(f"{target}: {error.strerror}; name a place with room that may be written") from error
    finally:
        draft.unlink(missing_ok=True)


def _outgoing(settings: Settings) -> Path:
    """Where the agent takes files from. Raises AgentError when it carries none, or has not delivered the one before."""
    if carrier(settings) is None:
        raise AgentError(f"uplinks: none of them carries files; one of kind {' or '.join(CARRIERS)} does")
    directory = outgoing_of(settings.store.path)
    try:
        directory.mkdir(mode=0o750, exist_ok=True)
        if directory.is_symlink():
            raise AgentError(f"{directory}: is a link; remove it")
        _give(directory, directory.parent)
        before = read_manifest(directory)
    except OSError as error:
        raise AgentError(f"{directory}: {error.strerror}; name a store that this user may write beside") from error
    except ValueError as error:
        raise AgentError(f"{directory / MANIFEST}: {error}; remove it") from error
    if before is not None:
        share = f"{before.sent * PIECE} of {before.size} bytes"
        raise AgentError(f"{before.name} is on its way still ({share}); try again later, or remove {directory / MANIFEST}")
    for left in directory.glob("*.atmbackup"):
        left.unlink()
    return directory


def _hand_over(file: Path) -> None:
    """The manifest last: from then on the agent sends."""
    size = file.stat().st_size
    if size > LARGEST:
        file.unlink()
        raise AgentError(f"{file}: {size} bytes, more than the {LARGEST} that are sent over a link; use --into")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    _give(file, file.parent.parent)
    _give(write_manifest(file.parent, Manifest(file.name, size, digest)), file.parent.parent)
    print(f"{file.name}: the agent sends it when nothing else waits; sha256 {digest}")


def _give(path: Path, like: Path) -> None:
    """What root makes for the agent belongs to its user, as its state directory does."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextlib.contextmanager
def _snapshot(settings: Settings) -> Iterator[Path]:
    """The store at one moment: made by the running agent, or here when none runs."""
    try:
        answer = asyncio.run(ask(settings.gateway.runtime, {"ask": "snapshot"}))
    except Unavailable:
        answer = {"done": True, "path": str(_own_snapshot(settings.store.path))}
    if not answer.get("done"):
        raise AgentError("; ".join(answer.get("refused", ["the agent gave no reason"])))
    path = _checked(Path(str(answer.get("path"))), settings.store.path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _checked(path: Path, store: Path) -> Path:
    """The agent's word alone is not enough: what it names is read and then removed, with the rights of whoever backs up."""
    if path.parent != store.parent or not re.fullmatch(rf"{re.escape(store.name)}-snapshot-[0-9a-f]+", path.name):
        raise AgentError(f"the agent calls {path} its snapshot, which is none of {store}; nothing was read")
    return path


def _own_snapshot(store: Path) -> Path:
    from agent.store.snapshot import claimed, place, snapshot

    target = place(store)
    try:
        with claimed(store):
            snapshot(store, target)
    except BlockingIOError as error:
        raise AgentError(f"{store}: an agent has it open and does not answer; are you root or its user?") from error
    except OSError as error:
        raise AgentError(f"{store}: {error.strerror}; is there a store, and may this user read it?") from error
    return target
