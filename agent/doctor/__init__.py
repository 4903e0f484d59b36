"""What keeps this gateway from working, or soon will: each finding with its remedy. Nothing here changes anything."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at. `remedy` is empty when all is well."""

    check: str
    what: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return not self.remedy
