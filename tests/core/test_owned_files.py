"""A file that others may have written is not ours, and one that only looks like a file is not read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clickseg.core.owned_files import is_ours, knows_owners, open_itself, user_and_group


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "ours"),
    [
        (stat.S_IFREG | 0o644, os.geteuid(), True),
        (stat.S_IFREG | 0o644, 0, True),
        (stat.S_IFREG | 0o644, os.geteuid() + 1, False),
        (stat.S_IFREG | 0o664, os.geteuid(), False),
        (stat.S_IFREG | 0o646, os.geteuid(), False),
        (stat.S_IFIFO | 0o644, os.geteuid(), False),
    ],
)
def test_ours_is_what_only_we_and_root_can_write(mode: int, owner: int, ours: bool) -> None:
    assert is_ours(status(mode, owner)) is ours


def test_nothing_is_ours_where_the_system_knows_no_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.delattr(os, "getuid")

    assert not knows_owners()
    assert not is_ours(status(stat.S_IFREG | 0o644, 0))
    assert user_and_group() is None


def test_the_ids_are_those_of_this_process() -> None:
    assert user_and_group() == (os.getuid(), os.getgid())


def test_a_file_is_read_a_link_is_refused_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine\r\n")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")

    with open_itself(tmp_path / "file") as file:
        assert file.read() == b"mine\r\n"
    with pytest.raises(OSError, match="symbolic links"):
        open_itself(tmp_path / "link")
    with open_itself(tmp_path / "pipe") as pipe:
        assert pipe.read() == b""
