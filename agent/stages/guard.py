"""The card-data guard: nothing that looks like a card number, a track or a PIN block passes, and its value is never repeated.

Records are allow-listed already: a value is a number or a word of the vocabulary. The guard is the second lock, at the source
(`refuses`), at the store and at the uplink (`scrubbed`). PCI DSS v4 3.3 and 3.5: such data may not be kept at all, or not
readable; this agent handles none, not even masked or hashed.

What is meant to be a long number and is no card is written with its kind: `imei:…`, `iccid:…`, `serial:…`, `ns:…`. The counters
of the gateway itself are whitelisted by name.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from unicodedata import category, decimal, normalize

from msgspec.structs import replace

from agent.records import Alarm, Answer, Body, Chunk, Evidence, Loss, PointSummary, Reading, Summary, Value

PAN_DIGITS = range(13, 20)  # ISO/IEC 7812-1: a primary account number has up to 19 digits, in practice at least 13
SHORTEST = 13  # characters: nothing shorter can hold one
LEAST = 10**12  # the smallest number of 13 digits
REMOVED = "(removed: it looked like card data)"

_NAMED = re.compile(r"(?i)(?<!\w)(?:imei:\d{15}|iccid:\d{19,20}|serial:[0-9a-z-]{1,40}|ns:\d{19})(?!\w)")
_RUN = re.compile(r"(?<!\d)(?<!\d[ .-])\d(?:[ -]?\d){12,18}(?![ -]?\d)")
_WHOLE = re.compile(r"(?<!\d)(?<!\d\.)\d{13,19}(?!\d)")  # a number by itself, whatever numbers stand around it: a time, an expiry
_GROUPS = re.compile(  # as cards have them printed, and as forms ask for them; whatever stands between the groups
    r"(?<!\d)(?=(\d{4}(?P<gap>[\s./_-]{1,3})(?:\d{4}(?P=gap)\d{4}(?P=gap)\d{4}(?:(?P=gap)\d{1,3})?|\d{6}(?P=gap)\d{4,5}))(?!\d))"
)
_TRACK_1 = re.compile(r"%?[Bb]\d{13,19}\^")  # ISO/IEC 7813, track 1, format B
_TRACK_2 = re.compile(r";?\d{13,19}[=Dd]\d{4}")  # track 2: number, separator, expiry; also EMV tag 57 in hexadecimal
_PIN_BLOCK = re.compile(r"(?i)(?:pin[ _-]?(?:block)?|epb|buffer[ _-]?a)\W{0,4}[0-9a-f]{16}(?:[0-9a-f]{16})?(?![0-9a-f])")
_KEYED = re.compile(r"(?i)(?<![a-z])(?:track[123]|cvv2?|cvc2?|cardholder_?name|pan)[\"']?\s*[:=]\s*[\"']?\w{3,}")
_NDC = re.compile(r"\A\W?(?:11|61)\x1c")  # transaction request, journal upload
_HEX = re.compile(r"(?i)(?<![0-9a-f])(?:[0-9a-f]{2}[\s:-]?){6,}(?![0-9a-f])")
_BASE64 = re.compile(r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){3,}")  # of nine digits in ASCII, and more: three of them in each four
_BESIDE = re.compile(r"[A-Za-z0-9+/_-]{0,64}")  # what of it may stand before and behind
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
    """Whether a text holds what a card, a track or a PIN block would look like; in other digits, hexadecimal and base64 too."""
    if not text.isascii():
        text = _in_ascii(text)
    text = _NAMED.sub("", text) if ":" in text else text
    if _shows_card_data(text) or any(_hides_card_data(_from_base64(text, *found.span())) for found in _BASE64.finditer(text)):
        return True
    return any(_hexadecimal(re.sub(r"[\s:-]", "", found[0]).lower()) for found in _HEX.finditer(text))


def _shows_card_data(text: str) -> bool:
    if _PIN_BLOCK.search(text) or _KEYED.search(text) or _NDC.search(text):
        return True
    if len(text) - len(text.translate(_NO_DIGITS)) < SHORTEST:
        return False  # most texts
    if _TRACK_1.search(text) or _TRACK_2.search(text):
        return True
    runs = (found[0] for pattern in (_RUN, _WHOLE) for found in pattern.finditer(text))
    return any(_is_pan(_NOT_DIGIT.sub("", run)) for run in (*runs, *(found[1] for found in _GROUPS.finditer(text))))


_NOT_DIGIT = re.compile(r"\D")
_NO_DIGITS = dict.fromkeys(map(ord, "0123456789"))


def _in_ascii(text: str) -> str:
    """The same with the digits, spaces and dashes that a keyboard has, and nothing that takes no room."""
    return "".join(map(_key, normalize("NFKC", text)))


def _key(shown: str) -> str:
    digit = decimal(shown, None)
    return _KEYS.get(category(shown), shown) if digit is None else str(digit)


_KEYS = {"Pd": "-", "Sm": "-", "Zs": " ", "Cf": ""}


def _hexadecimal(digits: str) -> bool:
    """Whether bytes in hexadecimal hold card data: as text, or as an EMV object."""
    return _holds_tlv(digits) or _hides_card_data(bytes.fromhex(digits))


def _hides_card_data(data: bytes) -> bool:
    """Whether bytes are a text, of one byte a character or of two, that shows it."""
    said = data.replace(b"\0", b"")
    return said.isascii() and said.decode().isprintable() and _shows_card_data(said.decode())


def _from_base64(text: str, begin: int, end: int) -> bytes:
    """The bytes behind a piece of base64, and those around it."""
    before = _BESIDE.match(text[:begin][:-65:-1])
    begin -= len(before[0]) // 4 * 4 if before else 0
    behind = _BESIDE.match(text, end)
    piece = text[begin : behind.end() if behind else end].translate(_URL_SAFE)
    whole = piece[: len(piece) - (len(piece) % 4 == 1)]
    return urlsafe_b64decode(whole + "=" * (-len(whole) % 4))


_URL_SAFE = str.maketrans("+/", "-_")


def _holds_tlv(digits: str) -> bool:
    """Whether bytes in hexadecimal hold an EMV object that a card alone has."""
    for offset in range(0, len(digits), 2):
        found = _TLV.match(digits, offset)
        if found is not None and (found["pan"] is None or luhn(found["pan"])):
            return True
    return False


def number_looks_like_card(value: float) -> bool:
    """Whether a whole number has the length and the check digit of a card number."""
    return LEAST <= abs(value) < 10**19 and value == int(value) and _is_pan(str(abs(int(value))))


def _is_pan(digits: str) -> bool:
    return len(digits) in PAN_DIGITS and len(set(digits)) > 1 and luhn(digits)


def refuses(point: str, value: Value) -> bool:
    """Whether a value may not pass at a point."""
    if isinstance(value, str):
        return len(value) >= SHORTEST and looks_like_card_data(value)
    if not isinstance(value, int | float) or abs(value) < LEAST:
        return False
    return not point.startswith("gateway.") and number_looks_like_card(value)


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
