"""Stored masks: files with other content are ignored."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.checksum_folder import ChecksumFolder
from clickseg.inference.incremental_inputs import MaskStore

SHAPE = (5, 6, 7)
MASKS = tuple(np.random.default_rng(1).random((2, *SHAPE)) < 0.5)
SIZE = 2 * -(-MASKS[0].size // 8)


def test_stored_masks_are_read_back(tmp_path: Path) -> None:
    MaskStore(SHAPE, tmp_path, b"session").put((), MASKS)

    masks = MaskStore(SHAPE, tmp_path, b"session").get((), 2)

    assert [mask.dtype for mask in masks] == [np.dtype(bool)] * 2
    assert np.array_equal(masks, MASKS)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", zlib.compress(bytes(SIZE - 1)), zlib.compress(bytes(SIZE + 1)), zlib.compress(bytes(1 << 24))],
    ids=["empty", "not zlib", "too short", "too long", "much too long"],
)
def test_data_that_are_not_masks_are_ignored(tmp_path: Path, content: bytes) -> None:
    MaskStore(SHAPE, tmp_path, b"session").put((), MASKS)
    (path,) = tmp_path.iterdir()
    ChecksumFolder(tmp_path, b"session").write(path.name, content)

    assert MaskStore(SHAPE, tmp_path, b"session").get((), 2) is None


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MaskStore(SHAPE, tmp_path, b"session").put((), MASKS)
    (path,) = tmp_path.iterdir()
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a sparse file, which needs no disk space
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read"))

    assert MaskStore(SHAPE, tmp_path, b"session").get((), 2) is None


def test_files_that_cannot_be_removed_are_ignored(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.mask").mkdir()

    MaskStore(SHAPE, tmp_path, b"session").put((), MASKS)

    assert MaskStore(SHAPE, tmp_path, b"session").get((), 2) is not None
