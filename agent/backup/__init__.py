"""One encrypted file from which another box goes on: configuration, models, and the store with what was not delivered.

    manifest.json   format, gateway, when, by which version
    config.yaml     as it is; secrets are files of their own and never travel
    store/…         a snapshot: the notes (baselines, cursors, open windows and alarms) and every record
    models/…        the shelf of installed models
    files/…         models that the configuration names by path

What is restored keeps its identity (gateway, epoch, lane, position), so that the platform drops what it has already; what the
new box makes carries a new epoch.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from agent.backup.seal import BadSeal, Opening, Sealing
from agent.errors import AgentError

FORMAT = 1
MANIFEST, CONFIG, STORE, MODELS, FILES = "manifest.json", "config.yaml", "store", "models", "files"
FILE_LIMIT = 2 * 2**30  # bytes of one file that is restored
FILES_LIMIT = 100_000  # files
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Content(NamedTuple):
    """What goes into a backup."""

    manifest: Mapping[str, Any]
    config: Path
    store: Path
    """A snapshot: nothing may change in it."""
    models: Path
    """The shelf; it need not exist."""
    files: tuple[Path, ...] = ()


def write(content: Content, out: IO[bytes], passphrase: bytes) -> None:
    """Write a backup, a chunk at a time. Raises OSError, AgentError when the passphrase is too short."""
    with (
        Sealing(out, passphrase) as sealing,
        io.BufferedWriter(sealing, 64 * 1024) as buffered,
        gzip.GzipFile(filename="", fileobj=buffered, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        _add_bytes(archive, MANIFEST, json.dumps({"format": FORMAT, **content.manifest}).encode())
        _add_bytes(archive, CONFIG, content.config.read_bytes())
        for root, name in ((content.store, STORE), (content.models, MODELS)):
            for relative, file in _plain_files(root):
                _add(archive, f"{name}/{relative}", os.fstat(file.fileno()).st_size, file)
        for path in content.files:
            with path.open("rb") as file:
                _add(archive, f"{FILES}/{path.name}", os.fstat(file.fileno()).st_size, file)


def _plain_files(root: Path) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Every regular file below a directory, in order. No link is followed, wherever it stands or comes to stand meanwhile: root
    reads here what belongs to the agent's user, who must not choose what root reads. Raises OSError.
    """
    if not root.is_dir():
        return
    for folder, folders, names, number in os.fwalk(root, onerror=_fails):
        folders.sort()
        for name in sorted(names):
            try:
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=number)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
                    raise
                continue
            with os.fdopen(opened, "rb") as file:
                if stat.S_ISREG(os.fstat(opened).st_mode):
                    yield PurePosixPath(folder).relative_to(root) / name, file


def _fails(error: OSError) -> None:
    raise error


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    _add(archive, name, len(data), io.BytesIO(data))


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o640
    archive.addfile(entry, content)


def read(source: IO[bytes], passphrase: bytes, into: Path) -> dict[str, Any]:
    """Unpack a backup into an empty directory, in the layout of the module; returns the manifest.

    Raises BadSeal when the passphrase or the file is wrong, AgentError when it holds what no backup does, OSError.
    """
    with Opening(source, passphrase) as opening, io.BufferedReader(opening, 64 * 1024) as buffered:
        try:
            with tarfile.open(fileobj=buffered, mode="r|gz") as archive:
                _unpack(archive, into)
            while buffered.read(64 * 1024):  # to the last chunk: only it proves that nothing was cut off
                pass
        except (tarfile.TarError, EOFError) as error:
            raise BadSeal(f"the file is damaged: {error}") from error
    try:
        manifest = json.loads((into / MANIFEST).read_bytes())
        known = manifest["format"] == FORMAT and isinstance(manifest["gateway"], str) and isinstance(manifest["at"], int | float)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise AgentError("the backup is of a format that this version does not know")
    return manifest  # type: ignore[no-any-return]


def _unpack(archive: Iterable[tarfile.TarInfo], into: Path) -> None:
    """Plain files of the layout alone, never outside of the directory."""
    for number, entry in enumerate(archive):
        parts = PurePosixPath(entry.name).parts
        wrong = (
            not parts
            or not entry.isreg()
            or number >= FILES_LIMIT
            or entry.size > FILE_LIMIT
            or not all(map(_NAME.fullmatch, parts))
            or (parts[0] not in (STORE, MODELS, FILES) if len(parts) > 1 else parts[0] not in (MANIFEST, CONFIG))
        )
        if wrong:
            raise AgentError(f"the backup holds {entry.name!r}, which does not belong into one; nothing was restored")
        target = into.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(entry)  # type: ignore[attr-defined]
        with target.open("xb") as file:
            while data := content.read(64 * 1024):
                file.write(data)
