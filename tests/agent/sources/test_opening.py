from __future__ import annotations

import asyncio
import threading

import pytest

from agent.sources.opening import off_loop

pytestmark = pytest.mark.usefixtures("nothing_leaks")


class Work:
    """Something that takes until it is told to end, and can be undone."""

    def __init__(self, error: Exception | None = None) -> None:
        self.may_end = threading.Event()
        self.undone: list[str] = []
        self._error = error

    def __call__(self) -> str:
        assert self.may_end.wait(5)
        if self._error is not None:
            raise self._error
        return "result"

    async def ended(self) -> None:
        self.may_end.set()
        for thread in threading.enumerate():
            if thread.name == "work":
                thread.join(5)
        await asyncio.sleep(0)


async def test_the_result_comes_back():
    work = Work()
    work.may_end.set()
    assert await off_loop(work, work.undone.append, "work") == "result"
    assert not work.undone


async def test_an_error_comes_back():
    work = Work(KeyError("why"))
    work.may_end.set()
    with pytest.raises(KeyError, match="why"):
        await off_loop(work, work.undone.append, "work")


async def test_a_result_that_nobody_waits_for_is_undone():
    work = Work()
    task = asyncio.ensure_future(off_loop(work, work.undone.append, "work"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.undone
    await work.ended()
    assert work.undone == ["result"]


async def test_a_result_that_comes_with_the_cancellation_is_undone():
    work = Work()
    task = asyncio.ensure_future(off_loop(work, work.undone.append, "work"))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: loop.call_soon(task.cancel))  # right behind the delivery, before the task has its next turn
    await work.ended()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.undone == ["result"]


async def test_an_error_that_nobody_waits_for_is_forgotten():
    work = Work(OSError("gone"))
    task = asyncio.ensure_future(off_loop(work, work.undone.append, "work"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await work.ended()
    assert not work.undone


def test_a_loop_that_has_ended_has_its_result_undone():
    work = Work()

    async def leave() -> None:
        task = asyncio.ensure_future(off_loop(work, work.undone.append, "work"))
        await asyncio.sleep(0)
        task.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    work.may_end.set()
    for thread in threading.enumerate():
        if thread.name == "work":
            thread.join(5)
    assert work.undone == ["result"]
