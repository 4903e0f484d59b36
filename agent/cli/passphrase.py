"""How a command is given a passphrase: by a file, or typed where nobody sees it; never as an argument, which everybody sees."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from agent.backup.seal import check_passphrase
from agent.errors import AgentError

LIMIT = 4096  # bytes


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add the option to a command."""
    parser.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from here; otherwise it is asked"
    )


def passphrase(args: argparse.Namespace, *, twice: bool) -> bytes:
    """The passphrase. Raises AgentError when there is none, or one that protects nothing."""
    if args.passphrase_file is not None:
        try:
            with args.passphrase_file.open("rb") as file:
                secret: bytes = file.read(LIMIT).rstrip(b"\r\n")
        except OSError as error:
            raise AgentError(f"{args.passphrase_file}: {error.strerror}; name a file that this user may read") from error
    elif sys.stdin.isatty():
        secret = getpass.getpass("passphrase: ").encode()
        if twice and getpass.getpass("once more: ").encode() != secret:
            raise AgentError("the two are not the same")
    else:
        raise AgentError("no passphrase: give --passphrase-file, or type it at a terminal")
    check_passphrase(secret)
    return secret
