"""Where the page is served, and to whom."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

UNIX = "unix:"
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):(\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """The technician's page. Without this block there is none."""

    listen: str = "127.0.0.1:8480"
    """Address and port, or unix:/path of a socket. Other than loopback it wants a certificate and a secret."""
    certificate: Path | None = None
    """PEM, the chain included; with `key`, the page is served over TLS."""
    key: Path | None = None
    secret_file: Path | None = None
    """A file with the secret that a technician types: 12 characters at least, of this gateway alone. Without it, only a look."""

    def __post_init__(self) -> None:
        if not self.listen.startswith(UNIX):
            found = _HOST_PORT.fullmatch(self.listen)
            if found is None or not 0 <= int(found[2]) <= 65_535:
                raise ValueError(
                    f"listen: expected an address and a port such as 127.0.0.1:8480, or unix:/path, got {self.listen!r}"
                )
        elif not self.listen.removeprefix(UNIX).startswith("/"):
            raise ValueError(f"listen: expected unix: and an absolute path, got {self.listen!r}")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate: goes with key; give both or none")
        if not self.local and (self.certificate is None or self.secret_file is None):
            raise ValueError(
                f"listen: {self.listen} can be reached from outside; that wants certificate, key and secret_file, "
                "or listen on 127.0.0.1"
            )

    @property
    def socket(self) -> Path | None:
        """The Unix socket, when it is one."""
        return Path(self.listen.removeprefix(UNIX)) if self.listen.startswith(UNIX) else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, when it is no Unix socket."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def local(self) -> bool:
        """Whether nobody outside this box can reach it."""
        if self.listen.startswith(UNIX):
            return True
        host = self.address[0]
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
