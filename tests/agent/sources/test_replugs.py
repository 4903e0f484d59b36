"""Every driver of a serial line: a hundred times unplugged and plugged in again under another name, a hundred times found."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from tests.agent.sources.test_conformance import RIGS, SPEAKING, STATE, again, followed

pytestmark = pytest.mark.usefixtures("nothing_leaks")

REPLUGS = 100


@pytest.mark.parametrize("kind", [name for name in SPEAKING if name != "board_behind_a_server"])
async def test_a_hundred_replugs_are_a_hundred_recoveries(kind, context, plug, loops, monkeypatch):
    monkeypatch.setattr("agent.sources.line.MOMENT", 0.001)
    rig = RIGS[kind](context, plug, loops, monkeypatch)
    await rig.start()
    spare = []  # ptys that are taken in between, so that the adapter comes back as another device
    async with followed(rig.source()) as listener:
        await listener.until(STATE, "ok", say=again(rig, 1))
        for number in range(REPLUGS):
            rig.unplug()
            await listener.until(STATE, "missing", "broken")
            if number == 0:
                files, threads, tasks = len(os.listdir("/proc/self/fd")), threading.active_count(), len(asyncio.all_tasks())
            assert len(os.listdir("/proc/self/fd")) <= files + 2 * len(spare) + 4  # a port may just be opened or closed
            assert threading.active_count() <= threads + 1  # a thread that has opened the port may just be ending
            assert len(asyncio.all_tasks()) <= tasks + 1
            spare.append(os.openpty())
            if len(spare) > 3:
                for descriptor in spare.pop(0):
                    os.close(descriptor)
            await rig.plug()
            await listener.until(STATE, "ok", say=again(rig, number))
    for pair in spare:
        for descriptor in pair:
            os.close(descriptor)
    assert len(set(plug.devices)) > 1
    await rig.stop()
