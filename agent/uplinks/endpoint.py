"""Where the platform is, by its URL, and whether it may be spoken to in the clear; secrets and certificates from files."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from agent.errors import ConfigError

MAX_SECRET = 64 * 1024  # bytes; a file that holds more is not the one that was meant


class Scheme(NamedTuple):
    """What a URL's scheme stands for."""

    port: int  # when the URL names none
    secure: bool


class Endpoint(NamedTuple):
    """The far end."""

    host: str
    port: int
    path: str
    secure: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str, schemes: Mapping[str, Scheme], *, insecure: bool, instead: str = "") -> Endpoint:
    """The endpoint of a URL. Raises ValueError("url: what is wrong, what would be right").

    `instead` is what makes a scheme secure, where that is not another scheme.
    """
    usual = " or ".join(f"{name}://host[:port]" for name in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}; expected {usual}") from None
    scheme = schemes.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f'url: "{url if "@" not in url else "…"}" is not {usual}')
    _check_nothing_else(parts)
    if not scheme.secure and not insecure and not is_loopback(parts.hostname):
        remedy = instead or f"use {parts.scheme}s://"
        raise ValueError(
            f"url: {parts.scheme}:// to {parts.hostname} would travel readable and changeable by anyone on the way; "
            f"{remedy}, or say `insecure: true` where the line itself is protected"
        )
    return Endpoint(parts.hostname, port or scheme.port, parts.path.strip("/"), scheme.secure)


def _check_nothing_else(parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: it holds a user name or a password; use the keys for them, secrets come from files only")
    if parts.query or parts.fragment:
        raise ValueError("url: it has a query or a fragment, which mean nothing here; leave them out")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret(owner: str, key: str, path: Path) -> bytes:
    """What a secret's file holds, without the line end. Raises ConfigError: the key, the file, the reason, never the secret."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET + 1).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError([f"{owner}: {key}: {path}: {error.strerror}; give the agent's user a file it may read"]) from None
    if not content or len(content) > MAX_SECRET:
        raise ConfigError([f"{owner}: {key}: {path} is {'too long' if content else 'empty'}; write the secret alone into it"])
    return content


def tls_context(owner: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """What a TLS connection trusts and shows. The far end is always verified, by name too. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError([f"{owner}: ca: {ca}: {_reason(error)}; expected CA certificates in PEM"]) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"{certificate}" + (f", {key}" if key else "")
            expected = "expected a PEM certificate and its unencrypted key"
            raise ConfigError([f"{owner}: certificate, key: {files}: {_reason(error)}; {expected}"]) from None
    return context


def _no_password() -> str:
    return ""  # OpenSSL would ask at the terminal otherwise


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error)
