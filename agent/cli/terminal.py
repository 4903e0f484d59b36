"""Text from outside, for a terminal: what a device, a broker or an operator wrote may hold markup or control sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


def printable(text: str) -> str:
    """What cannot be printed is a question mark."""
    return "".join(each if each.isprintable() else "?" for each in text)


def plain(text: str) -> Text:
    """For a table's cell: nothing in it is obeyed, and what cannot be printed is a question mark."""
    from rich.text import Text

    return Text(printable(text))
