"""What the topic or path that a batch came in at says about it: a gateway may speak for itself alone."""

from __future__ import annotations

from collections.abc import Sequence

from agent.encode import Undecodable
from agent.records import Body, Envelope, Loss

WORDS = ("{gateway}", "{lane}", "{machine}", "{kind}")


class Place:
    """Checked against a template such as `atm/{gateway}/{lane}`, or, without one, as a place that names both somewhere."""

    def __init__(self, template: str = "") -> None:
        self._levels = template.split("/") if any(word in template for word in WORDS) else []

    def check(self, envelopes: Sequence[Envelope], place: Sequence[str]) -> None:
        """Raises Undecodable for a batch of somebody else."""
        if not self._levels:
            if envelopes[0].gateway not in place or envelopes[0].lane not in place:
                raise Undecodable("the batch is of another gateway or lane than the place that it came in at")
            return
        for envelope in envelopes:
            told = {"{gateway}": envelope.gateway, "{lane}": envelope.lane, "{kind}": envelope.kind}
            told["{machine}"] = _machine(envelope.body, envelope.gateway)
            for word, level in zip(self._levels, place, strict=False):
                if told.get(word, level) != level:
                    raise Undecodable(f"the batch is of another {word[1:-1]} than the place that it came in at")


def _machine(body: Body, gateway: str) -> str:
    return gateway if isinstance(body, Loss) else body.machine


def topic_filter(template: str) -> str:
    """The MQTT topic filter of a template; what is none stays as it is."""
    return "/".join("+" if level.startswith("{") and level.endswith("}") else level for level in template.split("/"))
