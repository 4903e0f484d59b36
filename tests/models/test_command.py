"""How a trainer's command ends when something stands in its way, and what it leaves behind."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from agent.cli.ending import EXIT_INTERRUPTED
from models.command import ended
from models.data import DataError, check_outputs, whole, write


@pytest.mark.parametrize(
    ("out", "plot", "said"),
    [
        ("there/", None, "is a folder; name a file in it"),
        ("file/deeper.json", None, "is no folder that this user may write to"),
        (None, "there/picture.txt", r"expected a name that ends in \.png"),
        (None, "there", r"expected a name that ends in \.png"),
    ],
)
def test_where_nothing_can_be_written_is_told_before_the_work(
    out: str | None, plot: str | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=said):
        check_outputs(out and tmp_path / out, plot and tmp_path / plot)  # type: ignore[arg-type]
    check_outputs(tmp_path / "made later" / "a.json", tmp_path / "there" / "b.png")


def fill_the_disk(path: Path) -> None:
    with whole(path) as draft:
        draft.write_text("half")
        raise OSError(28, "No space left on device")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.csv"
    write(path, "first")
    with pytest.raises(OSError, match="No space") as full:
        fill_the_disk(path)
    assert full.value.filename == str(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("loan.csv: is empty"), 1, "tabular: loan.csv: is empty\n"),
        (PermissionError(13, "Permission denied", "loan.csv"), 1, "tabular: loan.csv: Permission denied; look at the disk"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, ""),
    ],
)
def test_it_ends_with_one_line(error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: Namespace) -> int:
        raise error

    assert ended("tabular", run, Namespace()) == status
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == bool(said)
