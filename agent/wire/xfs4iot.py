"""XFS4IoT (CEN CWA 17852) messages: one JSON text over a WebSocket is one message. Text in, values out, no I/O.

    {"header": {"name": "Common.Status", "requestId": 41, "type": "command", "version": "2.0", "timeout": 5000}, "payload": {...}}

command -> acknowledge -> any number of events -> completion; unsolicited events at any time.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

MESSAGE_LIMIT = 256 * 1024  # bytes; the storage of sixty cassettes has some twenty thousand
PORTS = range(5846, 5857)
"""A service publisher listens on the first free one of these, where it is not on 443 or 80."""
PUBLISHER_PATH = "/xfs4iot/v1.0"

Type: TypeAlias = Literal["command", "acknowledge", "event", "completion", "unsolicited"]


class BadMessage(ValueError):
    """A text is no XFS4IoT message; says what it is instead, never what stands in it."""


class Header(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What every message begins with. `status` is an acknowledge's, None: accepted; `completion_code` a completion's."""

    name: str
    type: Type
    request_id: int | None = None
    version: str = ""
    timeout: int | None = None  # ms
    status: str | None = None
    completion_code: str | None = None
    error_description: str | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message."""

    header: Header
    payload: dict[str, Any] | None = None

    @property
    def completion(self) -> str | None:
        """How a command ended; before release 2023-2 it stood in the payload."""
        code = self.header.completion_code
        if code is None and self.header.type == "completion" and self.payload is not None:
            older = self.payload.get("completionCode")
            code = older if isinstance(older, str) else None
        return code


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Message)


def encode(message: Message) -> str:
    """A message as it travels."""
    return _ENCODER.encode(message).decode()


def decode(text: str | bytes) -> Message:
    """The message of a text. Raises BadMessage."""
    if len(text) > MESSAGE_LIMIT:
        raise BadMessage(f"longer than {MESSAGE_LIMIT} bytes")
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadMessage(str(error)) from None
    except RecursionError:
        raise BadMessage("nested too deeply") from None


def command(name: str, version: str, request_id: int, timeout: int) -> Message:
    """A command without a payload, to be answered within so many milliseconds."""
    return Message(Header(name, "command", request_id, version, timeout))


def acknowledged(message: Message, version: str = "2.0") -> Message:
    """The acknowledge of a command: it is queued."""
    return Message(Header(message.header.name, "acknowledge", message.header.request_id, version))


def completed(message: Message, payload: dict[str, Any] | None, code: str = "success", version: str = "2.0") -> Message:
    """The completion of a command."""
    header = Header(message.header.name, "completion", message.header.request_id, version, completion_code=code)
    return Message(header, payload)


def unsolicited(name: str, payload: dict[str, Any], version: str = "2.0") -> Message:
    """An event that nobody asked for."""
    return Message(Header(name, "unsolicited", None, version), payload)
