"""Security contexts for OSCORE, made as docs/platform-link.md shows them."""

from __future__ import annotations

import json
from pathlib import Path

SECRET = "0102030405060708090a0b0c0d0e0f10"  # RFC 8613, C.1
SALT = "9e7ca92223786340"


def context(folder: Path, sender: str, recipient: str, secret: str = SECRET) -> Path:
    """A security context on disk."""
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"sender-id_hex": sender, "recipient-id_hex": recipient}))
    (folder / "secret.json").write_text(json.dumps({"secret_hex": secret, "salt_hex": SALT}))
    return folder
