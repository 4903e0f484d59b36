"""Every response code, from RFC 7252 section 12.1.2, RFC 7959, RFC 8132 and RFC 8516, is one of five things."""

from __future__ import annotations

import pytest

from agent.errors import Unreachable
from agent.uplinks import Busy, Refused
from agent.uplinks.coap_codes import Answer, verdict
from agent.uplinks.portions import Outcome


@pytest.mark.parametrize("code", ["2.01", "2.02", "2.03", "2.04", "2.05"])
def test_taken(code: str) -> None:
    assert verdict(Answer(code), "/atm/gw/alarms").outcome is Outcome.TAKEN


@pytest.mark.parametrize("code", ["4.00", "4.22"])
def test_about_the_payload(code: str) -> None:
    outcome, why = verdict(Answer(code, "position: expected int"), "/atm/gw/alarms")
    assert outcome is Outcome.REFUSED
    assert code in why
    assert "position" in why


def test_about_its_size() -> None:
    assert verdict(Answer("4.13"), "/atm/gw/alarms").outcome is Outcome.TOO_LARGE


@pytest.mark.parametrize("code", ["4.01", "4.02", "4.03", "4.04", "4.05", "4.06", "4.09", "4.12", "4.15"])
def test_about_the_set_up_nothing_is_given_up_and_somebody_is_told(code: str) -> None:
    with pytest.raises(Refused, match=f"/atm/gw/alarms: .*{code}.*; "):
        verdict(Answer(code), "/atm/gw/alarms")


@pytest.mark.parametrize("code", ["4.08", "4.29", "5.00", "5.01", "5.02", "5.03", "5.04", "5.05"])
def test_later(code: str) -> None:
    with pytest.raises(Unreachable) as caught:
        verdict(Answer(code), "/atm/gw/alarms")
    assert type(caught.value) is Unreachable


@pytest.mark.parametrize("code", ["4.29", "5.03"])
def test_later_at_a_time_that_the_platform_names(code: str) -> None:
    with pytest.raises(Busy) as caught:
        verdict(Answer(code, max_age=17), "/atm/gw/alarms")
    assert caught.value.wait == 17


def test_a_maximum_age_means_nothing_elsewhere() -> None:
    assert verdict(Answer("2.05", max_age=60), "/").outcome is Outcome.TAKEN
    with pytest.raises(Refused):
        verdict(Answer("4.04", max_age=60), "/")
