"""Amounts of money as people write them. Inside the agent they are integer minor units of one currency."""

from __future__ import annotations

CENTS = 2
# ISO 4217: digits after the decimal point, where they are not two
DIGITS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def major(minor: float, currency: str) -> float:
    """Whole units of the currency; without one, the number as it is."""
    return float(minor / 10 ** DIGITS.get(currency, CENTS)) if currency else float(minor)


def amount(minor: float | None, currency: str) -> str:
    """With thousands set apart; a question mark for what is not known."""
    return "?" if minor is None else f"{major(minor, currency):,.{DIGITS.get(currency, CENTS)}f}"
