"""Masks in a folder: what is none of theirs, however it got there, is not taken for one."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.sealed import SealedFolder
from clickseg.inference.incremental_inputs import KeptMasks

SHAPE = (5, 6, 7)
MASKS = tuple(np.random.default_rng(1).random((2, *SHAPE)) < 0.5)
SIZE = 2 * -(-MASKS[0].size // 8)


def test_masks_are_what_was_put(tmp_path: Path) -> None:
    KeptMasks(SHAPE, tmp_path, b"session").put((), MASKS)

    found = KeptMasks(SHAPE, tmp_path, b"session").get((), 2)

    assert [each.dtype for each in found] == [np.dtype(bool)] * 2
    assert np.array_equal(found, MASKS)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", zlib.compress(bytes(SIZE - 1)), zlib.compress(bytes(SIZE + 1)), zlib.compress(bytes(1 << 24))],
    ids=["nothing", "no zlib", "too short", "too long", "much too long"],
)
def test_what_unpacks_to_no_masks_is_made_anew(tmp_path: Path, content: bytes) -> None:
    KeptMasks(SHAPE, tmp_path, b"session").put((), MASKS)
    (path,) = tmp_path.iterdir()
    SealedFolder(tmp_path, b"session").write(path.name, content)

    assert KeptMasks(SHAPE, tmp_path, b"session").get((), 2) is None


def test_what_is_longer_than_masks_can_be_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeptMasks(SHAPE, tmp_path, b"session").put((), MASKS)
    (path,) = tmp_path.iterdir()
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a hole, of no disk
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it is read"))

    assert KeptMasks(SHAPE, tmp_path, b"session").get((), 2) is None


def test_what_cannot_be_removed_stays(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.mask").mkdir()

    KeptMasks(SHAPE, tmp_path, b"session").put((), MASKS)

    assert KeptMasks(SHAPE, tmp_path, b"session").get((), 2) is not None
