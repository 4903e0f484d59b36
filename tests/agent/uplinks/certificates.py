"""Certificates for the tests, by OpenSSL's own command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers import program


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, certificates of it for localhost and for a gateway, and another CA."""
    folder = tmp_path_factory.getbasetemp() / "tls"
    if folder.exists():  # made by another module that imports this
        return folder
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run([program("openssl", "openssl"), *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    for name in ("localhost", "gw-1"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text(f"subjectAltName=DNS:{name}")
        sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *sign)
    return folder
