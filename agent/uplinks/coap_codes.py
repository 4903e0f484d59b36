"""What a CoAP response says of the message that it answers (RFC 7252, section 5.9; RFC 7959, RFC 8132, RFC 8516)."""

from __future__ import annotations

from typing import NamedTuple

from agent.errors import Unreachable
from agent.uplinks import Busy, Refused
from agent.uplinks.portions import Outcome, Verdict


class Answer(NamedTuple):
    """A response. `code` as in "2.04"; `max_age` in seconds and `size`, the bytes that 4.13 would take: None where not given."""

    code: str
    text: str = ""
    max_age: float | None = None
    size: int | None = None


# Permanent, and about what the message holds: sent again in halves until the envelope is found.
_PAYLOAD = {"4.00": "bad request", "4.22": "unprocessable entity"}

# Permanent, and the same for every message: nothing is given up for it, somebody must change something.
_SETUP = {
    "4.01": ("not authorised", "check `psk_identity`, `psk_file`, and what the platform knows this gateway by"),
    "4.02": ("it does not know an option of ours", "if it is Block1 (RFC 7959), set `batch_bytes: 1KiB`"),
    "4.03": ("forbidden", "let this gateway POST to this path"),
    "4.04": ("not found", "correct the path in `url`"),
    "4.05": ("POST is not allowed there", "correct the path in `url`"),
    "4.06": ("not acceptable", "has the platform room for another resource?"),
    "4.15": ("it does not read this content format", "change `encoding`"),
}


def verdict(answer: Answer, place: str) -> Verdict:
    """The platform's word on one message to `place`. Raises Unreachable, Refused or Busy when it is not about the message."""
    said = f"{answer.code}" + (f" {answer.text}" if answer.text else "")
    if answer.code.startswith("2."):
        return Verdict(Outcome.TAKEN)
    if answer.code == "4.13":
        return Verdict(Outcome.TOO_LARGE, f"too large for the platform ({said})")
    if answer.code in _PAYLOAD:
        return Verdict(Outcome.REFUSED, f"{_PAYLOAD[answer.code]} ({said})")
    if answer.code in _SETUP:
        why, remedy = _SETUP[answer.code]
        raise Refused(f"{place}: {why} ({said}); {remedy}")
    if answer.max_age is not None and (answer.code == "4.29" or answer.code.startswith("5.")):
        raise Busy(f"{place}: not now ({said})", answer.max_age)
    if answer.code.startswith("4.") and answer.code not in ("4.08", "4.29"):
        raise Refused(f"{place}: refused ({said}); ask whoever runs the platform")
    raise Unreachable(f"{place}: not now ({said})")
