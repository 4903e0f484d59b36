"""The box: its user, ports, clock, disk and card."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.config.settings import Settings, SourceSettings
from agent.doctor import Finding
from agent.errors import LineLost
from agent.sources.ports import device_of, parse

USER = "atm-agent"
GROUPS = ("dialout", "gpio")
WORN = 80  # per cent of a card's or disk's life, by its own word, at which it is a finding
WAIT_SYNC = "systemd-time-wait-sync.service"


def user() -> Iterator[Finding]:
    """The agent's own user and its groups; where there is none, the agent runs as somebody else and nothing is said."""
    try:
        name = pwd.getpwnam(USER)
    except KeyError:
        yield Finding("user", f"there is no user {USER}; the agent runs as {pwd.getpwuid(os.geteuid()).pw_name}")
        return
    for group in GROUPS:
        try:
            entry = grp.getgrnam(group)
        except KeyError:
            yield Finding("user", f"there is no group {group}", "run systemd/install.sh again: it makes the group")
            continue
        if USER in entry.gr_mem or name.pw_gid == entry.gr_gid:
            yield Finding("user", f"{USER} is in {group}")
        else:
            yield Finding("user", f"{USER} is not in the group {group}", f"usermod -aG {group} {USER}, then restart the agent")


def ports(settings: Settings, running: bool) -> Iterator[Finding]:
    """Every source's port or pins."""
    for source in settings.sources:
        port = getattr(source.settings, "port", None)
        if isinstance(port, str):
            yield _port(source, port)
        elif source.kind == "gpio" and getattr(source.settings, "pin_factory", "") != "mock":
            yield _pins(source)
    if not running and settings.sources:
        yield Finding("ports", "whether they can be opened is known only while the agent runs")


def _port(source: SourceSettings, port: str) -> Finding:
    check = f"source {source.name}"
    name = parse(port)
    if name.kind not in ("device", "usb"):
        return Finding(check, f"{port} is on the network; the agent's status tells whether it answers")
    try:
        path = Path(device_of(name))
    except LineLost as error:
        return Finding(check, str(error), "plug it in; ls /dev/serial/by-id shows what is there")
    if not path.exists():
        return Finding(check, f"{port} does not exist", "plug it in; ls /dev/serial/by-id shows what is there")
    return _node(check, path, "dialout")


def _pins(source: SourceSettings) -> Finding:
    chips = sorted(Path("/dev").glob("gpiochip*"))
    if not chips:
        return Finding(
            f"source {source.name}", "this computer has no GPIO chip", "remove the source, or run on a board that has pins"
        )
    return _node(f"source {source.name}", chips[0], "gpio")


def _node(check: str, path: Path, group: str) -> Finding:
    """Whether the agent's user may open a device: by its group."""
    status = path.stat()
    try:
        right = status.st_gid == grp.getgrnam(group).gr_gid and status.st_mode & 0o060 == 0o060
    except KeyError:
        right = False
    if right or os.geteuid() == status.st_uid != 0:
        return Finding(check, f"{path} is there, and the group {group} may use it")
    remedy = "install /etc/udev/rules.d/60-atm-agent.rules (systemd/install.sh does), then unplug and plug it"
    return Finding(check, f"{path} is there, but the group {group} may not use it", remedy)


def clock(*, synced: bool) -> Iterator[Finding]:
    """Whether something keeps the clock right, and whether the start of the agent waits for that."""
    if synced:
        yield Finding("clock", "synchronised")
    else:
        yield Finding("clock", "nothing keeps it right", "timedatectl set-ntp true, and let the gateway reach a time server")
    if _enabled(WAIT_SYNC):
        remedy = f"systemctl disable {WAIT_SYNC}: a gateway without network must watch all the same"
        yield Finding("clock", f"{WAIT_SYNC} holds up the agent until the network has set the clock", remedy)


def _enabled(unit: str) -> bool:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return False
    done = subprocess.run([systemctl, "is-enabled", unit], capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip() == "enabled"


def disk(settings: Settings, own: Any, devices: Path = Path("/sys/block")) -> Iterator[Finding]:
    """Room, whether it may be written, and how worn the medium is. `own` are the running agent's points, if it runs."""
    path, floor = settings.store.path, settings.store.free_floor
    place = next(each for each in (path, *path.parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < floor + settings.store.budget // 10:
        remedy = "make room, or lower store.budget"
        yield Finding("disk", f"{place}: {free / 1e6:.0f} MB are free, and {floor / 1e6:.0f} MB are to stay free", remedy)
    else:
        yield Finding("disk", f"{place}: {free / 1e9:.1f} GB are free")
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        yield Finding("disk", f"{place} is mounted read-only", "a card that fails does this: look at dmesg, and replace the card")
    life = own.get("gateway.cardLife")
    if isinstance(life, int | float):
        remedy = "" if life >= 1 else "look for what writes so much (forward.readings, checkpoint), or take a better card"
        yield Finding("card", f"at this pace it lasts {life:g} years", remedy)
    yield from worn(devices)


def worn(devices: Path) -> Iterator[Finding]:
    """What an eMMC says of itself (JEDEC JESD84-B51, EXT_CSD 267 to 269): tenths of its life that are used."""
    for device in sorted(devices.glob("mmcblk*")):
        try:
            used = max(int(word, 16) for word in (device / "device" / "life_time").read_text().split())
        except (OSError, ValueError):
            continue  # an SD card does not tell
        if used:
            remedy = "replace it soon" if used * 10 >= WORN else ""
            yield Finding("card", f"{device.name} has used {used * 10 - 10} to {used * 10} per cent of its life", remedy)
