"""Files are published together or not at all, even if the run fails or is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickseg.core import file_locks
from clickseg.core.errors import OutputError
from clickseg.core.staging import Staging

MARKER = "report.json"


class InterruptedRunError(Exception):
    """The error of a run that fails."""


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fill(staging: Staging, *files: str) -> None:
    for name in files:
        (staging.folder / name).write_text(f"new {name}")


def test_files_appear_when_they_are_published(tmp_path: Path) -> None:
    output = tmp_path / "a" / "out"

    with Staging(output, MARKER) as staging:
        fill(staging, "b.dcm", "a.dcm", MARKER)
        assert all(name.startswith(".clickseg-") for name in file_names(output))
        staging.publish()

    assert file_names(output) == ["a.dcm", "b.dcm", MARKER]


def test_no_files_remain_if_nothing_was_published(tmp_path: Path) -> None:
    output = tmp_path / "a" / "out"

    with contextlib.suppress(InterruptedRunError), Staging(output, MARKER) as staging:
        fill(staging, "a.dcm", MARKER)
        raise InterruptedRunError

    assert file_names(tmp_path) == []


def test_existing_files_in_the_folder_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / MARKER).write_text("old")

    with contextlib.suppress(InterruptedRunError), Staging(tmp_path, MARKER) as staging:
        fill(staging, "a.dcm", MARKER)
        raise InterruptedRunError

    assert file_names(tmp_path) == ["mine.txt", MARKER]
    assert (tmp_path / MARKER).read_text() == "old"


def test_a_second_run_replaces_the_report(tmp_path: Path) -> None:
    for number in (1, 2):
        with Staging(tmp_path, MARKER) as staging:
            fill(staging, f"{number}.dcm", MARKER)
            staging.publish()

    assert file_names(tmp_path) == ["1.dcm", "2.dcm", MARKER]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(OutputError, match="cannot be written to: Not a directory"),
        Staging(tmp_path / "file" / "x", MARKER),
    ):
        pass
    with pytest.raises(OutputError, match="cannot be written to: File exists"), Staging(tmp_path / "file", MARKER):
        pass


def test_a_failed_publication_removes_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dcm").write_text("old")
    rename = Path.replace

    def fail_at_c(self: Path, target: Path) -> Path:
        if self.name == "c.dcm":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail_at_c)
    with Staging(tmp_path, MARKER) as staging:
        fill(staging, "a.dcm", "b.dcm", "c.dcm", MARKER)
        with pytest.raises(OutputError, match="No space left on device"):
            staging.publish()

    assert file_names(tmp_path) == ["a.dcm"]


KILLED = """
import os, signal, sys
from pathlib import Path
from clickseg.core.staging import Staging

after = int(sys.argv[2])
real = Path.replace
count = 0

def replace(self, target):
    global count
    if count == after:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return real(self, target)

Path.replace = replace
with Staging(Path(sys.argv[1]), "report.json") as staging:
    for name in ("a.dcm", "b.dcm", "c.dcm", "report.json"):
        (staging.folder / name).write_text("new " + name)
    staging.publish()
    if after == 5:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("after", range(6))
def test_the_next_run_cleans_up_after_a_killed_run(tmp_path: Path, after: int) -> None:
    (tmp_path / "a.dcm").write_text("old")
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(after)])
    assert process.returncode == -signal.SIGKILL
    is_complete = (tmp_path / MARKER).exists()

    with Staging(tmp_path, MARKER) as staging:
        remaining = [name for name in file_names(tmp_path) if name != staging.folder.name]

    assert is_complete == (after == 5)
    assert remaining == (["a.dcm", "b.dcm", "c.dcm", MARKER] if is_complete else ["a.dcm"])
    assert file_names(tmp_path) == remaining


@pytest.mark.parametrize("lock", ["held", "not yet created"])
def test_the_folder_of_a_run_that_has_just_started_stays(tmp_path: Path, lock: str) -> None:
    folder = tmp_path / ".clickseg-young"
    folder.mkdir()
    if lock == "held":
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    with Staging(tmp_path, MARKER):
        assert folder.exists()

    if lock == "held":
        os.close(descriptor)


