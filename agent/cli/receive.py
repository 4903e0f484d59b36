"""`atm-agent receive`: the platform's end in small, over CoAP or MQTT."""

from __future__ import annotations

import argparse
import asyncio
import errno
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import EXIT_FAILED, EXIT_OK, AgentError
from agent.receive.intake import Intake
from agent.receive.ledger import Account
from agent.receive.outfile import OutFile
from agent.uplinks import endpoint
from agent.uplinks.endpoint import Scheme

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
COAP_PORT = 5683
MQTT = {"mqtt": Scheme(1883, secure=False), "mqtts": Scheme(8883, secure=True)}
ANSWER = 10.0  # s for a broker to let us subscribe

REMEDIES = {
    errno.EADDRINUSE: "; something listens there already: stop it, or choose another port with --bind",
    errno.EACCES: "; ports below 1024 are for root: choose another with --bind, or give this program CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "; this machine does not have that address: choose another with --bind",
    errno.ENOSPC: "; make room on the disk: nothing was acknowledged that is not written down",
}


def add_parser(subparsers: Any) -> None:
    """The command and its arguments."""
    receive = subparsers.add_parser(
        "receive",
        help="take what agents send: the platform's end, in small",
        description="Takes what agents send, drops duplicates, says what is missing, and tells the account at the end.",
    )
    ways = receive.add_subparsers(dest="way", required=True, metavar="(coap|mqtt)")
    coap = ways.add_parser("coap", help="listen as a CoAP server")
    coap.add_argument("--bind", type=address, default=("127.0.0.1", COAP_PORT), metavar="HOST:PORT", help="port 0: any free one")
    coap.add_argument("--oscore", type=Path, metavar="DIR", help="hear only who has a security context there, one a gateway")
    mqtt = ways.add_parser("mqtt", help="subscribe at an MQTT broker")
    mqtt.add_argument("url", metavar="URL", help="mqtt:// or mqtts:// host[:port]")
    mqtt.add_argument("--topic", default="atm/+/+", help="topic filter (default: %(default)s)")
    mqtt.add_argument("--client-id", default="atm-receive", help="whose session it is at the broker (default: %(default)s)")
    mqtt.add_argument("--username", default="")
    mqtt.add_argument("--password-file", type=Path, metavar="FILE")
    mqtt.add_argument("--ca", type=Path, metavar="FILE", help="trusted CA certificates (PEM)")
    mqtt.add_argument("--insecure", action="store_true", help="allow mqtt:// to another machine")
    for way in (coap, mqtt):
        way.add_argument("--out", type=Path, metavar="FILE", help="write each envelope to it as a line of JSON, and continue it")
        way.add_argument("--json", action="store_true", help="the account as one JSON object, on the last line")
        way.add_argument("--for", dest="duration", type=duration, metavar="DURATION", help="stop by itself, as in 90s or 2h")
        way.add_argument("--ready-file", type=Path, metavar="FILE", help="write the URL to it once ready to receive")


def duration(text: str) -> float:
    """Seconds of a number with a unit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; expected a number with a unit: 500ms, 90s, 15m, 2h, 7d")
    return float(match[1]) * SECONDS[match[2]]


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, [HOST]:PORT or HOST."""
    host, port = text, str(COAP_PORT)
    if ":" in text and not text.endswith("]"):
        host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}: expected HOST:PORT, as in 127.0.0.1:{COAP_PORT} or [::1]:{COAP_PORT}")
    return host.removeprefix("[").removesuffix("]") or "::", int(port)


def run(args: argparse.Namespace) -> int:
    """Receive until a signal, the end of --for or a failure; then tell the account. Raises AgentError when it cannot begin."""
    out = _open(args.out)
    try:
        intake = _intake(out)
        failure = (_coap if args.way == "coap" else _mqtt)(args, intake)
    finally:
        if out is not None:
            out.close()
    if failure:
        print(f"atm-agent: {failure}", file=sys.stderr)
    _tell(intake.account(), as_json=args.json)
    return EXIT_FAILED if failure else EXIT_OK


