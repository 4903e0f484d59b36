"""What a receiver shows to gateways over TLS, and whom it hears."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_context(certificate: Path, key: Path | None, ca: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate; with `ca`, for nobody but who shows a certificate of it. Raises OSError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
