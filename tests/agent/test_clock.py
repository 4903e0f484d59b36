"""The clock's word for itself, where the kernel may be asked and where it may not."""

from __future__ import annotations

import time

from agent.clock import ScaledClock, Timedated, boot_id, kernel_clock_synced


def answer_of(*command: str) -> bool:
    timedated = Timedated(command)
    assert timedated.synced(0.0) is False
    if timedated._asking is not None:
        timedated._asking.wait()
    return timedated.synced(1.0)


def test_timedated_is_believed_and_never_waited_for() -> None:
    assert answer_of("echo", "b true") is True
    assert answer_of("echo", "b false") is False
    assert answer_of("false") is False
    assert answer_of("/nowhere/busctl") is False
    hanging = Timedated(("sleep", "60"))
    try:
        assert [hanging.synced(at) for at in (0.0, 61.0, 300.0)] == [False] * 3
    finally:
        assert hanging._asking is not None
        hanging._asking.kill()
        hanging._asking.communicate()


def test_timedated_is_asked_once_a_minute() -> None:
    timedated = Timedated(("echo", "b true"))
    for at in (0.0, 30.0, 59.0):
        timedated.synced(at)
        if timedated._asking is not None:
            timedated._asking.wait()
    assert timedated._asking is None
    timedated.synced(60.0)
    assert timedated._asking is not None
    timedated._asking.communicate()


def test_the_kernel_says_yes_no_or_nothing() -> None:
    assert kernel_clock_synced() in (True, False, None)
    assert boot_id() == boot_id()


def test_a_scaled_clock_runs_faster_from_its_anchor() -> None:
    clock = ScaledClock(1_000.0, time.time(), 100.0)
    first, second = clock.now(), clock.now()
    assert 1_000.0 <= first <= second
