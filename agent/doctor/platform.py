"""The way to the platform: its name, its address, its handshake; and what the running agent says of its own legs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

from agent.config.settings import Settings, UplinkSettings
from agent.doctor import Finding
from agent.errors import AgentError
from agent.uplinks.dial import connect, resolve, routable
from agent.uplinks.endpoint import Scheme, parse, tls_context

SCHEMES = {
    "mqtt": Scheme(1883, secure=False),
    "mqtts": Scheme(8883, secure=True),
    "coap": Scheme(5683, secure=False),
    "coaps": Scheme(5684, secure=True),
}
DATAGRAM = ("coap", "coaps")
PATIENCE = 10.0  # s for one platform


async def platforms(settings: Settings) -> list[Finding]:
    """Every uplink's far end, all at once."""
    return list(await asyncio.gather(*(_platform(each) for each in settings.uplinks)))


async def _platform(uplink: UplinkSettings) -> Finding:
    """A TCP connection and a handshake say nothing to the broker: the running agent's session is not disturbed."""
    check, own = f"uplink {uplink.name}", uplink.settings
    url = getattr(own, "url", "")
    try:
        endpoint = parse(url, SCHEMES, insecure=True)
        if url.split(":")[0] in DATAGRAM:
            async with asyncio.timeout(PATIENCE):
                found = routable(await resolve(endpoint, socket.SOCK_DGRAM))
            if not found:
                return Finding(check, f"{endpoint}: there is no way to it", "check this gateway's address and route: ip route")
            return Finding(check, f"{endpoint}: its name is known and there is a way to it")
        files = (getattr(own, "ca", None), getattr(own, "certificate", None), getattr(own, "key", None))
        tls = tls_context(check, *files) if endpoint.secure else None
        (await connect(endpoint, tls, PATIENCE)).close()
    except TimeoutError:
        return Finding(check, f"{url}: no answer within {PATIENCE:g} s", "check the way there, the firewall and the name servers")
    except (AgentError, ValueError) as error:
        what, _, remedy = str(error).rpartition("; ")
        return Finding(check, what or str(error), remedy or "see docs/platform-link.md")
    return Finding(check, f"{endpoint}: answers" + (", and both ends trust each other" if tls else ""))


REMEDIES = {
    "sensors": "a point that says nothing: its sensor, its wire, or the board's own supply",
    "line": "docs/sources.md tells what each word means and what helps",
    "model": "the log names the reason: journalctl -u atm-agent | grep model",
    "store": "make room or replace the card; records wait in memory meanwhile",
    "uplink": "the reason stands beside it",
    "platform": "the link stands and nothing is acknowledged: look at the platform's end",
}


def legs(status: Mapping[str, Any] | None) -> list[Finding]:
    """What the running agent says; None when none answers."""
    if status is None:
        return [Finding("agent", "no agent answers", "systemctl start atm-agent; journalctl -u atm-agent tells more")]
    found = [Finding("agent", f"runs as {status['gateway']}, {status['rss_mb']} MB")]
    if status.get("configuration") == "lastGood":
        found.append(Finding("agent", "runs with the last good configuration", "mend the file (atm-agent check), then reload"))
    for leg in status["legs"]:
        why = f" ({leg['why']})" if leg["why"] else ""
        found.append(Finding(f"{leg['leg']} {leg['name']}", f"{leg['state']}{why}", "" if leg["good"] else REMEDIES[leg["leg"]]))
    return found
