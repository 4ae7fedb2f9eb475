"""A file that other users may have written is not trusted, and links and pipes are not read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clickseg.core.owned_files import has_file_owners, is_trusted_file, open_without_following_links, user_and_group


def file_status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (stat.S_IFREG | 0o644, os.geteuid(), True),
        (stat.S_IFREG | 0o644, 0, True),
        (stat.S_IFREG | 0o644, os.geteuid() + 1, False),
        (stat.S_IFREG | 0o664, os.geteuid(), False),
        (stat.S_IFREG | 0o646, os.geteuid(), False),
        (stat.S_IFIFO | 0o644, os.geteuid(), False),
    ],
)
def test_files_that_only_this_user_and_root_can_write_are_trusted(mode: int, owner: int, expected: bool) -> None:
    assert is_trusted_file(file_status(mode, owner)) is expected


def test_no_file_is_trusted_on_a_system_without_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.delattr(os, "getuid")

    assert not has_file_owners()
    assert not is_trusted_file(file_status(stat.S_IFREG | 0o644, 0))
    assert user_and_group() is None


def test_the_ids_are_those_of_this_process() -> None:
    assert user_and_group() == (os.getuid(), os.getgid())


def test_a_file_is_read_a_link_is_rejected_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine\r\n")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")

    with open_without_following_links(tmp_path / "file") as file:
        assert file.read() == b"mine\r\n"
    with pytest.raises(OSError, match="symbolic links"):
        open_without_following_links(tmp_path / "link")
    with open_without_following_links(tmp_path / "pipe") as pipe:
        assert pipe.read() == b""