def _open(path: Path | None) -> OutFile | None:
    if path is None:
        return None
    try:
        return OutFile(path)
    except BlockingIOError:
        raise AgentError(f"--out {path}: another receiver writes to it; name another file") from None
    except OSError as error:
        raise AgentError(f"--out {path}: {error.strerror}; name a file that this user may write") from None


def _intake(out: OutFile | None) -> Intake:
    try:
        return Intake(out, _say, time.time)
    except ValueError as error:
        raise AgentError(f"--out {error}") from None


def _say(line: str) -> None:
    print(line, flush=True)


def _coap(args: argparse.Namespace, intake: Intake) -> str:
    """Serve. The failure that ended it, "" when it was asked to stop. Raises AgentError when it cannot even begin."""
    from agent.receive import coap

    host, port = args.bind
    listening = False

    def ready(url: str) -> None:
        nonlocal listening
        listening = True
        _announce(args, url)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if args.duration is not None:
            loop.call_later(args.duration, stop.set)
        await coap.serve(intake, host, port, ready, stop, args.oscore)

    try:
        asyncio.run(main())
    except OSError as error:
        place = f"cannot write down what came: {args.out}" if listening else f"--bind {host}:{port}"
        why = f"{place}: {error.strerror or error}{REMEDIES.get(error.errno or 0, '')}"
        if listening:
            return why
        raise AgentError(why) from None
    except ValueError as error:
        raise AgentError(f"--oscore {error}") from None
    return ""


def _announce(args: argparse.Namespace, url: str) -> None:
    _say(f"receiving at {url}")
    if args.ready_file is not None:
        draft = args.ready_file.with_name(args.ready_file.name + ".new")
        draft.write_text(url + "\n")
        draft.replace(args.ready_file)  # whoever waits for the file finds it whole


def _mqtt(args: argparse.Namespace, intake: Intake) -> str:
    """Subscribe. The failure that ended it, "" when it was asked to stop. Raises AgentError when it cannot even begin."""
    from agent.receive.mqtt import Subscriber

    broker = _broker(args)
    settled, stop = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop.set()
        settled.set()

    subscriber = Subscriber(intake, broker, _say, ready=settled.set, ended=end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        subscriber.start()
    except OSError as error:
        scheme = args.url.partition(":")[0]
        raise AgentError(f"{broker}: {error.strerror or error}; is a broker there, and does it speak {scheme}?") from None
    try:
        if not settled.wait(ANSWER):
            raise AgentError(f"{broker}: no answer within {ANSWER:g} s; is it a broker?")
        began = not stop.is_set()
        if began:
            _announce(args, args.url)
        stop.wait(args.duration)
    finally:
        subscriber.stop()
    if subscriber.error and not began:
        raise AgentError(subscriber.error)
    return subscriber.error


def _broker(args: argparse.Namespace) -> Any:
    from agent.receive.mqtt import Broker

    try:
        where = endpoint.parse(args.url, MQTT, insecure=args.insecure)
    except ValueError as error:
        raise AgentError(str(error).replace("`insecure: true`", "--insecure")) from None
    return Broker(
        where.host,
        where.port,
        args.client_id,
        args.topic,
        endpoint.tls_context("receive", args.ca, None, None) if where.secure else None,
        args.username,
        endpoint.secret("receive", "--password-file", args.password_file) if args.password_file else None,
    )


def _tell(account: Account, *, as_json: bool) -> None:
    if as_json:
        _say(msgspec.json.encode(account).decode())
        return
    _say(f"received {account.received}, duplicates {account.duplicates}, lost {account.lost}, missing {account.missing}")
    for stream in account.streams:
        _say(f"  {stream.gateway} {stream.epoch} {stream.lane}: {stream.received} of {stream.highest}, missing {stream.missing}")
