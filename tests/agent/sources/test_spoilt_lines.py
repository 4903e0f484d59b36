"""Every driver of a line on one that spoils what it carries, in virtual time: what it shows, and how soon it is right again."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.records import Reading
from agent.sources import SOURCES
from agent.vocabulary import fault, point
from tests.agent.sources.scenes import SCENES, Scene

POLLS = 3
"""After so many on a line that is good again, the truth is shown."""
NO_LINES = {"gpio", "replay", "xfs4iot"}

Spoil = Callable[[bytes], bytes]

NOISES: dict[str, Callable[[random.Random], Spoil]] = {
    "other bytes": lambda rng: lambda data: rng.randbytes(len(data)),
    "babble": lambda rng: lambda data: rng.randbytes(300) + data,
    "cut": lambda rng: lambda data: data[: rng.randrange(len(data) + 1)],
    "torn": lambda rng: lambda data: data[rng.randrange(len(data) + 1) :] + data[: rng.randrange(len(data) + 1)],
    "lengths that lie": lambda rng: lambda data: bytes(0xFA if rng.random() < 0.3 else byte for byte in data),
    "nothing": lambda rng: lambda data: b"",
}


def test_every_driver_of_a_line_has_a_scene() -> None:
    assert {name.replace(",", " ").split()[0] for name in SCENES} | NO_LINES == set(SOURCES)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", SCENES)
def test_it_shows_the_truth_three_polls_after_the_noise(name: str, noise: str) -> None:
    rng = random.Random(5)
    scene = SCENES[name]()
    shown: dict[str, Any] = {}

    def poll(times: int) -> None:
        for _ in range(times):
            for reading in scene.poll():
                entry = point(reading.point)
                assert entry is not None
                assert fault(entry, reading.value) is None
                shown[reading.point] = reading.value

    poll(5)
    assert shown[scene.point] == scene.truth
    for _ in range(5):
        scene.spoil = NOISES[noise](rng)
        poll(rng.randrange(1, 6))
        scene.turn()
        poll(rng.randrange(3))
        scene.mend()
        poll(POLLS)
        assert shown[scene.point] == scene.truth


ONE_PERCENT = {
    # name: exchanges of a poll, and the largest share of numbers that may be off
    "board": (1, 0.0),
    "cctalk hopper, tap": (4, 0.0),
    "cctalk validator, poll": (1, 0.0),
    "cctalk validator, tap": (2, 0.0),
    "lcdm, tap": (1, 0.0),
    "ups, voltronic": (4, 0.005),
}
"""Those whose own tests do not do it."""
TURN_EVERY = 25  # polls
LATE = 8  # polls for which a state that has just ended may still be told


@pytest.mark.parametrize("name", ONE_PERCENT)
def test_one_byte_in_a_hundred_corrupted(name: str, wrong: Any) -> None:
    """10,000 exchanges, the device's state changing all the time: no word that is not true, and hardly a number."""
    rng = random.Random(13)
    exchanges, allowed = ONE_PERCENT[name]
    known = {(reading.point, reading.value) for reading in _turning(SCENES[name](), 4)}
    scene = SCENES[name]()
    scene.spoil = lambda data: wrong(data, rng)
    given, off = 0, []
    truths: deque[Any] = deque(maxlen=LATE)
    for number in range(10_000 // exchanges):
        if number % TURN_EVERY == 0:
            scene.turn()
        truths.append(scene.truth)
        for reading in scene.poll():
            if reading.machine == "atm-1" and reading.value is not None:
                given += 1
                if (reading.point, reading.value) not in known or (reading.point == scene.point and reading.value not in truths):
                    off.append(reading)
    assert given > 100
    assert len(off) <= allowed * given
    assert not any(isinstance(reading.value, str) for reading in off)


def _turning(scene: Scene, times: int) -> Iterator[Reading]:
    for _ in range(times):
        for _ in range(5):
            yield from scene.poll()
        scene.turn()
