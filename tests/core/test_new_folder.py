"""A folder appears complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clickseg.core.errors import ModelError, OutputError
from clickseg.core.new_folder import new_folder


def test_the_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "model") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "a" / "model").exists()

    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model"]
    assert (tmp_path / "a" / "model" / "file").read_text() == "x"


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    with new_folder(tmp_path / "model") as folder:
        (folder / "file").write_text("x")

    assert (tmp_path / "model" / "file").exists()


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    def write() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "file").write_text("x")
            raise ModelError("damaged")

    with pytest.raises(ModelError):
        write()

    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("x")

    with pytest.raises(OutputError, match="model: exists already"), new_folder(tmp_path / "model"):
        pass

    assert [path.name for path in tmp_path.rglob("*")] == ["model", "mine"]


def test_a_folder_that_another_process_has_completed_is_not_replaced(tmp_path: Path) -> None:
    def write() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "file").write_text("ours")
            (tmp_path / "model").mkdir()
            (tmp_path / "model" / "file").write_text("theirs")

    with pytest.raises(OutputError, match="exists already"):
        write()

    assert (tmp_path / "model" / "file").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_folder_of_a_killed_run_is_removed_after_an_hour(tmp_path: Path) -> None:
    old, young = tmp_path / ".clickseg-part-1-a", tmp_path / ".clickseg-part-2-b"
    for folder in (old, young):
        (folder / "models").mkdir(parents=True)
    for path in (old, old / "models"):
        os.utime(path, (0, 0))

    with new_folder(tmp_path / "model"):
        pass

    assert not old.exists()
    assert young.exists()


def test_a_parent_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(OutputError, match="cannot be written"), new_folder(tmp_path / "file" / "model"):
        pass
