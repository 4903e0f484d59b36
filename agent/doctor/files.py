"""Secrets, certificates and models that the configuration names: there, readable, private, and not about to expire."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.config.scalars import CREDENTIAL_PREFIX
from agent.config.settings import Settings, SourceSettings, UplinkSettings
from agent.doctor import Finding

SOON = 30.0  # days before the end of a certificate at which it is a finding
PRIVATE = ("password_file", "psk_file", "key")
CERTIFICATES = ("ca", "certificate")
LIMIT = 1024 * 1024  # bytes that are read of a file


def files(settings: Settings, now: float) -> Iterator[Finding]:
    """Every file that an uplink or a source names."""
    parts: list[tuple[str, UplinkSettings | SourceSettings]] = [("uplink", each) for each in settings.uplinks]
    parts += [("source", each) for each in settings.sources]
    for kind, part in parts:
        for field in dataclasses.fields(part.settings):
            path = getattr(part.settings, field.name)
            if isinstance(path, Path):
                yield from _file(f"{kind} {part.name}: {field.name}", field.name, path, now)


def _file(owner: str, key: str, path: Path, now: float) -> Iterator[Finding]:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT)
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        remedy = f"put it there and give it to the agent: chown atm-agent {path}; chmod 600 {path}"
        if path.name.startswith(CREDENTIAL_PREFIX):
            name = path.name.removeprefix(CREDENTIAL_PREFIX)
            remedy = f"put the secret into /etc/atm-agent/credentials/{name} (root, mode 600) and restart the agent"
        yield Finding(owner, f"{path}: {error.strerror}", remedy)
        return
    if not data.strip():
        yield Finding(owner, f"{path} is empty", "write the secret alone into it")
    elif key in PRIVATE and mode & 0o037:
        yield Finding(owner, f"{path} may be read by others (mode {mode:o})", f"chmod 600 {path}, and give out a new secret")
    elif key in CERTIFICATES:
        yield from _certificates(owner, path, data, now)
    else:
        yield Finding(owner, f"{path} is readable and private" if key in PRIVATE else f"{path} is readable")


def _certificates(owner: str, path: Path, data: bytes, now: float) -> Iterator[Finding]:
    from cryptography import x509  # noqa: PLC0415  loaded only where a certificate is configured

    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        yield Finding(owner, f"{path}: {error}", "expected certificates in PEM; openssl x509 -inform der converts one")
        return
    for certificate in found:
        name = certificate.subject.rfc4514_string() or "without a name"
        yield expiry(owner, f"{path}: {name}", certificate.not_valid_before_utc, certificate.not_valid_after_utc, now)


def expiry(owner: str, what: str, begins: datetime, ends: datetime, now: float) -> Finding:
    """Whether a certificate is valid, and for how long."""
    moment = datetime.fromtimestamp(now, UTC)
    days = (ends - moment).total_seconds() / 86_400
    if begins > moment:
        return Finding(owner, f"{what} is valid from {begins:%Y-%m-%d} only", "check this gateway's clock: timedatectl")
    if days < 0:
        return Finding(owner, f"{what} has expired on {ends:%Y-%m-%d}", "install a new one, then: atm-agent reload")
    if days < SOON:
        return Finding(owner, f"{what} expires in {days:.0f} days, on {ends:%Y-%m-%d}", "order a new one now")
    return Finding(owner, f"{what} is valid until {ends:%Y-%m-%d}")


def models(settings: Settings, probe: Any) -> Iterator[Finding]:
    """Each model proved in a child process. `probe(model)` raises ModelRefused, and returns what it is called."""
    from agent.errors import ModelRefused  # noqa: PLC0415

    for model in settings.models:
        try:
            yield Finding(f"model {model.name}", f"proved: {probe(model)}")
        except ModelRefused as error:
            yield Finding(f"model {model.name}", str(error), "install one that fits: atm-agent model verify FILE tells more")
