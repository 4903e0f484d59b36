"""`atm-agent control …`: the operator's side of the requests of docs/control.md."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.span import CONFIG
from agent.config.scalars import duration
from agent.errors import EXIT_OK, AgentError

BINARY = ("model", "signature")  # arguments that are bytes: base64 in JSON


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    from agent.control.commands import COMMANDS

    parser = commands.add_parser(
        "control",
        help="sign a request for a gateway, send it, look at one",
        description="Sign a request for one gateway with the operator's key, and look at what a token says. "
        "docs/control.md tells how it reaches the gateway, and what each command takes.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    sign = actions.add_parser("sign", help="print a signed request", description="Print a signed request, one line.")
    sign.add_argument("--key", type=Path, required=True, metavar="PEM", help="the operator's private key (Ed25519)")
    sign.add_argument("--gateway", required=True, metavar="ID", help="the one gateway that it is for")
    sign.add_argument("--good-for", default="1h", metavar="TIME", help="it must arrive within (default: %(default)s, at most 7d)")
    sign.add_argument("command_name", choices=sorted(COMMANDS), metavar="COMMAND", help=", ".join(COMMANDS))
    sign.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="NAME=@FILE takes a file's content")
    send = actions.add_parser(
        "send",
        help="hand a token over",
        description="Hand a token to the agent of this machine, or publish it for a gateway on a broker.",
    )
    send.add_argument("token", type=Path, metavar="FILE", help="the token; - reads standard input")
    send.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="of the agent here (default: %(default)s)")
    send.add_argument("--mqtt", metavar="URL", help="mqtt:// or mqtts://host[:port] of a broker, instead of the agent here")
    send.add_argument("--topic", metavar="TOPIC", help="as `request_topic` of the gateway's uplink has it")
    send.add_argument("--username", default="", help="at the broker")
    send.add_argument("--password-file", type=Path, metavar="FILE")
    send.add_argument("--ca", type=Path, metavar="PEM", help="trusted certificates; the system's when not given")
    show = actions.add_parser("show", help="what a token says, and whether a key has signed it")
    show.add_argument("token", type=Path, metavar="FILE", help="the token; - reads standard input")
    show.add_argument("--key", type=Path, required=True, metavar="PEM", help="the operator's public key")


def run(args: argparse.Namespace) -> int:
    """Run one action. Raises AgentError with one line that names the thing and the remedy."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {"sign": _sign, "send": _send, "show": _show}
    return actions[args.action](args)


def _sign(args: argparse.Namespace) -> int:
    from agent.control.commands import arguments_of
    from agent.control.desk import LONGEST
    from agent.control.request import Request, private_key, seal

    try:
        good_for = duration(args.good_for)
    except ValueError as error:
        raise AgentError(f"--good-for: {error}") from None
    if not 0 < good_for <= LONGEST:
        raise AgentError(f"--good-for: expected more than 0s and at most 7d, got {args.good_for}")
    arguments = read_arguments(args.arguments)
    try:
        arguments_of(args.command_name, arguments)
    except ValueError as error:
        raise AgentError(str(error)) from None
    now = time.time()
    request = Request(secrets.token_urlsafe(16), args.gateway, now, now + good_for, args.command_name, arguments)
    print(seal(request, private_key(args.key)).decode())
    return EXIT_OK


def read_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Arguments as JSON has them, from `name=value` and `name=@file`. Raises AgentError."""
    arguments: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise AgentError(f"{word}: expected NAME=VALUE or NAME=@FILE")
        if name in arguments:
            raise AgentError(f"{name}: stands twice")
        arguments[name] = _from_file(name, Path(text[1:])) if text.startswith("@") else _value(text)
    return arguments


def _from_file(name: str, path: Path) -> str:
    try:
        data = path.read_bytes()
        return base64.b64encode(data).decode() if name in BINARY else data.decode()
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a file that this user may read") from error
    except UnicodeDecodeError as error:
        raise AgentError(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error


def _value(text: str) -> Any:
    """A number, true or false where it is one, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _show(args: argparse.Namespace) -> int:
    from agent.control.request import open_request, public_keys

    request = open_request(_token(args.token), public_keys([args.key]))
    shown = msgspec.to_builtins(request)
    shown["arguments"] = {name: _short(value) for name, value in request.arguments.items()}
    print(json.dumps(shown, indent=1, ensure_ascii=True))
    return EXIT_OK


def _token(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror}; name a file that this user may read") from error


def _send(args: argparse.Namespace) -> int:
    token = _token(args.token).strip()
    if args.mqtt is not None:
        if not args.topic:
            raise AgentError("--topic: is wanted with --mqtt: the gateway's `request_topic`")
        _publish(args, token)
        print("the broker has it; the answer comes with the gateway's alarms")
        return EXIT_OK
    from agent import config
    from agent.local import ask

    runtime = config.load(args.config).gateway.runtime
    told = asyncio.run(ask(runtime, {"ask": "request", "token": token.decode("ascii", "replace")}))
    if not told.get("done"):
        raise AgentError("; ".join(told.get("refused", ["the agent gave no reason"])))
    print("the agent has it; the answer goes into its store")
    return EXIT_OK


def _publish(args: argparse.Namespace, token: bytes) -> None:
    from paho.mqtt.publish import single

    from agent.uplinks.endpoint import Scheme, parse

    # what is published is signed and no secret; only a password wants a secured line
    endpoint = parse(
        args.mqtt, {"mqtt": Scheme(1883, secure=False), "mqtts": Scheme(8883, secure=True)}, insecure=not args.username
    )
    auth = {"username": args.username, "password": _password(args)} if args.username else None
    tls = {"ca_certs": str(args.ca) if args.ca else None} if endpoint.secure else None
    try:
        single(args.topic, token, qos=1, hostname=endpoint.host, port=endpoint.port, auth=auth, tls=tls)  # type: ignore[arg-type]
    except OSError as error:
        raise AgentError(f"{args.mqtt}: {error}; is the broker there?") from error


def _password(args: argparse.Namespace) -> str | None:
    from agent.uplinks.endpoint import secret

    return secret("control", "password_file", args.password_file).decode() if args.password_file is not None else None


def _short(value: Any) -> Any:
    return f"{value[:60]}… ({len(value)} characters)" if isinstance(value, str) and len(value) > 80 else value