def test_a_folder_whose_removal_was_killed_is_removed(tmp_path: Path) -> None:
    script = f"""
import os, shutil, signal
from pathlib import Path
from clickseg.core.staging import Staging
def remove_partly(folder, **_):
    (Path(folder) / ".lock").unlink()
    os.kill(os.getpid(), signal.SIGKILL)
with Staging(Path({str(tmp_path)!r}), "report.json") as staging:
    for name in ("a.dcm", "report.json"):
        (staging.folder / name).write_text("new")
    staging.publish()
    shutil.rmtree = remove_partly
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len(file_names(tmp_path)) == 3

    with Staging(tmp_path, "report.json"):
        pass

    assert file_names(tmp_path) == ["a.dcm", "report.json"]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interruption_during_publication_removes_the_published_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    rename, published = Path.replace, []

    def rename_and_interrupt(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if target.parent == tmp_path:
            published.append(target.name)
            if len(published) == after:
                raise KeyboardInterrupt
        return moved

    with Staging(tmp_path, "report.json") as staging:
        fill(staging, "a.dcm", "b.dcm", "report.json")
        monkeypatch.setattr(Path, "replace", rename_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            staging.publish()

    assert file_names(tmp_path) == (["a.dcm", "b.dcm", "report.json"] if after == 3 else [])


def test_a_lock_that_is_a_folder_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".clickseg-x" / ".lock").mkdir(parents=True)

    with Staging(tmp_path, "report.json") as staging:
        fill(staging, "a.dcm", "report.json")
        staging.publish()

    assert file_names(tmp_path) == [".clickseg-x", "a.dcm", "report.json"]


def test_stale_temporary_files_are_removed_and_new_ones_stay(tmp_path: Path) -> None:
    for name, age_s in ((".clickseg-part-1-a", 3600), (".clickseg-part-1-b", 0)):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)

    with Staging(tmp_path, "report.json"):
        assert not (tmp_path / ".clickseg-part-1-a").exists()

    assert file_names(tmp_path) == [".clickseg-part-1-b"]


def test_the_folder_of_a_run_that_was_killed_before_its_lock_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / ".clickseg-old"
    folder.mkdir()
    os.utime(folder, (0, 0))

    with Staging(tmp_path, MARKER):
        assert not folder.exists()


@pytest.mark.parametrize(
    "journal", ['["../mine.txt"]', '{"../mine.txt": 1}', '{"mine.txt": 0}', "{", "7", '{"a": "b"}']
)
def test_an_invalid_journal_does_not_remove_other_files(tmp_path: Path, journal: str) -> None:
    output, folder = tmp_path / "out", tmp_path / "out" / ".clickseg-evil"
    folder.mkdir(parents=True)
    for path in (tmp_path / "mine.txt", output / "mine.txt", folder / ".lock", folder / MARKER):
        path.write_text("mine")
    (folder / ".journal").write_text(journal)

    with Staging(output, MARKER):
        pass

    assert (tmp_path / "mine.txt").exists()
    assert file_names(output) == ["mine.txt"]


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Creates a folder that every user may write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_the_folder_of_another_user_stays(shared_folder: Path) -> None:
    (shared_folder / ".clickseg-roots").mkdir(mode=0o700)
    (shared_folder / ".clickseg-roots" / ".lock").touch()

    os.seteuid(65534)
    try:
        with Staging(shared_folder, MARKER) as staging:
            fill(staging, "a.dcm", MARKER)
            staging.publish()
    finally:
        os.seteuid(0)

    assert file_names(shared_folder) == [".clickseg-roots", "a.dcm", MARKER]


def test_foreign_files_with_similar_names_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".clickseg-notes").write_text("mine")
    (tmp_path / ".clickseg-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".clickseg-folder").mkdir()
    (tmp_path / ".clickseg-folder" / "mine.txt").write_text("mine")
    os.utime(tmp_path / ".clickseg-folder", (0, 0))

    with Staging(tmp_path, MARKER):
        pass

    assert file_names(tmp_path) == [".clickseg-folder", ".clickseg-link", ".clickseg-notes", "elsewhere"]


@pytest.mark.parametrize("renames", [True, False], ids=["open files can be renamed", "they cannot, as on Windows"])
def test_the_folder_of_an_active_run_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool) -> None:
    monkeypatch.setattr(file_locks, "CAN_RENAME_OPEN_FILES", renames)

    with Staging(tmp_path, MARKER) as first, Staging(tmp_path, MARKER) as second:
        assert first.folder.is_dir()
        fill(second, "a.dcm", MARKER)
        second.publish()
        fill(first, "b.dcm", MARKER)
        first.publish()

    assert file_names(tmp_path) == ["a.dcm", "b.dcm", MARKER]


def test_the_lock_is_held_while_a_run_is_active(tmp_path: Path) -> None:
    with Staging(tmp_path, MARKER) as staging:
        descriptor = os.open(staging.folder / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_a_closed_staging_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not open"):
        _ = Staging(tmp_path, MARKER).folder
