"""Files are written atomically, also through links."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from clickseg.core.errors import OutputError
from clickseg.core.files import file_sha256, remove_stale_temporaries, replace_atomically, temporary_path, write_bytes


def test_a_link_is_followed_by_write_bytes_and_replaced_by_replace_whole(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)

    write_bytes(link, b"new")

    assert (link.is_symlink(), target.read_bytes()) == (True, b"new")
    replace_atomically(link, b"own")
    assert (link.is_symlink(), link.read_bytes(), target.read_bytes()) == (False, b"own", b"new")


def test_a_file_that_cannot_be_replaced_keeps_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)

    with pytest.raises(OutputError, match=r"^file: cannot be written: No space left on device$"):
        write_bytes(path, b"new")

    assert {child.name: child.read_bytes() for child in tmp_path.iterdir()} == {"file": b"old"}


def test_a_device_is_written_to_directly() -> None:
    write_bytes(Path(os.devnull), b"gone")

    assert not Path(os.devnull).is_file()


def test_stale_temporary_files_are_removed_and_new_ones_stay(tmp_path: Path) -> None:
    old, young = temporary_path(tmp_path / "a.json"), temporary_path(tmp_path / "b.json")
    for temporary in (old, young):
        temporary.write_bytes(b"half")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))

    remove_stale_temporaries(tmp_path)

    assert [*tmp_path.iterdir()] == [young]


def test_the_digest_of_a_file_of_several_blocks_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    path = tmp_path / "file"
    path.write_bytes(content)

    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
