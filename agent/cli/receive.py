"""`atm-agent receive`: the platform's end in small, over CoAP or MQTT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import re
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import EXIT_FAILED, EXIT_OK, AgentError
from agent.receive.database import Database, clocks, open_database, restore
from agent.receive.files import Files
from agent.receive.intake import Intake
from agent.receive.ledger import Account, Ledger
from agent.receive.outfile import OutFile
from agent.receive.place import Place
from agent.uplinks import endpoint
from agent.uplinks.endpoint import Scheme

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
COAP_PORT = 5683
MQTT = {"mqtt": Scheme(1883, secure=False), "mqtts": Scheme(8883, secure=True)}
CLIENT = "atm-receive"
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
    ways = receive.add_subparsers(dest="way", required=True, metavar="(coap|mqtt|verify)")
    coap = ways.add_parser("coap", help="listen as a CoAP server")
    coap.add_argument("--bind", type=address, default=("127.0.0.1", COAP_PORT), metavar="HOST:PORT", help="port 0: any free one")
    coap.add_argument("--oscore", type=Path, metavar="DIR", help="hear only who has a security context there, one a gateway")
    coap.add_argument("--certificate", type=Path, metavar="FILE", help="listen as coaps+tcp:// and show this (PEM)")
    coap.add_argument("--key", type=Path, metavar="FILE", help="of the certificate, when it is in another file")
    coap.add_argument("--ca", type=Path, metavar="FILE", help="hear only who shows a certificate of these CAs (PEM)")
    mqtt = ways.add_parser("mqtt", help="subscribe at an MQTT broker")
    mqtt.add_argument("url", metavar="URL", help="mqtt:// or mqtts:// host[:port]")
    mqtt.add_argument(
        "--topic", default="atm/+/+", help="topic filter, or a template as an uplink has it: atm/{tenant}/{machine}/{kind}"
    )
    mqtt.add_argument("--client-id", default=CLIENT, help="whose session it is at the broker (default: %(default)s)")
    mqtt.add_argument("--share", default="", metavar="GROUP", help="take a share of what comes, with the others of this group")
    mqtt.add_argument("--username", default="")
    mqtt.add_argument("--password-file", type=Path, metavar="FILE")
    mqtt.add_argument("--ca", type=Path, metavar="FILE", help="trusted CA certificates (PEM)")
    mqtt.add_argument("--insecure", action="store_true", help="allow mqtt:// to another machine")
    for way in (coap, mqtt):
        kept = way.add_mutually_exclusive_group()
        kept.add_argument("--out", type=Path, metavar="FILE", help="write each envelope to it as a line of JSON, and continue it")
        kept.add_argument("--into", metavar="DATABASE", help="store each envelope once: sqlite:FILE or postgresql://HOST/NAME")
        way.add_argument(
            "--files", type=Path, metavar="DIR", help="put the backups that gateways send together there: DIR/GATEWAY/NAME"
        )
        way.add_argument("--json", action="store_true", help="the account as one JSON object, on the last line")
        way.add_argument("--for", dest="duration", type=duration, metavar="DURATION", help="stop by itself, as in 90s or 2h")
        way.add_argument("--ready-file", type=Path, metavar="FILE", help="write the URL to it once ready to receive")
    verify = ways.add_parser("verify", help="prove that a database holds every position once, or a loss that covers it")
    verify.add_argument("into", metavar="DATABASE", help="sqlite:FILE or postgresql://HOST/NAME")
    verify.add_argument("--json", action="store_true", help="one JSON object, on the last line")


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
    if args.way == "verify":
        return _verify(args)
    if args.way == "mqtt" and args.share and args.client_id == CLIENT:
        raise AgentError(f"--share {args.share}: give each receiver of the group a --client-id of its own, always the same")
    out = _database(args.into) if args.into else _open(args.out)
    try:
        files = Files(args.files, _say) if args.files is not None else None
        intake = _intake(out, getattr(args, "topic", ""), files)
        failure = (_coap if args.way == "coap" else _mqtt)(args, intake)
        if failure:
            print(f"atm-agent: {failure}", file=sys.stderr)
        with contextlib.suppress(OSError):  # a database that is gone has been told of
            _tell(intake.account(), as_json=args.json)
    finally:
        if out is not None:
            out.close()
    return EXIT_FAILED if failure else EXIT_OK


def _verify(args: argparse.Namespace) -> int:
    """What is there, gateway by gateway. The exit status says whether it is complete."""
    scheme, _, place = args.into.partition(":")
    if (
        scheme == "sqlite" and place and not Path(place.removeprefix("//")).is_file()
    ):  # opening it would make it, and nothing is missing in nothing
        raise AgentError(f"verify: {place}: there is no such database; name one that atm-agent receive --into wrote")
    database, ledger = _database(args.into), Ledger()
    try:
        restore(database, ledger)
        account, trust = ledger.account(), clocks(database)
    except OSError as error:
        raise AgentError(f"verify: {error.strerror}") from None
    finally:
        database.close()
    if not account.streams:
        raise AgentError("verify: the database holds nothing that a gateway sent; there is nothing to prove")
    complete = account.missing == 0
    if args.json:
        told = {"complete": complete, **msgspec.to_builtins(account), "clocks": [each._asdict() for each in trust]}
        del told["alarms"], told["duplicates"], told["undecodable"]
        _say(msgspec.json.encode(told).decode())
        return EXIT_OK if complete else EXIT_FAILED
    for clock in trust:
        by = f"{clock.unsynced} of them by a clock that nothing kept right" if clock.unsynced else "all by a clock that was right"
        _say(f"{clock.gateway}: {clock.received} envelopes, {by}")
        for stream in (each for each in account.streams if each.gateway == clock.gateway):
            _say(f"  {stream.epoch} {stream.lane}: last {stream.highest}, received {stream.received}, lost {stream.lost}")
            for first, last in stream.holes:
                _say(f"    missing {first} to {last}, and no loss says why")
    _say("complete" if complete else f"{account.missing} positions are missing")
    return EXIT_OK if complete else EXIT_FAILED


def _database(where: str) -> Database:
    try:
        return open_database(where)
    except ValueError as error:
        raise AgentError(f"--into: {error}") from None
    except OSError as error:
        name = where if where.startswith("sqlite") else "the database"  # an address may hold a password
        raise AgentError(f"--into: {name}: {error.strerror or error}; is it there, and may this user write to it?") from None


def _open(path: Path | None) -> OutFile | None:
    if path is None:
        return None
    try:
        return OutFile(path)
    except BlockingIOError:
        raise AgentError(f"--out {path}: another receiver writes to it; name another file") from None
    except OSError as error:
        raise AgentError(f"--out {path}: {error.strerror}; name a file that this user may write") from None


def _intake(out: OutFile | Database | None, topic: str, files: Files | None) -> Intake:
    try:
        return Intake(out, _say, time.time, Place(topic), files)
    except ValueError as error:
        raise AgentError(f"--out {error}") from None
    except OSError as error:
        raise AgentError(f"--into: {error.strerror or error}") from None


def _say(line: str) -> None:
    print(line, flush=True)


def _coap(args: argparse.Namespace, intake: Intake) -> str:
    """Serve. The failure that ended it, "" when it was asked to stop. Raises AgentError when it cannot even begin."""
    from agent.receive import coap

    host, port = args.bind
    tls = _server_context(args)
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
        await coap.serve(intake, host, port, ready, stop, args.oscore, tls)

    try:
        asyncio.run(main())
    except OSError as error:
        place = f"cannot write down what came: {args.out or 'the database'}" if listening else f"--bind {host}:{port}"
        why = f"{place}: {error.strerror or error}{REMEDIES.get(error.errno or 0, '')}"
        if listening:
            return why
        raise AgentError(why) from None
    except ValueError as error:
        raise AgentError(f"--oscore {error}") from None
    return ""


def _server_context(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Of coaps+tcp://; None: CoAP over UDP. Raises AgentError."""
    if args.certificate is None:
        if args.key or args.ca:
            raise AgentError("--key, --ca: they go with --certificate, which makes it coaps+tcp://; give it, or leave them out")
        return None
    if args.oscore is not None:
        raise AgentError("--oscore: it is for CoAP over UDP; leave it out, or --certificate")
    from agent.receive.tls import server_context

    try:
        return server_context(args.certificate, args.key, args.ca)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or getattr(error, "reason", None) or error
        raise AgentError(
            f"--certificate, --key, --ca: {why}; expected a PEM certificate, its unencrypted key, CAs in PEM"
        ) from None


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
        args.share,
    )


def _tell(account: Account, *, as_json: bool) -> None:
    if as_json:
        _say(msgspec.json.encode(account).decode())
        return
    _say(f"received {account.received}, duplicates {account.duplicates}, lost {account.lost}, missing {account.missing}")
    for stream in account.streams:
        _say(f"  {stream.gateway} {stream.epoch} {stream.lane}: {stream.received} of {stream.highest}, missing {stream.missing}")
