"""What stands in a store's directory and is no file of ours: it is set aside unopened, and what is missed is a Loss."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.records import Loss
from agent.store import ALARMS, READINGS, files
from agent.store.history import history
from agent.store.inspection import inspect_store
from agent.store.opening import STATE
from agent.store.room import Bounds
from tests.agent.store.stores import STAMP, body, drain_all, losses, open_store, opened

NOBODY = 65534
SMALL = Bounds(256 * 1024, 0, 1000.0, 256 * 1024)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def a_directory(path: Path) -> None:
    path.unlink()
    (path / "with").mkdir(parents=True)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_device_without_end(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_huge_file(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(files.LONGEST + 1)


STRANGERS = [a_directory, a_dangling_link, a_link_to_itself, a_device_without_end, a_pipe, a_huge_file]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one alarm and a few segments of readings, closed."""
    path = tmp_path_factory.mktemp("whole") / "store"
    store = open_store(None, path, SMALL)
    for number in range(20):
        store.append(READINGS, [body(READINGS, number)] * 10, STAMP)
    store.append(ALARMS, [body(ALARMS, 1)], STAMP)
    store.close()
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def segments(path: Path) -> list[Path]:
    return sorted((path / READINGS).glob("*.journal"))


@pytest.mark.parametrize("harm", STRANGERS)
def test_in_the_place_of_an_old_segment(path: Path, harm: Callable[[Path], None]) -> None:
    first, second = (int(each.stem) for each in segments(path)[:2])
    harm(segments(path)[0])
    list(history(path))  # reading without opening passes it over
    inspect_store(path)
    store, repairs = opened(None, path, SMALL)
    found = drain_all(store)
    assert losses(found[ALARMS]) == [Loss(READINGS, first, second - 1, second - first, "missing")]
    assert len(found[READINGS]) == 200 - (second - first)
    (repair,) = repairs.values()
    assert repair.set_aside is not None
    assert repair.set_aside.is_symlink() or repair.set_aside.exists()
    store.close()
    open_store(None, path, SMALL).close()


@pytest.mark.parametrize("harm", STRANGERS)
def test_in_the_place_of_the_newest_segment(path: Path, harm: Callable[[Path], None]) -> None:
    newest = segments(path)[-1]
    harm(newest)
    store = open_store(None, path, SMALL)
    assert store.append(READINGS, [body(READINGS, 0)], STAMP) == 201, "no position is given twice"
    (loss,) = losses(drain_all(store)[ALARMS])
    assert (loss.first, loss.last, loss.why) == (int(newest.stem), 200, "damagedEnd")
    store.close()


@pytest.mark.parametrize("harm", STRANGERS)
def test_in_the_place_of_the_state(path: Path, harm: Callable[[Path], None]) -> None:
    harm(path / STATE)
    assert any("state.journal" in finding.path for finding in inspect_store(path).findings)
    store = open_store(None, path, SMALL, epochs=("another",))
    assert store.epoch == "another"
    assert len(drain_all(store)[READINGS]) == 200
    store.close()


def test_in_the_place_of_a_lane(path: Path) -> None:
    shutil.rmtree(path / READINGS)
    (path / READINGS).write_text("hello")
    store = open_store(None, path, SMALL)
    assert [(loss.first, loss.last) for loss in losses(drain_all(store)[ALARMS])] == [(1, 200)]
    store.close()


@pytest.mark.parametrize("name", ["9999999999999999.journal", "0000900000000000.journal"])
def test_a_segment_from_far_away(path: Path, name: str) -> None:
    """What somebody put there may be passed over at once, or become a gap that is told as one."""
    emptied(path / READINGS / name)
    store = open_store(None, path, SMALL)
    store.append(READINGS, [body(READINGS, 7)], STAMP)
    assert len(drain_all(store)[READINGS]) == 201
    store.close()


def test_a_file_that_this_user_may_not_touch_is_named(path: Path) -> None:
    newest = segments(path)[-1]
    newest.chmod(0)
    child = os.fork()
    if child == 0:  # root may read everything: somebody else looks
        status = 1
        try:
            if os.geteuid() == 0:
                for place in (path, *path.rglob("*")):
                    os.chown(place, NOBODY, -1)
                for place in [each for each in path.parents if len(each.parts) > 2]:  # pytest's own, below /tmp
                    place.chmod(0o755)
                os.setuid(NOBODY)
            open_store(None, path, SMALL)
        except PermissionError as error:
            status = 0 if error.filename == str(newest) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
