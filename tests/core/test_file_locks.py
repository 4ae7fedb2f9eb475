"""A file can be locked once. The lock ends with its process, even if the process is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clickseg.core import file_locks
from clickseg.core.file_locks import create_locked, try_lock

HOLDER = """
import sys
from pathlib import Path
from clickseg.core.file_locks import try_lock
lock = try_lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_locked_file_cannot_be_locked_again_until_it_is_closed(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    assert try_lock(tmp_path / "lock") is None

    first.close()

    second = try_lock(tmp_path / "lock")
    assert second is not None
    first.close()  # does nothing: another file may have the same descriptor number by now
    assert try_lock(tmp_path / "lock") is None
    second.close()


def test_a_lock_ends_when_its_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert try_lock(tmp_path / "lock") is None

        holder.send_signal(signal.SIGKILL)
        holder.wait()

    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    lock.close()


def test_a_file_is_created_only_on_request_and_keeps_its_content(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "lock", create=False)
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "lock").write_text("mine")
    lock = try_lock(tmp_path / "lock", create=False)

    assert lock is not None
    lock.close()
    assert (tmp_path / "lock").read_text() == "mine"


def test_a_folder_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        try_lock(tmp_path)


@pytest.mark.parametrize("lock", [try_lock, create_locked])
def test_a_file_system_without_locks_is_an_error_and_no_file_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: object
) -> None:
    def unsupported(_descriptor: int, **_: bool) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(file_locks, "lock_descriptor", unsupported)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(OSError, match="No locks available"):
        lock(tmp_path / "lock")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("renames", [True, False], ids=["renamed", "in place, as on Windows"])
def test_a_created_lock_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool) -> None:
    monkeypatch.setattr(file_locks, "CAN_RENAME_OPEN_FILES", renames)

    lock = create_locked(tmp_path / "lock")

    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert try_lock(tmp_path / "lock") is None
    lock.close()
    assert try_lock(tmp_path / "lock") is not None


def test_a_lock_file_gets_its_name_after_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[list[str]] = []

    def record_names(*_: object, **__: object) -> bool:
        names.append([path.name for path in tmp_path.iterdir()])
        return True

    monkeypatch.setattr(file_locks, "lock_descriptor", record_names)

    create_locked(tmp_path / "lock").close()

    assert names == [["lock.new"]]
