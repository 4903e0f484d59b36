"""The card-data guard against its corpus. Card numbers are the industry's test numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Alarm, EventClass, Evidence, Loss, PointSummary, Reading, Severity, Summary
from agent.stages.guard import looks_like_card_data, luhn, number_looks_like_card, refuses, scrubbed
from agent.vocabulary import points

VISA, AMEX, MAESTRO = "4111111111111111", "378282246310005", "6759649826438453"

CARD_DATA = [
    VISA,
    AMEX,
    MAESTRO,
    "4222222222222",  # 13 digits
    "6304000000000000000",  # 19 digits
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    f"jam at card {VISA}, retry",
    f"x{VISA}y",
    f"%B{VISA}^DOE/JOHN^2512101",
    f"b{VISA}^",
    f";{VISA}=25121010000012345678?",
    f"{VISA}D2512",
    "PIN_BLOCK: 0412AC89ABCDEF67",
    "pinblock=0412ac89abcdef670412ac89abcdef67",
    "buffer_a 0412AC89ABCDEF67",
    '{"track2": "anything"}',
    "cvv=123",
    "cardholderName: DOE/JOHN",
    "11\x1c000\x1c\x1c\x1c14",  # NDC transaction request
    "61\x1c0001\x1cjournal",  # NDC electronic journal upload
    f"5A08{VISA}",
    f"9F02060000000010005A08{VISA}5F3401015F24032512319F1A020040",
    f"57 11 {' '.join(VISA[i : i + 2] for i in range(0, 16, 2))} D2 51 21 01 00 00 01 23 4F",
    "9F6B11" + VISA + "D25121010000012340F",
    "5F24032512319F1A020276",
    "5F200844 4F452F4A4F484E".replace(" ", ""),
    "56" + "34" + "42" + "34313131313131313131313131313131",
    f"2025-03-12 02:10:00 {VISA}",  # beside other numbers
    f"{VISA} 2512",
    f"12 {VISA} 123",
    "at 4111 1111 1111 1111 2512 of 2025",
    "3782 822463 10005",
    "4111.1111.1111.1111",  # whatever stands between the groups
    "4111/1111/1111/1111",
    "4111  1111  1111  1111",
    "4111\t1111\t1111\t1111",
    "4111\u00a01111\u00a01111\u00a01111",
    "4111\u20111111\u20111111\u20111111",
    "4111\u200b1111\u200b1111\u200b1111",
    "".join(chr(0x0660 + int(digit)) for digit in VISA),  # Arabic-Indic digits
    "".join(chr(0xFF10 + int(digit)) for digit in VISA),
    "34313131313131313131313131313131",  # the digits in ASCII, in hexadecimal
    "34:31:31:31:31:31:31:31:31:31:31:31:31:31:31:31",
    "3400" + "3100" * 15,
    "NDExMTExMTExMTExMTExMQ==",  # in base64 (RFC 4648, 4)
    "eyJ0IjoiNDExMTExMTExMTExMTExMT0yNTEyIn0=",
    "OzQxMTExMTExMTExMTExMTE9MjUxMjEwMTAwMDAwMTIzNDU2Nzg_",
    "PIN BLOCK 0412AC89ABCDEF67",
    "EPB=0412AC89ABCDEF67",
]

CLEAN = [
    "",
    "closed",
    "replace paper",
    "firmware 4.1.1 of 2025-03-12T02:10:00Z",
    "1741745400.123456",
    "4111111111111112",  # fails the check digit
    "0000000000000000",
    "1111111111111111",
    "imei:490154203237518",  # an IMEI has a check digit by Luhn
    "modem imei:490154203237518, iccid:89430300000012345674",
    "iccid:8943030000001234567",
    "serial:4111111111111111",
    "ns:1741745400123456789",
    "411111111111",  # 12 digits
    "41111111111111110000",  # 20 digits
    "9e107d9d372bb6826bd81d3542a419d6d6e5d0e1f5a0f9b5c3a1b2c3d4e5f607",  # a hash
    "0x1F 0x20 0x57 0x5A",
    "panel: dark",
    "11 presents without transactions",
    "2025-03-12 02:10:00 2025-03-13",
    "moved by 0.4111111111111111 degrees",  # digits of a fraction
    "00:11:22:33:44:55:66:77",
    "2001:0db8:4111:1111:0000:ff00:0042:8329",
    "231 230 229 231 50 12 34 56",
    "9f2c41d07be3a655",
    "TmVpbiwgZGFzIGlzdCBrZWluZSBLYXJ0ZS4=",
]


@pytest.mark.parametrize("text", CARD_DATA)
def test_what_looks_like_card_data_does_not_pass(text: str) -> None:
    assert looks_like_card_data(text)


@pytest.mark.parametrize("text", CLEAN)
def test_what_does_not_passes(text: str) -> None:
    assert not looks_like_card_data(text)


@pytest.mark.parametrize(
    ("digits", "valid"), [("79927398713", True), ("79927398710", False), (VISA, True), ("4111111111111112", False)]
)
def test_the_check_digit(digits: str, valid: bool) -> None:
    assert luhn(digits) is valid


@given(st.integers(10**11, 10**17 - 1))
def test_every_number_with_its_check_digit_is_found(body: int) -> None:
    digits = next(f"{body}{check}" for check in range(10) if luhn(f"{body}{check}"))
    if len(digits) >= 13 and len(set(digits)) > 1:
        assert looks_like_card_data(f"card {digits}.")
        assert number_looks_like_card(int(digits))


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    looks_like_card_data(text)


@pytest.mark.parametrize(
    ("point", "value", "refused"),
    [
        ("storage.unit1.count", 4_111_111_111_111_111, True),
        ("storage.unit1.count", 4_111_111_111_111_111.0, True),
        ("transaction.count", 378_282_246_310_005, True),
        ("transaction.count", 378_282_246_310_006, False),
        ("energy.active_power_w", -4_111_111_111_111_111, True),
        ("gateway.flashBytes", 4_111_111_111_111_111, False),  # 4 PB have been written, one day
        ("machine.cash", 999_999_999_999, False),
        ("environment.temperature_c", 21.5, False),
        ("environment.temperature_c", None, False),
        ("environment.temperature_c", float("inf"), False),
        ("cardReader.media", "present", False),
        ("cardReader.media", VISA, True),
    ],
)
def test_values_at_points(point: str, value: float | str | None, refused: bool) -> None:
    assert refuses(point, value) is refused


def test_no_word_and_no_name_of_the_vocabulary_is_refused() -> None:
    for point in points():
        assert not looks_like_card_data(point.name)
        assert not any(refuses(point.name, word) for word in point.words)


def alarm(**fields: object) -> Alarm:
    evidence = (Evidence("cardReader.media", "jammed", 1.0),)
    found = Alarm("m", 1.0, "r", EventClass.FAULT, Severity(2), "cardReader.media", "jammed", evidence, "A card is stuck.")
    return Alarm(**{**{name: getattr(found, name) for name in found.__struct_fields__}, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        Reading("m", "cardReader.media", "jammed", 1.0, reason="rate"),
        alarm(),
        Loss("alarms", 1, 2, 2, "the disk was full"),
        Summary("m", 0.0, 60.0, 1.0, {"cardReader.media": PointSummary(n=1, last="jammed", states={"jammed": 60.0})}),
    ],
)
def test_a_clean_record_stays_the_very_same(body: Reading | Alarm | Loss | Summary) -> None:
    assert scrubbed(body) == (body, 0)
    assert scrubbed(body)[0] is body


@pytest.mark.parametrize(
    ("body", "hits"),
    [
        (Reading("m", "cardReader.media", VISA, 1.0), 1),
        (Reading("m", "cardReader.media", None, 1.0, reason=f"got {VISA}"), 1),
        (alarm(value=VISA, text=f"It is {VISA}.", evidence=(Evidence("cardReader.media", VISA, 1.0),) * 2), 4),
        (Loss("alarms", 1, 1, 1, f"{VISA}D2512"), 1),
        (
            Summary(
                "m", 0.0, 60.0, 1.0,
                {
                    "a": PointSummary(n=1, last=VISA),
                    "b": PointSummary(n=1, min=1, mean=2, max=4_111_111_111_111_111, last=1),
                    "c": PointSummary(n=1, states={VISA: 60.0}),
                    "d": PointSummary(n=1, last="open"),
                },
            ),
            3,
        ),
    ],
)  # fmt: skip
def test_nothing_of_it_is_left_in_a_record(body: Reading | Alarm | Loss | Summary, hits: int) -> None:
    clean, found = scrubbed(body)
    assert found == hits
    assert VISA not in repr(clean)
    assert "4111111111111111.0" not in repr(clean)
    assert scrubbed(clean) == (clean, 0)
