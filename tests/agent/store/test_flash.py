"""Bytes that reach the card: the meter's model, its ledger, and a block device that counts for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.records import Stamp
from agent.store import ALARMS
from agent.store.files import PAGE
from agent.store.flash import COMMIT, DAY, DAYS, FIRST_USE, SAVE, FlashLedger, MeteredFiles, card_life
from agent.store.notes import MemoryNotes
from tests.agent.store.disk import ROOT, Disk
from tests.agent.store.stores import STAMP, alarm, open_store


def at(seconds: float) -> Stamp:
    return Stamp(STAMP.at + seconds, STAMP.mono + seconds, STAMP.boot, STAMP.synced)


def test_a_sync_costs_the_pages_that_it_touches() -> None:
    meter = MeteredFiles(Disk())
    file = meter.open(ROOT / "x")
    file.reserve(10 * PAGE)
    file.sync()
    assert meter.written == COMMIT
    costs = []
    for at_, size in ((0, 100), (100, 100), (PAGE - 50, 100), (PAGE + 50, 10), (2 * PAGE, 3 * PAGE)):
        before = meter.written
        file.write(b"x" * size, at_)
        file.sync()
        costs.append(meter.written - before)
    assert costs == [PAGE + FIRST_USE, PAGE, 2 * PAGE + FIRST_USE, PAGE, 3 * PAGE + FIRST_USE]
    before = meter.written
    file.sync()
    assert meter.written == before, "nothing to write"
    file.write(b"x", 0)
    file.write(b"x", PAGE)
    file.sync()
    assert meter.written - before == 2 * PAGE, "one write each, however often a page was changed"
    file.close()


def test_a_file_that_grows_costs_its_metadata() -> None:
    meter = MeteredFiles(Disk())
    file = meter.open(ROOT / "x")
    file.write(b"x" * 100, 0)
    file.sync()
    assert meter.written == PAGE + COMMIT
    file.close()
    meter.sync_directory(ROOT)
    assert meter.written == 2 * (PAGE + COMMIT)


class Meter(MeteredFiles):
    def __init__(self) -> None:
        super().__init__(Disk())


def test_bytes_by_day() -> None:
    meter, notes = Meter(), MemoryNotes()
    ledger = FlashLedger(meter, notes)
    assert (ledger.total, ledger.per_day) == (0, 0.0)
    ledger.note(at(0))
    for hour in range(1, 73):
        meter.written += 1000
        ledger.note(at(hour * 3600.0))
    assert ledger.total == 72_000
    assert ledger.per_day == pytest.approx(24_000)
    notes.remember({"flash": ledger.documents()})
    again = FlashLedger(Meter(), notes)
    assert (again.total, again.per_day) == (72_000, pytest.approx(24_000))
    assert len(notes.recall("flash")) == 1 + 4, "the total, and the days that were touched"


def test_old_days_are_forgotten_and_counted_in_the_total() -> None:
    meter, notes = Meter(), MemoryNotes()
    ledger = FlashLedger(meter, notes)
    for day in range(DAYS + 6):
        ledger.note(at(day * DAY))
        meter.written += 10 if day < 6 else 1000
        notes.remember({"flash": ledger.documents()})
    assert len(notes.recall("flash")) == 1 + DAYS
    assert ledger.total == 60 + DAYS * 1000
    assert ledger.per_day > 900


def test_it_is_saved_now_and_then() -> None:
    ledger = FlashLedger(Meter(), MemoryNotes())
    ledger.note(at(0))
    assert not ledger.due(at(0))
    assert not ledger.due(at(SAVE - 1))
    assert ledger.due(at(SAVE))
    ledger.note(at(SAVE))
    ledger.documents()
    assert not ledger.due(at(SAVE + 1))


def test_a_store_knows_what_it_wrote_in_all_its_lives() -> None:
    disk = Disk()
    totals = []
    for _ in range(3):
        store = open_store(disk)
        for number in range(10):
            store.append(ALARMS, [alarm(number)], STAMP)
        store.tidy(STAMP)
        totals.append(store.status.flash_bytes)
        store.close()
    assert totals[0] > 10 * PAGE
    assert totals[1] > totals[0] + 10 * PAGE
    assert totals[2] > totals[1] + 10 * PAGE


def test_damaged_notes_of_it_are_passed_over() -> None:
    notes = MemoryNotes()
    notes.remember({"flash": {"2025-01-01": {"bytes": "many"}, "total": {"bytes": 5, "seconds": 1.0}}})
    assert FlashLedger(Meter(), notes).total == 5


def test_the_life_of_a_card() -> None:
    assert card_life(endurance=365.25e9, total=0, per_day=1e9) == pytest.approx(1.0)
    assert card_life(endurance=365.25e9, total=365.25e9 / 2, per_day=1e9) == pytest.approx(0.5)
    assert card_life(endurance=1.0, total=2.0, per_day=1.0) == 0.0
    assert card_life(endurance=1.0, total=0.0, per_day=0.0) is None


def test_the_meter_agrees_with_a_block_device(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount an ext4 file system of its own")
    command = ["unshare", "--mount", sys.executable, "-m", "tests.agent.store.block_device", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and ("mount" in done.stderr or "unshare" in done.stderr or "mkfs" in done.stderr):
        pytest.skip(f"no loop device here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    for work, (device, meter) in json.loads(done.stdout.splitlines()[-1]).items():
        assert 0.75 < meter / device < 1.25, f"{work}: {meter} by the meter, {device} by the device"
