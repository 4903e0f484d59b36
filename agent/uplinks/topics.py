"""Topics made from a template: `atm/{gateway}/{lane}`, `atm/{tenant}/{machine}/{kind}`. Used by every uplink that publishes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from agent.records import Envelope, Loss

WORDS = ("gateway", "tenant", "machine", "lane", "kind")
_WORD = re.compile(r"\{(\w*)\}")
LONGEST = 1024  # bytes; brokers take 64 KiB, and a topic is paid for with each message


class Topics:
    """One template, for one gateway."""

    def __init__(self, template: str, gateway: str, tenant: str = "") -> None:
        self.template = template.replace("{gateway}", gateway).replace("{tenant}", tenant)
        self._gateway = gateway
        self._by_envelope = "{machine}" in template or "{kind}" in template

    def of(self, envelope: Envelope) -> str:
        """The topic that an envelope is published to. A loss is the gateway's own, whatever the machine."""
        topic = self.template.replace("{lane}", envelope.lane)
        if self._by_envelope:
            machine = self._gateway if isinstance(envelope.body, Loss) else envelope.body.machine
            topic = topic.replace("{machine}", machine).replace("{kind}", envelope.kind)
        return topic

    def leading(self, portion: Sequence[Envelope]) -> Sequence[Envelope]:
        """The first envelopes of a portion, as far as they have one topic."""
        if not self._by_envelope:
            return portion
        _, first = next(groupby(portion, self.of))
        return portion[: sum(1 for _ in first)]


def check_template(key: str, template: str, tenant: str, *, names_envelopes: bool) -> None:
    """Raises ValueError("key: what is wrong, what would be right")."""
    if "+" in template or "#" in template or template.startswith("$") or "\0" in template:
        raise ValueError(f"{key}: wildcards (+ #) and names that begin with $ cannot be published to")
    if len(template.encode()) > LONGEST:
        raise ValueError(f"{key}: longer than {LONGEST} bytes")
    unknown = [word for word in _WORD.findall(template) if word not in WORDS]
    if unknown:
        raise ValueError(f"{key}: no word {{{unknown[0]}}}; known are {', '.join(WORDS)}")
    levels = template.split("/")
    if "{tenant}" in template and (not tenant or any(each in tenant for each in "+#/\0")):
        raise ValueError("tenant: {tenant} needs a word without + # and /")
    if names_envelopes and not ({"{gateway}", "{machine}"} & {*levels} and {"{lane}", "{kind}"} & {*levels}):
        wanted = "{gateway} or {machine}, and {lane} or {kind}, must each be a level of it, as in atm/{gateway}/{lane}"
        raise ValueError(f"{key}: {wanted}")
    if not names_envelopes and {"{lane}", "{kind}", "{machine}"} & {*levels}:
        raise ValueError(f"{key}: it is the gateway's own; only {{gateway}} and {{tenant}} can stand in it")
