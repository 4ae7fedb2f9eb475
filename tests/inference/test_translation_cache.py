"""Translations in the cache: made once by processes at the same time, never used if others can have written them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickseg.core.errors import ModelError, OutputError
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers import runs
from tests.helpers.foreign_programs import write_shifter

OPTIONS = ImportOptions()
TRANSLATE = """
import os, sys
from pathlib import Path
from clickseg.inference import translation_cache
from clickseg.models.importers.source_model import ImportOptions
print(translation_cache.translate(Path(sys.argv[1]), ImportOptions(), Path(sys.argv[2])).path)
"""
KILLED_AT_THE_END = "from clickseg.inference import translation_cache\nimport os\n" + (
    "translation_cache.make_trusted_tree = lambda folder: os.kill(os.getpid(), 9)\n"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_shifter(tmp_path / "source")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """New files can be written by all users."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_translation_cannot_be_written_by_others_whatever_the_umask(
    program: Path, tmp_path: Path, no_umask: None
) -> None:
    first = translate(program, OPTIONS, tmp_path / "cache")
    second = translate(program, OPTIONS, tmp_path / "cache")

    paths = [first.path.parent, *first.path.parent.rglob("*")]
    assert first.path == second.path
    assert len(paths) > 5
    assert [path for path in paths if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)] == []


@pytest.mark.parametrize("part", [".", "complete.json", "shifter/models/model.ts", "shifter/configs"])
def test_a_translation_that_others_can_have_written_is_an_error(program: Path, tmp_path: Path, part: str) -> None:
    package = translate(program, OPTIONS, tmp_path / "cache").path
    (package.parent / part).chmod(0o777)

    with pytest.raises(OutputError, match="another user can have written it") as caught:
        translate(program, OPTIONS, tmp_path / "cache")

    assert "--cache" in str(caught.value.hint)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_translation_of_another_user_is_an_error(program: Path, tmp_path: Path) -> None:
    package = translate(program, OPTIONS, tmp_path / "cache").path
    os.chown(package / "models" / "model.ts", 12345, 12345)

    with pytest.raises(OutputError, match="another user can have written it"):
        translate(program, OPTIONS, tmp_path / "cache")


def test_without_a_cache_the_folder_for_temporary_files_is_used_if_it_is_that_of_this_user(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    package = translate(program, OPTIONS, None).path
    folder = tmp_path / "temporary" / f"clickseg-{os.getuid()}"
    folder.chmod(0o777)

    assert package.is_relative_to(folder)
    with pytest.raises(OutputError, match="another user can write to it"):
        translate(program, OPTIONS, None)


def test_a_cache_that_cannot_be_written_to_is_one_error_with_a_hint(program: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(OutputError, match="cannot be written") as caught:
        translate(program, OPTIONS, tmp_path / "cache")

    assert "--cache" in str(caught.value.hint)


def test_an_incomplete_translation_is_made_again(program: Path, tmp_path: Path) -> None:
    package = translate(program, OPTIONS, tmp_path / "cache").path
    (package.parent / "complete.json").unlink()
    (package / "models" / "model.ts").write_bytes(b"incomplete")

    again = translate(program, OPTIONS, tmp_path / "cache")

    assert again.verify_weights("model.ts").path.read_bytes() != b"incomplete"


def test_damaged_weights_are_an_error(program: Path, tmp_path: Path) -> None:
    package = translate(program, OPTIONS, tmp_path / "cache").path
    (package / "models" / "model.ts").write_bytes(b"damaged")

    with pytest.raises(ModelError, match="expected SHA-256"):
        translate(program, OPTIONS, tmp_path / "cache").verify_weights("model.ts")


def start(code: str, program: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(program), str(cache)]
    return subprocess.Popen(command, cwd=runs.REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_at_the_same_time_make_one_translation(program: Path, tmp_path: Path) -> None:
    processes = [start(TRANSLATE, program, tmp_path / "cache") for _ in range(3)]
    outputs = [process.communicate(timeout=runs.HANG_S) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    (package,) = {Path(output.strip()) for output, _ in outputs}
    assert list((tmp_path / "cache" / "models").iterdir()) == [package.parent]


@pytest.mark.slow
def test_a_killed_translation_is_not_used(program: Path, tmp_path: Path) -> None:
    killed = start(KILLED_AT_THE_END + TRANSLATE, program, tmp_path / "cache")
    output, _ = killed.communicate(timeout=runs.HANG_S)

    package = translate(program, OPTIONS, tmp_path / "cache")

    assert (killed.returncode, output) == (-signal.SIGKILL, "")
    assert package.verify_weights("model.ts")
    unused = [path for path in (tmp_path / "cache" / "models").iterdir() if path != package.path.parent]
    assert [path.name.startswith(".clickseg-part-") for path in unused] == [True]
