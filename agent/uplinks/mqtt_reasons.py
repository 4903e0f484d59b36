"""What a broker's reason codes ask of this gateway (MQTT 5, section 2.4). 3.1.1 brokers refuse a CONNECT with the same words."""

from __future__ import annotations

from agent.errors import Unreachable
from agent.uplinks import Refused

FAILURE = 0x80  # this and above
NO_SUBSCRIBERS = 0x10
NOT_AUTHORISED = 0x87
TOO_LARGE = 0x95
FORMAT_INVALID = 0x99

# What somebody must change. Every other failure may pass by itself.
_SETUP = {
    0x81: ("malformed packet", "is this a broker? Try `protocol: 3.1.1`"),
    0x82: ("protocol error", "try `protocol: 3.1.1`"),
    0x84: ("the broker does not speak this version of MQTT", "set `protocol: 3.1.1`"),
    0x85: ("the broker does not take this client id", "set `client_id` to the one that it knows"),
    0x86: ("wrong user name or password", "check `username` and what `password_file` holds"),
    NOT_AUTHORISED: ("not authorised", "let this user publish to `topic` and `status_topic`, in the broker's access list"),
    0x8A: ("this client is banned", "ask whoever runs the broker"),
    0x8C: ("the broker wants another way to authenticate", "give it a user name and password, or a client certificate"),
    0x8E: ("another client has taken over this client id", "give every gateway a `client_id` of its own"),
    0x90: ("the broker does not take this topic name", "correct `topic` or `status_topic`"),
    0x9A: ("the broker retains no messages", 'set `status_topic: ""` to do without a status'),
    0x9B: ("the broker does not offer QoS 1", "QoS 1 is what proves delivery; use another broker"),
    0x9C: ("the broker points to another server", "set `url` to it"),
    0x9D: ("the broker has moved", "set `url` to where it is now"),
}

_AT_CONNECT = {  # where a word says something else of a CONNECT than of a message
    NOT_AUTHORISED: ("not authorised", "check `username`, what `password_file` holds, and `certificate`"),
}

_PASSING = {
    0x80: "unspecified error",
    0x83: "an error of the broker's own",
    0x88: "the broker is not available",
    0x89: "the broker is busy",
    0x8B: "the broker is shutting down",
    0x8D: "the broker heard nothing from us in time",
    0x91: "packet identifier in use",
    0x93: "more at once than the broker takes",
    TOO_LARGE: "the message was too large",
    0x96: "messages come too fast",
    0x97: "the broker's quota is used up",
    0x98: "ended by whoever runs the broker",
    FORMAT_INVALID: "the broker does not take this payload",
    0x9F: "connections come too fast",
}


def failure(reason: int, what: str, *, at_connect: bool = False) -> Unreachable:
    """The error for a reason code of a CONNACK, a PUBACK or a DISCONNECT, `what` having been answered with it."""
    setup = {**_SETUP, **_AT_CONNECT} if at_connect else _SETUP
    if reason in setup:
        why, remedy = setup[reason]
        return Refused(f"{what}: {why} (0x{reason:02x}); {remedy}")
    return Unreachable(f"{what}: {_PASSING.get(reason, 'the broker refuses')} (0x{reason:02x})")
