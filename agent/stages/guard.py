"""The card-data guard: nothing that looks like a card number, a track or a PIN block passes, and its value is never repeated.

Records are allow-listed already: a value is a number or a word of the vocabulary. The guard is the second lock, at the source
(`refuses`), at the store and at the uplink (`scrubbed`). PCI DSS v4 3.3 and 3.5: such data may not be kept at all, or not
readable; this agent handles none, not even masked or hashed.

What is meant to be a long number and is no card is written with its kind: `imei:…`, `iccid:…`, `serial:…`, `ns:…`. The counters
of the gateway itself are whitelisted by name.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from agent.records import Alarm, Answer, Body, Chunk, Evidence, Loss, PointSummary, Reading, Summary, Value

PAN_DIGITS = range(13, 20)  # ISO/IEC 7812-1: a primary account number has up to 19 digits, in practice at least 13
SHORTEST = 13  # characters: nothing shorter can hold one
LEAST = 10**12  # the smallest number of 13 digits
REMOVED = "(removed: it looked like card data)"

_NAMED = re.compile(r"(?i)(?<!\w)(?:imei:\d{15}|iccid:\d{19,20}|serial:[0-9a-z-]{1,40}|ns:\d{19})(?!\w)")
_RUN = re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)")
_TRACK_1 = re.compile(r"%?[Bb]\d{13,19}\^")  # ISO/IEC 7813, track 1, format B
_TRACK_2 = re.compile(r";?\d{13,19}[=Dd]\d{4}")  # track 2: number, separator, expiry; also EMV tag 57 in hexadecimal
_PIN_BLOCK = re.compile(r"(?i)(?:pin_?(?:block)?|buffer_?a)\W{0,4}[0-9a-f]{16}(?:[0-9a-f]{16})?(?![0-9a-f])")
_KEYED = re.compile(r"(?i)(?<![a-z])(?:track[123]|cvv2?|cvc2?|cardholder_?name|pan)[\"']?\s*[:=]\s*[\"']?\w{3,}")
_NDC = re.compile(r"\A\W?(?:11|61)\x1c")  # transaction request, journal upload
_HEX = re.compile(r"(?i)(?<![0-9a-f])(?:[0-9a-f]{2}\s?){6,}(?![0-9a-f])")
_TLV = re.compile(  # EMV book 3: card number, its track equivalents, its expiry, and the holder's name in capitals
    r"5a(?:0[7-9a])(?P<pan>\d{13,19})f?|(?:57|9f6b)(?:0[89a-f]|1[0-3])\d{13,19}d|5f2403\d\d(?:0[1-9]|1[0-2])[0-3]\d|"
    r"5f20(?:0[2-9a-f]|1[0-9a])(?:4[1-9a-f]|5[0-9a]|2f|20){3}|56[1-4][0-9a-f]42(?:3\d){13}"
)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def looks_like_card_data(text: str) -> bool:
    """Whether a text holds what a card, a track or a PIN block would look like."""
    text = _NAMED.sub("", text)
    if any(pattern.search(text) for pattern in (_TRACK_1, _TRACK_2, _PIN_BLOCK, _KEYED, _NDC)):
        return True
    if any(_is_pan(re.sub(r"\D", "", found[0])) for found in _RUN.finditer(text)):
        return True
    return any(_holds_tlv("".join(found[0].split()).lower()) for found in _HEX.finditer(text))


def _holds_tlv(digits: str) -> bool:
    """Whether bytes in hexadecimal hold an EMV object that a card alone has."""
    for offset in range(0, len(digits), 2):
        found = _TLV.match(digits, offset)
        if found is not None and (found["pan"] is None or luhn(found["pan"])):
            return True
    return False


def number_looks_like_card(value: float) -> bool:
    """Whether a whole number has the length and the check digit of a card number."""
    return LEAST <= value < 10**19 and value == int(value) and _is_pan(str(int(value)))


def _is_pan(digits: str) -> bool:
    return len(digits) in PAN_DIGITS and len(set(digits)) > 1 and luhn(digits)


def refuses(point: str, value: Value) -> bool:
    """Whether a value may not pass at a point."""
    if isinstance(value, str):
        return len(value) >= SHORTEST and looks_like_card_data(value)
    return (
        isinstance(value, int | float) and value >= LEAST and not point.startswith("gateway.") and number_looks_like_card(value)
    )


def _refused_text(text: str) -> bool:
    return len(text) >= SHORTEST and looks_like_card_data(text)


def scrubbed(body: Body) -> tuple[Body, int]:
    """A record without anything that may not pass, and how many places that were. The record itself when there are none."""
    if isinstance(body, Reading):
        return _reading(body)
    if isinstance(body, Alarm):
        return _alarm(body)
    if isinstance(body, Summary):
        return _summary(body)
    if isinstance(body, Answer):
        return _answer(body)
    if isinstance(body, Chunk):
        return body, 0  # encrypted before it came here: its digits are chance
    assert isinstance(body, Loss)
    return (replace(body, why=REMOVED), 1) if _refused_text(body.why) else (body, 0)


def _answer(answer: Answer) -> tuple[Answer, int]:
    result = answer.result or {}
    wrong = [name for name, value in result.items() if refuses(name.rpartition("/")[2], value)]
    changes: dict[str, object] = {"result": result | dict.fromkeys(wrong)} if wrong else {}
    if _refused_text(answer.text):
        changes["text"] = REMOVED
    return (replace(answer, **changes) if changes else answer), len(wrong) + ("text" in changes)


def _reading(reading: Reading) -> tuple[Reading, int]:
    value, reason = refuses(reading.point, reading.value), _refused_text(reading.reason)
    if value:
        reading = replace(reading, value=None)
    return (replace(reading, reason="cardData") if value or reason else reading), value + reason


def _alarm(alarm: Alarm) -> tuple[Alarm, int]:
    changes: dict[str, object] = {}
    if refuses(alarm.point, alarm.value):
        changes["value"] = None
    if _refused_text(alarm.text):
        changes["text"] = REMOVED
    refused = [refuses(each.point, each.value) for each in alarm.evidence]
    if any(refused):
        changes["evidence"] = tuple(
            Evidence(each.point, None, each.at) if wrong else each for each, wrong in zip(alarm.evidence, refused, strict=True)
        )
    return (replace(alarm, **changes) if changes else alarm), len(changes) + max(sum(refused) - 1, 0)


def _summary(summary: Summary) -> tuple[Summary, int]:
    wrong = {name: point for name, point in summary.points.items() if _refused_point(name, point)}
    if not wrong:
        return summary, 0
    points = {name: PointSummary(bad=each.n + each.bad) if name in wrong else each for name, each in summary.points.items()}
    return replace(summary, points=points), len(wrong)


def _refused_point(name: str, point: PointSummary) -> bool:
    values = (point.last, point.min, point.mean, point.max, point.delta, *(point.states or ()))
    return any(refuses(name, value) for value in values)
